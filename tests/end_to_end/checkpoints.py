"""Checkpoints with real processes: a killed worker costs one interval, a terminated one nothing, and no bit changes."""

import json
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


if __name__ == "__main__":
    unittest.main()
