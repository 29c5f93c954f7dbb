#include "coordinator/lease_specifications.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/schema/run_specification.h"

namespace seedbed {
namespace {

// One seed of every configuration goes out before the next seed: a cache smaller than the sweep never hits, and a text
// is about half a kilobyte.
constexpr size_t kMostKept = 16384;

}  // namespace

absl::StatusOr<std::string> ComposeSpecification(const std::string& template_json, const std::string& parameters_json,
                                                 int64_t seed) {
  const absl::StatusOr<Json> shared_json = ParseJson(template_json, "the sweep's template");
  const absl::StatusOr<Json> parameters = ParseJson(parameters_json, "the configuration's parameters");
  if (!shared_json.ok()) return absl::DataLossError(std::string(shared_json.status().message()));
  if (!parameters.ok()) return absl::DataLossError(std::string(parameters.status().message()));
  absl::StatusOr<RunTemplate> shared = RunTemplateFromJson(*shared_json);
  if (!shared.ok()) return absl::DataLossError(std::string(shared.status().message()));
  RunSpecification specification;
  specification.shared = *std::move(shared);
  specification.parameters = *parameters;
  specification.seed = seed;
  return CanonicalJson(ToJson(specification));
}

absl::StatusOr<std::string> LeaseSpecifications::Specification(const core::SweepEntry& sweep,
                                                               ConfigurationId configuration, int64_t seed) {
  SEEDBED_ASSIGN_OR_RETURN(const std::string parameters, Parameters(configuration));
  return ComposeSpecification(sweep.template_json, parameters, seed);
}

absl::StatusOr<std::string> LeaseSpecifications::Parameters(ConfigurationId configuration) {
  const auto known = by_configuration_.find(configuration);
  if (known != by_configuration_.end()) {
    recent_.splice(recent_.begin(), recent_, known->second);
    return known->second->second;
  }
  SEEDBED_ASSIGN_OR_RETURN(std::string parameters, reader_->ParametersJson(configuration));
  recent_.emplace_front(configuration, parameters);
  by_configuration_[configuration] = recent_.begin();
  if (recent_.size() > kMostKept) {
    by_configuration_.erase(recent_.back().first);
    recent_.pop_back();
  }
  return parameters;
}

}  // namespace seedbed
