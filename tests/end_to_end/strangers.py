"""What a coordinator holds for those who have no token: half-sent messages, by hand-written HTTP/2, and its memory meanwhile."""

import contextlib
import json
import pathlib
import selectors
import socket
import struct
import unittest

from harness import EndToEndTest, wait_until

CONNECTIONS = 4
STREAMS = 120  # of each; a coordinator lets fewer than 128 be open at once
MESSAGE_BYTES = 7 << 20  # announced, and never sent to the end
MOST_BYTES = 64 << 20  # that the coordinator's memory may grow by
QUIET_SECONDS = 2.0  # nothing was sent or received for so long: nothing more will be taken

DATA, HEADERS, RESET, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_HEADERS, ACKNOWLEDGED = 4, 1
INITIAL_WINDOW = 4  # of SETTINGS


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def text(value):
    return bytes([len(value)]) + value


def headers_of(path):
    """HPACK without a table: literals under static names."""
    return (b"\x83\x86" + b"\x04" + text(path) + b"\x01" + text(b"localhost") + b"\x0f\x10" + text(b"application/grpc") + b"\x00" + text(b"te")
            + text(b"trailers"))


class Stranger:
    """One connection with STREAMS calls, each of which sends as much of its message as it is allowed to."""

    def __init__(self, port, path):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setblocking(False)
        self.received = b""
        self.window = 65535
        self.initial_window = 65535
        self.windows = {}
        self.left = {}
        self.sent = 0
        self.reset = set()
        self.unsent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0)
        for index in range(STREAMS):
            stream = 2 * index + 1
            self.windows[stream] = 0  # beyond the initial one
            self.left[stream] = MESSAGE_BYTES
            prefix = b"\x00" + struct.pack(">I", MESSAGE_BYTES)
            self.unsent += frame(HEADERS, END_HEADERS, stream, headers_of(path)) + frame(DATA, 0, stream, prefix)
            self.window -= len(prefix)
            self.windows[stream] -= len(prefix)

    def receive(self):
        while True:
            try:
                more = self.socket.recv(1 << 16)
            except BlockingIOError:
                break
            except ConnectionError:
                more = b""
            if not more:
                self.left = {}
                return
            self.received += more
        while len(self.received) >= 9:
            size = int.from_bytes(self.received[:3], "big")
            if len(self.received) < 9 + size:
                return
            kind, flags, stream = struct.unpack(">BBI", self.received[3:9])
            payload = self.received[9 : 9 + size]
            self.received = self.received[9 + size :]
            self.take(kind, flags, stream, payload)

    def take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACKNOWLEDGED:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at : at + 6])
                if name == INITIAL_WINDOW:
                    self.initial_window = value
            self.unsent += frame(SETTINGS, ACKNOWLEDGED, 0)
        elif kind == PING and not flags & ACKNOWLEDGED:
            self.unsent += frame(PING, ACKNOWLEDGED, 0, payload)
        elif kind == WINDOW_UPDATE:
            if stream == 0:
                self.window += int.from_bytes(payload, "big")
            elif stream in self.windows:
                self.windows[stream] += int.from_bytes(payload, "big")
        elif kind == RESET:
            self.left.pop(stream, None)
            self.reset.add(stream)

    def send(self):
        if len(self.unsent) < 1 << 16:
            for stream, left in self.left.items():
                # All but the last byte.
                size = min(16384, left - 1, self.window, self.windows[stream] + self.initial_window)
                if size > 0:
                    self.unsent += frame(DATA, 0, stream, bytes(size))
                    self.left[stream] -= size
                    self.window -= size
                    self.windows[stream] -= size
        if not self.unsent:
            return False
        try:
            count = self.socket.send(self.unsent)
        except BlockingIOError:
            return False
        except ConnectionError:
            self.left = {}
            self.unsent = b""
            return False
        self.unsent = self.unsent[count:]
        self.sent += count
        return True


def pump(strangers):
    """Until nothing more is taken from any of them, nor said to them."""
    with selectors.DefaultSelector() as selector:
        for stranger in strangers:
            selector.register(stranger.socket, selectors.EVENT_READ, stranger)
        while True:
            busy = any([stranger.send() for stranger in strangers])
            ready = selector.select(0 if busy else QUIET_SECONDS)
            for key, _ in ready:
                key.data.receive()
                if not key.data.left and not key.data.unsent:
                    selector.unregister(key.fileobj)
            if not busy and not ready:
                return


def memory_of(process):
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) << 10


class Strangers(EndToEndTest):
    def start_on_tcp(self):
        process = self.start("seedbed-coordinator", "--listen", "127.0.0.1:0", "--data", "data")

        def address():
            with contextlib.suppress(OSError, ValueError):
                return json.loads((self.directory / "data" / "coordinator.json").read_text())["addresses"][0]
            return None

        return process, int(wait_until(address, "the coordinator serves").rpartition(":")[2])

    def test_half_sent_messages_are_not_held(self):
        process, port = self.start_on_tcp()
        server = ("--server", f"127.0.0.1:{port}", "--token-file", "data/token")
        self.seedbed(*server, "sweeps")
        for path in (b"/seedbed.v1.SweepService/SubmitSweep", b"/seedbed.v1.WorkerService/Synchronize", b"/grpc.health.v1.Health/Check",
                     b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", b"/no.such/Method"):
            with self.subTest(path=path), contextlib.ExitStack() as stack:
                before = memory_of(process)
                strangers = [Stranger(port, path) for _ in range(CONNECTIONS)]
                for stranger in strangers:
                    stack.enter_context(stranger.socket)
                pump(strangers)
                grown = memory_of(process) - before
                sent = sum(stranger.sent for stranger in strangers)
                ended = sum(len(stranger.reset) for stranger in strangers)
                print(f"{path.decode()}: {sent >> 20} MiB taken, {grown >> 20} MiB more held, {ended} of {CONNECTIONS * STREAMS} calls ended")
                self.assertLess(grown, MOST_BYTES)
                self.seedbed(*server, "sweeps")


if __name__ == "__main__":
    unittest.main()
