#include "coordinator/storage/log_check.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/storage/allocation_limit.h"

namespace seedbed {
namespace {

std::string LogOf(const std::string& database_path) {
  return database_path + "-wal";
}
std::string IndexOf(const std::string& database_path) {
  return database_path + "-shm";
}

absl::Status CheckItIsThere(const std::string& database_path) {
  struct stat found;
  // SQLite makes the log before its index and removes the index first, so the log is asked for last.
  const std::string log = LogOf(database_path);
  const std::string index = IndexOf(database_path);
  if (::stat(index.c_str(), &found) != 0 || ::stat(log.c_str(), &found) == 0 || errno != ENOENT)
    return absl::OkStatus();
  // A clean end may have come between the two looks.
  if (::stat(index.c_str(), &found) != 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      log, " is missing: the last commits were in it; put it back. If it is lost for good, restore a ",
      "backup, or go on without those commits: remove ", index, " and let `seedbed doctor` examine the rest"));
}

// Whether the header says that the file has no write-ahead log (its versions are 1, not 2). A database says that it has
// one before it gets one, and says so until the log is gone: it writes that byte with a rollback journal both times.
// Read by SQLite: to close a descriptor of one's own takes every lock of this process off the file (POSIX), those of
// SQLite's other connections too, and another program that closes the database would then remove the log under them.
bool SaysThatItHasNone(const std::string& database_path) {
  constexpr std::string_view kMagic("SQLite format 3", 16);
  constexpr size_t kWriteVersionAt = 18;
  char header[kWriteVersionAt + 1];
  sqlite3* handle = nullptr;
  bool has_none = false;
  sqlite3_file* file = nullptr;
  if (sqlite3_open_v2(database_path.c_str(), &handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr) == SQLITE_OK &&
      sqlite3_file_control(handle, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK && file->pMethods != nullptr &&
      file->pMethods->xRead(file, header, sizeof(header), 0) == SQLITE_OK) {
    has_none = std::string_view(header, kMagic.size()) == kMagic && header[kWriteVersionAt] == 1;
  }
  sqlite3_close_v2(handle);
  return has_none;
}

absl::Status CheckItBelongs(const std::string& database_path) {
  struct stat found;
  const std::string log = LogOf(database_path);
  if (!SaysThatItHasNone(database_path) || ::stat(log.c_str(), &found) != 0 || found.st_size == 0) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      log, " belongs to another database than ", database_path, ", which is a copy such as `seedbed backup` makes: ",
      "the commits of the one would be laid over the other; to restore the copy, move ", log, ", ", IndexOf(database_path),
      " and ", database_path, "-journal away; to go on with what was there before, put its results.db back"));
}

}  // namespace

absl::Status CheckLog(const std::string& database_path) {
  SEEDBED_RETURN_IF_ERROR(LimitAllocations());
  SEEDBED_RETURN_IF_ERROR(CheckItIsThere(database_path));
  return CheckItBelongs(database_path);
}

}  // namespace seedbed
