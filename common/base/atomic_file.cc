#include "common/base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/sync_directory.h"

namespace seedbed {
AtomicFile::AtomicFile(const std::string& path) : path_(path), partial_(absl::StrCat(path, ".partial-", getpid())) {}

absl::Status AtomicFile::Problem(int error) const {
  return absl::FailedPreconditionError(absl::StrCat("cannot write ", path_, ": ", std::strerror(error)));
}

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::Create(const std::string& path, int mode) {
  std::unique_ptr<AtomicFile> file(new AtomicFile(path));
  struct stat found {};
  if (stat(path.c_str(), &found) == 0 && !S_ISREG(found.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat("cannot write ", path, ": it is ",
                                                      S_ISDIR(found.st_mode) ? "a directory" : "no regular file",
                                                      ", and would be replaced; name a new file"));
  }
  // One that a killed process of the same number left may have another mode.
  unlink(file->partial_.c_str());
  file->descriptor_ = open(file->partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  if (file->descriptor_ < 0) return file->Problem(errno);
  return file;
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(partial_.c_str());
}

absl::Status AtomicFile::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Problem(count < 0 ? errno : EIO);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit() {
  int error = fsync(descriptor_) == 0 ? 0 : errno;
  if (close(std::exchange(descriptor_, -1)) != 0 && error == 0) error = errno;
  if (error == 0 && std::rename(partial_.c_str(), path_.c_str()) != 0) error = errno;
  if (error != 0) {
    unlink(partial_.c_str());
    return Problem(error);
  }
  error = SyncDirectory(DirectoryOf(path_));
  return error == 0 ? absl::OkStatus() : Problem(error);
}

}  // namespace seedbed
