// What the dashboard's pages show for answers of the API. Run by node, without a browser.
import assert from "node:assert/strict";
import test from "node:test";
import {page, whole} from "./document.mjs";

const WORKER = {worker_id: "w-1", name: "w", host: "h", device: "cpu", version: "0", slots: 1, state: "active", reason: null,
                registered_at: 1, seconds_since_seen: 0, leased_runs: []};

test("a worker's leased runs are links with commas between them", async () => {
  const {render} = await page("workers.js");
  const shown = whole(render({workers: [{...WORKER, leased_runs: [323, 324]}], more: false}));
  assert.deepEqual(shown.column("Runs"), ["323, 324"]);
  const links = shown.all(each => each.tag === "a").map(each => each.attributes.href);
  assert.deepEqual(links, ["#/runs/323", "#/runs/324"]);
});

test("a worker's leases are told apart: what it trains, and what waits there", async () => {
  const {render} = await page("workers.js");
  const shown = whole(render({workers: [{...WORKER, leased_runs: [1, 2], training: 1}], more: false}));
  assert.deepEqual(shown.column("Running"), ["1/1"]);
  assert.deepEqual(shown.column("Prefetched"), ["1"]);
});

test("numbers are written as the command line writes them", async () => {
  const {parameter} = await page("format.js");
  const written = [0.0001, 0.001, 0.3, 1, 1.5, 1.5e-7, 0.00015, 1e30, true, "adamw"].map(parameter);
  assert.deepEqual(written, ["1e-4", "0.001", "0.3", "1", "1.5", "1.5e-7", "0.00015", "1e30", "true", "adamw"]);
  const {progress} = await page("elements.js");
  const line = progress({total: 1440, finished: 172, running: 0, failed: 0, cancelled: 0, queued: 1268});
  assert.ok(line.textContent.endsWith("172/1,440"), line.textContent);
});

const COUNTS = {total: 2, queued: 0, running: 0, finished: 1, failed: 0, cancelled: 1};
const SWEEP = {sweep_id: 1, name: "s", description: "", trainer: "modular", state: "active", configurations: 1, runs: COUNTS,
               budget_steps: 100, created_at: 1, source: ""};
const CONFIGURATION = {configuration_id: 7, ordinal: 0, varied: {"optimizer.weight_decay": 0.0001}, seeds: 2, runs: COUNTS,
                       outcomes: {memorised: 3, grokked: 1}, reached_train_99: 1, reached_test_99: 0, median_t_train: null,
                       median_t_grok: null, median_delay: null};

test("a sweep's table says what the command line's says", async () => {
  const {render} = await page("sweep.js");
  const shown = whole(render({sweep: SWEEP, configurations: {configurations: [CONFIGURATION], more: false}, page: 1}));
  assert.deepEqual(shown.column("Reached"), ["0/2"]);
  assert.deepEqual(shown.column("weight_decay"), ["1e-4"]);
  assert.deepEqual(shown.column("Outcomes"), ["1 grokked3 memorised1 cancelled"]);
});

function drawn(chart) {
  return {
    ticks: chart.withClass("tick").map(each => each.textContent),
    dots: chart.withClass("dot").length,
    markers: chart.withClass("marker-name").map(each => each.textContent),
  };
}

test("a chart's ticks differ, steps are whole, and a value alone is a dot", async () => {
  const {chart} = await page("chart.js");
  const close = drawn(chart("Loss", [{name: "loss", style: 0, steps: [0, 1, 2], values: [4.946, 4.949, 4.953]}], {}));
  assert.equal(new Set(close.ticks).size, close.ticks.length, close.ticks.join(" "));
  assert.ok(close.ticks.every(tick => !/^[012]\.\d/.test(tick)), close.ticks.join(" "));
  assert.equal(close.dots, 0);
  assert.equal(drawn(chart("Loss", [{name: "loss", style: 0, steps: [0], values: [5]}], {})).dots, 1);
  assert.equal(drawn(chart("Loss", [{name: "loss", style: 0, steps: [0, 1, 2], values: [5, Infinity, 4]}], {})).dots, 2);
});

const RUN = {run_id: 3, sweep: "s", configuration_id: 7, seed: 0, varied: {}, state: "running", outcome: null, last_step: 30,
             t_train_99: null, t_test_99: null, delay: null, final_test_accuracy: null, wall_seconds: null, reason: null,
             first_nonfinite_step: null, attempt_list: [], specification: {}};
const CURVE = {rows: 4, series: [{metric: "train_accuracy", steps: [0, 10, 20, 30], values: [0, 0.5, 0.995, 1]},
                                 {metric: "train_loss", steps: [0, 10, 20, 30], values: [5, 4, "Infinity", "Infinity"]}]};

test("a run's page says from the curve what no result says yet", async () => {
  const {render} = await page("run.js");
  const shown = whole(render({detail: RUN, curve: CURVE}));
  const facts = new Map(shown.all(each => each.tag === "dl")[0].children.map(pair => pair.children.map(each => each.textContent)));
  assert.equal(facts.get("T_train"), "20");
  assert.equal(facts.get("T_grok"), "—");
  assert.equal(facts.get("First value that is not finite"), "step 20");
  assert.ok(shown.withClass("marker-name").some(each => each.textContent === "not finite"));
});

test("a large sweep has pages", async () => {
  const {render} = await page("sweep.js");
  const links = (number, more) => whole(render({sweep: {...SWEEP, configurations: 1201}, page: number,
                                               configurations: {configurations: [CONFIGURATION], more}}))
    .withClass("pages").flatMap(each => each.all(node => node.tag === "a")).map(node => node.attributes.href);
  assert.deepEqual(links(1, true), ["#/sweeps/s/page/2"]);
  assert.deepEqual(links(2, true), ["#/sweeps/s/page/1", "#/sweeps/s/page/3"]);
  assert.deepEqual(links(3, false), ["#/sweeps/s/page/2"]);
});

test("the overview's numbers lead to the runs in that state", async () => {
  const {render} = await page("overview.js");
  const shown = whole(render({sweeps: {sweeps: [SWEEP], more: false}, workers: {workers: [], more: false}}));
  assert.deepEqual(shown.withClass("figure").map(each => each.all(node => node.tag === "a")[0].attributes.href),
                   ["running", "queued", "finished", "failed"].map(state => `#/runs/state/${state}`).concat("#/workers"));
  const list = await page("runs.js");
  const rows = whole(list.render({state: "running", after: "", runs: {runs: [RUN], more: true}}));
  assert.deepEqual(rows.column("Run"), ["3"]);
  assert.equal(rows.withClass("pages")[0].all(node => node.tag === "a")[0].attributes.href, "#/runs/state/running/after/3");
});

test("a configuration's page draws a curve for each seed", async () => {
  const {render} = await page("configuration.js");
  const lines = [0, 1].map(seed => ({name: `seed ${seed}`, style: `seed-${seed}`, steps: [0, 1], values: [0, "NaN"]}));
  const shown = whole(render({sweep: SWEEP, runs: {runs: [RUN], more: false},
                              curves: {metrics: ["test_loss"], metric: "test_loss", lines, left_out: 0}}));
  const paths = shown.all(each => each.tag === "path");
  assert.deepEqual(paths.map(each => each.attributes.class), ["line line-seed-0", "line line-seed-1"]);
});
