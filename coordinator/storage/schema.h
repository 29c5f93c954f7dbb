#pragma once

#include <cstdint>
#include <string>
#include <vector>

// The SQL text of tables and views. docs/results-database.md describes them for people.
namespace seedbed {

// "Seed": marks the file as ours (PRAGMA application_id).
constexpr int64_t kApplicationId = 0x53656564;

// Version 1 of the tables, whole, without the metrics' columns.
const char* TablesVersion1();
// Checkpoints: what sweeps wish for them, and under which numerics they were written.
const char* StepToVersion2();
// `curves` without sweeps that are being deleted: views only.
const char* StepToVersion3();
// Rows in the order of their arrival, and where those of each run lie: the tables only, not yet what was in `steps`.
const char* StepToVersion4();
// What a worker that is gone was before, so that it comes back drained or quarantined after a restart too.
const char* StepToVersion5();

// Views are derived: dropped and created anew by every migration, and when a metric gets a column.
const std::vector<std::string>& ViewNames();
// The columns of `runs` that repeat a number of the run's summary under the same name, so that people need no JSON
// functions and views work where SQLite does not allow those. INTEGER columns take whole numbers only; whatever does
// not fit is NULL.
struct SummaryColumn {
  const char* name;
  bool is_integer;
};
const std::vector<SummaryColumn>& SummaryColumns();

// CREATE VIEW statements, in order. `metric_columns`: those of `steps` after run_id and step, checked
// names.
std::string ViewsSql(const std::vector<std::string>& metric_columns);

}  // namespace seedbed
