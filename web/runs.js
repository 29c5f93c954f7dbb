// The runs of all sweeps in one state, or in any; the newest first.
import {badge, element, link, table} from "./elements.js";
import {count, NOTHING, parameter, shortNames} from "./format.js";
import {get} from "./data.js";

const MOST_RUNS = 200;

// The address is runs/state/STATE or runs, and then after/RUN for the pages beyond the first.
function parse(path) {
  const state = path[0] === "state" ? path[1] ?? "" : "";
  const rest = path[0] === "state" ? path.slice(2) : path;
  return {state, after: rest[0] === "after" ? rest[1] ?? "" : ""};
}

export const title = path => parse(path).state ? `Runs that are ${parse(path).state}` : "Runs";

export async function load(path, signal) {
  const {state, after} = parse(path);
  const asked = {order: "newest", limit: MOST_RUNS};
  if (state) asked.state = state;
  if (after) asked.after = after;
  return {state, after, runs: await get(["runs"], asked, signal)};
}

function point(run) {
  const varied = Object.entries(run.varied ?? {});
  const short = shortNames(varied.map(([name]) => name));
  return varied.map(([name, value]) => `${short.get(name)}=${parameter(value)}`).join(" ") || `#${run.configuration_id}`;
}

export function render({state, after, runs}) {
  const rows = runs.runs;
  const here = state ? ["runs", "state", state] : ["runs"];
  const heading = element("h1", {}, state ? ["Runs ", badge(state)] : "Runs");
  const crumbs = element("p", {class: "crumbs"}, link([], "Sweeps"));
  if (rows.length === 0) return [crumbs, heading, element("p", {class: "quiet"}, "There are none.")];
  return [
    crumbs, heading,
    table("Of all sweeps, the newest first", [
      {title: "Run", cell: run => link(["runs", run.run_id], run.run_id, {id: `run-${run.run_id}`})},
      {title: "Sweep", cell: run => link(["sweeps", run.sweep], run.sweep)},
      {title: "Configuration", cell: run => link(["sweeps", run.sweep, run.configuration_id], point(run))},
      {title: "Seed", number: true, cell: run => count(run.seed)},
      {title: "State", cell: run => badge(run.state)},
      {title: "Outcome", cell: run => run.outcome ? badge(run.outcome) : NOTHING},
      {title: "Step", number: true, cell: run => count(run.last_step)},
      {title: "Worker", cell: run => run.worker ?? NOTHING},
      {title: "Reason", cell: run => run.reason ?? NOTHING},
    ], rows),
    element("p", {class: "pages"}, after ? link(here, "The newest") : null,
            runs.more ? link([...here, "after", rows[rows.length - 1].run_id], "Older ones") : null),
  ];
}
