#include "coordinator/lease_specifications.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/schema/run_specification.h"

namespace seedbed {
namespace {

// One seed of every configuration goes out before the next seed: a cache smaller than the sweep never hits, and a text
// is about half a kilobyte.
constexpr size_t kMostKept = 16384;
constexpr size_t kMostFrames = 1024;
constexpr int64_t kMostReadAhead = 512;

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

absl::StatusOr<const LeaseSpecifications::Frame*> LeaseSpecifications::FrameOf(const core::SweepEntry& sweep) {
  if (frames_.size() > kMostFrames) frames_.clear();
  std::unique_ptr<Frame>& known = frames_[sweep.id];
  if (known != nullptr && known->template_json == sweep.template_json) return known.get();
  const absl::StatusOr<Json> json = ParseJson(sweep.template_json, "the sweep's template");
  if (!json.ok()) return absl::DataLossError(std::string(json.status().message()));
  absl::StatusOr<RunTemplate> shared = RunTemplateFromJson(*json);
  if (!shared.ok()) return absl::DataLossError(std::string(shared.status().message()));
  RunSpecification specification;
  specification.shared = *std::move(shared);
  auto frame = std::make_unique<Frame>();
  frame->template_json = sweep.template_json;
  // Members of canonical JSON stand in the order of their names, each as it would stand alone.
  std::string* piece = &frame->before;
  const Json members = ToJson(specification);
  for (const auto& [name, value] : members.items()) {
    absl::StrAppend(piece, piece == &frame->before && piece->empty() ? "{" : ",", CanonicalJson(name), ":");
    if (name == "parameters") {
      piece = &frame->between;
    } else if (name == "seed") {
      piece = &frame->after;
    } else {
      *piece += CanonicalJson(value);
    }
  }
  *piece += "}";
  known = std::move(frame);
  return known.get();
}

absl::StatusOr<std::string> LeaseSpecifications::Specification(const core::SweepEntry& sweep,
                                                               ConfigurationId configuration, int64_t seed) {
  SEEDBED_ASSIGN_OR_RETURN(const Frame* const frame, FrameOf(sweep));
  SEEDBED_ASSIGN_OR_RETURN(const std::string* const parameters, Parameters(configuration));
  return absl::StrCat(frame->before, *parameters, frame->between, seed, frame->after);
}

absl::StatusOr<const std::string*> LeaseSpecifications::Parameters(ConfigurationId configuration) {
  auto known = by_configuration_.find(configuration);
  if (known == by_configuration_.end()) {
    SEEDBED_RETURN_IF_ERROR(Read(configuration));
    known = by_configuration_.find(configuration);
  } else {
    recent_.splice(recent_.begin(), recent_, known->second);
  }
  if (known == by_configuration_.end()) {
    return absl::NotFoundError(absl::StrCat("there is no configuration ", configuration.value()));
  }
  return &known->second->second;
}

absl::Status LeaseSpecifications::Read(ConfigurationId first) {
  read_ahead_ = first == next_ ? std::min(2 * read_ahead_, kMostReadAhead) : 1;
  next_ = ConfigurationId(first.value() + read_ahead_);
  SEEDBED_ASSIGN_OR_RETURN(std::vector<Entry> entries, reader_->ParametersJson(first, next_));
  // From the back, so that the first is the last used of them.
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (by_configuration_.contains(entry->first)) continue;
    if (!Json::accept(entry->second)) {
      return absl::DataLossError(
          absl::StrCat("the parameters of configuration ", entry->first.value(), " are no JSON"));
    }
    recent_.push_front(std::move(*entry));
    by_configuration_[recent_.front().first] = recent_.begin();
  }
  while (recent_.size() > kMostKept) {
    by_configuration_.erase(recent_.back().first);
    recent_.pop_back();
  }
  return absl::OkStatus();
}

}  // namespace seedbed
