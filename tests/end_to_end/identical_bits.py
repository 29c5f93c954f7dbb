"""The same run twice, and one run beside another: the rows of `steps` are the same bits."""

import pathlib
import unittest

from harness import EndToEndTest, SMALL_SWEEP, steps_by_specification, wait_until


class IdenticalBits(EndToEndTest):
    def test_alone_again_and_beside_another(self):
        self.write("sweep.yaml", SMALL_SWEEP)
        databases = []
        for data, slots in (("one", 1), ("again", 1), ("two", 2), ("three", 3)):
            self.seedbed("run", "sweep.yaml", "--data", data, "--slots", slots)
            with self.database(data) as connection:
                databases.append(steps_by_specification(connection))
        columns, rows = databases[0]
        self.assertEqual(len(rows), 4 * 21)
        self.assertIn("train_loss", columns)
        self.assertTrue(any(row[3] != rows[0][3] for row in rows), "the rows differ among themselves")
        for other in databases[1:]:
            self.assertEqual(other, databases[0])

    def test_the_blas_kernel_that_a_worker_names_is_its_engines(self):
        self.environment["OPENBLAS_CORETYPE"] = "Haswell"
        self.start_coordinator()
        for kernel, expected in (("Sandybridge", {"OPENBLAS_CORETYPE=Sandybridge"}),
                                 ("auto", {"OPENBLAS_CORETYPE=Haswell"}),
                                 ("none", {"OPENBLAS_CORETYPE=Haswell", "SEEDBED_ENGINE_BLAS_KERNEL=none"})):
            worker = self.start("seedbed-worker", "--server", self.socket(), "--slots", 1, "--device", "cpu", "--blas-kernel", kernel,
                                "--directory", self.directory / f"worker-{kernel}")
            wait_until(lambda: "registered" in worker.log.read_text(), "the worker has an engine")
            engine, = (pid for pid, command in self.survivors().items() if pathlib.Path(command.split()[0]).name == "seedbed-engine")
            environment = pathlib.Path(f"/proc/{engine}/environ").read_text().split("\0")
            named = {entry for entry in environment if entry.startswith(("OPENBLAS_CORETYPE=", "SEEDBED_ENGINE_BLAS_KERNEL="))}
            self.assertEqual(named, expected, f"with --blas-kernel {kernel}")
            worker.terminate()
            self.assertEqual(worker.wait(60), 0, worker.log.read_text())


if __name__ == "__main__":
    unittest.main()
