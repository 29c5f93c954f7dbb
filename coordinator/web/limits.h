#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace seedbed {

// What clients may take of the dashboard. Tests make these smaller; docs/security.md says what they are.
struct WebLimits {
  int threads = 6;                           // that answer; none is held by a connection that says nothing
  size_t connections = 256;                  // further ones are closed
  absl::Duration idle = absl::Seconds(15);   // without a request
  absl::Duration head = absl::Seconds(10);   // from a request's first byte to its last, the TLS handshake included
  absl::Duration write = absl::Seconds(30);  // for a client to take an answer
  size_t head_bytes = 16 << 10;
  size_t target_bytes = 8 << 10;  // of a request's address
  size_t sessions = 1000;         // beyond them the oldest ends
  absl::Duration session_age = absl::Hours(12);
  absl::Duration query_time = absl::Seconds(10);
  int64_t query_rows = 10'000;  // beyond them the answer is cut off
  int64_t query_bytes = 16 << 20;
  int queries = 2;  // at once; further ones are refused
  int64_t list_rows = 2'000;
  size_t curve_points = 2'000;  // of one metric
};

}  // namespace seedbed
