#include "worker/process/bounded_log.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace seedbed {

BoundedLog::BoundedLog(std::string path, LogLimits limits) : path_(std::move(path)), limits_(limits) {
  if (!path_.empty()) file_.reset(open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
}

void BoundedLog::Write(std::string_view text) {
  while (!text.empty() && file_) {
    const ssize_t written = write(file_.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

std::string BoundedLog::Append(std::string_view text) {
  total_ += static_cast<int64_t>(text.size());
  recent_.append(text);
  const size_t keep = static_cast<size_t>(limits_.tail_bytes);
  if (recent_.size() > 2 * keep) recent_.erase(0, recent_.size() - keep);
  const int64_t room = limits_.head_bytes - head_written_;
  const std::string head(text.substr(0, static_cast<size_t>(std::max<int64_t>(0, room))));
  head_written_ += static_cast<int64_t>(head.size());
  Write(head);
  return head;
}

std::string BoundedLog::Close() {
  const int64_t held_back = total_ - head_written_;
  std::string rest = Tail(static_cast<size_t>(std::min(held_back, limits_.tail_bytes)));
  if (held_back > limits_.tail_bytes) {
    // The end starts with a whole line where it has one.
    const size_t line_end = rest.find('\n');
    if (line_end != std::string::npos && line_end + 1 < rest.size()) rest.erase(0, line_end + 1);
    const int64_t dropped = held_back - static_cast<int64_t>(rest.size());
    rest = absl::StrCat("\n[seedbed: ", dropped, " bytes of this log were dropped here]\n", rest);
  }
  Write(rest);
  file_.reset();
  return rest;
}

std::string BoundedLog::Tail(size_t most) const {
  const size_t size = std::min({most, recent_.size(), static_cast<size_t>(limits_.tail_bytes)});
  return recent_.substr(recent_.size() - size);
}

}  // namespace seedbed
