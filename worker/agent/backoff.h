#pragma once

#include <algorithm>
#include <functional>

#include "absl/time/time.h"

namespace seedbed::agent {

// How long to wait after the n-th failure in a row: first · 2^(n-1), at most `most`, times a random factor in [0.5, 1),
// so that workers that lost their coordinator together do not come back together.
class Backoff {
 public:
  // `uniform` draws from [0, 1).
  Backoff(absl::Duration first, absl::Duration most, std::function<double()> uniform)
      : first_(first), most_(most), uniform_(std::move(uniform)) {}

  absl::Duration Next() {
    const absl::Duration delay = std::min(most_, first_ * (int64_t{1} << std::min(failures_, 20)));
    ++failures_;
    return delay * (0.5 + 0.5 * uniform_());
  }
  void Reset() { failures_ = 0; }
  int failures() const { return failures_; }

 private:
  absl::Duration first_;
  absl::Duration most_;
  std::function<double()> uniform_;
  int failures_ = 0;
};

}  // namespace seedbed::agent
