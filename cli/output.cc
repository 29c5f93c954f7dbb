#include "cli/output.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace seedbed::cli {
namespace {
constexpr size_t kBufferBytes = 64 << 10;
}

void Output::Write(std::string_view text) {
  if (closed_ || !status_.ok()) return;
  buffer_.append(text);
  if (buffer_.size() >= kBufferBytes) Flush();
}

void Output::Flush() {
  if (buffer_.empty()) return;
  if (!closed_ && status_.ok()) {
    std::string error;
    const absl::StatusCode code = Send(buffer_, &error);
    if (code == absl::StatusCode::kCancelled) {
      closed_ = true;
    } else if (code != absl::StatusCode::kOk) {
      status_ = absl::Status(code, absl::StrCat("cannot write the output: ", error));
    }
  }
  buffer_.clear();
}

absl::StatusCode DescriptorOutput::Send(std::string_view text, std::string* error) {
  while (!text.empty()) {
    const ssize_t written = write(descriptor_, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EPIPE) {
      return absl::StatusCode::kCancelled;
    } else if (errno == EIO && isatty(descriptor_) != 0) {
      return absl::StatusCode::kCancelled;  // the terminal was closed
    } else if (errno != EINTR) {
      *error = std::strerror(errno);
      return absl::StatusCode::kUnavailable;
    }
  }
  return absl::StatusCode::kOk;
}

absl::Status CheckThatNothingIsAt(const std::string& path) {
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0) return absl::OkStatus();  // whoever opens it says what else is wrong
  return absl::AlreadyExistsError(absl::StrCat(path, " is there already; give another name, or --force to write over it"));
}

}  // namespace seedbed::cli
