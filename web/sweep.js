// One sweep: a row per configuration; and one configuration: a row per seed.
import {badge, element, facts, link, progress, table} from "./elements.js";
import {accuracy, count, medianOrBound, NOTHING, parameter, shortNames, time, words} from "./format.js";
import {get} from "./data.js";

const MOST_CONFIGURATIONS = 500;

export const title = path => path.length > 1 ? `Configuration ${path[1]}` : path[0];

export async function load([name, configuration], signal) {
  if (configuration !== undefined) {
    const [sweep, runs] = await Promise.all([
      get(["sweeps", name], {}, signal), get(["runs"], {sweep: name, configuration, limit: 1000}, signal)]);
    return {sweep, runs};
  }
  const [sweep, configurations] = await Promise.all([
    get(["sweeps", name], {}, signal), get(["sweeps", name, "configurations"], {limit: MOST_CONFIGURATIONS}, signal)]);
  return {sweep, configurations};
}

export function render(data) {
  return data.runs ? renderRuns(data) : renderSweep(data);
}

function outcomes(configuration) {
  // In the order of the command line's tables.
  const list = Object.entries(configuration.outcomes).sort((a, b) => a[0] < b[0] ? -1 : 1);
  for (const state of ["failed", "cancelled"]) {
    if (configuration.runs[state] > 0) list.push([state, configuration.runs[state]]);
  }
  if (list.length === 0) return NOTHING;
  return element("span", {class: "badges"}, list.map(([name, number]) =>
    element("span", {class: `badge is-${name}`}, `${count(number)} ${words(name)}`)));
}

function parameterColumns(names, of) {
  const short = shortNames(names);
  return names.map(name => ({
    title: element("span", {title: name}, short.get(name)),
    label: short.get(name),
    number: true,
    cell: row => of(row) && name in of(row) ? parameter(of(row)[name]) : NOTHING,
  }));
}

function variedNames(rows) {
  const names = new Set();
  for (const row of rows) for (const name of Object.keys(row.varied ?? {})) names.add(name);
  return [...names];
}

function renderSweep({sweep, configurations}) {
  const rows = configurations.configurations;
  const budget = sweep.budget_steps;
  const open = row => link(["sweeps", sweep.name, row.configuration_id], `#${row.configuration_id}`,
                           {id: `configuration-${row.configuration_id}`, "aria-label": `configuration ${row.configuration_id}`});
  return [
    element("p", {class: "crumbs"}, link([], "Sweeps")),
    element("h1", {}, sweep.name, " ", badge(sweep.state)),
    sweep.description ? element("p", {class: "quiet"}, sweep.description) : null,
    element("div", {class: "wide-progress"}, progress(sweep.runs)),
    facts([["Configurations", count(sweep.configurations)], ["Budget", budget ? `${count(budget)} steps` : NOTHING],
           ["Trainer", sweep.trainer], ["Submitted", time(sweep.created_at)]]),
    table("One row per configuration; medians are over all seeds, and count one that never got there as later than all others", [
      {title: "", label: "Configuration", cell: open},
      ...parameterColumns(variedNames(rows), row => row.varied),
      {title: "Seeds done", cell: row => progress(row.runs)},
      {title: "Reached", number: true, cell: row => `${count(row.reached_test_99)}/${count(row.seeds)}`},
      {title: "T_train", number: true, cell: row => medianOrBound(row.median_t_train, row.reached_train_99, budget)},
      {title: "T_grok", number: true, cell: row => medianOrBound(row.median_t_grok, row.reached_test_99, budget)},
      {title: "Delay", number: true, cell: row => medianOrBound(row.median_delay, row.reached_test_99, budget)},
      {title: "Outcomes", cell: outcomes},
    ], rows),
    configurations.more ? element("p", {class: "quiet"}, `Only the first ${count(rows.length)} configurations are shown.`) : null,
    element("details", {id: "source"}, element("summary", {}, "Sweep file"), element("pre", {}, sweep.source)),
  ];
}

function renderRuns({sweep, runs}) {
  const rows = runs.runs;
  const varied = rows.length > 0 ? rows[0].varied ?? {} : {};
  const budget = sweep.budget_steps;
  const step = run => budget && run.state === "running" ? `${count(run.last_step)} of ${count(budget)}` : count(run.last_step);
  return [
    element("p", {class: "crumbs"}, link([], "Sweeps"), " / ", link(["sweeps", sweep.name], sweep.name)),
    element("h1", {}, Object.keys(varied).length > 0
      ? Object.entries(varied).map(([name, value]) => `${name} = ${parameter(value)}`).join(", ") : "The one configuration"),
    table("One row per seed", [
      {title: "Seed", cell: run => link(["runs", run.run_id], `seed ${run.seed}`, {id: `run-${run.run_id}`})},
      {title: "State", cell: run => badge(run.state)},
      {title: "Outcome", cell: run => run.outcome ? badge(run.outcome) : NOTHING},
      {title: "Step", number: true, cell: step},
      {title: "T_train", number: true, cell: run => count(run.t_train_99)},
      {title: "T_grok", number: true, cell: run => count(run.t_test_99)},
      {title: "Delay", number: true, cell: run => count(run.delay)},
      {title: "Test accuracy", number: true, cell: run => accuracy(run.final_test_accuracy)},
      {title: "Worker", cell: run => run.worker ?? NOTHING},
    ], rows),
    runs.more ? element("p", {class: "quiet"}, `Only the first ${count(rows.length)} seeds are shown.`) : null,
  ];
}
