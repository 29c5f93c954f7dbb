#include "worker/process/line_io.h"

#include <unistd.h>

#include <cerrno>

namespace seedbed {

IoResult LineReader::ReadFrom(int fd) {
  // Moved down only when most of the buffer is used up, so that each byte moves once on average.
  if (start_ > buffer_.size() / 2) {
    buffer_.erase(0, start_);
    scanned_ -= start_;
    start_ = 0;
  }
  char chunk[65536];
  ssize_t got;
  do {
    got = read(fd, chunk, sizeof chunk);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return IoResult::kWouldBlock;
  if (got <= 0) return IoResult::kEnd;
  buffer_.append(chunk, static_cast<size_t>(got));
  return IoResult::kProgress;
}

bool LineReader::NextLine(std::string_view* line) {
  if (too_long_) return false;
  const size_t end = buffer_.find('\n', scanned_);
  if ((end == std::string::npos ? buffer_.size() : end) - start_ > most_line_bytes_) {
    too_long_ = true;
    return false;
  }
  if (end == std::string::npos) {
    scanned_ = buffer_.size();
    return false;
  }
  *line = std::string_view(buffer_).substr(start_, end - start_);
  start_ = scanned_ = end + 1;
  return true;
}

IoResult WriteQueue::WriteTo(int fd) {
  while (!empty()) {
    const ssize_t written = write(fd, buffer_.data() + start_, size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return IoResult::kWouldBlock;
    if (written < 0) return IoResult::kEnd;
    start_ += static_cast<size_t>(written);
    if (start_ > buffer_.size() / 2) {
      buffer_.erase(0, start_);
      start_ = 0;
    }
  }
  return IoResult::kProgress;
}

}  // namespace seedbed
