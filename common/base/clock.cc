#include "common/base/clock.h"

#include <chrono>

namespace seedbed {

Moment SystemClock::Now() const {
  return {absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch()), absl::Now()};
}

}  // namespace seedbed
