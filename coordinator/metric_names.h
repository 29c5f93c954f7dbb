#pragma once

#include <string>
#include <vector>

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

  // INVALID_ARGUMENT if `rows` would bring more names than there may be; otherwise remembers them.
  absl::Status Admit(const MetricRows& rows);

  static constexpr size_t kMost = 9'000;

 private:
  absl::flat_hash_set<std::string> names_;  // lower case, as the store compares them
  std::vector<std::string> last_;           // as the last report that was admitted named them
};

}  // namespace seedbed
