#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace seedbed {

// What one call may take of the coordinator. Tests make these smaller; docs/security.md says what they are.
struct CallLimits {
  int64_t query_rows = 10'000'000;  // beyond them the answer is cut off
  int64_t query_bytes = int64_t{1} << 30;
  // A reader keeps the write-ahead log from shrinking, so none reads for longer, however slowly its rows are taken.
  absl::Duration query_time = absl::Seconds(10);
  absl::Duration log_patience = absl::Seconds(10);  // with a client that does not take the log's next piece
};

}  // namespace seedbed
