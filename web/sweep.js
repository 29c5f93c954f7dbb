// One sweep: a row per configuration.
import {badge, element, facts, link, progress, table} from "./elements.js";
import {count, medianOrBound, NOTHING, parameter, shortNames, time, words} from "./format.js";
import {get} from "./data.js";

const PAGE = 500;

export const title = path => path[0];

// The address is sweeps/NAME, and then page/N for the pages beyond the first.
export async function load([name, , number], signal) {
  const page = Math.max(1, Number.parseInt(number ?? "1", 10) || 1);
  const [sweep, configurations] = await Promise.all([
    get(["sweeps", name], {}, signal),
    get(["sweeps", name, "configurations"], {limit: PAGE, offset: (page - 1) * PAGE}, signal)]);
  return {sweep, configurations, page};
}

function pages(sweep, configurations, page) {
  if (page === 1 && !configurations.more) return null;
  const first = (page - 1) * PAGE;
  const shown = configurations.configurations.length;
  return element("p", {class: "pages"},
    shown > 0 ? `${count(first + 1)} to ${count(first + shown)} of ${count(sweep.configurations)} configurations`
      : "There are no configurations so far on.",
    page > 1 ? link(["sweeps", sweep.name, "page", page - 1], "Previous", {id: "previous"}) : null,
    configurations.more ? link(["sweeps", sweep.name, "page", page + 1], "Next", {id: "next"}) : null);
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

export function render({sweep, configurations, page}) {
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
    pages(sweep, configurations, page),
    element("details", {id: "source"}, element("summary", {}, "Sweep file"), element("pre", {}, sweep.source)),
  ];
}
