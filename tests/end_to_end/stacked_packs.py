"""Packs as a GPU has them, one stacked model each, here on the CPU: through coordinator, worker and engine."""

import json
import unittest

from harness import EndToEndTest, steps_by_specification, wait_until

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


if __name__ == "__main__":
    unittest.main()
