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

// The parameter exists only if `parameter` (defined earlier in the schema) has one of `values` ("true" and "false" for
// a boolean one).
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
  // A configuration names the parameter only where it differs from its default. So it must be for each parameter that
  // a trainer learns later and that applies to configurations that exist already: their identity is the text of their
  // parameters, and it must not change.
  bool left_out_at_default = false;
};

// What several parameters must satisfy together.
struct ParameterRule {
  std::vector<std::string> parameters;  // that it looks at; the first is the one to blame
  // `values` in the order of `parameters`, each checked, nullptr where the parameter does not apply. Returns what is
  // wrong and what to do about it, or nothing. A pure function.
  std::string (*mistake)(const std::vector<const Json*>& values) = nullptr;
};

struct MetricDefinition {
  std::string name;
  bool at_evaluations_only = false;  // present only at steps that are multiples of evaluate_every
  std::string description;           // one line, with the unit or range
  bool at_analyses_only = false;     // present only at steps that are multiples of analyze_every
  bool is_family = false;            // stands for all metrics whose names are `name`, a dot and something
  // Says why it is never measured, for parameters where that is so.
  std::optional<ParameterRule> absent_where;
};

struct TrainerSchema {
  std::string name;
  std::string description;
  std::vector<ParameterDefinition> parameters;  // in the order in which people read them
  std::vector<ParameterRule> rules;
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
// last dot ("learning_rate" for "optimizer.learning_rate"), or its initials ("lr").
std::optional<std::string> NearestParameter(const TrainerSchema& schema, const std::string& name);

// One value checked against its definition and brought to its one form: integers as JSON integers (1e3 is 1000),
// numbers as doubles (1 is 1.0, -0.0 is 0.0). Texts that read as a number or a truth value are taken as such where one
// is expected, so that quoting does not matter ("1e-3" is 0.001). INVALID_ARGUMENT says what was expected.
absl::StatusOr<Json> CheckParameter(const ParameterDefinition& definition, const Json& value);

// Why a run with these parameters (as CompleteParameters returns them) never measures the metric, which must be one of
// the schema's; nothing if it does. Of a family this says nothing: which of its members there are the trainer alone
// knows.
std::string WhyMetricIsAbsent(const TrainerSchema& schema, const std::string& metric, const Json& complete);

// `given` is a flat object of dotted names. Returns all parameters that apply, each checked, defaults filled in.
// INVALID_ARGUMENT names an unknown parameter (with the nearest known one), a wrong value, one that does not apply, or
// a rule that is broken.
absl::StatusOr<Json> CompleteParameters(const TrainerSchema& schema, const Json& given);

// The same without those that are left out at their defaults: the parameters of a configuration, as its identity has
// them. CompleteParameters of them gives all again.
absl::StatusOr<Json> ResolveParameters(const TrainerSchema& schema, const Json& given);

}  // namespace seedbed
