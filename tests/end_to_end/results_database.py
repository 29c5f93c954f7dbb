"""The results database as an interface: the documented example queries run in the sqlite3 shell while a sweep is running."""

import pathlib
import re
import subprocess
import unittest

from harness import EndToEndTest, SMALL_SWEEP, SOURCE, wait_until


def documented_queries():
    text = (SOURCE / "docs" / "results-database.md").read_text()
    return [block for block in re.findall(r"```sql\n(.*?)```", text, re.S) if re.match(r"\s*(--[^\n]*\n\s*)*(select|with)\b", block, re.I)]


class ResultsDatabase(EndToEndTest):
    def test_documented_queries_answer_while_the_sweep_is_running(self):
        queries = documented_queries()
        self.assertGreaterEqual(len(queries), 3)
        self.write("sweep.yaml", SMALL_SWEEP.replace("steps: 400", "steps: 200000"))
        self.write("short.yaml", SMALL_SWEEP.replace("name: small", "name: short").replace("seeds: 2", "seeds: 1"))
        self.start_coordinator()
        self.start_worker(slots=2)
        self.remote("submit", "short.yaml")
        self.remote("wait", "short")
        self.remote("submit", "sweep.yaml")
        wait_until(lambda: self.rows_or_none("select 1 from runs join steps using (run_id) where state = 'running' and step > 40", data="data"),
                   "a run of the second sweep trains")
        answered = 0
        for query in queries:
            result = subprocess.run(["sqlite3", "-readonly", self.directory / "data" / "results.db"], input=query, capture_output=True, text=True)
            self.assertEqual((result.returncode, result.stderr), (0, ""), query)
            answered += bool(result.stdout.strip())
        self.assertGreaterEqual(answered, 3)
        self.remote("cancel", "small")


if __name__ == "__main__":
    unittest.main()
