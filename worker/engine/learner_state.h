#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/engine/model_layout.h"
#include "worker/engine/run_parameters.h"

namespace seedbed::engine {

// What a replica's further training depends on beside its settings. Random draws need nothing of their own: they are
// functions of (seed, updates).
struct LearnerState {
  int64_t updates = 0;
  // As the layout has them, with zeros between tensors; in double, which holds either precision exactly. "parameters"
  // and what OptimizerSlabs names.
  std::map<std::string, std::vector<double>> slabs;
};

// The optimiser's slabs: "momentum" (sgd, muon), "mean" and "mean_square" (of gradients; adam, adamw, muon), and
// "slow_gradient" with Grokfast.
std::vector<std::string> OptimizerSlabs(const OptimizerParameters& optimizer);

// INVALID_ARGUMENT, naming the slab, unless `state` has a count of updates of at least 0, "parameters" and the
// optimiser's slabs, no others, and each is of the layout's size.
absl::Status CheckState(const LearnerState& state, const ModelLayout& layout, const OptimizerParameters& optimizer);

}  // namespace seedbed::engine
