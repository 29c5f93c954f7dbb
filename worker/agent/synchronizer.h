#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>

#include "absl/time/time.h"
#include "worker/agent/backoff.h"

namespace seedbed::agent {

// When to call Synchronize. A call may be held open by the coordinator, and a newer one answers the older: so at most
// two are under way, the second only for news. Answers count in rising order of their numbers. Times are monotonic. Not
// thread-safe.
class Synchronizer {
 public:
  explicit Synchronizer(std::function<double()> uniform)
      : backoff_(absl::Milliseconds(200), absl::Seconds(5), std::move(uniform)) {}

  // There is news: call as soon as allowed. Before the first Want nothing is due.
  void Want() { wanted_ = true; }

  // The next call's time (it may have passed); absent while only an answer can bring the next.
  std::optional<absl::Duration> DueAt() const;

  // Begins a call: its number.
  int64_t Begin(absl::Duration now);

  // False: a newer call's answer was seen before, so this one means nothing any more.
  bool Answered(int64_t number, absl::Duration next_call_after, absl::Duration lease_duration, absl::Duration now);
  // True if it matters: no newer call is under way. Then the next waits, with jitter.
  bool Failed(int64_t number, absl::Duration now);

  // No answer has renewed the leases within their duration, so they may have expired, and reports under their fences
  // would be refused although the coordinator may restore them.
  bool LeasesInDoubt(absl::Duration now) const;

  bool ever_answered() const { return ever_answered_; }
  int failures() const { return backoff_.failures(); }
  // How long a call may take: beyond any time for which a coordinator holds one.
  absl::Duration timeout() const { return lease_duration_; }

 private:
  // Between the beginnings of two calls, so that many ends at once make one call.
  static constexpr absl::Duration kLeastInterval = absl::Milliseconds(10);

  struct Call {
    int64_t number;
    absl::Duration begun;
    friend bool operator<(const Call& a, const Call& b) { return a.number < b.number; }
  };

  Backoff backoff_;
  bool wanted_ = false;
  bool ever_answered_ = false;
  int64_t last_number_ = 0;
  int64_t answered_number_ = 0;
  std::set<Call> under_way_;
  absl::Duration last_begun_ = -absl::InfiniteDuration();
  absl::Duration not_before_ = -absl::InfiniteDuration();  // after failures
  absl::Duration renewed_at_ = -absl::InfiniteDuration();  // when the newest answered call began
  absl::Duration next_call_ = absl::InfiniteDuration();
  absl::Duration lease_duration_ = absl::Seconds(15);
};

}  // namespace seedbed::agent
