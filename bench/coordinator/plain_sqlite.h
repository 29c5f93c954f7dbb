#pragma once

#include <string>

// The floor of storing metrics: SQLite itself, with nobody asking for anything else.
namespace seedbed::bench {

struct PlainSqliteFigures {
  double values_per_second = 0;  // durable: WAL, synchronous=FULL
  double bytes_per_value = 0;    // of the file, once the log is in it
};

// A row for each (run, step) with a column per value, in the order of the key; `runs` runs have `rows` rows in each
// commit, for about `seconds`.
PlainSqliteFigures MeasureWideRows(const std::string& directory, int runs, int rows, int values, double seconds);

// The same values in a row for each (run, metric, step).
PlainSqliteFigures MeasureRowPerValue(const std::string& directory, int runs, int rows, int values, double seconds);

}  // namespace seedbed::bench
