"""Packs as a GPU has them, one stacked model each, here on the CPU: through coordinator, worker and engine."""

import json
import os
import resource
import subprocess
import unittest

from harness import BIN, EndToEndTest, steps_by_specification, wait_until

SWEEP = """\
name: small
trainer: modular
seeds: 3
parameters:
  task.modulus: {value: 23}
  task.train_fraction: {value: 0.5}
  model.width: {value: 16}
  model.depth: {value: 1}
  optimizer.kind: {value: adamw}
  optimizer.learning_rate: {values: [1e-3, 3e-3, 1e30]}
  optimizer.weight_decay: {value: 1}
budget: {steps: 60}
metrics: {log_every: 10, evaluate_every: 20}
"""

# About 35 MB for each replica.
LARGE_SWEEP = """\
name: large
trainer: modular
seeds: 6
parameters:
  task.modulus: {value: 31}
  task.train_fraction: {value: 0.1}
  model.width: {value: 1024}
  model.depth: {value: 1}
budget: {steps: 3}
metrics: {log_every: 1, evaluate_every: 3}
"""


class StackedPacks(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.environment["SEEDBED_ENGINE_PACK"] = "stacked"

    def start_stacking_worker(self, pack, slots=1, **options):
        before = len(self.remote_json("workers")["workers"])
        worker = self.start("seedbed-worker", "--server", self.socket(), "--slots", slots, "--device", "cpu", "--pack", pack,
                            "--directory", self.directory / f"worker-{before}", **options)
        # What may differ inside a pack is asked of the workers that are there when a sweep comes.
        wait_until(lambda: len(self.remote_json("workers")["workers"]) > before, "the worker is registered")
        return worker

    def stop(self, process):
        process.terminate()
        process.wait(30)

    def finished(self, data, count):
        return self.rows_or_none("select count(*) from runs where state = 'finished'", data=data) == [(count,)]

    def test_rows_do_not_depend_on_who_shares_a_pack(self):
        self.write("sweep.yaml", SWEEP)
        databases = []
        for data, slots in (("one", 1), ("two", 2)):
            coordinator = self.start_coordinator(data=data)
            worker = self.start_stacking_worker(pack=4, slots=slots)
            self.remote("submit", "sweep.yaml")
            wait_until(lambda: self.finished(data, 9), "all runs are finished")
            for (numerics,) in self.rows("select numerics from attempts", data=data):
                self.assertEqual(json.loads(numerics)["pack_capacity"], 4)
            self.stop(worker)
            self.stop(coordinator)
            with self.database(data) as connection:
                databases.append(steps_by_specification(connection))
            outcomes = self.rows("select outcome from runs", data=data)
            self.assertEqual(sum(outcome == ("diverged",) for outcome in outcomes), 3)
        self.assertGreaterEqual(len(databases[0][1]), 6 * 7 + 3)
        self.assertEqual(databases[0], databases[1])

    def test_out_of_memory_shrinks_the_pack_and_loses_no_run(self):
        self.write("sweep.yaml", LARGE_SWEEP)
        self.start_coordinator()
        # Enough for the libraries and for a few replicas.
        most = address_space_of_an_idle_engine(self) + (700 << 20)
        self.start_stacking_worker(pack=64, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)))
        self.remote("submit", "sweep.yaml")
        wait_until(lambda: self.finished("data", 6), "all runs are finished", 100)
        ends = [end for (end,) in self.rows("select ended_as from attempts order by run_id, attempt", data="data")]
        self.assertEqual(ends.count("finished"), 6)
        self.assertGreaterEqual(ends.count("out_of_memory"), 1)
        self.assertEqual(set(ends), {"finished", "out_of_memory"})
        capacities = [json.loads(numerics)["pack_capacity"]
                      for (numerics,) in self.rows("select numerics from attempts where ended_as = 'finished'", data="data")]
        self.assertLess(max(capacities), 64)


def address_space_of_an_idle_engine(test):
    """Bytes: of one that has said `ready`."""
    (theirs_read, ours_write), (ours_read, theirs_write) = os.pipe(), os.pipe()
    environment = test.environment | {"SEEDBED_ENGINE_INPUT_FD": str(theirs_read), "SEEDBED_ENGINE_OUTPUT_FD": str(theirs_write),
                                      "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    engine = subprocess.Popen([BIN / "seedbed-engine"], env=environment, pass_fds=(theirs_read, theirs_write))
    try:
        os.close(theirs_read)
        os.close(theirs_write)
        test.assertIn(b"ready", os.read(ours_read, 1 << 16))
        with open(f"/proc/{engine.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGESIZE")
    finally:
        os.close(ours_write)  # the end of its input: it leaves
        engine.wait(30)
        os.close(ours_read)


if __name__ == "__main__":
    unittest.main()
