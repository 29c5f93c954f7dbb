#include "coordinator/checkpoint_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace seedbed {
namespace {

// No name of the way there leads anywhere: nothing that would pass.
bool IsMissing(int error) {
  return error == ENOENT || error == ENOTDIR;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointReader>> CheckpointReader::Open(const CheckpointRow& row) {
  std::unique_ptr<CheckpointReader> reader(new CheckpointReader(row));
  // Not blocking: should it be no file at all.
  reader->descriptor_ = open(row.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (reader->descriptor_ < 0) {
    return IsMissing(errno) ? reader->Lost("is missing") : reader->Unreadable(errno);
  }
  struct stat found {};
  if (fstat(reader->descriptor_, &found) != 0) return reader->Unreadable(errno);
  if (!S_ISREG(found.st_mode)) return reader->Lost("is no file");
  if (found.st_size != row.bytes) {
    return reader->Lost(absl::StrCat("has ", found.st_size, " bytes instead of ", row.bytes));
  }
  return reader;
}

CheckpointReader::~CheckpointReader() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::StatusOr<std::string> CheckpointReader::Next(int64_t most) {
  std::string piece(static_cast<size_t>(most), '\0');
  ssize_t count = 0;
  do {
    count = read(descriptor_, piece.data(), piece.size());
  } while (count < 0 && errno == EINTR);
  if (count < 0) return Unreadable(errno);
  piece.resize(static_cast<size_t>(count));
  sum_.Update(piece);
  taken_ += count;
  if (count > 0) return piece;
  if (taken_ != row_.bytes) return Lost(absl::StrCat("has ", taken_, " bytes instead of ", row_.bytes));
  if (const std::string sum = HexOf(sum_.Finish()); sum != row_.sha256) {
    return Lost(absl::StrCat("is damaged: its SHA-256 is ", sum, " instead of ", row_.sha256));
  }
  return piece;
}

absl::Status CheckpointReader::Lost(const std::string& how) const {
  return absl::DataLossError(
      absl::StrCat("the file of the checkpoint of step ", row_.step, ", ", row_.path, ", ", how,
                   "; `seedbed doctor` on the coordinator's machine looks for more of the kind"));
}

absl::Status CheckpointReader::Unreadable(int error) const {
  return absl::UnavailableError(absl::StrCat(
      "the coordinator cannot read the checkpoint of step ", row_.step, ", ", row_.path, ": ", std::strerror(error),
      "; ask again, and if that lasts look at its machine's disk and at `ulimit -n`. Without the file the checkpoint "
      "before it would be used"));
}

}  // namespace seedbed
