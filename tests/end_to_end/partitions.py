"""Real partitions: workers in network namespaces of their own, links that are cut and healed, in one direction or both, for long and in short bursts,
and links that lose packets at random, in one direction more than in the other.

Runs in a network namespace that nobody else sees and that goes with it. Where that is not permitted it says so, with exit status 77."""

import itertools
import os
import random
import shutil
import subprocess
import sys
import time
import unittest

from harness import BIN, EndToEndTest, SMALL_SWEEP, steps_by_specification, wait_until
from lossy_relay import LossyRelay

PORT = 7733
LEASE_SECONDS = 2
BURST_SECONDS = 6
LOSS_SECONDS = 6
SKIPPED = 77
INSIDE = "SEEDBED_TEST_IN_NAMESPACE"
SWEEP = (SMALL_SWEEP.replace("steps: 400", "steps: 32000").replace("log_every: 20", "log_every: 200").replace("evaluate_every: 40", "evaluate_every: 400"))
NOBODY = "02:00:00:00:00:99"  # frames for this address are taken by no one
numbers = itertools.count(1)


def run(*words):
    result = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: {result.stderr.strip()}")
    return result.stdout


class Link:
    """A cable between the coordinator's namespace and a new one, which lives as long as `holder`. With a `seed` it is cut in two, and
    `relay` passes on what it does not lose."""

    def __init__(self, test, seed=None):
        number = next(numbers)
        self.here, self.there = f"c{number}", f"w{number}"
        self.near, self.far = f"10.77.{number}.1", f"10.77.{number}.2"
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "1000000"], env=test.environment)
        test.processes.append(self.holder)
        own = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own, "the worker's namespace is there")
        self.inside = ["nsenter", "--target", str(self.holder.pid), "--net"]
        if seed is None:
            run("ip", "link", "add", self.here, "type", "veth", "peer", "name", self.there, "netns", self.holder.pid)
        else:
            self.from_here, self.from_there = f"rc{number}", f"rw{number}"
            run("ip", "link", "add", self.here, "type", "veth", "peer", "name", self.from_here)
            run("ip", "link", "add", self.from_there, "type", "veth", "peer", "name", self.there, "netns", self.holder.pid)
            for device in (self.from_here, self.from_there):
                run("ip", "link", "set", device, "up")
            self.relay = LossyRelay(self.from_here, self.from_there, seed)
            test.addCleanup(self.relay.stop)
        run("ip", "address", "add", f"{self.near}/24", "dev", self.here)
        run("ip", "link", "set", self.here, "up")
        run(*self.inside, "ip", "address", "add", f"{self.far}/24", "dev", self.there)
        run(*self.inside, "ip", "link", "set", self.there, "up")
        run(*self.inside, "ip", "link", "set", "lo", "up")
        self.near_address = run("ip", "-o", "link", "show", self.here).split("link/ether ")[1].split()[0]
        self.far_address = run(*self.inside, "ip", "-o", "link", "show", self.there).split("link/ether ")[1].split()[0]
        self.heal()

    # A wrong entry in one side's table of neighbours drops what that side sends without a word to anybody, as a broken switch does.
    def cut_to_worker(self):
        run("ip", "neighbour", "replace", self.far, "lladdr", NOBODY, "dev", self.here, "nud", "permanent")

    def cut_to_coordinator(self):
        run(*self.inside, "ip", "neighbour", "replace", self.near, "lladdr", NOBODY, "dev", self.there, "nud", "permanent")

    def cut(self):
        self.cut_to_worker()
        self.cut_to_coordinator()

    def unplug(self):
        run("ip", "link", "set", self.here, "down")

    def heal(self):
        run("ip", "link", "set", self.here, "up")
        run("ip", "neighbour", "replace", self.far, "lladdr", self.far_address, "dev", self.here, "nud", "permanent")
        run(*self.inside, "ip", "neighbour", "replace", self.near, "lladdr", self.near_address, "dev", self.there, "nud", "permanent")


