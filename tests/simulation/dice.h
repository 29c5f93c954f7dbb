#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "common/base/philox.h"

namespace seedbed::simulation {

// Chance, as a pure function of the simulation's seed. Every part of a simulation draws from a stream of its own.
class Dice {
 public:
  enum Stream : uint64_t { kScenario = 1, kNetwork, kDisk, kCoordinator, kFaults, kPeople, kFirstWorker };

  Dice(uint64_t seed, uint64_t stream) : stream_(seed, stream) {}

  uint64_t Below(uint64_t bound) { return stream_.NextBelow(bound); }
  int64_t Between(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(Below(static_cast<uint64_t>(most - least) + 1));
  }
  bool Chance(double probability) { return probability > 0 && stream_.NextUniform() < probability; }
  absl::Duration Time(absl::Duration least, absl::Duration most) {
    return absl::Microseconds(Between(absl::ToInt64Microseconds(least), absl::ToInt64Microseconds(most)));
  }

 private:
  PhiloxStream stream_;
};

}  // namespace seedbed::simulation
