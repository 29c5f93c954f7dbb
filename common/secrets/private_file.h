#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Files that hold secrets: nobody but their owner may read them.
namespace seedbed {

// Writes `content` to `path` as one (temporary file, fsync, rename), with mode 0600. UNAVAILABLE if it cannot be
// written.
absl::Status WritePrivateFile(const std::string& path, const std::string& content);

// The content of `path`. NOT_FOUND if there is no such file; UNAVAILABLE if it cannot be read for a reason that may
// pass by itself (no file descriptors or memory left, a fault of the disk); FAILED_PRECONDITION if it cannot be read
// for another, is longer than 16 MiB, or can be read or changed by others than its owner (the group may read a file of
// root's, as Debian's group ssl-cert does).
// `strangers`, if given, becomes whether it is neither this user's nor root's, which only root can come upon.
absl::StatusOr<std::string> ReadPrivateFile(const std::string& path, bool* strangers = nullptr);

}  // namespace seedbed