class Partitions(EndToEndTest):
    calm_rows = None

    def setUp(self):
        super().setUp()
        run("ip", "link", "set", "lo", "up")
        self.write("sweep.yaml", SWEEP)

    def calm(self):
        """The rows of an undisturbed sweep: the same for all tests, so trained once."""
        if Partitions.calm_rows is None:
            self.seedbed("run", "sweep.yaml", "--data", "calm", "--slots", "2")
            with self.database("calm") as connection:
                Partitions.calm_rows = steps_by_specification(connection)
        return Partitions.calm_rows

    def serve(self, lease_seconds=LEASE_SECONDS):
        return self.start_coordinator("--listen", f"0.0.0.0:{PORT}", "--insecure", lease_seconds=lease_seconds)

    def start_far_worker(self, link):
        log = open(self.directory / f"worker-{len(self.processes)}.log", "wb")
        with log:
            worker = subprocess.Popen(
                [*link.inside, BIN / "seedbed-worker", "--server", f"{link.near}:{PORT}", "--token-file", self.directory / "data" / "token",
                 "--slots", "1", "--device", "cpu", "--checkpoint-every", "0.5", "--directory", self.directory / link.there],
                cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.processes.append(worker)
        return worker

    def both_train(self):
        """Both workers hold a run that has rows."""
        return len(self.rows_or_none("""select distinct a.worker_id from runs r join attempts a on a.run_id = r.run_id and a.attempt = r.attempts
                                        where r.state = 'running' and a.last_step > 0""", data="data")) == 2

    def begin(self, links=None, **options):
        links = links or [Link(self), Link(self)]
        self.serve(**options)
        workers = [self.start_far_worker(link) for link in links]
        # Both are there before there is anything to train: on a fast machine one would be done before the other comes.
        wait_until(lambda: self.rows_or_none("select count(*) from workers where state = 'active'", data="data") == [(len(links),)], "both workers come")
        self.remote("submit", "sweep.yaml")
        wait_until(self.both_train, "both workers train")
        return links, workers

    def ends(self, kind):
        return self.rows("select count(*) from attempts where ended_as = ?", kind, data="data")[0][0]

    def lose_one(self):
        wait_until(lambda: self.ends("lost") > 0, "the lease of the worker that is cut off expires", 4 * LEASE_SECONDS)

    def expect_same(self, expected):
        self.remote("wait", "all", seconds=180)
        self.assertEqual(self.rows("select count(*), count(distinct configuration_id || ',' || seed) from runs where state = 'finished'",
                                   data="data"), [(4, 4)])
        self.assertEqual(self.rows("select run_id from attempts where ended_as = 'finished' group by run_id having count(*) <> 1",
                                   data="data"), [])
        with self.database("data") as connection:
            self.assertEqual(steps_by_specification(connection), expected)
        self.seedbed("doctor", "--data", "data")

    def test_a_worker_that_is_cut_off_is_replaced_and_comes_back(self):
        expected = self.calm()
        (first, _), workers = self.begin()
        first.cut()
        self.lose_one()
        self.assertIsNone(workers[0].poll(), "it goes on training")
        first.heal()
        self.expect_same(expected)
        # What came back late was refused or taken under a new fence, and the worker works on.
        self.assertIsNone(workers[0].poll())

    def test_a_worker_that_hears_nothing(self):
        expected = self.calm()
        (first, _), _ = self.begin()
        first.cut_to_worker()
        self.lose_one()
        first.heal()
        self.expect_same(expected)

    def test_a_worker_that_is_not_heard(self):
        expected = self.calm()
        (first, _), _ = self.begin()
        first.cut_to_coordinator()
        self.lose_one()
        first.heal()
        self.expect_same(expected)

    def test_a_cut_shorter_than_a_lease_costs_nothing(self):
        expected = self.calm()
        links, _ = self.begin(lease_seconds=15)
        for link in links:
            link.cut()
        time.sleep(1.5)  # the length of the cut is what this is about
        for link in links:
            link.heal()
        self.expect_same(expected)
        self.assertEqual(self.rows("select distinct ended_as from attempts", data="data"), [("finished",)])

    def test_an_unplugged_coordinator_loses_all_workers_and_no_result(self):
        expected = self.calm()
        links, _ = self.begin()
        for link in links:
            link.unplug()
        wait_until(lambda: self.rows("select count(*) from runs where state = 'running'", data="data") == [(0,)], "all leases expire",
                   4 * LEASE_SECONDS)
        for link in links:
            link.heal()
        self.expect_same(expected)

    def test_links_that_lose_packets_at_random(self):
        expected = self.calm()
        seed = random.SystemRandom().randrange(2**32)
        try:
            links = [Link(self, seed), Link(self, seed + 1)]
        except OSError as error:
            self.skipTest(f"frames cannot be passed on by a program here ({error}); loss is that of the bursts alone")
        self.begin(links)
        both, one_way = (link.relay for link in links)
        both.loss = dict.fromkeys(both.loss, 0.2)
        one_way.loss[links[1].from_there] = 0.3  # what the worker sends
        time.sleep(LOSS_SECONDS)  # the length of the loss is what this is about
        for link in links:
            link.relay.loss = dict.fromkeys(link.relay.loss, 0.0)
        for relay in (both, one_way):
            self.assertGreater(relay.lost, 0)
        print(f"random loss by a relay, from seed {seed}: {both.lost} of {both.lost + both.passed} frames both ways, "
              f"{one_way.lost} of {one_way.lost + one_way.passed} one way", file=sys.stderr)
        self.expect_same(expected)

    def test_links_that_lose_packets_in_bursts(self):
        expected = self.calm()
        links, _ = self.begin()
        seed = random.SystemRandom().randrange(2**32)
        print(f"bursts of loss from seed {seed}", file=sys.stderr)
        dice = random.Random(seed)
        until = time.monotonic() + BURST_SECONDS
        while time.monotonic() < until:
            dice.choice([Link.cut, Link.cut_to_worker, Link.cut_to_coordinator, Link.heal, Link.heal, Link.heal])(dice.choice(links))
            time.sleep(dice.uniform(0.02, 0.3))
        for link in links:
            link.heal()
        self.expect_same(expected)


def enter():
    """Starts this again in a network namespace of its own, if that is permitted."""
    missing = [program for program in ("unshare", "nsenter", "ip") if shutil.which(program) is None]
    for options in (["--net"], ["--net", "--user", "--map-root-user"]):
        if missing or os.environ.get(INSIDE):
            break
        if subprocess.run(["unshare", *options, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"], capture_output=True).returncode == 0:
            os.environ[INSIDE] = "1"
            os.execvp("unshare", ["unshare", *options, sys.executable, "-B", *sys.argv])
    print(f"skipped: {'missing: ' + ', '.join(missing) if missing else 'network namespaces with veth pairs are not permitted here'}")
    sys.exit(SKIPPED)


if __name__ == "__main__":
    if not os.environ.get(INSIDE):
        enter()
    unittest.main()
