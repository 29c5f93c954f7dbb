// One configuration: the curves of its seeds above each other, and a row per seed.
import {badge, element, link, table} from "./elements.js";
import {accuracy, count, NOTHING, parameter, toNumber, words} from "./format.js";
import {chart} from "./chart.js";
import {get} from "./data.js";

const POINTS = 400;
const MOST_CURVES = 8;
const MOST_KEPT = 200;
const ENDED = ["finished", "failed", "cancelled"];
// How this person looks at curves; kept while pages change.
const choice = {logSteps: false, metric: "test_accuracy"};
const kept = new Map();  // answers on runs that have ended, which change no more

export const title = path => `Configuration ${path[1]}`;

async function curve(run, parameters, signal) {
  const key = JSON.stringify([run.run_id, run.ended_at, parameters]);
  if (kept.has(key)) return kept.get(key);
  const answer = await get(["runs", run.run_id, "curve"], parameters, signal);
  if (ENDED.includes(run.state)) {
    if (kept.size >= MOST_KEPT) kept.clear();
    kept.set(key, answer);
  }
  return answer;
}

// One after the other: the coordinator has runs to look after.
async function curves(runs, signal) {
  const begun = runs.filter(run => run.last_step !== null);
  if (begun.length === 0) return {metrics: [], lines: [], metric: choice.metric, left_out: 0};
  const metrics = (await curve(begun[0], {points: 4}, signal)).series.map(series => series.metric);
  const metric = metrics.includes(choice.metric) ? choice.metric : metrics[0] ?? choice.metric;
  const lines = [];
  for (const run of begun.slice(0, MOST_CURVES)) {
    const [series] = (await curve(run, {points: POINTS, metrics: metric}, signal)).series;
    if (series) lines.push({name: `seed ${run.seed}`, style: `seed-${lines.length}`, steps: series.steps, values: series.values});
  }
  return {metrics, lines, metric, left_out: Math.max(0, begun.length - MOST_CURVES)};
}

export async function load([name, configuration], signal) {
  const [sweep, runs] = await Promise.all([
    get(["sweeps", name], {}, signal), get(["runs"], {sweep: name, configuration, limit: 1000}, signal)]);
  return {sweep, runs, curves: await curves(runs.runs, signal)};
}

// Redraws the curves alone.
function draw(place, runs, shown) {
  const logSteps = element("input", {type: "checkbox", id: "log-steps", onchange: event => {
    choice.logSteps = event.target.checked;
    draw(place, runs, shown);
  }});
  logSteps.checked = choice.logSteps;
  const select = element("select", {id: "metric", onchange: async event => {
    choice.metric = event.target.value;
    // What cannot be asked for now comes with the next look.
    draw(place, runs, await curves(runs).catch(() => shown));
  }}, shown.metrics.map(name => element("option", {value: name}, words(name))));
  select.value = shown.metric;
  const focused = document.activeElement?.id;
  place.replaceChildren(
    element("div", {class: "controls"}, element("label", {}, "metric ", select), element("label", {}, logSteps, " logarithmic steps"),
            shown.left_out > 0 ? `the first ${count(shown.lines.length)} seeds` : null),
    chart(words(shown.metric), shown.lines.map(line => ({...line, values: line.values.map(toNumber)})),
          {logSteps: choice.logSteps, logValues: shown.metric.endsWith("_loss"), range: shown.metric.endsWith("_accuracy") ? [0, 1] : undefined}));
  if (focused && place.querySelector(`#${CSS.escape(focused)}`)) place.querySelector(`#${CSS.escape(focused)}`).focus();
}

export function render({sweep, runs, curves: shown}) {
  const rows = runs.runs;
  const varied = Object.entries(rows[0]?.varied ?? {});
  const budget = sweep.budget_steps;
  const step = run => budget && run.state === "running" ? `${count(run.last_step)} of ${count(budget)}` : count(run.last_step);
  const place = element("section", {"aria-label": "Curves"});
  if (shown.lines.length > 0) draw(place, rows, shown);
  return [
    element("p", {class: "crumbs"}, link([], "Sweeps"), " / ", link(["sweeps", sweep.name], sweep.name)),
    element("h1", {}, varied.length > 0
      ? varied.map(([name, value]) => `${name} = ${parameter(value)}`).join(", ") : "The one configuration"),
    place,
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
