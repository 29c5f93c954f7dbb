#include "common/secrets/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace seedbed {
namespace {

constexpr size_t kMostBytes = 16 << 20;

bool OthersMayUse(const struct stat& file) {
  const mode_t others = file.st_uid == 0 && geteuid() != 0 ? 0037 : 0077;
  return S_ISREG(file.st_mode) && (file.st_mode & others) != 0;
}

absl::Status ReadAll(int descriptor, std::string* text) {
  char buffer[65536];
  while (true) {
    const ssize_t count = read(descriptor, buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return absl::FailedPreconditionError(std::strerror(errno));
    if (count == 0) return absl::OkStatus();
    text->append(buffer, static_cast<size_t>(count));
    if (text->size() > kMostBytes) return absl::FailedPreconditionError("it is longer than 16 MiB");
  }
}

}  // namespace

absl::Status WritePrivateFile(const std::string& path, const std::string& content) {
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".new");
  const auto problem = [](const char* doing, const std::string& file, int error) {
    return absl::UnavailableError(absl::StrCat(doing, " ", file, ": ", std::strerror(error)));
  };
  // One that a killed process of the same number left may have another mode.
  unlink(temporary.c_str());
  const int descriptor = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) return problem("cannot create", temporary, errno);
  size_t written = 0;
  int error = 0;
  while (written < content.size() && error == 0) {
    const ssize_t count = write(descriptor, content.data() + written, content.size() - written);
    if (count > 0) {
      written += static_cast<size_t>(count);
    } else if (count < 0 && errno != EINTR) {
      error = errno;
    }
  }
  if (error == 0 && fsync(descriptor) != 0) error = errno;
  close(descriptor);
  if (error == 0 && std::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return absl::OkStatus();
  unlink(temporary.c_str());
  return problem("cannot write", path, error);
}

absl::StatusOr<std::string> ReadPrivateFile(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    const int error = errno;
    const std::string message = absl::StrCat("cannot read ", path, ": ", std::strerror(error));
    return error == ENOENT ? absl::NotFoundError(message) : absl::FailedPreconditionError(message);
  }
  struct stat file {};
  std::string text;
  absl::Status status;
  if (fstat(descriptor, &file) != 0) {
    status = absl::FailedPreconditionError(std::strerror(errno));
  } else if (OthersMayUse(file)) {
    status = absl::FailedPreconditionError("it is open to others than its owner; chmod 600 it");
  } else {
    status = ReadAll(descriptor, &text);
  }
  close(descriptor);
  if (!status.ok()) return absl::Status(status.code(), absl::StrCat("cannot use ", path, ": ", status.message()));
  return text;
}

}  // namespace seedbed
