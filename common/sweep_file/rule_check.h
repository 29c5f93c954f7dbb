#pragma once

#include <vector>

#include "absl/container/flat_hash_set.h"
#include "common/sweep_file/mistakes.h"
#include "common/sweep_file/point_space.h"

namespace seedbed::sweep_file {

// Holds points against the trainer's rules. Points of a sweep share most of their values, so that what was found of
// one combination is remembered. Not thread-safe.
class RuleCheck {
 public:
  RuleCheck(const PointSpace& space, Mistakes* mistakes);

  // `point` is resolved. What is wrong is told once for each combination of values: at the rule's own place, or where
  // the file gives one of its parameters, the one to blame first, or else at `fallback`.
  void Check(const std::vector<ValueNumber>& point, Location fallback);

 private:
  Location PlaceOf(const SlotRule& rule, Location fallback) const;

  const PointSpace& space_;
  Mistakes* const mistakes_;
  std::vector<absl::flat_hash_set<std::vector<ValueNumber>>> checked_;  // by rule
  std::vector<ValueNumber> combination_;
};

}  // namespace seedbed::sweep_file
