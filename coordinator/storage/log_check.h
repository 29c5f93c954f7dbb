#pragma once

#include <string>

#include "absl/status/status.h"

namespace seedbed {

// FAILED_PRECONDITION if what SQLite would do with the files of a database is not what people mean:
// - The write-ahead log was taken away from beside its index. SQLite would begin a new one, and the commits of the old
//   one would be lost without a word.
// - A backup was put in the place of a database whose log is still there. SQLite would lay the old commits over it.
// - Likewise beside a rollback journal (of --journal=delete, of a process that was killed in mid-commit). SQLite would
//   put the old database's pages into the backup.
absl::Status CheckLog(const std::string& database_path);

}  // namespace seedbed
