#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace seedbed {

// A file that appears under its name when it is whole and on the disk, in place of what was there, or not at all. Not
// thread-safe.
class AtomicFile {
 public:
  // Opens "PATH.partial-<process>" beside it. FAILED_PRECONDITION with the system's reason if it cannot, and if
  // something stands at `path` that is no regular file, such as a device or a directory, which would be replaced.
  static absl::StatusOr<std::unique_ptr<AtomicFile>> Create(const std::string& path, int mode = 0666);
  // Without a Commit nothing stays.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Errors as Create; nothing more is to be written then.
  absl::Status Write(std::string_view bytes);
  // Syncs, gives it its name and syncs that. Nothing is to be called after it.
  absl::Status Commit();

  int descriptor() const { return descriptor_; }
  const std::string& partial_path() const { return partial_; }

 private:
  explicit AtomicFile(const std::string& path);
  absl::Status Problem(int error) const;

  const std::string path_, partial_;
  int descriptor_ = -1;
};

}  // namespace seedbed
