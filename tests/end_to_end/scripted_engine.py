"""An engine that trains nothing and does as a test says, by files in the directory given: a run waits while `hold` or `hold-SEED` is there,
fails if `fail-SEED` is, and reports a metric of a reserved name if `reserved-SEED` is. It speaks the engine protocol."""

import json
import os
import pathlib
import select
import sys


class Engine:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.input = int(os.environ["SEEDBED_ENGINE_INPUT_FD"])
        self.output = int(os.environ["SEEDBED_ENGINE_OUTPUT_FD"])
        self.runs = {}  # id → specification

    def say(self, **message):
        data = (json.dumps(message) + "\n").encode()
        while data:
            data = data[os.write(self.output, data):]

    def asked(self, what, seed):
        return (self.directory / what).exists() or (self.directory / f"{what}-{seed}").exists()

    def start(self, run, specification):
        self.runs[run] = specification
        name = "step" if self.asked("reserved", specification["seed"]) else "train_loss"
        self.say(type="metrics", run=run, steps=[0], values={name: [1.0]})

    def advance(self, run):
        specification = self.runs[run]
        if self.asked("hold", specification["seed"]):
            return
        if self.asked("fail", specification["seed"]):
            self.say(type="failed", run=run, reason="the test wants it so", kind="error")
        else:
            last = specification["budget"]["steps"]
            self.say(type="metrics", run=run, steps=[last], values={"train_loss": [0.5], "test_accuracy": [1.0]})
            self.say(type="finished", run=run, outcome="grokked", reason="budget", last_step=last, summary={"t_test_99": last})
        del self.runs[run]

    def hear(self, message):
        """False for the word to leave."""
        if message["type"] == "start":
            self.start(message["run"], message["specification"])
        elif message["type"] == "stop" and self.runs.pop(message["run"], None):
            self.say(type="stopped", run=message["run"], last_step=0)
        return message["type"] != "shutdown"

    def serve(self):
        self.say(type="ready", protocol=1, engine="scripted 1", trainers=["modular"], capacity=1, device="cpu", memory_bytes=1 << 30, numerics={},
                 pack_parameters=[], checkpoints=False)
        pending = b""
        while True:
            # The files are looked at fifty times a second; `alive` is not needed in the few seconds of a test.
            if select.select([self.input], [], [], 0.02)[0]:
                chunk = os.read(self.input, 1 << 16)
                if not chunk:
                    return
                *lines, pending = (pending + chunk).split(b"\n")
                if not all([self.hear(json.loads(line)) for line in lines]):
                    return
            for run in list(self.runs):
                self.advance(run)


if __name__ == "__main__":
    Engine(sys.argv[1]).serve()
