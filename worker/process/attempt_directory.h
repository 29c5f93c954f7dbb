#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace seedbed {

// Creates ROOT/attempts/NAME (mode 0700; ROOT and ROOT/attempts too if missing) and returns its absolute path. What an
// earlier process left under that name is removed first.
absl::StatusOr<std::string> CreateAttemptDirectory(const std::string& root, const std::string& name);

// Removes such a directory with all that is in it. OK if it is not there. Follows no symbolic link.
absl::Status RemoveAttemptDirectory(const std::string& directory);

}  // namespace seedbed
