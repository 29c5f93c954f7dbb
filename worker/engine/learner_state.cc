#include "worker/engine/learner_state.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace seedbed::engine {

std::vector<std::string> OptimizerSlabs(const OptimizerParameters& optimizer) {
  std::vector<std::string> names;
  if (optimizer.kind == OptimizerKind::kSgd || optimizer.kind == OptimizerKind::kMuon) names.emplace_back("momentum");
  if (optimizer.kind != OptimizerKind::kSgd) {
    names.emplace_back("mean");
    names.emplace_back("mean_square");
  }
  if (optimizer.grokfast_lambda != 0) names.emplace_back("slow_gradient");
  return names;
}

absl::Status CheckState(const LearnerState& state, const ModelLayout& layout, const OptimizerParameters& optimizer) {
  if (state.updates < 0) return absl::InvalidArgumentError("the state's number of updates is below 0");
  std::vector<std::string> names = OptimizerSlabs(optimizer);
  names.emplace_back("parameters");
  for (const std::string& name : names) {
    const auto slab = state.slabs.find(name);
    if (slab == state.slabs.end()) return absl::InvalidArgumentError(absl::StrCat("the state has no '", name, "'"));
    if (slab->second.size() != static_cast<size_t>(layout.slab_size)) {
      return absl::InvalidArgumentError(absl::StrCat("the state's '", name, "' has ", slab->second.size(),
                                                     " elements; this model has ", layout.slab_size));
    }
  }
  for (const auto& [name, slab] : state.slabs) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("the state has a '", name, "', which this optimiser does not (", absl::StrJoin(names, ", "), ")"));
  }
  return absl::OkStatus();
}

}  // namespace seedbed::engine
