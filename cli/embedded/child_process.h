#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace seedbed::cli {

// The pipe that ties children to this process: they hold its reading end as descriptor kLifelineDescriptor and leave at
// its end of file, which the kernel brings about however this process ends.
class Lifeline {
 public:
  static absl::StatusOr<Lifeline> Create();
  Lifeline(Lifeline&& other) noexcept;
  Lifeline& operator=(Lifeline&&) = delete;
  ~Lifeline();
  int reading_end() const { return reading_end_; }

  static constexpr int kDescriptor = 3;  // in the child

 private:
  Lifeline(int reading_end, int writing_end) : reading_end_(reading_end), writing_end_(writing_end) {}
  int reading_end_;
  int writing_end_;
};

struct ChildCommand {
  std::string name;                    // in messages, e.g. "worker 1"
  std::vector<std::string> arguments;  // the program's path first
  std::vector<std::string> at_first;   // further arguments at the first start, not when it is started again
  std::string log_path;                // receives its standard output and error, appended
};

// How often a child that died is started again, and when. Pure.
class RestartPolicy {
 public:
  // Call when it died. The time of the next start; nullopt when it has died too often in a short time.
  std::optional<absl::Time> AfterDeath(absl::Time started, absl::Time now);
  int deaths() const { return deaths_; }

  static constexpr int kMostDeaths = 5;

 private:
  int deaths_ = 0;
};

// Starts `command` in a session of its own, so that Ctrl-C at the terminal reaches this process only. The child
// inherits nothing but the lifeline and its log, and dies with the calling thread, which must be the main one.
absl::StatusOr<pid_t> Spawn(const ChildCommand& command, const Lifeline& lifeline);

// "was killed by signal 9", "left with status 1".
std::string DescribeExit(int wait_status);

// The last lines of a log, at most `lines`, for an error message.
std::string TailOfFile(const std::string& path, int lines);

}  // namespace seedbed::cli
