"""What people do to sweeps, runs and workers that are under way, with real processes and an engine that waits for the test's word."""

import contextlib
import json
import os
import pathlib
import pty
import shlex
import signal
import subprocess
import sys
import unittest

from harness import BIN, EndToEndTest, wait_until

ENGINE = pathlib.Path(__file__).resolve().parent / "scripted_engine.py"
# Four runs: two configurations with seeds 0 and 1.
SWEEP = """\
name: s
seeds: 2
parameters: {optimizer.weight_decay: {values: [0, 1]}}
budget: {steps: 10}
"""


class ControlTest(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.words = self.directory / "words"
        self.words.mkdir()
        self.write("sweep.yaml", SWEEP)

    def say(self, word):
        (self.words / word).touch()

    def unsay(self, word):
        (self.words / word).unlink()

    def start_scripted_worker(self, name="w", slots=1):
        return self.start("seedbed-worker", "--server", self.socket(), "--slots", slots, "--name", name, "--engine", sys.executable,
                          "--engine-arg=-B", f"--engine-arg={ENGINE}", f"--engine-arg={self.words}", "--directory", self.directory / name)

    def start_all(self, slots=1, held=True):
        """A coordinator and one worker; the sweep is submitted, and with `held` its first runs train until `hold` goes."""
        if held:
            self.say("hold")
        coordinator = self.start_coordinator()
        self.start_scripted_worker(slots=slots)
        self.remote("submit", "sweep.yaml")
        if held:
            self.wait_for_counts(running=slots)
        return coordinator

    def counts(self, sweep="s"):
        return self.remote_json("sweeps", sweep)["sweeps"][0]["runs"]

    def wait_for_counts(self, sweep="s", **expected):
        wait_until(lambda: expected.items() <= self.counts(sweep).items(), f"{sweep} has {expected}")

    def attempts(self, condition="1"):
        return self.rows(f"select count(*) from attempts where {condition}", data="data")[0][0]


class Control(ControlTest):
    def test_pause_lets_what_runs_end_and_starts_nothing(self):
        self.start_all()
        self.assertEqual(self.remote("pause", "s")[0], "paused 1 sweep: s\n")
        self.unsay("hold")
        self.wait_for_counts(finished=1, running=0)
        _, notes = self.remote("wait", "s", "--timeout", 1, expect=1)
        self.assertIn(f"s is paused: 3 runs will not start before `seedbed --server {self.socket()} resume s`", notes)
        self.assertEqual((self.counts()["queued"], self.attempts()), (3, 1))
        self.assertEqual(self.remote_json("sweeps", "last")["sweeps"][0]["state"], "paused")
        self.assertEqual(self.remote("pause", "s")[0], "nothing was done\nunchanged: s (paused already)\n")
        self.assertEqual(self.remote_json("resume", "s"), {"changed": 1, "sweeps": ["s"], "unchanged": []})
        self.assertEqual(self.remote_json("resume", "s")["unchanged"], [{"sweep": "s", "reason": "not paused"}])
        self.assertEqual(self.remote("wait", "s")[0], "s: 4 of 4 runs done\n")
        self.assertEqual(self.remote("pause", "all")[0], "nothing was done\nunchanged: s (all of its runs have ended)\n")

    def test_pause_now_takes_runs_back_and_they_go_on_later(self):
        self.start_all(slots=2)
        self.remote("pause", "all", "--now")
        self.wait_for_counts(queued=4)
        self.assertEqual(self.attempts("ended_as = 'preempted'"), 2)
        self.unsay("hold")
        self.remote("resume", "1")
        self.remote("wait", "s")
        self.assertEqual(self.rows("select attempts, state from runs order by attempts", data="data"),
                         [(1, "finished")] * 2 + [(2, "finished")] * 2)
        self.assertEqual(self.rows("select max(counted_ends), max(failed_ends) from runs", data="data"), [(0, 0)])

    def test_a_drained_worker_finishes_what_it_holds_and_gets_nothing_new(self):
        self.start_all()
        self.start_scripted_worker("other")
        self.wait_for_counts(running=2)
        self.assertIn("1 worker will finish", self.remote("drain", "w")[0])
        self.assertEqual({each["name"]: each["state"] for each in self.remote_json("workers")["workers"]},
                         {"w": "draining", "other": "active"})
        self.unsay("hold")
        self.remote("wait", "s")
        self.assertEqual(self.rows("select count(*), sum(name = 'w') from attempts join workers using (worker_id)", data="data"), [(4, 1)])
        self.remote("extend", "s", "--seeds", 3)
        self.remote("wait", "s")
        self.assertEqual(self.remote_json("drain", "w", "--undo"), {"changed": 1})
        self.assertEqual({each["state"] for each in self.remote_json("workers")["workers"]}, {"active"})
        _, error = self.remote("drain", "othr", expect=3)
        self.assertIn("did you mean 'other'?", error)

    def asked(self, *words):
        """`seedbed WORDS` at a terminal, once it has asked; returns a function that says yes and returns (exit status, output)."""
        leader, follower = pty.openpty()
        self.addCleanup(os.close, leader)
        process = subprocess.Popen([BIN / "seedbed", *map(str, words)], cwd=self.directory, env=self.environment, stdin=follower,
                                   stdout=subprocess.PIPE, stderr=follower, text=True)
        self.processes.append(process)
        os.close(follower)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(leader, 65536)

        def say_yes():
            os.write(leader, b"y\n")
            output = process.stdout.read()
            said = b""
            with contextlib.suppress(OSError):  # how a terminal ends that nobody else has open
                while chunk := os.read(leader, 65536):
                    said += chunk
            return process.wait(60), output + said.decode()
        return say_yes

    def test_a_yes_deletes_what_was_listed_and_nothing_that_came_since(self):
        self.start_coordinator()
        here = ("--server", self.socket())
        for name in ("s", "t"):
            self.remote("submit", self.write(f"{name}.yaml", SWEEP.replace("name: s", f"name: {name}")))
        self.remote("cancel", "all")
        say_yes = self.asked(*here, "prune")
        self.remote("retry", "s", "--cancelled")
        status, said = say_yes()
        self.assertEqual(status, 0, said)
        self.assertIn("deleted 4 runs of t", said)
        self.assertIn("unchanged: s (Sweep 's' has 4 of 4 runs that are not cancelled)", said)
        self.assertEqual(self.counts()["queued"], 4)
        say_yes = self.asked(*here, "delete", "s")
        self.remote("delete", "s", "--yes")
        self.remote("submit", "s.yaml")
        status, said = say_yes()
        self.assertEqual(status, 1, said)
        self.assertIn("Sweep 's' is another one now", said)
        self.assertEqual(self.counts()["queued"], 4)

    def test_a_question_holds_no_data_directory(self):
        self.start_coordinator().terminate()
        self.processes[-1].wait(60)
        self.seedbed("--data", "data", "submit", "sweep.yaml")
        say_yes = self.asked("--data", "data", "delete", "s")
        self.start_coordinator()
        self.assertEqual(self.counts()["queued"], 4)
        self.assertEqual(say_yes()[0], 0)
        self.assertEqual(self.remote_json("sweeps")["sweeps"], [])

    def test_failed_runs_fail_a_wait_and_are_retried(self):
        self.say("fail-1")
        self.start_all(held=False)
        self.assertEqual(self.remote("wait", "s", expect=1)[0], "s: 4 of 4 runs done (2 failed)\n")
        failed = self.remote_json("runs", "s", "--state", "failed")["runs"]
        self.assertEqual([(run["seed"], run["reason"]) for run in failed], [(1, "the test wants it so")] * 2)
        self.assertIn("the test wants it so", self.remote("show", failed[0]["run_id"])[0])
        self.unsay("fail-1")
        _, error = self.remote("retry", "--runs", "1-4", expect=1)
        self.assertIn("is finished", error)
        self.assertEqual(self.remote("retry", "--runs", "1-4", "--failed")[0], "queued again: 2 runs of s\n")
        self.remote("wait", "s")
        self.assertEqual(self.rows("select seed, attempts from runs order by seed, run_id", data="data"), [(0, 1), (0, 1), (1, 2), (1, 2)])
        self.assertEqual(self.remote_json("retry", "--failed")["changed"], 0)

    def test_a_report_that_is_refused_says_why_at_its_attempt(self):
        self.say("reserved-1")
        self.start_all(held=False)
        self.remote("wait", "s", expect=1)
        self.assertEqual(self.attempts("ended_as = 'lost'"), 0)
        run = self.remote_json("runs", "--state", "failed")["runs"][0]
        self.assertRegex(run["reason"], "its report 1 cannot be read: .*'step'")
        self.assertIn(run["reason"], self.remote("show", run["run_id"])[0])

    def test_cancelled_sweeps_are_pruned_and_others_deleted_on_request(self):
        self.start_all(held=False)
        self.remote("wait", "last")
        self.say("hold")
        self.remote("submit", "sweep.yaml", "name=dropped")
        wait_until(lambda: self.counts("dropped")["running"], "a run of it trains")
        self.assertEqual(self.remote("cancel", "dropped")[0], "cancelled 4 runs of dropped\n")
        self.assertEqual(self.remote("wait", "dropped")[0], "dropped: 4 of 4 runs done\n")
        self.assertEqual(self.remote_json("prune", "--dry-run"), {"changed": 0, "sweeps": ["dropped"]})
        _, error = self.remote("prune", expect=1)
        self.assertIn("Add --yes", error)
        self.remote("prune", "--yes")
        self.assertEqual([each["name"] for each in self.remote_json("sweeps")["sweeps"]], ["s"])
        self.assertIn("nothing to prune", self.remote("prune", "--yes")[0])
        logs = self.directory / "data" / "logs"
        self.remote("delete", "all", "--yes")
        for table in ("sweeps", "configurations", "runs", "attempts", "steps", "step_values", "checkpoints"):
            self.assertEqual(self.rows(f"select count(*) from {table}", data="data"), [(0,)], table)
        wait_until(lambda: not logs.exists() or not list(logs.iterdir()), "the logs are gone")

    def test_an_interrupted_export_leaves_no_file(self):
        coordinator = self.start_all(held=False)
        coordinator.send_signal(signal.SIGSTOP)
        self.addCleanup(coordinator.send_signal, signal.SIGCONT)
        export = self.start("seedbed", "--server", self.socket(), "export", "--output", "runs.csv")
        partial = self.directory / f"runs.csv.partial-{export.pid}"
        wait_until(partial.exists, "the export has begun its file")
        export.send_signal(signal.SIGINT)
        self.assertEqual(export.wait(10), 130)
        self.assertFalse(partial.exists())
        coordinator.send_signal(signal.SIGCONT)
        self.remote("export", "--output", "runs.csv")
        self.assertEqual([path.name for path in self.directory.glob("runs.csv*")], ["runs.csv"])

    def complete(self, *words):
        """What bash offers for the last of the words, which may be empty."""
        words = ["seedbed", *words]
        line = " ".join(words)
        script = (f"seedbed() {{ '{BIN}/seedbed' \"$@\"; }}; export -f seedbed\nsource <(seedbed completion bash)\n"
                  f"PATH='{BIN}':$PATH COMP_WORDS=({' '.join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1} COMP_LINE={shlex.quote(line)} "
                  f"COMP_POINT={len(line)}\n_seedbed\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"")
        result = subprocess.run(["bash", "-c", script], cwd=self.directory, env=self.environment, capture_output=True, text=True, check=True)
        self.assertEqual(result.stderr, "")
        return result.stdout.split()

    def test_bash_completes_words_values_and_names(self):
        self.start_all()
        here = ("--server", self.socket())
        self.assertEqual(self.complete("sub"), ["submit"])
        self.assertEqual(self.complete("run", "sweep.yaml", "--checkp"), ["--checkpoint-every"])
        self.assertEqual(self.complete("run", "sweep.yaml", "--pa"), ["--pack"])
        self.assertEqual(self.complete("run", "--device", "c"), ["cpu", "cuda"])
        self.assertIn("grokked", self.complete("runs", "--outcome", ""))
        self.assertEqual(self.complete("checkpoint", ""), ["list", "write", "export"])
        self.assertEqual(self.complete("verify", "--sam"), ["--sample"])
        self.assertEqual(self.complete("--data", "no-such", "drain", ""), [])
        self.assertEqual(self.complete(*here, "drain", ""), ["w"])
        self.assertEqual(self.complete("show", *here, ""), ["last", "all", "s"])


class TwoCommands(ControlTest):
    """Two `seedbed run` on one data directory: whichever ends first, the other's runs are trained."""

    def setUp(self):
        super().setUp()
        # `run` starts the programs that lie in SEEDBED_BIN: a worker with our engine is one of them.
        programs = self.directory / "bin"
        programs.mkdir()
        (programs / "seedbed-coordinator").symlink_to(BIN / "seedbed-coordinator")
        worker = programs / "seedbed-worker"
        worker.write_text(f"#!/bin/sh\nexec '{BIN}/seedbed-worker' --engine '{sys.executable}' --engine-arg=-B --engine-arg='{ENGINE}' "
                          f"--engine-arg='{self.words}' \"$@\"\n")
        worker.chmod(0o755)
        self.environment["SEEDBED_BIN"] = str(programs)

    def start_run(self, seed):
        self.write(f"n{seed}.yaml", f"name: n{seed}\nseeds: [{seed}]\nbudget: {{steps: 10}}\n")
        return self.start("seedbed", "run", f"n{seed}.yaml", "--slots", 1)

    def is_running(self, seed):
        return self.rows_or_none("select 1 from runs where seed = ? and state = 'running'", seed)

    def start_both(self):
        self.say("hold-3")
        self.say("hold-7")
        first = self.start_run(3)
        wait_until(lambda: self.is_running(3), "the first command's run trains")
        second = self.start_run(7)
        wait_until(lambda: self.rows("select 1 from runs where seed = 7"), "the second command's sweep is there")
        return first, second

    def expect_second_to_end(self, second):
        wait_until(lambda: self.is_running(7), "the second command's run trains")
        self.unsay("hold-7")
        self.assertEqual(second.wait(30), 0, second.log.read_text())
        self.assertIn("going on without it", second.log.read_text())

    def test_the_second_goes_on_when_the_first_has_ended(self):
        first, second = self.start_both()
        self.unsay("hold-3")
        self.assertEqual(first.wait(30), 0, first.log.read_text())
        self.expect_second_to_end(second)
        self.assertEqual(self.rows("select state from runs"), [("finished",)] * 2)

    def test_the_second_goes_on_when_the_first_was_killed(self):
        first, second = self.start_both()
        first.kill()
        first.wait()
        self.unsay("hold-3")
        self.expect_second_to_end(second)
        self.assertEqual(self.rows("select state from runs where seed = 7"), [("finished",)])

    def test_both_may_start_at_the_same_moment(self):
        commands = [self.start_run(seed) for seed in (3, 7)]
        for command in commands:
            self.assertEqual(command.wait(60), 0, command.log.read_text())
        self.assertEqual(self.rows("select state from runs"), [("finished",)] * 2)


if __name__ == "__main__":
    unittest.main()
