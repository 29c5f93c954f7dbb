"""Starts the built programs as a user would and waits on conditions; every process it starts is gone when a test ends.

SEEDBED_BIN names the folder of the programs (default: build/bin of this checkout); SEEDBED_TIME_FACTOR says how many times
as long as release builds they may take (default: 1), SEEDBED_SANITIZE which sanitizers they were built with (default: none)."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest
import uuid

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SEEDBED_BIN", SOURCE / "build" / "bin"))
TIME_FACTOR = int(os.environ.get("SEEDBED_TIME_FACTOR", "1"))
SANITIZED = bool(os.environ.get("SEEDBED_SANITIZE"))

# Trains in about a second: big enough to be caught in the middle, small enough for a suite.
SMALL_SWEEP = """\
name: small
trainer: modular
seeds: 2
parameters:
  task.modulus: {value: 23}
  task.train_fraction: {value: 0.5}
  model.width: {value: 32}
  model.depth: {value: 1}
  optimizer.kind: {value: adamw}
  optimizer.learning_rate: {value: 3e-3}
  optimizer.weight_decay: {values: [0, 1]}
budget: {steps: 400}
metrics: {log_every: 20, evaluate_every: 40}
"""


def wait_until(condition, what, seconds=60):
    """Returns the first true value of condition(); fails with `what` after the deadline."""
    seconds *= TIME_FACTOR
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


class Program(subprocess.Popen):
    """With SEEDBED_TIME_FACTOR times as long to end in."""

    def wait(self, timeout=None):
        return super().wait(None if timeout is None else timeout * TIME_FACTOR)


class EndToEndTest(unittest.TestCase):
    """One temporary directory and one set of processes a test."""

    maxDiff = None

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="seedbed-test-"))
        self.mark = f"SEEDBED_TEST_MARK={uuid.uuid4().hex}"
        self.processes = []
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("SEEDBED_")}
        name, value = self.mark.split("=")
        self.environment |= {name: value, "XDG_RUNTIME_DIR": "", "XDG_STATE_HOME": str(self.directory / "state"),
                             "HOME": str(self.directory), "NO_COLOR": "1"}

    def tearDown(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()
        try:
            wait_until(lambda: not self.survivors(), "no process of this test is left", 20)
        except AssertionError as error:
            left = self.survivors()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"{error}: {left}") from None
        finally:
            if os.environ.get("SEEDBED_KEEP"):
                print("kept", self.directory)
            else:
                shutil.rmtree(self.directory, ignore_errors=True)

    def survivors(self):
        """Process ids that carry this test's mark in their environment."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if self.mark.encode() in (entry / "environ").read_bytes():
                        if (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                            found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
        return found

    def start(self, program, *words, **options):
        log = open(self.directory / f"{program}-{len(self.processes)}.log", "wb")
        with log:
            process = Program([BIN / program, *map(str, words)], cwd=self.directory, env=self.environment,
                              stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **options)
        process.log = pathlib.Path(log.name)
        self.processes.append(process)
        return process

    def seedbed(self, *words, expect=0, seconds=120, stdin=None):
        """Runs `seedbed` to its end; returns (stdout, stderr). `expect`: its exit status, or None for any."""
        result = subprocess.run([BIN / "seedbed", *map(str, words)], cwd=self.directory, env=self.environment, input=stdin,
                                stdin=None if stdin is not None else subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=seconds * TIME_FACTOR)
        if expect is not None and result.returncode != expect:
            self.fail(f"seedbed {' '.join(map(str, words))}: exit {result.returncode}, expected {expect}\n"
                      f"stdout:\n{result.stdout}\nstderr:\n{result.stderr}")
        return result.stdout, result.stderr

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def database(self, data="seedbed-data"):
        connection = sqlite3.connect(f"file:{self.directory / data / 'results.db'}?mode=ro", uri=True, timeout=10)
        connection.row_factory = sqlite3.Row
        return contextlib.closing(connection)

    def rows(self, sql, *arguments, data="seedbed-data"):
        with self.database(data) as connection:
            return [tuple(row) for row in connection.execute(sql, arguments)]

    def rows_or_none(self, sql, *arguments, data="seedbed-data"):
        """As rows(), but empty while there is no database yet."""
        try:
            return self.rows(sql, *arguments, data=data)
        except sqlite3.OperationalError:
            return []

    # A coordinator and workers on a private socket, as `seedbed run` has them, but each in the test's own hand.
    def socket(self):
        return f"unix:{self.directory}/s"

    def start_coordinator(self, *words, data="data", lease_seconds=3):
        process = self.start("seedbed-coordinator", "--listen", self.socket(), "--data", data, "--lease-seconds", lease_seconds, *words)
        self.wait_for_server(process)
        return process

    def wait_for_server(self, process):
        def serves():
            if process.poll() is not None:
                self.fail(f"the coordinator left with {process.returncode}:\n{process.log.read_text()}")
            return subprocess.run([BIN / "seedbed", "--server", self.socket(), "sweeps", "--json"], cwd=self.directory,
                                  env=self.environment, capture_output=True).returncode == 0
        wait_until(serves, "the coordinator serves")

    def start_worker(self, slots=1, **options):
        return self.start("seedbed-worker", "--server", self.socket(), "--slots", slots, "--device", "cpu", "--directory",
                          self.directory / f"worker-{uuid.uuid4().hex[:8]}", **options)

    def remote(self, *words, **options):
        return self.seedbed("--server", self.socket(), *words, **options)

    def remote_json(self, *words, **options):
        return json.loads(self.remote(*words, "--json", **options)[0])


def steps_by_specification(connection):
    """Every row of `steps`, keyed by what was trained instead of by run id, for comparing two databases bit for bit."""
    columns = [row[1] for row in connection.execute("pragma table_info(steps)") if row[1] != "run_id"]
    named = ", ".join(f's."{name}"' for name in columns)
    rows = connection.execute(f"""select r.parameters, r.seed, {named} from steps s join run_results r using (run_id)
                                  order by r.parameters, r.seed, s.step""").fetchall()
    return columns, [tuple(row) for row in rows]
