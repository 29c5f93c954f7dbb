#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "worker/process/unique_fd.h"

namespace seedbed {

struct LogLimits {
  int64_t head_bytes = 1 << 20;
  int64_t tail_bytes = 256 << 10;
};

// A log file that keeps the beginning and the end of what it is given, with a line between that says how much is
// missing. What cannot be written (a full disk) is lost too: logs never fail a run. Not thread-safe.
class BoundedLog {
 public:
  // Appends to `path` (created with mode 0600); an empty path writes no file.
  BoundedLog(std::string path, LogLimits limits);

  // Takes text, and returns what went into the file at once: all of it, up to the head's bound.
  std::string Append(std::string_view text);

  // Writes what was held back for the end, and returns it. Nothing may be appended afterwards.
  std::string Close();

  // The last bytes taken, at most `most` and the tail's bound.
  std::string Tail(size_t most) const;

  const std::string& path() const { return path_; }

 private:
  void Write(std::string_view text);

  std::string path_;
  LogLimits limits_;
  UniqueFd file_;
  int64_t total_ = 0;
  int64_t head_written_ = 0;
  std::string recent_;  // at least the last tail_bytes, at most twice as many
};

}  // namespace seedbed
