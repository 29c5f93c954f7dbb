#pragma once

#include <string>

#include "absl/status/status.h"

namespace seedbed {

// FAILED_PRECONDITION if the write-ahead log was taken away from beside its index. SQLite would begin a new one, and
// the commits of the old one would be lost without a word.
absl::Status CheckLogIsThere(const std::string& database_path);

}  // namespace seedbed
