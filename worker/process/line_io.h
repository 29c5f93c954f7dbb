#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace seedbed {

enum class IoResult { kProgress, kWouldBlock, kEnd };  // kEnd: end of file, or an error after which nothing comes

// Cuts what a non-blocking descriptor gives into lines. Not thread-safe.
class LineReader {
 public:
  explicit LineReader(size_t most_line_bytes) : most_line_bytes_(most_line_bytes) {}

  // One read of at most 64 KiB.
  IoResult ReadFrom(int fd);

  // The next whole line, without its end; it is valid until the next call of any method. False if none is whole yet.
  bool NextLine(std::string_view* line);

  // True if a line longer than most_line_bytes has come, whole or not: reading on makes no sense.
  bool too_long() const { return too_long_; }

 private:
  size_t most_line_bytes_;
  std::string buffer_;
  size_t start_ = 0;    // of the next line
  size_t scanned_ = 0;  // no line end in [start_, scanned_)
  bool too_long_ = false;
};

// What waits to be written to a non-blocking descriptor. Not thread-safe.
class WriteQueue {
 public:
  void Push(std::string_view text) { buffer_.append(text); }
  // Writes as much as is taken now.
  IoResult WriteTo(int fd);
  size_t size() const { return buffer_.size() - start_; }
  bool empty() const { return size() == 0; }

 private:
  std::string buffer_;
  size_t start_ = 0;
};

}  // namespace seedbed
