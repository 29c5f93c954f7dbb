"""Killed workers and a killed coordinator: the sweep completes with one result a run and the rows of a calm sweep, bit for bit."""

import os
import signal
import time
import unittest

from harness import EndToEndTest, SMALL_SWEEP, TIME_FACTOR, steps_by_specification, wait_until

SWEEP = SMALL_SWEEP.replace("steps: 400", "steps: 24000").replace("log_every: 20", "log_every: 100").replace("evaluate_every: 40", "evaluate_every: 200")


class Faults(EndToEndTest):
    def calm(self):
        self.write("sweep.yaml", SWEEP)
        self.seedbed("run", "sweep.yaml", "--data", "calm", "--slots", "1")
        with self.database("calm") as connection:
            return steps_by_specification(connection)

    def test_killed_worker_and_killed_coordinator_change_no_result(self):
        expected = self.calm()
        self.assertEqual(len({row[:2] for row in expected[1]}), 4)

        coordinator = self.start_coordinator()
        workers = [self.start_worker(), self.start_worker()]
        self.remote("submit", "sweep.yaml")

        def trains():
            return self.rows_or_none("select 1 from runs join steps using (run_id) where state = 'running' and step > 0", data="data")

        wait_until(trains, "a run trains")
        workers[0].kill()
        workers[0] = self.start_worker()
        finished = len(self.rows("select 1 from runs where state = 'finished'", data="data"))
        wait_until(lambda: len(self.rows("select 1 from runs where state = 'finished'", data="data")) > finished and trains(),
                   "another run has finished and one trains")
        coordinator.kill()
        coordinator.wait()
        coordinator = self.start_coordinator()
        self.remote("wait", "all")

        self.assertEqual(self.rows("select count(*), count(distinct configuration_id || ',' || seed) from runs where state = 'finished'",
                                   data="data"), [(4, 4)])
        self.assertEqual(self.rows("select run_id, count(*) from attempts where ended_as = 'finished' group by run_id having count(*) != 1",
                                   data="data"), [])
        with self.database("data") as connection:
            self.assertEqual(steps_by_specification(connection), expected)

    def test_a_dead_workers_runs_are_leased_again_within_a_second_of_their_leases_end(self):
        lease_seconds = 2
        # Longer than the test: no machine is so fast that a run ends by itself.
        self.write("sweep.yaml", SWEEP.replace("seeds: 2", "seeds: 1").replace("steps: 24000", "steps: 1000000000"))
        self.start_coordinator(lease_seconds=lease_seconds)
        dies = self.start_worker(slots=2)
        self.remote("submit", "sweep.yaml")
        wait_until(lambda: self.rows_or_none("select count(*) from attempts where last_step > 0", data="data") == [(2,)], "both runs train")
        self.start_worker(slots=2)
        wait_until(lambda: self.rows("select count(*) from workers where state = 'active'", data="data") == [(2,)], "another worker has room")
        dies.kill()
        killed_at = time.time()  # the last that was heard of it, and so its leases' begin, is no later
        wait_until(lambda: self.rows("select count(*) from attempts where attempt = 2", data="data") == [(2,)], "its runs are leased again")
        self.assertEqual(self.rows("select ended_as from attempts where attempt = 1", data="data"), [("lost",), ("lost",)])
        for run, started_at in self.rows("select run_id, started_at / 1e6 from attempts where attempt = 2", data="data"):
            late = started_at - (killed_at + lease_seconds)
            self.assertLess(late, 1 * TIME_FACTOR, f"run {run} was leased again {late:.2f} s after its lease's end at the latest")

    def test_a_killed_engine_costs_one_attempt_and_nothing_else(self):
        self.write("sweep.yaml", SWEEP)
        self.start_coordinator()
        self.start_worker(slots=2)
        self.remote("submit", "sweep.yaml")
        wait_until(lambda: self.rows_or_none("select 1 from steps where step > 0", data="data"), "a run trains")
        engine = next(pid for pid, command in self.survivors().items() if "seedbed-engine" in command)
        os.kill(engine, signal.SIGKILL)
        self.remote("wait", "all")
        self.assertEqual(self.rows("select count(*) from runs where state = 'finished'", data="data"), [(4,)])
        self.assertEqual(self.rows("select count(*) from attempts where ended_as = 'crashed'", data="data"), [(1,)])
        self.assertEqual(self.rows("select count(*) from attempts where ended_as not in ('crashed', 'finished')", data="data"), [(0,)])

    def test_a_stopped_worker_comes_back_or_is_replaced(self):
        self.write("sweep.yaml", SWEEP)
        self.start_coordinator(lease_seconds=2)
        frozen = self.start_worker()
        self.remote("submit", "sweep.yaml")
        wait_until(lambda: self.rows_or_none("select 1 from steps where step > 0", data="data"), "a run trains")
        frozen.send_signal(signal.SIGSTOP)
        wait_until(lambda: self.rows("select 1 from attempts where ended_as = 'lost'", data="data"), "its lease has expired")
        self.start_worker()
        frozen.send_signal(signal.SIGCONT)
        self.remote("wait", "all")
        self.assertEqual(self.rows("select count(*) from runs where state = 'finished'", data="data"), [(4,)])
        self.assertEqual(self.rows("select run_id, count(*) from attempts where ended_as = 'finished' group by run_id having count(*) != 1",
                                   data="data"), [])

    def test_a_terminated_worker_hands_its_leases_back(self):
        self.write("sweep.yaml", SWEEP)
        self.start_coordinator()
        leaving = self.start_worker()
        self.remote("submit", "sweep.yaml")
        wait_until(lambda: self.rows_or_none("select 1 from steps where step > 0", data="data"), "a run trains")
        leaving.terminate()
        self.assertEqual(leaving.wait(20), 0, leaving.log.read_text())
        self.assertEqual(self.rows("select count(*) from runs where state = 'running'", data="data"), [(0,)])
        self.assertEqual(self.rows("select distinct ended_as from attempts where ended_as != 'finished'", data="data"), [("preempted",)])
        self.start_worker()
        self.remote("wait", "all")
        self.assertEqual(self.rows("select count(*) from runs where state = 'failed'", data="data"), [(0,)])

    def test_people_are_told_that_the_disk_is_full(self):
        self.write("sweep.yaml", SMALL_SWEEP)
        full = self.start_coordinator("--least-free-disk", 10**9)  # MiB: more than any disk has
        self.start_worker()
        self.remote("submit", "sweep.yaml")
        _, notes = self.remote("wait", "all", "--timeout", 3, expect=None)
        self.assertIn("disk is nearly full", notes)
        full.terminate()
        self.assertEqual(full.wait(20), 0, full.log.read_text())
        self.start_coordinator()
        self.remote("wait", "all")
        self.assertEqual(self.rows("select count(*) from runs where state = 'finished'", data="data"), [(4,)])

    def test_a_terminated_coordinator_leaves_in_order(self):
        self.write("sweep.yaml", SWEEP)
        coordinator = self.start_coordinator()
        worker = self.start_worker()
        self.remote("submit", "sweep.yaml")
        wait_until(lambda: self.rows_or_none("select 1 from steps where step > 0", data="data"), "a run trains")
        coordinator.terminate()
        self.assertEqual(coordinator.wait(20), 0, coordinator.log.read_text())
        self.assertFalse((self.directory / "data" / "coordinator.json").exists())
        self.assertFalse((self.directory / "s").exists())
        self.assertIsNone(worker.poll())
        self.start_coordinator()
        self.remote("wait", "all")
        self.assertEqual(self.rows("select distinct ended_as from attempts", data="data"), [("finished",)])


if __name__ == "__main__":
    unittest.main()
