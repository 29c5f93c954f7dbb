#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/schema/trainer_schema.h"
#include "coordinator/storage/database.h"
#include "coordinator/storage/step_log.h"
#include "coordinator/storage/store.h"

namespace seedbed {

// Writes rows of `steps` and the overflow in `step_values`, and gives new metrics a column or a number. Rows that are
// there get the values of a later report, and keep those of metrics that it does not name. Works inside the caller's
// transaction; after a rollback call Load again. Not thread-safe.
class MetricWriter {
 public:
  // Columns of `steps` beyond run_id and step; further metrics go to step_values.
  static constexpr int kMostColumns = 64;
  // Names in all: a trainer that names its metrics after steps or samples is stopped before it fills the disk.
  static constexpr int kMostMetrics = 10'000;

  explicit MetricWriter(Database* database) : database_(database), log_(database) {}

  absl::Status Load();
  // Columns for the metrics of a built-in trainer that most runs have, up front.
  absl::Status AddBuiltIn(const std::vector<MetricDefinition>& metrics);
  // Outside of any transaction: INVALID_ARGUMENT for rows that Write would not take.
  absl::Status Check(const std::vector<MetricRows>& batch) const;
  absl::Status Write(const std::vector<MetricRows>& batch);

 private:
  struct Place {
    std::string column;  // of `steps`, as it was first written; empty for a metric of step_values
    int64_t metric_id = 0;
  };

  // A set of metrics, in the order in which reports name them, and what becomes of each.
  struct Shape {
    std::vector<std::string> metrics;
    std::vector<size_t> in_steps;  // places in `metrics` of those with a column, each column once
    std::vector<std::pair<size_t, int64_t>> overflowing;  // places in `metrics` of the others, and their metric_id
    // Of the columns; owned by statements_.
    Statement* insert = nullptr;       // one row
    Statement* insert_many = nullptr;  // kRowsAtOnce
    Statement* update = nullptr;       // a row that is there; none without columns
  };
  // True if these are the metrics of the report that was written last: those of one trainer mostly are.
  bool HasLastShape(const MetricRows& rows) const;
  absl::Status MakeShape(const MetricRows& rows);
  // `description`: that of the built-in trainer's metric of this name where it is empty.
  absl::StatusOr<Place> PlaceOf(const std::string& name, const std::string& description = "");
  absl::StatusOr<Statement*> Prepared(const std::string& sql);
  absl::Status WriteRun(const MetricRows& rows);
  // Those from `first` on, behind all that are there, and as one chunk. `last`: the run's last chunk.
  absl::Status Append(const MetricRows& rows, size_t first, const std::optional<StepChunk>& last);
  // Row `index` of `rows`, at a step that the run may have, or between those that it has.
  absl::Status Put(const MetricRows& rows, size_t index);
  // Binds the values of a row behind `position`, and moves it.
  void BindValues(Statement* statement, int* position, const MetricRows& rows, size_t index) const;
  absl::Status WriteOverflow(const MetricRows& rows, const MetricSeries& series, int64_t metric_id);

  Database* database_;
  StepLog log_;
  int64_t next_row_ = 0;                           // of step_rows, while Write is under way
  std::unordered_map<std::string, Place> places_;  // by lower-case name
  int columns_ = 0;
  bool views_are_stale_ = false;
  std::unordered_map<std::string, Statement> statements_;  // by their text
  Shape last_;
};

}  // namespace seedbed
