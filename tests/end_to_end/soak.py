"""Hours of the same must look like the first minutes: memory, open files and threads stay flat.

Sweeps are submitted, trained, watched, queried, exported and deleted again, round after round, by processes that live all the time:

    tests/end_to_end/soak.py                some seconds, as in the suite
    tests/end_to_end/soak.py --minutes 30   by hand
"""

import argparse
import pathlib
import sys
import time
import unittest

from harness import EndToEndTest, SANITIZED, SMALL_SWEEP

WORKERS = 2
SECONDS = 15  # without --minutes
KEPT_SWEEPS = 2
# What memory may grow by after the first third: allocators and SQLite's caches (64 MiB at the most) fill up slowly.
MOST_GROWTH_SHARE = 0.10
MOST_GROWTH_MIB = 24
MOST_NEW_THREADS = 4  # gRPC starts some of its own when it gets much to do

options = argparse.Namespace(minutes=None)


def facts_of(pid):
    """(resident MiB, open files, threads)"""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return (int(status["VmRSS"].split()[0]) / 1024, len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())), int(status["Threads"]))


class Soak(EndToEndTest):
    def live_one_round(self, number):
        """A sweep from its submission to its deletion, and everything that people do meanwhile."""
        name = f"round-{number}"
        self.write("sweep.yaml", SMALL_SWEEP.replace("name: small", f"name: {name}").replace("seeds: 2", "seeds: 3"))
        self.remote("submit", "sweep.yaml")
        self.remote("watch", name)
        self.remote("status")
        self.remote("show", name)
        self.remote("query", "select count(*), avg(train_loss) from steps")
        self.remote("export", name, "--format", "csv", "--output", "rows.csv", "--force")
        self.remote("logs", self.remote_json("runs", name)["runs"][0]["run_id"], expect=None)
        if number > KEPT_SWEEPS:
            self.remote("delete", f"round-{number - KEPT_SWEEPS}", "--yes")

    def watched(self):
        """The processes that live all the time, engines too."""
        return {f"{pathlib.Path(command.split()[0]).name} {pid}": pid for pid, command in self.survivors().items()
                if "seedbed-coordinator" in command or "seedbed-worker" in command or "seedbed-engine" in command}

    def test_memory_files_and_threads_stay_flat(self):
        seconds = SECONDS if options.minutes is None else options.minutes * 60
        coordinator = self.start("seedbed-coordinator", "--listen", self.socket(), "--data", "data")
        self.wait_for_server(coordinator)
        for number in range(WORKERS):
            self.start("seedbed-worker", "--server", self.socket(), "--slots", 1, "--device", "cpu", "--directory", self.directory / f"worker-{number}")
        begun = time.monotonic()
        samples = []  # (seconds, {process: facts})
        rounds = 0
        while time.monotonic() < begun + seconds or rounds < 4:
            rounds += 1
            self.live_one_round(rounds)
            samples.append((time.monotonic() - begun, {name: facts_of(pid) for name, pid in self.watched().items()}))
        warm = samples[len(samples) // 3:]
        third = max(1, len(warm) // 3)
        first, last = warm[:third], warm[-third:]
        print(f"soak: {rounds} rounds in {time.monotonic() - begun:.0f} s", file=sys.stderr)
        self.assertEqual(sorted(first[0][1]), sorted(last[-1][1]), "no process was replaced")
        for name in sorted(last[-1][1]):
            memory, files, threads = ([max(facts[name][i] for _, facts in part) for part in (first, last)] for i in range(3))
            print(f"soak: {name}: {memory[0]:.1f} to {memory[1]:.1f} MiB, {files[0]} to {files[1]} files, {threads[0]} to {threads[1]} threads",
                  file=sys.stderr)
            self.assertLessEqual(files[1], files[0] + 2, name)
            self.assertLessEqual(threads[1], threads[0] + MOST_NEW_THREADS, name)
            if SANITIZED:
                continue  # a sanitizer keeps what was freed, for a while
            self.assertLessEqual(memory[1], memory[0] + max(MOST_GROWTH_MIB, MOST_GROWTH_SHARE * memory[0]), name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, help="how long it lasts")
    options, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
