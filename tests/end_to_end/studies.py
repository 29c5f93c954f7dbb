"""Every sweep file in studies/: `plan` takes it, and the engine trains its first point."""

import json
import unittest

from harness import EndToEndTest, SOURCE


class Studies(EndToEndTest):
    def test_each_is_planned_and_trains(self):
        files = sorted((SOURCE / "studies").glob("*.yaml"))
        self.assertGreaterEqual(len(files), 10)
        for file in files:
            with self.subTest(study=file.stem):
                plan = json.loads(self.seedbed("plan", file, "--json", "--points", 1)[0])
                self.assertEqual(plan["name"], file.stem)
                specification = {"trainer": plan["trainer"], "budget": {"steps": 2}, "stop": plan["stop"],
                                 "metrics": plan["metrics"] | {"log_every": 1},
                                 "parameters": plan["points"][0]["parameters"], "seed": plan["seeds"][0]}
                last = self.train(file.stem, specification)
                self.assertEqual(last["type"], "finished", last)
                self.assertEqual(last["last_step"], 2)

    def train(self, name, specification):
        path = self.write(f"{name}.json", json.dumps(specification))
        engine = self.start("seedbed-engine", "train", "--specification", path)
        engine.wait(timeout=120)
        return json.loads(engine.log.read_text().splitlines()[-1])


if __name__ == "__main__":
    unittest.main()
