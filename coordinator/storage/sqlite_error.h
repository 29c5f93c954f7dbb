#pragma once

#include <string>

#include "absl/status/status.h"

namespace seedbed {

// An SQLite result code as a Status that says what failed, on which file, and what to do next. `message` is SQLite's
// own text; `system_errno` is 0 where the operating system had no part in it.
absl::Status SqliteError(int code, const std::string& message, int system_errno, const std::string& what,
                         const std::string& file);

}  // namespace seedbed
