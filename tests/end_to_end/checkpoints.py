"""Checkpoints with real processes: a killed worker costs one interval, a terminated one nothing, and no bit changes."""

import contextlib
import json
import math
import sqlite3
import unittest

from harness import EndToEndTest, SMALL_SWEEP, steps_by_specification, wait_until

SWEEP = (SMALL_SWEEP.replace("seeds: 2", "seeds: 1").replace("steps: 400", "steps: 24000").replace("log_every: 20", "log_every: 100")
         .replace("evaluate_every: 40", "evaluate_every: 200"))


class Checkpoints(EndToEndTest):
    def calm(self):
        self.write("sweep.yaml", SWEEP)
        self.seedbed("run", "sweep.yaml", "--data", "calm", "--slots", "1")
        with self.database("calm") as connection:
            return steps_by_specification(connection)

    def start_saving_worker(self, every):
        return self.start("seedbed-worker", "--server", self.socket(), "--slots", 1, "--device", "cpu", "--checkpoint-every", every,
                          "--directory", self.directory / f"worker-{len(self.processes)}")

    def expect_same(self, expected):
        with self.database("data") as connection:
            self.assertEqual(steps_by_specification(connection), expected)
        self.assertEqual(self.rows("select count(*) from run_results where mixed_numerics", data="data"), [(0,)])
        listed = {row[0] for row in self.rows("select path from checkpoints", data="data")}
        files = {f"checkpoints/{path.name}" for path in (self.directory / "data" / "checkpoints").iterdir()}
        self.assertEqual(files, listed, "a file for each row and no other")
        self.assertEqual(len(listed), 2, "the final weights of each run")

    def test_a_killed_worker_costs_one_interval(self):
        expected = self.calm()
        self.start_coordinator()
        worker = self.start_saving_worker(0.2)
        self.remote("submit", "sweep.yaml")
        wait_until(lambda: self.rows_or_none("select 1 from checkpoints join runs using (run_id) where state = 'running'", data="data"),
                   "a run that trains has a checkpoint")
        worker.kill()
        self.start_saving_worker(0.2)
        self.remote("wait", "all")
        resumed = self.rows("select resume_step from attempts where attempt > 1 and resume_step > 0", data="data")
        self.assertGreaterEqual(len(resumed), 1, "the next attempt goes on from the checkpoint")
        self.expect_same(expected)

    def test_one_is_written_on_demand(self):
        self.write("sweep.yaml", SWEEP)
        self.start_coordinator()
        self.start_saving_worker(0)
        self.remote("submit", "sweep.yaml")
        wait_until(lambda: self.rows_or_none("select 1 from steps where step > 1000", data="data"), "a run trains")
        run = self.rows("select run_id from runs where state = 'running'", data="data")[0][0]
        step = self.remote_json("checkpoint", "write", run)["step"]
        self.assertEqual(self.rows(f"select count(*) from checkpoints where run_id = {run} and step = {step}", data="data"), [(1,)])
        self.remote("cancel", "all")
        _, said = self.remote("checkpoint", "write", run, expect=None)
        self.assertIn("only a running one can write a checkpoint", said)

    def test_a_terminated_worker_loses_no_step(self):
        expected = self.calm()
        self.start_coordinator()
        worker = self.start_saving_worker(0)
        self.remote("submit", "sweep.yaml")
        wait_until(lambda: self.rows_or_none("select 1 from steps where step > 1000", data="data"), "a run trains")
        worker.terminate()
        self.assertEqual(worker.wait(60), 0, worker.log.read_text())
        self.assertEqual(self.rows("""select a.last_step <= c.step from attempts a join checkpoints c using (run_id, attempt)
                                      where ended_as = 'preempted'""", data="data"), [(1,)])
        self.start_saving_worker(0)
        self.remote("wait", "all")
        self.assertEqual(self.rows("""select b.resume_step = c.step from attempts a join attempts b on b.run_id = a.run_id and b.attempt = a.attempt + 1
                                      join (select run_id, max(resume_step) as step from attempts group by run_id) c on c.run_id = a.run_id
                                      where a.ended_as = 'preempted'""", data="data"), [(1,)])
        self.expect_same(expected)

    def test_list_export_and_verify(self):
        self.write("sweep.yaml", SMALL_SWEEP)
        self.seedbed("run", "sweep.yaml", "metrics.analyze_every=200", "--slots", "2")
        run = self.rows("select min(run_id) from runs")[0][0]
        listed = json.loads(self.seedbed("checkpoint", "list", run, "--json")[0])
        self.assertEqual([each["step"] for each in listed["checkpoints"]], [400])
        self.seedbed("checkpoint", "export", run, "out.pt")
        self.assertGreater((self.directory / "out.pt").stat().st_size, 1000)
        self.seedbed("checkpoint", "export", run, "--step", 399, "none.pt", expect=3)
        verified = json.loads(self.seedbed("verify", "small", "--sample", 2, "--json")[0])
        self.assertEqual((verified["compared"], verified["different"]), (2, 0))
        self.assertEqual([each["rows"] for each in verified["runs"]], [21, 21])
        self.assertEqual(self.rows("select count(distinct step) from step_values"), [(3,)], "verified are analyses too")

    def test_verify_finds_a_changed_bit_and_passes_over_other_numerics(self):
        # The kernel that an engine takes where nobody names one: workers' engines and verify's have to take the same.
        self.environment.pop("OPENBLAS_CORETYPE", None)
        self.write("sweep.yaml", SMALL_SWEEP)
        self.seedbed("run", "sweep.yaml", "metrics.analyze_every=200", "--slots", "2")
        row, value, elsewhere, _ = (run for run, in self.rows("select run_id from runs order by run_id"))
        with self.writable_database() as connection:
            (loss,), = connection.execute("select train_loss from steps where run_id = ? and step = 40", (row,)).fetchall()
            connection.execute("update step_rows set train_loss = ? where run_id = ? and step = 40", (math.nextafter(loss, 9), row))
            connection.execute("update step_values set value = -value where run_id = ? and step = 200 and metric_id = "
                               "(select metric_id from metric_names where name = 'weight_norm.output.bias')", (value,))
            connection.execute("update attempts set numerics = json_set(numerics, '$.cpu_capability', 'another') where run_id = ?", (elsewhere,))
        verified = json.loads(self.seedbed("verify", "small", "--json", expect=1)[0])
        self.assertEqual((verified["compared"], verified["different"]), (3, 2))
        by_run = {each["run_id"]: each for each in verified["runs"]}
        self.assertEqual([(each["step"], each["metric"]) for each in by_run[row]["differences"]], [(40, "train_loss")])
        self.assertEqual([(each["step"], each["metric"]) for each in by_run[value]["differences"]], [(200, "weight_norm.output.bias")])
        self.assertIn("another numerics fingerprint", by_run[elsewhere]["skipped"])
        self.assertEqual([each["run_id"] for each in verified["runs"] if each["skipped"]], [elsewhere])
        with self.writable_database() as connection:
            connection.execute("update attempts set numerics = json_set(numerics, '$.cpu_capability', 'another')")
        _, said = self.seedbed("verify", "small", expect=1)
        self.assertIn("none of these runs could be compared on this machine", said)

    @contextlib.contextmanager
    def writable_database(self):
        with contextlib.closing(sqlite3.connect(self.directory / "seedbed-data" / "results.db")) as connection, connection:
            yield connection


if __name__ == "__main__":
    unittest.main()
