#pragma once

#include <algorithm>
#include <optional>

#include "absl/time/time.h"

namespace seedbed::agent {

// When to speak of a trouble that lasts: at once, and again after pauses that double, so that whoever looks at the end
// of a log finds it there and the log does not grow with it. Times are monotonic. Not thread-safe.
class LastingTrouble {
 public:
  // It is there at `now`. True: say so.
  bool IsDue(absl::Duration now) {
    if (!since_) {
      since_ = now;
      pause_ = kFirstPause;
    } else if (now < next_) {
      return false;
    } else {
      pause_ = std::min(kLongestPause, 2 * pause_);
    }
    next_ = now + pause_;
    return true;
  }
  // It is over: how long it lasted; nullopt if there was none.
  std::optional<absl::Duration> End(absl::Duration now) {
    if (!since_) return std::nullopt;
    const absl::Duration lasted = now - *since_;
    since_.reset();
    return lasted;
  }
  // How long it has lasted; zero if there is none.
  absl::Duration Lasts(absl::Duration now) const { return since_ ? now - *since_ : absl::ZeroDuration(); }

  static constexpr absl::Duration kFirstPause = absl::Seconds(30);
  static constexpr absl::Duration kLongestPause = absl::Minutes(30);

 private:
  std::optional<absl::Duration> since_;
  absl::Duration next_;
  absl::Duration pause_;
};

}  // namespace seedbed::agent
