import {badge, element, link, table} from "./elements.js";
import {count, duration, NOTHING, time} from "./format.js";
import {get} from "./data.js";

const MOST_RUNS = 12;

export const title = () => "Workers";

export function load(path, signal) {
  return get(["workers"], {}, signal);
}

function runs(worker) {
  const leased = worker.leased_runs;
  if (leased.length === 0) return NOTHING;
  const links = leased.slice(0, MOST_RUNS).map((run, i) => [i > 0 ? ", " : "", link(["runs", run], String(run))]);
  return element("span", {}, links, leased.length > MOST_RUNS ? ` and ${leased.length - MOST_RUNS} more` : "");
}

export function render({workers, more}) {
  const heading = element("h1", {}, "Workers");
  if (workers.length === 0) {
    return [heading, element("p", {class: "quiet"}, "No workers are connected. ", element("code", {}, "seedbed-worker --server HOST:PORT"),
                             " starts one.")];
  }
  return [heading, table("Workers that are connected", [
    {title: "Worker", cell: worker => element("span", {title: worker.worker_id}, worker.name)},
    {title: "Host", cell: worker => worker.host},
    {title: "Device", cell: worker => worker.device},
    {title: "State", cell: worker => element("span", {}, badge(worker.state), worker.reason ? ` ${worker.reason}` : "")},
    {title: "Running", number: true, cell: worker => `${count(worker.training)}/${count(worker.slots)}`},
    {title: "Prefetched", number: true, cell: worker => count(worker.leased_runs.length - worker.training)},
    {title: "Runs", cell: runs},
    {title: "Heard of", cell: worker => worker.seconds_since_seen === null ? NOTHING : `${duration(worker.seconds_since_seen)} ago`},
    {title: "Since", cell: worker => time(worker.registered_at)},
  ], workers), more ? element("p", {class: "quiet"}, "Further workers are left out.") : null];
}
