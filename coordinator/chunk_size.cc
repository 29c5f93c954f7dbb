#include "coordinator/chunk_size.h"

#include <algorithm>

namespace seedbed {
namespace {

constexpr absl::Duration kLong = absl::Milliseconds(150);
constexpr absl::Duration kShort = absl::Milliseconds(50);
// Twice as many runs in less than 4/3 of the time: what a chunk costs does not come from its runs.
constexpr double kClearlyBetter = 1.5;

}  // namespace

ChunkSize::ChunkSize(int64_t first, int64_t most) : most_(most), runs_(std::min(first, most)) {}

void ChunkSize::Took(absl::Duration time) {
  const double rate = static_cast<double>(runs_) / std::max(absl::ToDoubleSeconds(time), 1e-9);
  const bool growing_paid = previous_runs_ > 0 && previous_runs_ < runs_ && rate > kClearlyBetter * previous_rate_;
  const bool shrinking_cost = previous_runs_ > runs_ && previous_rate_ > kClearlyBetter * rate;
  int64_t next = runs_;
  if (time < kShort || (time > kLong && (growing_paid || shrinking_cost))) {
    next = runs_ * 2;
  } else if (time > kLong) {
    next = runs_ / 2;
  }
  previous_runs_ = runs_;
  previous_rate_ = rate;
  runs_ = std::clamp<int64_t>(next, 1, most_);
}

}  // namespace seedbed
