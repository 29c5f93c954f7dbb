"""The same run twice, and one run beside another: the rows of `steps` are the same bits."""

import unittest

from harness import EndToEndTest, SMALL_SWEEP, steps_by_specification


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


if __name__ == "__main__":
    unittest.main()
