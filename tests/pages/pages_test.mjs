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
