#include "common/schema/run_specification.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"
#include "common/schema/largest_step.h"

namespace seedbed {
namespace {

absl::Status CheckKeys(const Json& json, const std::string& what, const std::vector<std::string>& known) {
  if (!json.is_object()) return absl::InvalidArgumentError(absl::StrCat(what, ": expected an object"));
  for (const auto& [key, value] : json.items()) {
    bool is_known = false;
    for (const std::string& name : known) is_known = is_known || name == key;
    if (is_known) continue;
    const std::optional<std::string> nearest = NearestWord(key, known);
    return absl::InvalidArgumentError(absl::StrCat(what, ": unknown key '", key, "'",
                                                   nearest ? absl::StrCat("; did you mean '", *nearest, "'?") : "",
                                                   " (known: ", absl::StrJoin(known, ", "), ")"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Integer(const Json& json, const std::string& what, int64_t minimum) {
  const bool fits = json.is_number_integer() &&
                    (!json.is_number_unsigned() ||
                     json.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) &&
                    json.get<int64_t>() >= minimum;
  if (!fits) return absl::InvalidArgumentError(absl::StrCat(what, ": expected an integer of at least ", minimum));
  return json.get<int64_t>();
}

absl::StatusOr<int64_t> IntegerAt(const Json& object, const char* key, const std::string& what, int64_t minimum) {
  const auto found = object.find(key);
  if (found == object.end()) return absl::InvalidArgumentError(absl::StrCat(what, ": '", key, "' is missing"));
  return Integer(*found, absl::StrCat(what, ".", key), minimum);
}

// Of what counts updates.
absl::StatusOr<int64_t> StepsAt(const Json& object, const char* key, const std::string& what, int64_t minimum) {
  SEEDBED_ASSIGN_OR_RETURN(const int64_t steps, IntegerAt(object, key, what, minimum));
  if (steps <= kLargestStep) return steps;
  return absl::InvalidArgumentError(absl::StrCat(what, ".", key, ": expected at most ", kLargestStep));
}

absl::StatusOr<Budget> BudgetFromJson(const Json& json) {
  SEEDBED_RETURN_IF_ERROR(CheckKeys(json, "budget", {"steps", "seconds"}));
  Budget budget;
  SEEDBED_ASSIGN_OR_RETURN(budget.steps, StepsAt(json, "steps", "budget", 1));
  const auto seconds = json.find("seconds");
  if (seconds != json.end() && !seconds->is_null()) {
    if (!seconds->is_number() || !std::isfinite(seconds->get<double>()) || seconds->get<double>() <= 0) {
      return absl::InvalidArgumentError("budget.seconds: expected a number above 0, or null");
    }
    budget.seconds = seconds->get<double>();
  }
  return budget;
}

absl::StatusOr<MetricIntervals> MetricIntervalsFromJson(const Json& json) {
  SEEDBED_RETURN_IF_ERROR(CheckKeys(json, "metrics", {"log_every", "evaluate_every", "analyze_every"}));
  MetricIntervals intervals;
  SEEDBED_ASSIGN_OR_RETURN(intervals.log_every, StepsAt(json, "log_every", "metrics", 1));
  SEEDBED_ASSIGN_OR_RETURN(intervals.evaluate_every, StepsAt(json, "evaluate_every", "metrics", 1));
  if (json.contains("analyze_every")) {
    SEEDBED_ASSIGN_OR_RETURN(intervals.analyze_every, StepsAt(json, "analyze_every", "metrics", 0));
  }
  return intervals;
}

const char* ThresholdKey(StopRule::Kind kind, StopRule::Direction direction) {
  const bool at_least = direction == StopRule::Direction::kAtLeast;
  if (kind == StopRule::Kind::kNotReached) return at_least ? "not_at_least" : "not_at_most";
  return at_least ? "at_least" : "at_most";
}

absl::StatusOr<RunTemplate> TemplateFromObject(const Json& json) {
  RunTemplate shared;
  const auto trainer = json.find("trainer");
  if (trainer == json.end() || !trainer->is_string() || trainer->get_ref<const std::string&>().empty()) {
    return absl::InvalidArgumentError("trainer: expected a name");
  }
  shared.trainer = trainer->get<std::string>();
  const auto budget = json.find("budget");
  if (budget == json.end()) return absl::InvalidArgumentError("'budget' is missing");
  SEEDBED_ASSIGN_OR_RETURN(shared.budget, BudgetFromJson(*budget));
  if (const auto stop = json.find("stop"); stop != json.end()) {
    if (!stop->is_array()) return absl::InvalidArgumentError("stop: expected an array of rules");
    for (const Json& rule : *stop) {
      SEEDBED_ASSIGN_OR_RETURN(StopRule read, StopRuleFromJson(rule));
      shared.stop.push_back(std::move(read));
    }
  }
  if (const auto metrics = json.find("metrics"); metrics != json.end()) {
    SEEDBED_ASSIGN_OR_RETURN(shared.metrics, MetricIntervalsFromJson(*metrics));
  }
  return shared;
}

}  // namespace

Json ToJson(const StopRule& rule) {
  if (rule.kind == StopRule::Kind::kNotFinite) return Json{{"not_finite", true}};
  Json json = Json::object();
  json["metric"] = rule.metric;
  json[ThresholdKey(rule.kind, rule.direction)] = JsonNumber(rule.value);
  if (rule.kind == StopRule::Kind::kThreshold) {
    json["held_for"] = rule.held_for;
  } else {
    json["by_step"] = rule.by_step;
  }
  return json;
}

Json ToJson(const RunTemplate& shared) {
  Json stop = Json::array();
  for (const StopRule& rule : shared.stop) stop.push_back(ToJson(rule));
  Json json = Json::object();
  json["trainer"] = shared.trainer;
  json["budget"] = {{"steps", shared.budget.steps},
                    {"seconds", shared.budget.seconds ? Json(*shared.budget.seconds) : Json(nullptr)}};
  json["stop"] = std::move(stop);
  json["metrics"] = {{"log_every", shared.metrics.log_every}, {"evaluate_every", shared.metrics.evaluate_every}};
  if (shared.metrics.analyze_every != 0) json["metrics"]["analyze_every"] = shared.metrics.analyze_every;
  return json;
}

Json ToJson(const RunSpecification& specification) {
  Json json = ToJson(specification.shared);
  json["parameters"] = specification.parameters;
  json["seed"] = specification.seed;
  return json;
}

absl::StatusOr<StopRule> StopRuleFromJson(const Json& json) {
  SEEDBED_RETURN_IF_ERROR(
      CheckKeys(json, "stop rule",
                {"metric", "at_least", "at_most", "held_for", "not_at_least", "not_at_most", "by_step", "not_finite"}));
  StopRule rule;
  if (const auto not_finite = json.find("not_finite"); not_finite != json.end()) {
    if (json.size() != 1 || *not_finite != Json(true)) {
      return absl::InvalidArgumentError("stop rule: expected 'not_finite' alone and true");
    }
    rule.kind = StopRule::Kind::kNotFinite;
    return rule;
  }
  const auto metric = json.find("metric");
  if (metric == json.end() || !metric->is_string() || metric->get_ref<const std::string&>().empty()) {
    return absl::InvalidArgumentError("stop rule: expected the name of a metric at 'metric'");
  }
  rule.metric = metric->get<std::string>();
  int conditions = 0;
  for (const auto kind : {StopRule::Kind::kThreshold, StopRule::Kind::kNotReached}) {
    for (const auto direction : {StopRule::Direction::kAtLeast, StopRule::Direction::kAtMost}) {
      const char* key = ThresholdKey(kind, direction);
      const auto found = json.find(key);
      if (found == json.end()) continue;
      ++conditions;
      rule.kind = kind;
      rule.direction = direction;
      if (!found->is_number() || !std::isfinite(found->get<double>())) {
        return absl::InvalidArgumentError(absl::StrCat("stop rule: expected a finite number at '", key, "'"));
      }
      rule.value = found->get<double>();
    }
  }
  if (conditions != 1) {
    return absl::InvalidArgumentError(
        "stop rule: expected exactly one of at_least, at_most, not_at_least, not_at_most");
  }
  const bool is_threshold = rule.kind == StopRule::Kind::kThreshold;
  if (json.contains(is_threshold ? "by_step" : "held_for")) {
    return absl::InvalidArgumentError(is_threshold ? "stop rule: 'by_step' goes with not_at_least and not_at_most"
                                                   : "stop rule: 'held_for' goes with at_least and at_most");
  }
  if (!is_threshold) {
    SEEDBED_ASSIGN_OR_RETURN(rule.by_step, StepsAt(json, "by_step", "stop rule", 1));
  } else if (json.contains("held_for")) {
    SEEDBED_ASSIGN_OR_RETURN(rule.held_for, StepsAt(json, "held_for", "stop rule", 1));
  }
  return rule;
}

absl::StatusOr<RunTemplate> RunTemplateFromJson(const Json& json) {
  SEEDBED_RETURN_IF_ERROR(CheckKeys(json, "run template", {"trainer", "budget", "stop", "metrics"}));
  return TemplateFromObject(json);
}

absl::StatusOr<RunSpecification> RunSpecificationFromJson(const Json& json) {
  SEEDBED_RETURN_IF_ERROR(
      CheckKeys(json, "specification", {"trainer", "budget", "stop", "metrics", "parameters", "seed"}));
  RunSpecification specification;
  SEEDBED_ASSIGN_OR_RETURN(specification.shared, TemplateFromObject(json));
  const auto parameters = json.find("parameters");
  if (parameters == json.end() || !parameters->is_object()) {
    return absl::InvalidArgumentError("specification: expected an object at 'parameters'");
  }
  specification.parameters = *parameters;
  SEEDBED_ASSIGN_OR_RETURN(specification.seed, IntegerAt(json, "seed", "specification", 0));
  return specification;
}

}  // namespace seedbed
