"""What a user sees when storage fails: the message, the exit code, an untouched database, and how all goes on once it is mended."""

import hashlib
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import unittest

from harness import BIN, EndToEndTest, SANITIZED, SMALL_SWEEP, steps_by_specification, wait_until

LONG_SWEEP = SMALL_SWEEP.replace("steps: 400", "steps: 12000").replace("log_every: 20", "log_every: 10").replace("seeds: 2", "seeds: 1")


def may_mount():
    """Whether a process of ours may have a mount namespace of its own."""
    try:
        return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def sum_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class StorageFaults(EndToEndTest):
    def refuse_to_start(self, *words, data="data", seconds=30):
        """Starts a coordinator that has to refuse; returns what it says."""
        process = self.start("seedbed-coordinator", "--listen", self.socket(), "--data", data, *words)
        code = process.wait(seconds)
        text = process.log.read_text()
        self.assertEqual(code, 1, text)
        self.assertTrue(text.startswith("seedbed-coordinator: "), text)
        return text

    def doctor(self, data="data", expect=0):
        return json.loads(self.seedbed("doctor", "--data", data, "--json", expect=expect)[0])

    def finish_a_sweep(self, data="data"):
        self.write("sweep.yaml", SMALL_SWEEP)
        self.seedbed("run", "sweep.yaml", "--data", data, "--slots", "2")

    def rows_of(self, data="data"):
        with self.database(data) as connection:
            return steps_by_specification(connection)

    def calm_rows(self, sweep=LONG_SWEEP):
        self.write("sweep.yaml", sweep)
        self.seedbed("run", "sweep.yaml", "--data", "calm", "--slots", "1")
        return self.rows_of("calm")

    def trouble(self):
        """Why the running coordinator cannot store anything; empty if it can."""
        return self.remote_json("status")["server"]["degraded_reason"] or ""

    def train(self):
        self.start_worker()
        self.remote("submit", "sweep.yaml")
        wait_until(lambda: self.remote_json("query", "select count(*) as n from steps")["rows"][0]["n"] > 50, "a run trains")

    # --- the command line on a database that it opens itself

    def test_commands_say_why_they_cannot_open_a_database(self):
        self.write("sweep.yaml", SMALL_SWEEP)
        (self.directory / "data").mkdir()
        database = self.directory / "data" / "results.db"
        newer = sqlite3.connect(self.directory / "newer.db")
        newer.executescript("create table meta (key text, value text); insert into meta values ('schema_version', '9999')")
        newer.commit()
        newer.close()
        contents = {"garbage": b"no database at all " * 500, "newer": (self.directory / "newer.db").read_bytes()}
        for kind, content in contents.items():
            database.write_bytes(content)
            for words in (["sweeps"], ["runs"], ["status"], ["workers"], ["query", "select 1"], ["show", "1"], ["logs", "1"],
                          ["submit", "sweep.yaml"], ["pause", "last"], ["cancel", "last"], ["export", "last"], ["watch"], ["wait"],
                          ["checkpoint", "list", "1"]):
                process = subprocess.run([BIN / "seedbed", "--data", "data", *words], cwd=self.directory, env=self.environment,
                                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
                self.assertIn(process.returncode, range(1, 5), f"{kind}: {words}: {process.stderr}")
                self.assertTrue(process.stderr.startswith("seedbed: "), f"{kind}: {words}: {process.stderr}")
                self.assertIn("results.db", process.stderr, f"{kind}: {words}")

    # --- a database that cannot be written for a while

    def test_a_file_that_may_not_grow(self):
        expected = self.calm_rows()
        coordinator = self.start_coordinator()
        self.train()
        log = self.directory / "data" / "results.db-wal"
        soft, hard = resource.prlimit(coordinator.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(coordinator.pid, resource.RLIMIT_FSIZE, (max(log.stat().st_size, 4096), hard))
        said = wait_until(self.trouble, "the coordinator says that it cannot write")
        self.assertIn("disk I/O error", said)
        self.assertIn("ulimit -f", said)
        self.assertIsNone(coordinator.poll(), "it stays")
        self.assertGreater(self.remote_json("query", "select count(*) as n from steps")["rows"][0]["n"], 0, "it can be read")
        resource.prlimit(coordinator.pid, resource.RLIMIT_FSIZE, (soft, hard))
        self.remote("wait", "all")
        self.assertEqual(self.trouble(), "")
        self.assertEqual(self.rows_of(), expected)
        self.assertEqual(self.doctor()["findings"], [])

    @unittest.skipUnless(may_mount(), "file systems of one's own are not permitted here")
    def test_a_full_disk(self):
        self.write("sweep.yaml", LONG_SWEEP)
        (self.directory / "data").mkdir()
        mount = f"mount -t tmpfs -o size=2m tmpfs {self.directory}/data && exec \"$0\" \"$@\""
        log = open(self.directory / "coordinator.log", "wb")
        with log:
            coordinator = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", mount, BIN / "seedbed-coordinator", "--listen", self.socket(), "--data", "data",
                 "--lease-seconds", "3", "--least-free-disk", "0"],
                cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        coordinator.log = self.directory / "coordinator.log"
        self.processes.append(coordinator)
        self.wait_for_server(coordinator)
        # Most of what is left of the disk goes to somebody else.
        inside = ["nsenter", "--target", str(coordinator.pid), "--mount"]
        subprocess.run([*inside, "sh", "-c", f"dd if=/dev/zero of={self.directory}/data/other bs=4k 2>/dev/null; "
                                             f"truncate -s -256k {self.directory}/data/other"], check=True)
        self.start_worker()
        self.remote("submit", "sweep.yaml", expect=None)
        said = wait_until(self.trouble, "the coordinator says that the disk is full")
        self.assertIn("full", said)
        self.assertIn("free some space", said)
        subprocess.run([*inside, "rm", f"{self.directory}/data/other"], check=True)
        subprocess.run([*inside, "mount", "-o", "remount,size=64m", f"{self.directory}/data"], check=True)
        wait_until(lambda: not self.trouble(), "it writes again")
        self.remote("submit", "sweep.yaml")
        self.remote("wait", "all")
        self.assertEqual(self.remote_json("query", "select count(*) as n from runs where state = 'finished'")["rows"], [{"n": 2}])
        self.assertEqual(self.remote_json("query", "select count(*) as n from steps")["rows"], [{"n": 2 * 1201}])
        checked = subprocess.run([*inside, BIN / "seedbed", "doctor", "--data", self.directory / "data"], env=self.environment,
                                 capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_another_program_holds_a_lock(self):
        expected = self.calm_rows()
        self.start_coordinator()
        self.train()
        other = sqlite3.connect(self.directory / "data" / "results.db", isolation_level=None)
        other.execute("begin immediate")
        said = wait_until(self.trouble, "the coordinator says that it cannot write")
        self.assertIn("another program holds a lock", said)
        other.execute("rollback")
        other.close()
        self.remote("wait", "all")
        self.assertEqual(self.rows_of(), expected)
        self.assertEqual(self.rows("select count(*) from runs where state = 'finished'", data="data"), [(2,)])
        self.assertEqual(self.doctor()["findings"], [])

    def test_another_program_holds_a_lock_at_the_start(self):
        self.finish_a_sweep()
        other = sqlite3.connect(self.directory / "data" / "results.db", isolation_level=None)
        other.execute("pragma locking_mode = exclusive")
        other.execute("begin exclusive")
        self.assertIn("another program holds a lock", self.refuse_to_start())
        other.execute("rollback")
        other.close()
        self.start_coordinator()

    @unittest.skipUnless(may_mount(), "file systems of one's own are not permitted here")
    def test_a_read_only_file_system(self):
        self.finish_a_sweep()
        before = sum_of(self.directory / "data" / "results.db")
        mount = f"mount --bind data data && mount -o remount,ro,bind data && exec \"$0\" \"$@\""
        result = subprocess.run(["unshare", "--mount", "sh", "-c", mount, BIN / "seedbed-coordinator", "--listen", self.socket(), "--data", "data"],
                                cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=30)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("Read-only file system", result.stderr)
        self.assertIn("may write the data directory", result.stderr)
        self.assertEqual(sum_of(self.directory / "data" / "results.db"), before)
        self.start_coordinator()

    @unittest.skipIf(os.getuid() == 0, "permissions do not bind root; the read-only file system does")
    def test_a_directory_without_permission(self):
        self.finish_a_sweep()
        os.chmod(self.directory / "data", 0o500)
        os.chmod(self.directory / "data" / "lock", 0o400)
        self.assertIn("Permission denied", self.refuse_to_start())
        os.chmod(self.directory / "data", 0o700)
        os.chmod(self.directory / "data" / "lock", 0o600)
        self.start_coordinator()

    # --- a database that is not what it was

    def test_a_damaged_database_is_refused_untouched_and_a_backup_mends_it(self):
        self.finish_a_sweep()
        expected = self.rows_of()
        self.seedbed("backup", "--data", "data", "--output", "backup.db")
        sound = (self.directory / "data" / "results.db").read_bytes()
        middle = bytes(0xA5 if len(sound) // 8 < i < len(sound) * 7 // 8 else byte for i, byte in enumerate(sound))
        newer = bytearray(sound)
        newer[60:64] = (99).to_bytes(4, "big")  # user_version in the file's header
        cases = {
            "overwritten in the middle": (middle, "restore"),
            "overwritten at its beginning": (b"\xff" * 100 + sound[100:], "file is not a database"),
            "cut short": (sound[: len(sound) // 2], "malformed"),
            "no database": (b"These are notes.\n" * 1000, "file is not a database"),
            "of a newer program": (bytes(newer), "written by a newer Seedbed"),
        }
        path = self.directory / "data" / "results.db"
        for name, (content, message) in cases.items():
            with self.subTest(name):
                path.write_bytes(content)
                # A middle that nobody reads at the start is found by the doctor, which changes nothing.
                if name != "of a newer program":
                    findings = self.doctor(expect=1)["findings"]
                    self.assertEqual(findings[0]["check"], "integrity", findings)
                    self.assertIn("restore a backup", findings[0]["advice"])
                self.assertEqual(path.read_bytes(), content)
                self.assertIn(message, self.refuse_to_start())
                if name != "overwritten in the middle":
                    self.assertEqual(path.read_bytes(), content)
                for suffix in ("-wal", "-shm"):
                    (self.directory / "data" / f"results.db{suffix}").unlink(missing_ok=True)
                shutil.copy(self.directory / "backup.db", path)
                coordinator = self.start_coordinator()
                coordinator.terminate()
                self.assertEqual(coordinator.wait(20), 0)
                self.assertEqual(self.rows_of(), expected)
                self.assertEqual(self.doctor()["findings"], [])

    def test_a_missing_log(self):
        self.write("sweep.yaml", LONG_SWEEP)
        coordinator = self.start_coordinator()
        self.train()
        coordinator.kill()
        coordinator.wait()
        log = self.directory / "data" / "results.db-wal"
        before = sum_of(self.directory / "data" / "results.db")
        log.rename(self.directory / "saved")
        said = self.refuse_to_start()
        self.assertIn("results.db-wal is missing", said)
        self.assertIn("put it back", said)
        self.assertEqual(self.doctor(expect=1)["findings"][0]["check"], "log")
        self.assertFalse(log.exists())
        self.assertEqual(sum_of(self.directory / "data" / "results.db"), before)
        (self.directory / "saved").rename(log)
        self.start_coordinator()
        self.remote("wait", "all")
        self.assertEqual(self.doctor()["findings"], [])

    # --- backups

    def test_a_backup_of_a_working_coordinator_goes_on_as_a_database_of_its_own(self):
        # Long enough to be copied while it trains, on a fast machine too; an instrumented engine takes long enough as it is.
        longer = LONG_SWEEP.replace("steps: 12000", "steps: 60000").replace("log_every: 10", "log_every: 40")
        expected = self.calm_rows(LONG_SWEEP if SANITIZED else longer)
        self.start_coordinator()
        self.start("seedbed-worker", "--server", self.socket(), "--slots", 1, "--device", "cpu", "--checkpoint-every", 0.2, "--directory",
                   self.directory / "saving")
        self.remote("submit", "sweep.yaml")
        wait_until(lambda: self.rows_or_none("select 1 from checkpoints", data="data"), "a checkpoint is stored")
        self.seedbed("backup", "--data", "data", "--with-checkpoints", "copy")
        self.assertEqual(self.doctor("copy")["findings"], [])
        self.assertEqual(self.doctor()["findings"], [], "while the coordinator works")
        self.remote("wait", "all")
        original = self.remote_json("status")["server"]
        for process in self.processes:
            process.terminate()
            process.wait(30)
        # From the moment of the backup on the copy does the same work again.
        self.start_coordinator(data="copy")
        restored = self.remote_json("status")["server"]
        self.assertNotEqual(restored["database_id"], original["database_id"])
        self.assertEqual(self.rows("select count(*) from events where kind = 'database_restored'", data="copy"), [(1,)])
        self.start_worker()
        self.remote("wait", "all")
        self.assertEqual(self.rows_of("copy"), expected)
        self.assertEqual(self.rows_of(), expected)
        self.assertGreaterEqual(self.rows("select count(*) from attempts where resume_step > 0", data="copy")[0][0], 1)
        self.assertEqual(self.doctor("copy")["findings"], [])


if __name__ == "__main__":
    unittest.main()
