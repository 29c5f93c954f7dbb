#include "coordinator/storage/sqlite_error.h"

#include <sqlite3.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace seedbed {
namespace {

struct Meaning {
  absl::StatusCode code;
  const char* advice;
};

constexpr char kDiskFull[] = "free some space on its file system (or raise the quota); nothing written before is lost";
constexpr char kDamaged[] =
    "stop the coordinator, copy the data directory aside, then restore a backup or try `sqlite3 results.db .recover`";

Meaning MeaningOf(int code, int system_errno) {
  if (system_errno == ENOSPC || system_errno == EDQUOT) return {absl::StatusCode::kResourceExhausted, kDiskFull};
  switch (code & 0xff) {
    case SQLITE_FULL:
      return {absl::StatusCode::kResourceExhausted, kDiskFull};
    case SQLITE_NOMEM:
      return {absl::StatusCode::kResourceExhausted, "free some memory and try again"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return {absl::StatusCode::kUnavailable,
              "another program holds a lock on it (an open transaction in an sqlite3 shell, perhaps): end that and try "
              "again"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {absl::StatusCode::kDataLoss, kDamaged};
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return {absl::StatusCode::kFailedPrecondition,
              "give this user the right to write the file and its directory, or use another data directory"};
    case SQLITE_CANTOPEN:
      return {absl::StatusCode::kFailedPrecondition,
              "check that the file and its directory exist and that this user may read and write them"};
    case SQLITE_IOERR:
      return {absl::StatusCode::kUnavailable,
              "look at the system's log for faults of the disk or its mount, and at `ulimit -f`, then try again"};
    case SQLITE_INTERRUPT:
      return {absl::StatusCode::kDeadlineExceeded, "narrow the query, or copy the database and query the copy"};
    case SQLITE_AUTH:
      return {absl::StatusCode::kPermissionDenied, "only SELECT statements that read the database are allowed here"};
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
    case SQLITE_ERROR:
      return {absl::StatusCode::kInvalidArgument, "check the statement against docs/results-database.md"};
    default:
      return {absl::StatusCode::kInternal, "please report this as a bug of Seedbed"};
  }
}

}  // namespace

absl::Status SqliteError(int code, const std::string& message, int system_errno, const std::string& what,
                         const std::string& file) {
  const Meaning meaning = MeaningOf(code, system_errno);
  std::string system;
  if (system_errno != 0 && (code & 0xff) != SQLITE_ERROR) system = absl::StrCat(" (", std::strerror(system_errno), ")");
  return absl::Status(meaning.code,
                      absl::StrCat("cannot ", what, ": ", message, system, " [", file, "]; ", meaning.advice));
}

}  // namespace seedbed
