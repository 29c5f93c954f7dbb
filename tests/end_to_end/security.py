"""Who gets in and who does not: tokens, roles, TLS and mutual TLS, private files, all with real processes."""

import contextlib
import json
import pathlib
import resource
import shlex
import socket
import stat
import unittest

from harness import EndToEndTest, SMALL_SWEEP, wait_until

REFUSED = 4  # docs/cli.md: no coordinator answers there, or it refuses the token


class Security(EndToEndTest):
    def start_on_tcp(self, *words, listen="127.0.0.1:0", **options):
        """A coordinator on a free port; returns its process and the port."""
        process = self.start("seedbed-coordinator", "--listen", listen, "--data", "data", "--lease-seconds", 3, *words, **options)

        def address():
            if process.poll() is not None:
                self.fail(f"the coordinator left with {process.returncode}:\n{process.log.read_text()}")
            with contextlib.suppress(OSError, ValueError):
                found = json.loads((self.directory / "data" / "coordinator.json").read_text())
                if found["pid"] == process.pid:
                    return next(each for each in found["addresses"] if not each.startswith("unix:"))
            return None

        return process, wait_until(address, "the coordinator serves").rpartition(":")[2]

    def make_token(self, role, name=None):
        """A file with a new token, below the test's directory."""
        file = f"{name or role}.token"
        self.seedbed("--data", "data", "token", "create", "--role", role, "--name", name or role, "--output", file)
        return file

    def make_certificates(self, directory="tls"):
        self.seedbed("tls", "init", "--directory", directory, "--host", "localhost")
        return self.directory / directory

    def assert_nowhere(self, secret):
        """Not in a file below the data directory, nor in what the programs printed."""
        for path in self.directory.rglob("*"):
            if path.is_file() and (path.is_relative_to(self.directory / "data") or path.suffix == ".log"):
                self.assertNotIn(secret.encode(), path.read_bytes(), path)

    def test_tokens_have_roles_and_can_be_revoked(self):
        self.write("sweep.yaml", SMALL_SWEEP)
        _, port = self.start_on_tcp()
        server = ("--server", f"localhost:{port}")

        def fails(token, *words, exit_code):
            given = ("--token-file", token) if token else ()
            return self.seedbed(*server, *given, *words, expect=exit_code)[1]

        self.assertIn("--token-file", fails(None, "sweeps", exit_code=REFUSED))
        self.write("wrong.token", "seedbed_" + 64 * "0")
        self.assertIn("does not know this token", fails("wrong.token", "sweeps", exit_code=REFUSED))
        fails("none.token", "sweeps", exit_code=3)

        worker, read, submit = (self.make_token(role) for role in ("worker", "read", "submit"))
        self.assertIn('"worker" has the role worker', fails(worker, "submit", "sweep.yaml", exit_code=1))
        fails(worker, "sweeps", exit_code=1)
        fails(worker, "query", "select * from runs", exit_code=1)
        fails(read, "submit", "sweep.yaml", exit_code=1)
        self.seedbed(*server, "--token-file", submit, "submit", "sweep.yaml")
        self.assertIn("needs submit", fails(read, "cancel", "small", exit_code=1))
        self.seedbed(*server, "--token-file", read, "runs")
        self.assertIn("only SELECT", fails(read, "query", "delete from runs", exit_code=1))
        self.assertIn("only SELECT", fails(read, "query", "attach '/tmp/x' as x", exit_code=1))
        self.assertIn("`seedbed drain` needs admin", fails(submit, "drain", "anybody", exit_code=1))
        # Its own token would be refused to a worker.
        for given in (server, ("--data", "data")):
            status = self.seedbed(*given, "--token-file", submit, "status")[0]
            self.assertIn("--token-file WORKER.token` starts one", status)
        self.assertIn("/data/token` starts one", self.seedbed("--data", "data", "status")[0])
        left = self.start("seedbed-worker", *server, "--token-file", read, "--slots", 1, "--device", "cpu")
        self.assertEqual(left.wait(60), 1, "a worker whose token does not let it work says so and leaves")
        self.assertIn("role worker", left.log.read_text())

        self.seedbed("--data", "data", "token", "revoke", "read")
        self.assertIn("revoked", fails(read, "runs", exit_code=REFUSED))
        listed = json.loads(self.seedbed("--data", "data", "token", "list", "--json")[0])["tokens"]
        self.assertEqual([(each["name"], each["role"]) for each in listed], [("submit", "submit"), ("worker", "worker")])
        # The token beside the database is the admin's, and `--data` finds it.
        self.seedbed(*server, "--token-file", "data/token", "cancel", "small")
        self.seedbed("--data", "data", "sweeps")
        for file in (worker, read, submit):
            self.assert_nowhere((self.directory / file).read_text().strip())

    def test_tokens_come_from_files_and_the_environment_only(self):
        self.write("sweep.yaml", SMALL_SWEEP.replace("steps: 400", "steps: 1000000"))
        _, port = self.start_on_tcp()
        submit, worker = self.make_token("submit"), self.make_token("worker")
        for program in ("seedbed-coordinator", "seedbed-worker"):
            self.assertEqual(self.start(program, "--token", "x").wait(20), 2)
        self.seedbed("--token", "x", "sweeps", expect=2)
        self.environment["SEEDBED_TOKEN"] = (self.directory / submit).read_text()
        self.seedbed("--server", f"127.0.0.1:{port}", "submit", "sweep.yaml")
        secret = (self.directory / worker).read_text().strip()
        self.environment["SEEDBED_TOKEN"] = secret
        self.start("seedbed-worker", "--server", f"127.0.0.1:{port}", "--slots", 1, "--device", "cpu")
        wait_until(lambda: self.rows_or_none("select 1 from steps where step > 0", data="data"), "a run trains")
        found = self.survivors()
        self.assertTrue([pid for pid, command in found.items() if "seedbed-engine" in command])
        for pid, command in found.items():
            self.assertNotIn(secret, command)
            if "seedbed-engine" in command:
                self.assertNotIn(secret.encode(), pathlib.Path(f"/proc/{pid}/environ").read_bytes(), "engines run what others send")
        self.assert_nowhere(secret)

    def test_beyond_this_machine_only_with_tls_or_insecure(self):
        refused = self.start("seedbed-coordinator", "--listen", "0.0.0.0:0", "--data", "data")
        self.assertEqual(refused.wait(20), 1)
        self.assertIn("--tls-certificate", refused.log.read_text())
        self.assertIn("--insecure", refused.log.read_text())
        self.assertFalse((self.directory / "data").exists(), "a refusal makes no database and raises no epoch")
        open_one, port = self.start_on_tcp("--insecure", "--log-level", "off", listen="0.0.0.0:0")
        wait_until(lambda: "warning: --insecure" in open_one.log.read_text(), "it warns, whatever the log level")
        self.seedbed("--server", f"localhost:{port}", "sweeps", expect=REFUSED)
        self.seedbed("--server", f"localhost:{port}", "--token-file", "data/token", "sweeps")
        open_one.terminate()
        self.assertEqual(open_one.wait(20), 0)
        tls = self.make_certificates()
        encrypted, _ = self.start_on_tcp("--tls-certificate", tls / "server.crt", "--tls-key", tls / "server.key", listen="0.0.0.0:0")
        self.assertNotIn("warning", encrypted.log.read_text())

    def test_a_port_that_is_taken_leaves_nothing_behind(self):
        _, port = self.start_on_tcp()
        tls = self.make_certificates()
        taken = f"127.0.0.1:{port}"
        for words in (("--listen", taken), ("--listen", taken, "--tls-certificate", tls / "server.crt", "--tls-key", tls / "server.key"),
                      ("--listen", "127.0.0.1:0", "--http", taken)):
            second = self.start("seedbed-coordinator", "--data", "other", *words)
            self.assertEqual(second.wait(20), 1)
            self.assertIn(f"cannot listen on {taken}", second.log.read_text())
            self.assertFalse((self.directory / "other").exists())

    def test_a_server_with_tls_is_known_and_others_are_not_talked_to(self):
        ours, theirs = self.make_certificates("ours"), self.make_certificates("theirs")
        _, port = self.start_on_tcp("--tls-certificate", ours / "server.crt", "--tls-key", ours / "server.key")
        asked = ("--server", f"localhost:{port}", "--token-file", "data/token", "sweeps")
        self.assertIn("--tls-ca", self.seedbed(*asked, expect=REFUSED)[1])
        self.assertIn("authority", self.seedbed("--tls-ca", theirs / "ca.crt", *asked, expect=REFUSED)[1])
        self.seedbed("--tls-ca", ours / "ca.crt", *asked)
        self.seedbed("--tls-ca", ours / "ca.crt", "--server", f"127.0.0.1:{port}", "sweeps", expect=REFUSED)
        self.environment["SEEDBED_TLS_CA"] = str(ours / "ca.crt")
        self.seedbed(*asked)
        self.assertIn("cannot use", self.seedbed("--tls-certificate", ours / "client.crt", "--tls-key", self.open_copy(ours / "client.key"), *asked,
                                                 expect=1)[1])

    def test_the_command_that_is_printed_for_a_worker_starts_one(self):
        ours = self.make_certificates("our own")
        _, port = self.start_on_tcp("--tls-certificate", ours / "server.crt", "--tls-key", ours / "server.key")
        _, note = self.seedbed("--server", f"localhost:{port}", "--tls-ca", ours / "ca.crt", "--token-file", "data/token", "workers")
        words = shlex.split(note.split("`")[1])
        self.assertEqual(words[0], "seedbed-worker")
        worker = self.start(*words, "--slots", 1, "--device", "cpu")
        wait_until(lambda: "registered" in worker.log.read_text(), "it registers")

    def open_copy(self, key):
        copy = self.directory / "open.key"
        copy.write_bytes(key.read_bytes())
        copy.chmod(0o644)
        return copy

    def test_mutual_tls_with_a_worker_that_trains(self):
        self.write("sweep.yaml", SMALL_SWEEP)
        ours, theirs = self.make_certificates("ours"), self.make_certificates("theirs")
        process, port = self.start_on_tcp("--tls-certificate", ours / "server.crt", "--tls-key", ours / "server.key",
                                          "--tls-client-ca", ours / "ca.crt", listen="0.0.0.0:0")
        server = ("--server", f"localhost:{port}")
        submit, worker = self.make_token("submit"), self.make_token("worker")
        _, error = self.seedbed(*server, "--token-file", submit, "--tls-ca", ours / "ca.crt", "sweeps", expect=REFUSED)
        self.assertIn("--tls-certificate and --tls-key name yours", error)
        stranger = self.start("seedbed-worker", *server, "--token-file", worker, "--slots", 1, "--device", "cpu", "--tls-ca", ours / "ca.crt")
        wait_until(lambda: "--tls-certificate and --tls-key name yours" in stranger.log.read_text(), "the worker says what may be missing")
        stranger.terminate()
        self.assertEqual(stranger.wait(30), 0, stranger.log.read_text())
        self.seedbed(*server, "--token-file", submit, "--tls-ca", ours / "ca.crt", "--tls-certificate", theirs / "client.crt",
                     "--tls-key", theirs / "client.key", "sweeps", expect=REFUSED)
        self.environment |= {"SEEDBED_TLS_CA": str(ours / "ca.crt"), "SEEDBED_TLS_CERTIFICATE": str(ours / "client.crt"),
                             "SEEDBED_TLS_KEY": str(ours / "client.key")}
        self.seedbed(*server, "sweeps", expect=REFUSED)
        self.start("seedbed-worker", *server, "--token-file", worker, "--slots", 2, "--device", "cpu")
        self.seedbed(*server, "--token-file", submit, "submit", "sweep.yaml")
        self.seedbed(*server, "--token-file", submit, "wait", "small")
        self.assertEqual(self.rows("select state, count(*) from runs group by state", data="data"), [("finished", 4)])
        self.assertEqual(self.rows("select count(*) from steps", data="data"), [(4 * 21,)])
        self.assertEqual(self.rows("select count(*) from checkpoints", data="data"), [(4,)], "they came over the same connection")
        for name in ("SEEDBED_TLS_CA", "SEEDBED_TLS_CERTIFICATE", "SEEDBED_TLS_KEY"):
            del self.environment[name]
        self.seedbed("--data", "data", "status")  # by the socket in the data directory, without any of that
        process.terminate()
        self.assertEqual(process.wait(20), 0, process.log.read_text())

    def test_files_are_private_whatever_the_umask(self):
        self.write("sweep.yaml", SMALL_SWEEP)
        data = self.directory / "data"
        data.mkdir()
        data.chmod(0o755)  # made by the user, and open
        coordinator, port = self.start_on_tcp("--listen", self.private_socket(), umask=0)
        worker_directory = self.directory / "worker"
        worker = self.start("seedbed-worker", "--server", f"127.0.0.1:{port}", "--token-file", "data/token", "--slots", 1, "--device", "cpu",
                            "--directory", worker_directory, umask=0)
        self.seedbed("--data", "data", "submit", "sweep.yaml")
        self.seedbed("--data", "data", "wait", "all")
        self.make_token("read")
        seen = set()
        for path in sorted(data.rglob("*")):
            self.assertEqual(path.lstat().st_mode & 0o077, 0, f"{path} is open to others: {stat.filemode(path.lstat().st_mode)}")
            seen.add(path.name.split(".")[-1])
        self.assertLessEqual({"db", "db-wal", "token", "json", "checkpoint", "lock"}, seen)
        self.assertEqual(stat.S_IMODE(worker_directory.stat().st_mode), 0o700)
        worker.terminate()
        worker.wait(20)
        coordinator.terminate()
        self.assertEqual(coordinator.wait(20), 0, coordinator.log.read_text())

        embedded = self.start("seedbed", "run", "sweep.yaml", "--data", "embedded", "--slots", 1, umask=0)
        self.assertEqual(embedded.wait(120), 0, embedded.log.read_text())
        logs = [path.name for path in (self.directory / "embedded").iterdir() if path.suffix == ".log"]
        self.assertEqual(sorted(logs), ["coordinator.log", "worker-1.log"])
        for path in (self.directory / "embedded", *(self.directory / "embedded").rglob("*")):
            self.assertEqual(path.lstat().st_mode & 0o077, 0, path)

        offline = self.directory / "offline"
        offline.mkdir()
        self.seedbed("--data", "offline", "submit", "sweep.yaml", expect=None)
        for path in offline.rglob("*"):
            self.assertEqual(path.lstat().st_mode & 0o077, 0, path)

    def private_socket(self):
        (self.directory / "private").mkdir(mode=0o700)
        return f"unix:{self.directory}/private/s"

    def test_a_socket_that_others_may_reach_is_refused(self):
        (self.directory / "open").mkdir()
        (self.directory / "open").chmod(0o755)
        refused = self.start("seedbed-coordinator", "--listen", f"unix:{self.directory}/open/s", "--data", "data")
        self.assertEqual(refused.wait(20), 1)
        self.assertIn("chmod 700", refused.log.read_text())

    def test_a_worker_runs_its_trainers_only(self):
        self.write("sweep.yaml", SMALL_SWEEP)
        self.start_coordinator()
        worker = self.start("seedbed-worker", "--server", self.socket(), "--slots", 1, "--device", "cpu", "--trainers", "another")
        wait_until(lambda: "--trainers" in worker.log.read_text(), "the worker says that no run will come")
        wait_until(lambda: self.remote_json("workers")["workers"], "it is registered")
        self.remote("submit", "sweep.yaml")
        self.remote("wait", "all", "--timeout", 2, expect=None)
        self.assertEqual(self.rows("select distinct state from runs", data="data"), [("queued",)])
        self.start_worker()
        self.remote("wait", "all")

    def test_the_limit_of_open_files_is_raised(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.assertGreater(hard, 100)
        process, _ = self.start_on_tcp(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard)))
        self.assertEqual(resource.prlimit(process.pid, resource.RLIMIT_NOFILE), (hard, hard))

    def test_connections_too_many_are_refused_and_harm_nobody(self):
        def few_descriptors():
            resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))

        process, port = self.start_on_tcp(preexec_fn=few_descriptors)
        with contextlib.ExitStack() as stack:
            clients = []
            for _ in range(300):
                clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", int(port)), timeout=20)))

            def refused():
                count = 0
                for client in clients:
                    client.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        try:
                            while client.recv(4096):
                                pass
                            count += 1
                        except ConnectionError:
                            count += 1
                return count > 50

            wait_until(refused, "some are refused")
            wait_until(lambda: "LimitNOFILE" in process.log.read_text(), "it says so")
            self.assertIsNone(process.poll())
        wait_until(lambda: self.seedbed("--server", f"127.0.0.1:{port}", "--token-file", "data/token", "sweeps", expect=None)[1].startswith("seedbed: no sweeps"),
                   "others are served again")


if __name__ == "__main__":
    unittest.main()
