"""The dashboard as a browser meets it: signing in, reading while runs train, and every way to be turned away. Real processes."""

import contextlib
import http.server
import json
import shutil
import ssl
import subprocess
import threading
import unittest
import urllib.error
import urllib.parse
import urllib.request

from harness import EndToEndTest, SMALL_SWEEP, wait_until


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Front:
    """Stands between a browser and the dashboard, to see what it is told, as `url`; and is another site, with one page, as `other_site`: to
    browsers localhost and 127.0.0.1 are two."""

    def __init__(self, test, dashboard):
        front = self
        self.answers = {}  # by path: the last one's status and text
        self.page = ""

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                headers, status, text = {"Content-Type": "text/html"}, 200, front.page
                if not self.headers["Host"].startswith("localhost"):
                    asked = {name: self.headers[name] for name in ("Cookie", "Accept") if name in self.headers}
                    status, headers, text = test.ask(dashboard + self.path, **asked)
                    front.answers[self.path] = status, text
                self.send_response(status)
                for name in ("Content-Type", "Content-Security-Policy", "Set-Cookie", "Location"):
                    if name in headers:
                        self.send_header(name, headers[name])
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url, self.other_site = (f"http://{name}:{self.server.server_port}" for name in ("127.0.0.1", "localhost"))
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Dashboard(EndToEndTest):
    def start_with_http(self, *words, http="127.0.0.1:0"):
        """A coordinator with a dashboard; returns its process and the dashboard's address."""
        process = self.start("seedbed-coordinator", "--listen", self.socket(), "--http", http, "--data", "data", "--lease-seconds", 3, *words)

        def url():
            if process.poll() is not None:
                self.fail(f"the coordinator left with {process.returncode}:\n{process.log.read_text()}")
            with contextlib.suppress(OSError, ValueError):
                return json.loads((self.directory / "data" / "coordinator.json").read_text())["http"]
            return None

        return process, wait_until(url, "the coordinator serves")

    def ask(self, url, token=None, context=None, **headers):
        """(status, headers, body) of one GET, which follows no redirect; (0, {}, reason) without an answer."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        try:
            with opener.open(urllib.request.Request(url, headers=headers), timeout=30) as response:
                return response.status, response.headers, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read().decode()
        except (urllib.error.URLError, OSError) as error:
            return 0, {}, str(error)

    def make_token(self, role):
        return self.seedbed("--data", "data", "token", "create", "--role", role, "--name", role)[0].strip()

    def assert_nowhere(self, *secrets):
        """No log of any process has it, and no file of the data directory but the admin's own."""
        files = [process.log for process in self.processes] + [path for path in (self.directory / "data").rglob("*") if path.is_file()]
        for path in files:
            for secret in secrets:
                if path.name != "token":
                    self.assertNotIn(secret.encode(), path.read_bytes(), f"a secret stands in {path}")

    def test_a_link_opens_it_and_shows_what_trains(self):
        self.write("sweep.yaml", SMALL_SWEEP)
        process, url = self.start_with_http()
        wait_until(lambda: f"the dashboard is at {url}" in process.log.read_text(), "it says where the dashboard is")
        link = self.seedbed("--data", "data", "dashboard")[0].strip()
        self.assertTrue(link.startswith(f"{url}/?code="), link)
        status, headers, page = self.ask(link)
        self.assertEqual(status, 200, page)
        self.assertIn('content="0; url=/"', page)
        cookie = headers["Set-Cookie"].partition(";")[0]
        self.assertEqual(self.ask(link)[0], 401, "a link is good once")
        status, headers, page = self.ask(url + "/", Cookie=cookie)
        self.assertEqual(status, 200)
        self.assertIn("default-src 'self'", headers["Content-Security-Policy"])
        for part in ("/app.js", "/style.css"):
            self.assertIn(f'"{part}"', page)
            self.assertEqual(self.ask(url + part, Cookie=cookie)[0], 200)

        self.start_worker(slots=2)
        self.remote("submit", "sweep.yaml")
        self.remote("wait", "small")

        def read(route):
            status, _, body = self.ask(f"{url}/api/v1/{route}", Cookie=cookie)
            self.assertEqual(status, 200, body)
            return json.loads(body)

        self.assertEqual(read("sweeps")["sweeps"][0]["runs"]["finished"], 4)
        configurations = read("sweeps/small/configurations")["configurations"]
        expected = self.rows("select varied, finished, reached_test_99, median_t_train, median_t_grok from configuration_results order by ordinal",
                             data="data")
        self.assertEqual([(each["varied"], each["runs"]["finished"], each["reached_test_99"], each["median_t_train"], each["median_t_grok"])
                          for each in configurations], [(json.loads(row[0]), *row[1:]) for row in expected])
        curve = {each["metric"]: each for each in read("runs/1/curve?points=2000")["series"]}
        stored = self.rows("select step, train_loss from steps where run_id = 1 order by step", data="data")
        self.assertEqual(list(zip(curve["train_loss"]["steps"], curve["train_loss"]["values"])), stored)
        self.assertEqual([worker["slots"] for worker in read("workers")["workers"]], [2])
        sql = urllib.parse.quote("select count(*) from steps")
        self.assertEqual(read(f"query?sql={sql}")["rows"], [[4 * 21]])
        self.assertIn('seedbed_runs{state="finished"} 4', self.ask(url + "/metrics", Cookie=cookie)[2])
        process.terminate()
        self.assertEqual(process.wait(20), 0, process.log.read_text())
        self.assert_nowhere(cookie.partition("=")[2], link.partition("code=")[2], (self.directory / "data" / "token").read_text().strip())
        self.seedbed("--data", "data", "dashboard", expect=4)

    @unittest.skipUnless(shutil.which("chromium"), "there is no Chromium")
    def test_a_link_on_another_sites_page_opens_it(self):
        process, url = self.start_with_http()
        with Front(self, url) as front:
            link = self.seedbed("--data", "data", "dashboard")[0].strip().replace(url, front.url)
            front.page = f'<meta http-equiv="refresh" content="0; url={link}">'
            with open(self.directory / "browser.log", "wb") as log:
                self.processes.append(subprocess.Popen(
                    ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={self.directory / 'browser'}",
                     "--remote-debugging-port=0", front.other_site], cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL,
                    stdout=log, stderr=subprocess.STDOUT))
            answer = wait_until(lambda: front.answers.get("/"), "the browser goes on from the link to the dashboard")
        self.assertEqual(answer[0], 200, "signed in, but taken for nobody")
        self.assertIn('id="to-sweeps"', answer[1])

    def test_who_may_not_read_is_turned_away(self):
        process, url = self.start_with_http("--http-host", "head.cluster")
        read, worker = self.make_token("read"), self.make_token("worker")
        sweeps = f"{url}/api/v1/sweeps"
        self.assertEqual(self.ask(sweeps)[0], 401)
        self.assertEqual(self.ask(sweeps, read)[0], 200)
        self.assertEqual(self.ask(sweeps, worker)[0], 403)
        self.assertEqual(self.ask(sweeps, read, Host="evil.example")[0], 421)
        self.assertEqual(self.ask(sweeps, read, Host="head.cluster:9000")[0], 200)
        self.assertEqual(self.ask(sweeps, read, Origin="http://evil.example")[0], 403)
        for sql in ("delete from runs", "attach '/tmp/x' as x"):
            self.assertIn("only SELECT", self.ask(f"{url}/api/v1/query?" + urllib.parse.urlencode({"sql": sql}), read)[2])
        cookie = self.ask(f"{url}/?token={read}")[1]["Set-Cookie"].partition(";")[0]
        self.assertEqual(self.ask(sweeps, Cookie=cookie)[0], 200)
        self.seedbed("--data", "data", "token", "revoke", "read")
        self.assertEqual(self.ask(sweeps, Cookie=cookie)[0], 401, "a session ends with its token")
        self.assertIn("<form", self.ask(url + "/", Accept="text/html")[2])
        self.assertIsNone(process.poll())
        self.assert_nowhere(read, worker)

    def test_without_http_there_is_none(self):
        self.start_coordinator()
        self.assertIn("--http", self.seedbed("--data", "data", "dashboard", expect=1)[1])
        self.assertIn("--data", self.seedbed("--server", self.socket(), "dashboard", expect=2)[1])

    def test_beyond_this_machine_only_with_tls_or_insecure(self):
        for words, reason in ((("--http", "0.0.0.0:0"), "--tls-certificate"), (("--http", "unix:/tmp/x"), "HOST:PORT"),
                              (("--http-host", "head"), "--http HOST:PORT")):
            refused = self.start("seedbed-coordinator", "--listen", self.socket(), "--data", "data", *words)
            self.assertEqual(refused.wait(20), 1)
            self.assertIn(reason, refused.log.read_text())
            self.assertFalse((self.directory / "data").exists(), "a refusal makes no database and raises no epoch")
        process, url = self.start_with_http("--insecure", http="0.0.0.0:0")
        wait_until(lambda: "warning: --insecure" in process.log.read_text(), "it warns")
        link = self.seedbed("--data", "data", "dashboard")[0].strip()
        self.assertTrue(link.startswith("http://127.0.0.1:"), link)
        self.assertEqual(self.ask(link)[0], 200)

    def test_tls_and_mutual_tls(self):
        self.seedbed("tls", "init", "--directory", "tls", "--host", "localhost")
        tls = self.directory / "tls"
        certificate = ("--tls-certificate", tls / "server.crt", "--tls-key", tls / "server.key")
        process, url = self.start_with_http(*certificate, http="0.0.0.0:0")
        url = url.replace("0.0.0.0", "localhost")
        self.assertTrue(url.startswith("https://"))
        token = self.make_token("read")
        trusting = ssl.create_default_context(cafile=tls / "ca.crt")
        self.assertEqual(self.ask(url + "/metrics", token, trusting)[0], 200)
        self.assertEqual(self.ask(url + "/metrics", context=trusting)[0], 401)
        self.assertIn("Secure", self.ask(f"{url}/?token={token}", context=trusting)[1]["Set-Cookie"])
        self.assertEqual(self.ask(url + "/metrics", token, ssl.create_default_context())[0], 0, "an unknown authority")
        self.assertEqual(self.ask(url.replace("https", "http") + "/metrics", token)[0], 0, "plain HTTP gets no answer")
        process.terminate()
        self.assertEqual(process.wait(20), 0, process.log.read_text())

        _, url = self.start_with_http(*certificate, "--tls-client-ca", tls / "ca.crt")
        self.assertEqual(self.ask(url + "/metrics", token, trusting)[0], 0, "no certificate")
        trusting.load_cert_chain(tls / "client.crt", tls / "client.key")
        self.assertEqual(self.ask(url + "/metrics", token, trusting)[0], 200)


if __name__ == "__main__":
    unittest.main()
