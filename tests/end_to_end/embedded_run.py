"""`seedbed run`: the two-command path, again and again, interrupted, and with mistakes."""

import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import unittest
import urllib.request

from harness import BIN, EndToEndTest, SMALL_SWEEP, SOURCE, wait_until


class EmbeddedRun(EndToEndTest):
    def test_a_sweep_runs_to_a_table_and_a_database(self):
        self.write("small.yaml", SMALL_SWEEP)
        out, _ = self.seedbed("run", "small.yaml")
        self.assertIn("results.db", out)
        self.assertEqual(self.rows("select count(*), count(distinct run_id) from run_results where state = 'finished'"), [(4, 4)])
        # A budget of N has rows 0..N.
        self.assertEqual(self.rows("select min(step), max(step), count(*) from steps group by run_id"), [(0, 400, 21)] * 4)
        columns = {row[1] for row in self.rows("pragma table_info(run_results)")}
        named = {"sweep", "run_id", "configuration_id", "seed", "parameters", "state", "outcome", "attempts", "delay",
                 "final_train_accuracy", "final_test_accuracy", "last_step", "wall_seconds", "cpu_seconds"}
        named |= {f"t_{part}_{percent}" for part in ("train", "test") for percent in (50, 90, 95, 99)}
        self.assertLessEqual(named, columns)

    def test_it_serves_a_dashboard_where_that_is_asked_for(self):
        self.write("long.yaml", SMALL_SWEEP.replace("steps: 400", "steps: 1000000"))
        run = self.start("seedbed", "run", "long.yaml", "--http", "127.0.0.1:0")

        def link():
            found = re.search(r"http://127\.0\.0\.1:\d+/\?code=\S+(?=\n)", run.log.read_text())
            return found and found.group()

        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())
        url = wait_until(link, "the link is printed")
        opener.open(url, timeout=30).close()

        def sweeps():
            with opener.open(url.partition("?")[0] + "api/v1/sweeps", timeout=30) as answer:
                return [sweep["name"] for sweep in json.load(answer)["sweeps"]]

        self.assertEqual(wait_until(sweeps, "it shows the sweep"), ["small"])
        self.assertIn("?code=", self.seedbed("dashboard")[0])
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(60), 130)
        self.assertIn("seedbed run FILE --data", self.seedbed("dashboard", expect=4)[1])

    def test_a_device_that_is_not_there_is_said_at_once(self):
        self.write("small.yaml", SMALL_SWEEP)
        _, error = self.seedbed("run", "small.yaml", "--device", "cuda:4000", expect=1)
        self.assertIn("the engine refuses to start with --device cuda:4000", error)
        self.assertIn("use auto or cpu", error)
        log = (self.directory / "seedbed-data" / "worker-1.log").read_text()
        self.assertEqual(log.count("seedbed-worker: the engine refuses"), 1, "it is not started again")

    def test_measures_agree_with_the_rows(self):
        self.write("small.yaml", SMALL_SWEEP.replace("log_every: 20", "log_every: 1").replace("evaluate_every: 40", "evaluate_every: 5"))
        self.seedbed("run", "small.yaml")
        with self.database() as connection:
            for run in connection.execute("select * from run_results order by run_id").fetchall():
                for part in ("train", "test"):
                    for percent in (50, 90, 95, 99):
                        first = connection.execute(f"select min(step) from steps where run_id = ? and {part}_accuracy >= ?",
                                                   (run["run_id"], percent / 100)).fetchone()[0]
                        self.assertEqual(run[f"t_{part}_{percent}"], first, (run["run_id"], part, percent))
                if run["t_test_99"] is not None and run["t_train_99"] is not None:
                    self.assertEqual(run["delay"], run["t_test_99"] - run["t_train_99"])
                last = connection.execute("select train_accuracy, test_accuracy from steps where run_id = ? order by step desc limit 1",
                                          (run["run_id"],)).fetchone()
                self.assertEqual((run["final_train_accuracy"], run["final_test_accuracy"]), tuple(last))

    def test_running_again_redoes_nothing_and_more_seeds_only_add(self):
        self.write("small.yaml", SMALL_SWEEP)
        self.seedbed("run", "small.yaml")
        before = self.rows("select * from steps order by run_id, step")
        self.seedbed("run", "small.yaml")
        self.assertEqual(self.rows("select * from steps order by run_id, step"), before)
        self.assertEqual(self.rows("select max(attempts) from run_results"), [(1,)])
        self.seedbed("run", "small.yaml", "seeds=3")
        self.assertEqual(self.rows("select count(*) from run_results where state = 'finished'"), [(6,)])
        self.assertEqual(self.rows("select * from steps where run_id <= 4 order by run_id, step"), before)

    def test_another_change_under_the_same_name_is_refused_with_a_diff(self):
        self.write("small.yaml", SMALL_SWEEP)
        self.seedbed("run", "small.yaml")
        _, error = self.seedbed("run", "small.yaml", "budget.steps=500", expect=None)
        self.assertIn("budget.steps", error)
        self.assertIn("400", error)
        self.assertIn("500", error)
        self.assertEqual(self.rows("select count(*) from run_results"), [(4,)])

    def test_an_interrupt_stops_cleanly_and_the_next_run_goes_on(self):
        self.write("long.yaml", SMALL_SWEEP.replace("steps: 400", "steps: 30000").replace("name: small", "name: long"))
        process = self.start("seedbed", "run", "long.yaml")
        wait_until(lambda: self.rows_or_none("select 1 from steps where step > 0"), "a run has started to train")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 130, process.log.read_text())
        wait_until(lambda: not self.survivors(), "the coordinator, the worker and the engines have gone", 10)
        finished = self.rows("select run_id, ended_at from runs where state = 'finished' order by run_id")
        self.assertLess(len(finished), 4)
        self.seedbed("run", "long.yaml")
        self.assertEqual(self.rows("select count(*) from run_results where state = 'finished'"), [(4,)])
        for row in finished:
            self.assertIn(row, self.rows("select run_id, ended_at from runs order by run_id"))

    def test_children_do_not_outlive_a_killed_command(self):
        self.write("long.yaml", SMALL_SWEEP.replace("steps: 400", "steps: 100000"))
        process = self.start("seedbed", "run", "long.yaml")
        wait_until(lambda: self.rows_or_none("select 1 from steps where step > 0"), "a run has started to train")
        process.kill()
        wait_until(lambda: not self.survivors(), "no child outlives the command", 20)

    def train_for_long(self):
        """A sweep of which nothing ends by itself, and `seedbed run` of it, once it trains."""
        self.write("long.yaml", SMALL_SWEEP.replace("seeds: 2", "seeds: 1").replace("steps: 400", "steps: 100000000")
                   .replace("values: [0, 1]", "value: 1"))
        process = self.start("seedbed", "run", "long.yaml")
        wait_until(lambda: self.rows_or_none("select 1 from steps where step > 0"), "the run has started to train")
        return process

    def kill_children(self, process, programs):
        """Of `seedbed run`: without a word, so that nothing is handed back."""
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        killed = []
        for child in map(int, children):
            program = pathlib.Path(f"/proc/{child}/cmdline").read_text().split("\0")[0]
            if pathlib.Path(program).name in programs:
                os.kill(child, signal.SIGKILL)
                killed.append(child)
        self.assertEqual(len(killed), len(programs))

    def expect_lost_uncounted(self, process):
        # A lease that ran out would count against the run, however quickly it did.
        wait_until(lambda: self.rows_or_none("select 1 from attempts where attempt = 2"), "the run is leased again")
        self.assertEqual(self.rows("select attempt, ended_as from attempts"), [(1, "lost"), (2, None)])
        self.assertEqual(self.rows("select state, counted_ends from runs"), [("running", 0)])
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 130, process.log.read_text())

    def test_what_a_killed_command_had_leased_is_lost_at_the_next_start_and_does_not_count(self):
        process = self.train_for_long()
        process.send_signal(signal.SIGSTOP)  # it starts none of them again
        self.kill_children(process, {"seedbed-coordinator", "seedbed-worker"})
        process.kill()
        process.wait(20)
        self.expect_lost_uncounted(self.start("seedbed", "run", "long.yaml"))

    def test_what_a_worker_had_leased_is_lost_at_its_death_and_does_not_count(self):
        process = self.train_for_long()
        self.kill_children(process, {"seedbed-worker"})
        self.expect_lost_uncounted(process)

    def test_mistakes_are_located_and_create_nothing(self):
        self.write("wrong.yaml", SMALL_SWEEP.replace("optimizer.weight_decay", "optimizer.weight_deacy"))
        _, error = self.seedbed("run", "wrong.yaml", expect=None)
        self.assertIn("wrong.yaml:11:3", error)
        self.assertIn("optimizer.weight_decay", error)
        self.assertFalse((self.directory / "seedbed-data").exists())

    def test_plan_counts_without_a_database(self):
        self.write("small.yaml", SMALL_SWEEP)
        plan = json.loads(self.seedbed("plan", "small.yaml", "seeds=5", "--json")[0])
        self.assertEqual((plan["configurations"], plan["runs"]), (2, 10))
        self.assertFalse((self.directory / "seedbed-data").exists())

    def test_other_commands_read_the_database_afterwards(self):
        self.write("small.yaml", SMALL_SWEEP)
        self.seedbed("run", "small.yaml")
        self.assertEqual(len(json.loads(self.seedbed("runs", "--json")[0])["runs"]), 4)
        self.assertIn("small", self.seedbed("sweeps")[0])
        self.assertIn("finished", self.seedbed("show", "1")[0])
        self.assertIn("4", self.seedbed("query", "select count(*) as n from run_results")[0])
        exported = self.seedbed("export", "--format", "csv")[0].splitlines()
        self.assertEqual(len(exported), 5)
        lines = [json.loads(line) for line in self.seedbed("export", "--format", "jsonl")[0].splitlines()]
        self.assertEqual(sorted(line["seed"] for line in lines), [0, 0, 1, 1])
        self.seedbed("query", "delete from runs", expect=None)
        self.assertEqual(self.rows("select count(*) from runs"), [(4,)])
        self.seedbed("extend", "small", "--seeds", "3")
        self.assertEqual(self.rows("select count(*) from runs where state = 'queued'"), [(2,)])
        self.seedbed("delete", "small", "--yes")
        self.assertEqual(self.rows("select (select count(*) from runs), (select count(*) from steps)"), [(0, 0)])

    def test_a_reader_that_goes_away_is_no_error(self):
        self.write("small.yaml", SMALL_SWEEP)
        self.seedbed("run", "small.yaml")
        command = f"'{BIN}/seedbed' export --what steps --format csv | head -n 1"
        result = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=self.directory, env=self.environment,
                                capture_output=True, text=True)
        self.assertEqual(result.stderr, "")
        self.assertEqual(len(result.stdout.splitlines()), 1)

    def test_on_a_terminal_it_draws_one_live_block(self):
        self.write("small.yaml", SMALL_SWEEP)
        leader, follower = pty.openpty()
        environment = {k: v for k, v in self.environment.items() if k != "NO_COLOR"} | {"TERM": "xterm-256color"}
        process = subprocess.Popen([BIN / "seedbed", "run", "small.yaml"], cwd=self.directory, env=environment,
                                   stdin=follower, stdout=follower, stderr=follower)
        self.processes.append(process)
        os.close(follower)
        drawn = b""
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:
                break
            if not chunk:
                break
            drawn += chunk
        os.close(leader)
        self.assertEqual(process.wait(60), 0)
        self.assertIn(b"\x1b[", drawn)
        self.assertIn(b"results.db", drawn)


if __name__ == "__main__":
    unittest.main()
