#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/storage/database.h"

namespace seedbed {

// The rows first_row to last_row of step_rows: one run's, without gaps between their numbers, their steps rising from
// first_step to last_step. The chunks of a run have no step in common, and no two chunks a row.
struct StepChunk {
  int64_t first_step = 0;
  int64_t last_step = 0;
  int64_t first_row = 0;
  int64_t last_row = 0;
};

// Where the rows of `steps` lie: step_rows holds them in the order of their arrival, step_chunks says which are whose.
// Keeps nothing in memory, and works inside the caller's transaction. Errors are Database's; DATA_LOSS where a chunk
// names a row that is not there.
class StepLog {
 public:
  explicit StepLog(Database* database) : database_(database) {}

  // The number of the next row that is appended.
  absl::StatusOr<int64_t> NextRow();
  // The chunk of `run` that begins at `step` or is the last to begin before.
  absl::StatusOr<std::optional<StepChunk>> ChunkUpTo(RunId run, int64_t step);

  struct Row {
    int64_t row = 0;
    int64_t step = 0;
  };
  // The chunk's first row of `step` or beyond; `step` is not beyond the chunk's last.
  absl::StatusOr<Row> FirstFrom(const StepChunk& chunk, int64_t step);

  // `added`: rows that are in step_rows and in no chunk, at steps that the run does not have. `before`: what ChunkUpTo
  // says of its first step.
  absl::Status Add(RunId run, const std::optional<StepChunk>& before, const StepChunk& added);
  // Parts a chunk in two before `row`, which is not its first; returns the first part.
  absl::StatusOr<StepChunk> Split(RunId run, const StepChunk& chunk, const Row& row);
  // Deletes the rows of `run` beyond `step`; -1: all.
  absl::Status DeleteBeyond(RunId run, int64_t step);

 private:
  absl::StatusOr<int64_t> StepOf(int64_t row);
  absl::Status SetEnd(RunId run, int64_t first_step, int64_t last_step, int64_t last_row);
  absl::Status Insert(RunId run, const StepChunk& chunk);

  Database* database_;
};

}  // namespace seedbed
