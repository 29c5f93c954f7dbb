import {badge, element, link, progress, table} from "./elements.js";
import {count, time} from "./format.js";
import {get} from "./data.js";

export const title = () => "Sweeps";

export async function load(path, signal) {
  const [sweeps, workers] = await Promise.all([get(["sweeps"], {}, signal), get(["workers"], {}, signal)]);
  return {sweeps, workers};
}

function sum(sweeps, state) {
  return sweeps.reduce((total, sweep) => total + sweep.runs[state], 0);
}

function figure(value, name, to) {
  return element("div", {class: "figure"}, element("strong", {}, link(to, count(value), {id: `figure-${to.join("-")}`})),
                 element("span", {}, name));
}

export function render({sweeps, workers}) {
  const list = [...sweeps.sweeps].reverse();
  const heading = element("h1", {}, "Sweeps");
  const figures = element("div", {class: "figure-row"},
    ["running", "queued", "finished", "failed"].map(state => figure(sum(list, state), state, ["runs", "state", state])),
    figure(workers.workers.length, workers.workers.length === 1 ? "worker" : "workers", ["workers"]));
  if (list.length === 0) {
    return [heading, figures, element("p", {class: "quiet"}, "No sweeps yet. ", element("code", {}, "seedbed submit FILE"), " adds one.")];
  }
  const rows = table("All sweeps, the newest first", [
    {title: "Sweep", cell: sweep => link(["sweeps", sweep.name], sweep.name, {id: `sweep-${sweep.sweep_id}`})},
    {title: "State", cell: sweep => badge(sweep.state)},
    {title: "Runs", cell: sweep => progress(sweep.runs)},
    {title: "Configurations", number: true, cell: sweep => count(sweep.configurations)},
    {title: "Failed", number: true, cell: sweep => count(sweep.runs.failed)},
    {title: "Submitted", cell: sweep => time(sweep.created_at)},
  ], list);
  return [heading, figures, rows, sweeps.more ? element("p", {class: "quiet"}, "Older sweeps are left out.") : null];
}
