#include "coordinator/storage/checkpointer.h"

#include <utility>

#include "common/base/status_macros.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/storage/database.h"

namespace seedbed {

Checkpointer::Checkpointer(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Checkpointer::Checkpointer(Checkpointer&&) noexcept = default;
Checkpointer& Checkpointer::operator=(Checkpointer&&) noexcept = default;
Checkpointer::~Checkpointer() = default;

absl::StatusOr<Checkpointer> Checkpointer::Open(const std::string& database_path) {
  Database::Options options;
  options.access = Database::Options::Access::kReadWrite;
  // It comes back soon; to wait here for a reader would make the committing thread wait too.
  options.busy_timeout = absl::ZeroDuration();
  SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(database_path, options));
  SEEDBED_RETURN_IF_ERROR(database->Execute("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0"));
  return Checkpointer(std::move(database));
}

absl::StatusOr<Checkpointer::Result> Checkpointer::Run() {
  Result result;
  result.log_bytes = WriteAheadLogBytes(database_->path());
  SEEDBED_ASSIGN_OR_RETURN(const Database::CheckpointCounts passive, database_->Checkpoint(/*truncate=*/false));
  if (passive.busy || passive.log_frames < 0 || passive.moved_frames < passive.log_frames) return result;
  SEEDBED_ASSIGN_OR_RETURN(const Database::CheckpointCounts truncated, database_->Checkpoint(/*truncate=*/true));
  result.truncated = !truncated.busy;
  return result;
}

}  // namespace seedbed
