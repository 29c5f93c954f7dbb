// What a checkpoint says against what a run is: its tensors against a layout, its specification against another.
#include <algorithm>
#include <cstddef>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/schema/modular.h"
#include "worker/engine/checkpoint_file.h"

namespace seedbed::engine {
namespace {

absl::StatusOr<Json> Resolved(const RunSpecification& specification) {
  RunSpecification resolved = specification;
  SEEDBED_ASSIGN_OR_RETURN(resolved.parameters, ResolveParameters(ModularTrainerSchema(), specification.parameters));
  return ToJson(resolved);
}

// "KEY is A, not B" for the first key in which two objects differ; empty if none does.
std::string FirstDifference(const Json& saved, const Json& asked, const std::string& prefix) {
  std::set<std::string> keys;
  for (const auto& [key, value] : saved.items()) keys.insert(key);
  for (const auto& [key, value] : asked.items()) keys.insert(key);
  for (const std::string& key : keys) {
    const Json a = saved.value(key, Json());
    const Json b = asked.value(key, Json());
    if (CanonicalJson(a) == CanonicalJson(b)) continue;
    if (a.is_object() && b.is_object()) return FirstDifference(a, b, absl::StrCat(prefix, key, "."));
    return absl::StrCat(prefix, key, " is ", CanonicalJson(a), " there and ", CanonicalJson(b), " here");
  }
  return "";
}

}  // namespace

std::vector<SavedTensor> TensorsOf(const ModelLayout& layout) {
  std::vector<SavedTensor> tensors;
  for (const TensorLayout& tensor : layout.tensors) tensors.push_back({tensor.name, tensor.shape, tensor.size});
  return tensors;
}

LearnerState WithoutGaps(const ModelLayout& layout, const LearnerState& state) {
  LearnerState dense;
  dense.updates = state.updates;
  for (const auto& [name, slab] : state.slabs) {
    std::vector<double>& values = dense.slabs[name];
    values.reserve(static_cast<size_t>(layout.parameter_count));
    for (const TensorLayout& tensor : layout.tensors) {
      const auto begin = slab.begin() + tensor.offset;
      values.insert(values.end(), begin, begin + tensor.size);
    }
  }
  return dense;
}

absl::StatusOr<LearnerState> WithGaps(const ModelLayout& layout, const std::vector<SavedTensor>& tensors,
                                      const LearnerState& state) {
  bool are_the_same = tensors.size() == layout.tensors.size();
  for (size_t i = 0; are_the_same && i < tensors.size(); ++i) {
    are_the_same = tensors[i].name == layout.tensors[i].name && tensors[i].shape == layout.tensors[i].shape;
  }
  if (!are_the_same) {
    return absl::FailedPreconditionError(
        "its tensors are not those of this run's model: it is of another version of the engine; resume with that one, "
        "or start the run anew");
  }
  LearnerState spaced;
  spaced.updates = state.updates;
  for (const auto& [name, values] : state.slabs) {
    std::vector<double>& slab = spaced.slabs[name];
    slab.resize(static_cast<size_t>(layout.slab_size));
    auto next = values.begin();
    for (const TensorLayout& tensor : layout.tensors) {
      std::copy_n(next, tensor.size, slab.begin() + tensor.offset);
      next += tensor.size;
    }
  }
  return spaced;
}

absl::Status CheckSameSpecification(const RunSpecification& saved, const RunSpecification& asked) {
  const absl::StatusOr<Json> there = Resolved(saved);
  if (!there.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "its specification is not one of this engine: ", there.status().message(), "; start the run anew"));
  }
  SEEDBED_ASSIGN_OR_RETURN(const Json here, Resolved(asked));
  const std::string difference = FirstDifference(*there, here, "");
  if (difference.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("it is of another run: ", difference, "; resume from a checkpoint of this run, or start it anew"));
}

}  // namespace seedbed::engine
