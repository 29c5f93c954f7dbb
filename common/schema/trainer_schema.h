#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/json.h"

// What a trainer can be told and what it measures, as data: `plan` checks sweep files against it without loading
// LibTorch, and the engine reads the same tables.
namespace seedbed {

enum class ParameterType { kInteger, kNumber, kBoolean, kString };

// The parameter exists only if `parameter` (defined earlier in the schema) has one of `values`.
struct AppliesWhen {
  std::string parameter;
  std::vector<std::string> values;
};

struct ParameterDefinition {
  std::string name;  // dotted, e.g. "optimizer.learning_rate"
  ParameterType type = ParameterType::kNumber;
  Json default_value;
  // Bounds for integers and numbers; a value must be finite and lie in [minimum, maximum], without an end marked as
  // open.
  std::optional<double> minimum;
  std::optional<double> maximum;
  bool minimum_is_open = false;
  bool maximum_is_open = false;
  std::vector<std::string> choices;  // for strings: the allowed values; empty means any
  std::optional<AppliesWhen> applies_when;
  std::string description;  // one line
};

struct MetricDefinition {
  std::string name;
  bool at_evaluations_only = false;  // present only at steps that are multiples of evaluate_every
  std::string description;           // one line, with the unit or range
  bool at_analyses_only = false;     // present only at steps that are multiples of analyze_every
  bool is_family = false;            // stands for all metrics whose names are `name`, a dot and something
};

struct TrainerSchema {
  std::string name;
  std::string description;
  std::vector<ParameterDefinition> parameters;  // in the order in which people read them
  std::vector<MetricDefinition> metrics;
  std::vector<std::string> outcomes;

  const ParameterDefinition* FindParameter(const std::string& name) const;  // nullptr if unknown
  // The metric of this name, or the family that it belongs to; nullptr if there is neither.
  const MetricDefinition* FindMetric(const std::string& name) const;
};

// The built-in trainers; nullptr if there is none of that name.
const TrainerSchema* FindTrainer(const std::string& name);
std::vector<std::string> TrainerNames();

// The parameter that someone who wrote `name` probably meant: a near spelling of the whole, or else of what follows its
// last dot ("learning_rate" for "optimizer.learning_rate").
std::optional<std::string> NearestParameter(const TrainerSchema& schema, const std::string& name);

// One value checked against its definition and brought to its one form: integers as JSON integers (1e3 is 1000),
// numbers as doubles (1 is 1.0, -0.0 is 0.0). Texts that read as a number or a truth value are taken as such where one
// is expected, so that quoting does not matter ("1e-3" is 0.001). INVALID_ARGUMENT says what was expected.
absl::StatusOr<Json> CheckParameter(const ParameterDefinition& definition, const Json& value);

// `given` is a flat object of dotted names. Returns all parameters that apply, each checked, defaults filled in.
// INVALID_ARGUMENT names an unknown parameter (with the nearest known one), a wrong value, or one that does not apply.
absl::StatusOr<Json> ResolveParameters(const TrainerSchema& schema, const Json& given);

}  // namespace seedbed
