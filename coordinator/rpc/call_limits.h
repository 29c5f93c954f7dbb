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
  // With who takes no next piece of a checkpoint: a thread is not kept for longer.
  absl::Duration checkpoint_patience = absl::Seconds(30);
  // With a worker that sends no next piece: what it claims of the disk and of the quota is not kept for longer. A piece
  // has 1 MiB, and may share a slow link with those of other uploads.
  absl::Duration upload_patience = absl::Seconds(60);
  // With who takes nothing of an answer that waits, beside what its bytes need on a slow link: memory is not kept for
  // longer.
  absl::Duration untaken_time = absl::Seconds(10);
  int64_t slow_link = 256 << 10;  // bytes a second
  // Of all answers that wait to be taken, and of those to one token: beyond, new ones are refused.
  int64_t untaken_bytes = int64_t{256} << 20;
  int64_t untaken_bytes_of_caller = int64_t{64} << 20;
};

}  // namespace seedbed
