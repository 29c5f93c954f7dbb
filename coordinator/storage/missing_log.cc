#include "coordinator/storage/missing_log.h"

#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/str_cat.h"

namespace seedbed {

absl::Status CheckLogIsThere(const std::string& database_path) {
  struct stat found;
  // SQLite makes the log before its index and removes the index first, so the log is asked for last.
  const std::string log = database_path + "-wal";
  const std::string index = database_path + "-shm";
  if (::stat(index.c_str(), &found) != 0 || ::stat(log.c_str(), &found) == 0 || errno != ENOENT)
    return absl::OkStatus();
  // A clean end may have come between the two looks.
  if (::stat(index.c_str(), &found) != 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      log, " is missing: the last commits were in it; put it back. If it is lost for good, restore a ",
      "backup, or go on without those commits: remove ", index, " and let `seedbed doctor` examine the rest"));
}

}  // namespace seedbed
