#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

// What the coordinator's benchmarks measure with, and how they say it.
namespace seedbed::bench {

// Of the monotonic clock.
double Seconds();

// What the kernel says of a process: /proc/PID.
struct ProcessFigures {
  double cpu_seconds = 0;  // of all its threads, the kernel's part included
  int64_t resident_bytes = 0;
  int64_t peak_resident_bytes = 0;
  int threads = 0;
};
absl::StatusOr<ProcessFigures> FiguresOf(pid_t process);

// Median seconds of a 4 KiB append and fsync in `directory`: the floor of a commit.
double FsyncSeconds(const std::string& directory);

// The smallest value that at least `share` (0 to 1] of `values` do not exceed; 0 of none.
double Percentile(std::vector<double> values, double share);

// A benchmark's outcome: facts of the run, and one table. Printed for people, or as one JSON object for programs.
class Report {
 public:
  // Columns by name; a name says its unit.
  Report(std::string title, std::vector<std::string> columns);

  void AddFact(const std::string& name, nlohmann::ordered_json value);
  // As many cells as there are columns.
  void AddRow(std::vector<nlohmann::ordered_json> cells);
  void Print(bool json) const;

 private:
  std::string title_;
  std::vector<std::string> columns_;
  std::vector<std::pair<std::string, nlohmann::ordered_json>> facts_;
  std::vector<std::vector<nlohmann::ordered_json>> rows_;
};

// Ends the process with status 1 and what was wrong, unless it is OK.
void Check(const absl::Status& status, const std::string& what);
template <typename T>
T Check(absl::StatusOr<T> value, const std::string& what) {
  Check(value.status(), what);
  return *std::move(value);
}

// Removes itself and all in it, unless told to stay. Made below `parent`, or where there is none below $TMPDIR or /tmp.
class ScratchDirectory {
 public:
  ScratchDirectory(const std::string& parent, bool keep);
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool keep_;
};

}  // namespace seedbed::bench
