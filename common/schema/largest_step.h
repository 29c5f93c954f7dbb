#pragma once

#include <cstdint>

namespace seedbed {

// Of budgets, rows, checkpoints and whatever else counts updates: a number that JSON and doubles hold exactly, and that
// sums of some thousands still fit beside.
constexpr int64_t kLargestStep = int64_t{1} << 53;

constexpr bool IsStep(int64_t value) {
  return value >= 0 && value <= kLargestStep;
}

}  // namespace seedbed
