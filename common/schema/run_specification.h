#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/json.h"

namespace seedbed {

// When a run ends. `steps` counts updates: a budget of N writes rows 0..N.
struct Budget {
  int64_t steps = 0;
  std::optional<double> seconds;  // of training in one attempt, wall time
};

// A condition that ends a run before its budget. Exactly one kind:
//  kThreshold    the metric is at least / at most `value` at `held_for` successive rows that carry it
//  kNotReached   at step `by_step` the metric has never been at least / at most `value`
//  kNotFinite    the training loss is not finite (always in force unless switched off)
struct StopRule {
  enum class Kind { kThreshold, kNotReached, kNotFinite };
  enum class Direction { kAtLeast, kAtMost };
  Kind kind = Kind::kThreshold;
  std::string metric;
  Direction direction = Direction::kAtLeast;
  double value = 0;
  int64_t held_for = 1;  // kThreshold
  int64_t by_step = 0;   // kNotReached
};

// In steps. A row is written at step 0, at each multiple of log_every, evaluate_every or analyze_every, and at the last
// step.
struct MetricIntervals {
  int64_t log_every = 100;
  int64_t evaluate_every = 100;
  int64_t analyze_every = 0;  // of the expensive metrics; 0 means never
};

// What all runs of a sweep share.
struct RunTemplate {
  std::string trainer;
  Budget budget;
  std::vector<StopRule> stop;
  MetricIntervals metrics;
};

// All that decides a run's result. Same specification and same numerics fingerprint: same bits.
struct RunSpecification {
  RunTemplate shared;
  Json parameters;  // flat, dotted names, defaults resolved
  int64_t seed = 0;
};

// JSON forms:
//  template       {"trainer": "modular", "budget": {"steps": N, "seconds": S|null}, "stop": [rule…],
//                  "metrics": {"log_every": N, "evaluate_every": N, "analyze_every": N}}
//                  "analyze_every" is left out where it is 0: what is older than it keeps its text
//  specification  the template's keys, and "parameters": {…}, "seed": N
//  rule           {"metric": M, "at_least"|"at_most": X, "held_for": N} | {"metric": M, "not_at_least"|"not_at_most":
//  X,
//                  "by_step": N} | {"not_finite": true}
Json ToJson(const StopRule& rule);
Json ToJson(const RunTemplate& shared);
Json ToJson(const RunSpecification& specification);
absl::StatusOr<StopRule> StopRuleFromJson(const Json& json);
absl::StatusOr<RunTemplate> RunTemplateFromJson(const Json& json);
absl::StatusOr<RunSpecification> RunSpecificationFromJson(const Json& json);

}  // namespace seedbed
