#include "coordinator/storage/step_log.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace seedbed {
namespace {

StepChunk ChunkOf(const Statement& row) {
  return {row.Int(0), row.Int(1), row.Int(2), row.Int(3)};
}

}  // namespace

absl::StatusOr<int64_t> StepLog::NextRow() {
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> last, database_->QueryInt("SELECT max(row_id) FROM step_rows"));
  return last.value_or(0) + 1;
}

absl::StatusOr<std::optional<StepChunk>> StepLog::ChunkUpTo(RunId run, int64_t step) {
  SEEDBED_ASSIGN_OR_RETURN(CachedStatement rows,
                           database_->Cached("SELECT first_step, last_step, first_row, last_row FROM step_chunks "
                                             "WHERE run_id = ? AND first_step <= ? ORDER BY first_step DESC LIMIT 1"));
  rows->Bind(run, step);
  SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
  return row ? std::optional<StepChunk>(ChunkOf(*rows)) : std::nullopt;
}

absl::StatusOr<int64_t> StepLog::StepOf(int64_t row) {
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> step,
                           database_->QueryInt("SELECT step FROM step_rows WHERE row_id = ?", row));
  if (step.has_value()) return *step;
  return absl::DataLossError(absl::StrCat(database_->path(), ": step_chunks names row ", row,
                                          " of step_rows, which is not there; restore a backup, or see what "
                                          "`seedbed doctor` finds"));
}

absl::StatusOr<StepLog::Row> StepLog::FirstFrom(const StepChunk& chunk, int64_t step) {
  if (step <= chunk.first_step) return Row{chunk.first_row, chunk.first_step};
  // Steps rise with the rows' numbers, and none is missing.
  int64_t before = chunk.first_row;
  Row found{chunk.last_row, chunk.last_step};
  while (found.row - before > 1) {
    const int64_t middle = before + (found.row - before) / 2;
    SEEDBED_ASSIGN_OR_RETURN(const int64_t there, StepOf(middle));
    if (there < step) {
      before = middle;
    } else {
      found = {middle, there};
    }
  }
  return found;
}

absl::Status StepLog::Insert(RunId run, const StepChunk& chunk) {
  return database_
      ->Change("INSERT INTO step_chunks (run_id, first_step, last_step, first_row, last_row) VALUES (?, ?, ?, ?, ?)",
               run, chunk.first_step, chunk.last_step, chunk.first_row, chunk.last_row)
      .status();
}

absl::Status StepLog::SetEnd(RunId run, int64_t first_step, int64_t last_step, int64_t last_row) {
  return database_
      ->Change("UPDATE step_chunks SET last_step = ?, last_row = ? WHERE run_id = ? AND first_step = ?", last_step,
               last_row, run, first_step)
      .status();
}

absl::Status StepLog::Add(RunId run, const std::optional<StepChunk>& before, const StepChunk& added) {
  // A run that reports alone, row by row, would have a chunk for each.
  if (before.has_value() && before->last_row + 1 == added.first_row) {
    return SetEnd(run, before->first_step, added.last_step, added.last_row);
  }
  return Insert(run, added);
}

absl::StatusOr<StepChunk> StepLog::Split(RunId run, const StepChunk& chunk, const Row& row) {
  StepChunk first = chunk;
  first.last_row = row.row - 1;
  SEEDBED_ASSIGN_OR_RETURN(first.last_step, StepOf(first.last_row));
  SEEDBED_RETURN_IF_ERROR(SetEnd(run, first.first_step, first.last_step, first.last_row));
  SEEDBED_RETURN_IF_ERROR(Insert(run, {row.step, chunk.last_step, row.row, chunk.last_row}));
  return first;
}

absl::Status StepLog::DeleteBeyond(RunId run, int64_t step) {
  std::vector<StepChunk> chunks;
  {
    SEEDBED_ASSIGN_OR_RETURN(CachedStatement rows,
                             database_->Cached("SELECT first_step, last_step, first_row, last_row FROM step_chunks "
                                               "WHERE run_id = ? AND last_step > ? ORDER BY first_step"));
    rows->Bind(run, step);
    while (true) {
      SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
      if (!row) break;
      chunks.push_back(ChunkOf(*rows));
    }
  }
  if (chunks.empty()) return absl::OkStatus();
  if (chunks.front().first_step <= step) {
    SEEDBED_ASSIGN_OR_RETURN(const Row beyond, FirstFrom(chunks.front(), step + 1));
    SEEDBED_RETURN_IF_ERROR(Split(run, chunks.front(), beyond).status());
    chunks.front().first_row = beyond.row;
  }
  for (const StepChunk& chunk : chunks) {
    SEEDBED_RETURN_IF_ERROR(
        database_->Change("DELETE FROM step_rows WHERE row_id BETWEEN ? AND ?", chunk.first_row, chunk.last_row)
            .status());
  }
  return database_->Change("DELETE FROM step_chunks WHERE run_id = ? AND first_step > ?", run, step).status();
}

}  // namespace seedbed
