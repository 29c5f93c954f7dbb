#include "common/secrets/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/atomic_file.h"
#include "common/base/status_macros.h"

namespace seedbed {
namespace {

constexpr size_t kMostBytes = 16 << 20;

bool OthersMayUse(const struct stat& file) {
  const mode_t others = file.st_uid == 0 && geteuid() != 0 ? 0037 : 0077;
  return S_ISREG(file.st_mode) && (file.st_mode & others) != 0;
}

absl::Status ReadError(int error) {
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(std::strerror(error));
    case EACCES:
    case EPERM:
    case EISDIR:
    case ELOOP:
    case ENOTDIR:
    case ENAMETOOLONG:
      return absl::FailedPreconditionError(std::strerror(error));
    default:
      return absl::UnavailableError(std::strerror(error));
  }
}

absl::Status ReadAll(int descriptor, std::string* text) {
  char buffer[65536];
  while (true) {
    const ssize_t count = read(descriptor, buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ReadError(errno);
    if (count == 0) return absl::OkStatus();
    text->append(buffer, static_cast<size_t>(count));
    if (text->size() > kMostBytes) return absl::FailedPreconditionError("it is longer than 16 MiB");
  }
}

}  // namespace

absl::Status WritePrivateFile(const std::string& path, const std::string& content) {
  SEEDBED_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file, AtomicFile::Create(path, 0600));
  SEEDBED_RETURN_IF_ERROR(file->Write(content));
  return file->Commit();
}

absl::StatusOr<std::string> ReadPrivateFile(const std::string& path, bool* strangers) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    const absl::Status error = ReadError(errno);
    return absl::Status(error.code(), absl::StrCat("cannot read ", path, ": ", error.message()));
  }
  struct stat file {};
  std::string text;
  absl::Status status;
  if (fstat(descriptor, &file) != 0) {
    status = ReadError(errno);
  } else if (OthersMayUse(file)) {
    status = absl::FailedPreconditionError("it is open to others than its owner; chmod 600 it");
  } else {
    status = ReadAll(descriptor, &text);
  }
  close(descriptor);
  if (!status.ok()) return absl::Status(status.code(), absl::StrCat("cannot use ", path, ": ", status.message()));
  if (strangers != nullptr) *strangers = file.st_uid != 0 && file.st_uid != geteuid();
  return text;
}

}  // namespace seedbed
