#pragma once

#include <chrono>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"

namespace seedbed {

// What one connection may hold of SQLite's memory, and until when it may ask for more. Preparing a statement can take
// exponential time and memory (a common table expression that names another one twice, and so on), and the progress
// handler is called only while one runs.
struct AllocationLimit {
  int64_t most_bytes = std::numeric_limits<int64_t>::max();
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  int64_t bytes = 0;  // what was allocated under it, less what was freed
  int64_t requests = 0;
  enum class Refused { kNothing, kMemory, kTime };
  Refused refused = Refused::kNothing;  // the last request that got nothing; SQLite then reports SQLITE_NOMEM
};

// Until its end, SQLite gets memory on this thread only as `limit` (nullptr: none) allows. Other threads do not notice.
class AllocationScope {
 public:
  explicit AllocationScope(AllocationLimit* limit);
  ~AllocationScope();
  AllocationScope(const AllocationScope&) = delete;
  AllocationScope& operator=(const AllocationScope&) = delete;

 private:
  AllocationLimit* const outer_;
};

// Has SQLite ask here for memory in the whole process; must come before its first use. Thread-safe, may be repeated.
absl::Status LimitAllocations();

}  // namespace seedbed
