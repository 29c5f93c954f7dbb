#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "coordinator/storage/reader.h"
#include "coordinator/storage/store.h"

namespace seedbed {

// Keeps the number of different metric names below what the store takes: one report too many would otherwise fail the
// whole batch in which it stands, again and again. Not thread-safe.
class MetricNames {
 public:
  // Starts from the names in the database; from none if they cannot be read.
  explicit MetricNames(Reader* reader);

  // INVALID_ARGUMENT if `rows` would bring more names than there may be, or its run more than one run may.
  absl::Status Check(const MetricRows& rows) const;
  // Counts the names of rows that are written. A report that is refused brings none.
  void Add(const MetricRows& rows);

  static constexpr size_t kMost = 9'000;
  // That no run before had: one whose trainer names a metric anew at every step is to leave others room for theirs.
  static constexpr size_t kMostNewOfRun = 1'000;

 private:
  bool IsAsLast(const MetricRows& rows) const;
  std::vector<std::string> NewNames(const MetricRows& rows) const;

  absl::flat_hash_set<std::string> names_;  // lower case, as the store compares them
  absl::flat_hash_map<RunId, size_t> new_of_run_;
  std::vector<std::string> last_;  // as the last rows that were added named them
};

}  // namespace seedbed
