#pragma once

#include <cstdint>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace seedbed {

// One reading of the time, taken once per command and passed on as a value. Leases are judged by `monotonic` (its
// origin means nothing and it does not survive a restart); `utc` is only written down.
struct Moment {
  absl::Duration monotonic;  // since an arbitrary origin
  absl::Time utc;
  int64_t utc_microseconds() const { return absl::ToUnixMicros(utc); }
};

// Where time enters. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Moment Now() const = 0;
};

class SystemClock final : public Clock {
 public:
  Moment Now() const override;
};

// Stands still until told to move. For tests; not thread-safe.
class FakeClock final : public Clock {
 public:
  FakeClock() : now_{absl::Seconds(1000), absl::FromUnixSeconds(1'700'000'000)} {}
  Moment Now() const override { return now_; }
  void Advance(absl::Duration by) {
    now_.monotonic += by;
    now_.utc += by;
  }

 private:
  Moment now_;
};

}  // namespace seedbed
