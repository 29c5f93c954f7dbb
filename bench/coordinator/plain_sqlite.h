#pragma once

#include <cstdint>
#include <string>

// The floor of storing metrics: SQLite itself, with nobody asking for anything else.
namespace seedbed::bench {

struct PlainSqliteFigures {
  double values_per_second = 0;  // durable: WAL, synchronous=FULL
  double bytes_per_value = 0;    // of the file, once the log is in it
};

// A row for each (run, step) with a column per value, appended ten at a time, and for each run and commit a row that
// says which they are; `runs` runs have `rows` rows in each commit, for about `seconds`.
PlainSqliteFigures MeasureAppendedRows(const std::string& directory, int runs, int rows, int values, double seconds);

// The same rows in a table by (run, step), likewise ten at a time.
PlainSqliteFigures MeasureRowsByRun(const std::string& directory, int runs, int rows, int values, double seconds);

// The same values in a row for each (run, metric, step).
PlainSqliteFigures MeasureRowPerValue(const std::string& directory, int runs, int rows, int values, double seconds);

// What a query for one number gives; the database is not in use.
int64_t NumberIn(const std::string& path, const std::string& sql);

}  // namespace seedbed::bench
