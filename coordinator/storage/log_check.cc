#include "coordinator/storage/log_check.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/storage/allocation_limit.h"
#include "coordinator/storage/rollback_journal.h"

namespace seedbed {
namespace {

constexpr int kHeaderBytes = 100;

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

// The first bytes of the file; empty if there are none, or if they are not SQLite's.
// Read by SQLite: to close a descriptor of one's own takes every lock of this process off the file (POSIX), those of
// SQLite's other connections too, and another program that closes the database would then remove the log under them.
std::string ReadHeader(const std::string& database_path) {
  constexpr std::string_view kMagic("SQLite format 3", 16);
  std::string header(kHeaderBytes, '\0');
  bool is_there = false;
  sqlite3* handle = nullptr;
  sqlite3_file* file = nullptr;
  if (sqlite3_open_v2(database_path.c_str(), &handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr) ==
          SQLITE_OK &&
      sqlite3_file_control(handle, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK &&
      file->pMethods != nullptr && file->pMethods->xRead(file, header.data(), kHeaderBytes, 0) == SQLITE_OK) {
    is_there = std::string_view(header).substr(0, kMagic.size()) == kMagic;
  }
  sqlite3_close_v2(handle);
  return is_there ? header : "";
}

// Whether the header says that the file has no write-ahead log (its versions are 1, not 2). A database says that it has
// one before it gets one, and says so until the log is gone: it writes that byte with a rollback journal both times.
bool SaysThatItHasNone(const std::string& database_path) {
  constexpr size_t kWriteVersionAt = 18;
  const std::string header = ReadHeader(database_path);
  return !header.empty() && header[kWriteVersionAt] == 1;
}

absl::Status CheckItBelongs(const std::string& database_path) {
  struct stat found;
  const std::string log = LogOf(database_path);
  if (!SaysThatItHasNone(database_path) || ::stat(log.c_str(), &found) != 0 || found.st_size == 0) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      log, " belongs to another database than ", database_path, ", which is a copy such as `seedbed backup` makes: ",
      "the commits of the one would be laid over the other; to restore the copy, move ", log, ", ",
      IndexOf(database_path), " and ", database_path,
      "-journal away; to go on with what was there before, put its results.db back"));
}

absl::Status CheckJournalBelongs(const std::string& database_path) {
  const std::string path = database_path + "-journal";
  // A commit under way changes what is compared; one that was cut short stays as it is.
  std::string before;
  for (int look = 0; look < 2; ++look) {
    const std::string header = ReadHeader(database_path);
    const std::optional<RollbackJournal> journal = ReadRollbackJournal(path);
    if (header.empty() || !journal) return absl::OkStatus();
    if (CouldBelongTo(header, *journal)) return absl::OkStatus();
    const std::string seen = absl::StrCat(header, journal->nonce);
    if (look > 0 && seen != before) return absl::OkStatus();
    before = seen;
  }
  return absl::FailedPreconditionError(absl::StrCat(
      path, " belongs to another database than ", database_path, ": it was left by a process that was killed, and its ",
      "pages would be put into this one; to restore a backup, move ", path,
      " away and copy the backup here again; to go ", "on with what was there before, put its results.db back"));
}

}  // namespace

absl::Status CheckLog(const std::string& database_path) {
  SEEDBED_RETURN_IF_ERROR(LimitAllocations());
  SEEDBED_RETURN_IF_ERROR(CheckItIsThere(database_path));
  SEEDBED_RETURN_IF_ERROR(CheckItBelongs(database_path));
  return CheckJournalBelongs(database_path);
}

}  // namespace seedbed
