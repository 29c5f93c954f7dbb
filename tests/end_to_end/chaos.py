"""A storm over real processes, then row by row the same results as in calm.

Coordinator, workers and engines are killed, stopped, continued, terminated and started again at random, from a seed that is printed:

    tests/end_to_end/chaos.py                       some seconds, as in the suite
    tests/end_to_end/chaos.py --minutes 5 --seed 7  by hand
"""

import argparse
import collections
import contextlib
import os
import random
import signal
import sqlite3
import sys
import time
import unittest

from harness import EndToEndTest, SMALL_SWEEP, steps_by_specification, wait_until

LEASE_SECONDS = 2
WORKERS = 3
STORM_SECONDS = 12  # without --minutes
RUNS_PER_SECOND = 1.6  # as many as outlast the storm on two cores
# What a run says of itself that is not of this world: how long it took.
TIMES = ("wall_seconds", "cpu_seconds")

options = argparse.Namespace(minutes=None, seed=None)


class Storm:
    """The injuries: what can be done to whom, and what becomes of it later."""

    def __init__(self, test, seed):
        self.test = test
        self.random = random.Random(seed)
        self.counts = collections.Counter()
        self.later = []  # (time, what to do)
        self.coordinator = test.start_anew()
        self.workers = [test.start_saver() for _ in range(WORKERS)]
        self.stopped = set()  # pids

    def after(self, most, action):
        self.later.append((time.monotonic() + self.random.uniform(0, most), action))

    def do_what_is_due(self, everything=False):
        due = [each for each in self.later if everything or each[0] <= time.monotonic()]
        self.later = [each for each in self.later if each not in due]
        for _, action in due:
            action()

    def freeze(self, pid, most):
        """Stops a process for up to so many seconds."""
        if pid in self.stopped:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self.stopped.add(pid)
            self.after(most, lambda: self.thaw(pid))

    def thaw(self, pid):
        self.stopped.discard(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def end(self, process, number):
        """Kills or terminates a process. One that is stopped can be killed, and would not hear of the rest."""
        if number != signal.SIGKILL:
            self.thaw(process.pid)
        self.stopped.discard(process.pid)
        process.send_signal(number)

    def replace_coordinator(self, old):
        if self.coordinator is not old:
            return None  # it was hit twice
        if old.poll() is None:
            # It is still leaving; only one may have the database.
            return self.after(1, lambda: self.replace_coordinator(old))
        self.coordinator = self.test.start_anew()
        return None

    def replace_worker(self, place, old, patience=5):
        if self.workers[place] is not old:
            return None
        if old.poll() is None:
            # It hands its leases back, which takes a while if nobody is there to take them.
            if patience == 0:
                self.end(old, signal.SIGKILL)
            return self.after(1, lambda: self.replace_worker(place, old, max(0, patience - 1)))
        self.workers[place] = self.test.start_saver()
        return None

    def engines(self):
        return [pid for pid, command in self.test.survivors().items() if "seedbed-engine" in command]

    def strike(self):
        # Three counted ends would fail a run, and calm knows no failed ones: whoever was hit before is mostly spared.
        fragile = self.test.rows_or_none("select 1 from runs where state in ('queued', 'running') and counted_ends >= 2", data="data")
        kinds = {"kill coordinator": 3, "terminate coordinator": 1, "freeze coordinator": 2, "freeze worker": 4, "terminate worker": 2,
                 "freeze engine": 2}
        if not fragile:
            kinds |= {"kill worker": 4, "kill engine": 2}
        kind = self.random.choices(list(kinds), list(kinds.values()))[0]
        place = self.random.randrange(WORKERS)
        worker = self.workers[place]
        if "coordinator" in kind and self.coordinator.poll() is not None or "worker" in kind and worker.poll() is not None:
            return
        self.counts[kind] += 1
        if kind in ("kill coordinator", "terminate coordinator"):
            old = self.coordinator
            self.end(old, signal.SIGKILL if kind.startswith("kill") else signal.SIGTERM)
            self.after(2, lambda: self.replace_coordinator(old))
        elif kind == "freeze coordinator":
            self.freeze(self.coordinator.pid, LEASE_SECONDS * 1.5)
        elif kind in ("kill worker", "terminate worker"):
            self.end(worker, signal.SIGKILL if kind.startswith("kill") else signal.SIGTERM)
            self.after(1, lambda: self.replace_worker(place, worker))
        elif kind == "freeze worker":
            self.freeze(worker.pid, LEASE_SECONDS * (0.5 if fragile else 2.5))
        else:
            engines = self.engines()
            if not engines:
                return
            engine = self.random.choice(engines)
            if kind == "freeze engine":
                self.freeze(engine, 2)
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(engine, signal.SIGKILL)

    def calm_down(self):
        """Everything goes on, and one coordinator runs."""
        while self.later:
            self.do_what_is_due()
            time.sleep(0.05)
        for pid in list(self.stopped):
            self.thaw(pid)
        if self.coordinator.poll() is not None:
            self.coordinator = self.test.start_anew()
        self.test.wait_for_server(self.coordinator)


class Chaos(EndToEndTest):
    def start_anew(self):
        return self.start("seedbed-coordinator", "--listen", self.socket(), "--data", "data", "--lease-seconds", LEASE_SECONDS)

    def start_saver(self):
        return self.start("seedbed-worker", "--server", self.socket(), "--slots", 1, "--device", "cpu", "--checkpoint-every", 0.3,
                          "--directory", self.directory / f"worker-{len(self.processes)}")

    def results(self, data):
        """What was found out, keyed by what was trained: outcomes with all their numbers, and every row."""
        with self.database(data) as connection:
            columns = [row[1] for row in connection.execute("pragma table_info(runs)")]
            told = [name for name in columns if name == "outcome" or name == "last_step" or name == "collapsed" or
                    name.startswith(("t_train", "t_test", "final_", "first_nonfinite"))]
            remove = ", ".join(f"'$.{name}'" for name in TIMES)
            outcomes = connection.execute(f"""select c.parameters, r.seed, r.state, {', '.join('r.' + name for name in told)},
                                              json_remove(r.summary, {remove}) from runs r join configurations c using (configuration_id)
                                              order by c.parameters, r.seed""").fetchall()
            return [tuple(row) for row in outcomes], steps_by_specification(connection)

    def look_at_the_laws(self, seen):
        """What has to hold at every moment. `seen`: results that were shown as finished before."""
        finished = dict(self.rows_or_none("select run_id, outcome || last_step || summary from runs where state = 'finished'", data="data"))
        for run, result in seen.items():
            self.assertEqual(finished.get(run), result, f"run {run} was finished")
        seen |= finished
        self.assertEqual(self.rows_or_none("""select run_id from attempts where ended_as = 'finished' group by run_id
                                              having count(*) > 1""", data="data"), [], "a run finishes once")
        self.assertEqual(self.rows_or_none("""select r.run_id from runs r where state = 'running' and not exists (select 1 from attempts a
                                              where a.run_id = r.run_id and a.attempt = r.attempts and a.ended_as is null)""", data="data"), [],
                         "what runs has an open attempt")

    def start_again_what_was_hit_thrice(self, calm_seconds):
        """Three counted ends fail a run, and a lease that is granted to a frozen worker may be the third: as an operator would."""
        failed = self.rows("select run_id, reason from runs where state = 'failed'", data="data")
        if not failed:
            return
        print(f"chaos: started again: {failed}", file=sys.stderr)
        for _, reason in failed:
            self.assertTrue(reason.endswith("failed after 3 attempts that crashed, stalled or were lost"), reason)
        self.remote("retry", "all", "--failed")
        self.remote("wait", "all", seconds=calm_seconds * 10 + 120)

    def sweep_for(self, seconds):
        seeds = max(3, round(seconds * RUNS_PER_SECOND / 4))
        return (SMALL_SWEEP.replace("seeds: 2", f"seeds: {seeds}").replace("values: [0, 1]", "values: [0, 0.1, 1, 3]")
                .replace("steps: 400", "steps: 8000").replace("log_every: 20", "log_every: 40").replace("evaluate_every: 40", "evaluate_every: 80"))

    def test_a_storm_changes_no_result(self):
        seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
        seconds = STORM_SECONDS if options.minutes is None else options.minutes * 60
        print(f"chaos: --seed {seed}, a storm of {seconds:.0f} s", file=sys.stderr)
        self.write("sweep.yaml", self.sweep_for(seconds))
        begun = time.monotonic()
        self.seedbed("run", "sweep.yaml", "--data", "calm", "--slots", "2", seconds=seconds * 20 + 120)
        calm_seconds = time.monotonic() - begun
        expected = self.results("calm")

        storm = Storm(self, seed)
        self.wait_for_server(storm.coordinator)
        self.remote("submit", "sweep.yaml")
        begun = time.monotonic()
        seen = {}
        unfinished = "select 1 from runs where state in ('queued', 'running') limit 1"
        while time.monotonic() < begun + seconds and self.rows(unfinished, data="data"):
            storm.strike()
            pause = time.monotonic() + storm.random.uniform(0.05, 0.9)
            while time.monotonic() < pause:
                storm.do_what_is_due()
                time.sleep(0.02)
            self.look_at_the_laws(seen)
        storm_seconds = time.monotonic() - begun
        storm.calm_down()

        # No zombie: without workers nothing is shown as running for longer than a lease lasts.
        for worker in storm.workers:
            worker.kill()
            worker.wait()
        wait_until(lambda: not self.rows("select 1 from runs where state = 'running'", data="data"), "no lease outlives its worker",
                   4 * LEASE_SECONDS + 5)
        for _ in range(2):
            self.start_saver()
        self.remote("wait", "all", seconds=calm_seconds * 10 + 120, expect=None)
        self.start_again_what_was_hit_thrice(calm_seconds)
        self.look_at_the_laws(seen)
        ends = self.rows("select ended_as, count(*) from attempts group by 1 order by 2 desc", data="data")
        print(f"chaos: {sum(storm.counts.values())} injuries in {storm_seconds:.0f} s (calm took {calm_seconds:.0f} s): {dict(storm.counts)}; "
              f"attempts of {len(expected[0])} runs: {dict(ends)}", file=sys.stderr)
        self.assertEqual(self.rows("select run_id, reason from runs where state <> 'finished'", data="data"), [])
        outcomes, (columns, steps) = self.results("data")
        self.assertEqual(outcomes, expected[0])
        self.assertEqual(columns, expected[1][0])
        self.assertEqual(len(steps), len(expected[1][1]))
        for got, wanted in zip(steps, expected[1][1]):
            self.assertEqual(got, wanted)
        self.seedbed("doctor", "--data", "data")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, help="how long the storm lasts")
    parser.add_argument("--seed", type=int, help="of an earlier storm, to have its injuries again (not their exact moments)")
    options, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
