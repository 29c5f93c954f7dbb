#include "worker/process/attempt_directory.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace seedbed {

namespace filesystem = std::filesystem;

absl::StatusOr<std::string> CreateAttemptDirectory(const std::string& root, const std::string& name) {
  std::error_code error;
  const filesystem::path parent = filesystem::absolute(root, error) / "attempts";
  if (!error) filesystem::create_directories(parent, error);
  if (!error) filesystem::permissions(parent, filesystem::perms::owner_all, error);
  if (error) {
    return absl::InternalError(
        absl::StrCat("creating ", parent.string(), ": ", error.message(), "; the worker's directory must be writable"));
  }
  const std::string directory = (parent.lexically_normal() / name).string();
  if (absl::Status status = RemoveAttemptDirectory(directory); !status.ok()) return status;
  // Not group- or world-readable: checkpoints and logs are the user's.
  if (mkdir(directory.c_str(), 0700) != 0) {
    return absl::InternalError(absl::StrCat("creating ", directory, ": ", strerror(errno)));
  }
  return directory;
}

absl::Status RemoveAttemptDirectory(const std::string& directory) {
  std::error_code error;
  filesystem::remove_all(directory, error);
  if (error) return absl::InternalError(absl::StrCat("removing ", directory, ": ", error.message()));
  return absl::OkStatus();
}

}  // namespace seedbed
