#include "common/schema/trainer_schema.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"
#include "common/schema/modular.h"
#include "common/schema/number_text.h"
#include "common/schema/shown_text.h"

namespace seedbed {
namespace {

std::string Shown(const Json& value) {
  return ShownText(value.is_string() ? value.get<std::string>() : CanonicalJson(value));
}

std::string ShownBound(double bound) {
  return CanonicalJson(WholeNumber(bound) ? Json(*WholeNumber(bound)) : Json(bound));
}

// "a number in (0, 1]", "an integer of at least 2"
std::string Expectation(const ParameterDefinition& definition) {
  if (definition.type == ParameterType::kBoolean) return "true or false";
  if (definition.type == ParameterType::kString) {
    if (definition.choices.empty()) return "a text";
    return absl::StrCat("one of ", absl::StrJoin(definition.choices, ", "));
  }
  const std::string kind = definition.type == ParameterType::kInteger ? "an integer" : "a number";
  if (definition.minimum && definition.maximum) {
    return absl::StrCat(kind, " in ", definition.minimum_is_open ? "(" : "[", ShownBound(*definition.minimum), ", ",
                        ShownBound(*definition.maximum), definition.maximum_is_open ? ")" : "]");
  }
  if (definition.minimum) {
    return absl::StrCat(kind, definition.minimum_is_open ? " above " : " of at least ",
                        ShownBound(*definition.minimum));
  }
  if (definition.maximum) {
    return absl::StrCat(kind, definition.maximum_is_open ? " below " : " of at most ", ShownBound(*definition.maximum));
  }
  return kind;
}

bool IsWithinBounds(const ParameterDefinition& definition, double value) {
  if (definition.minimum) {
    if (value < *definition.minimum || (definition.minimum_is_open && value == *definition.minimum)) return false;
  }
  if (definition.maximum) {
    if (value > *definition.maximum || (definition.maximum_is_open && value == *definition.maximum)) return false;
  }
  return true;
}

std::optional<NumberText> ReadNumber(const Json& value) {
  if (value.is_string()) return ReadNumberText(value.get_ref<const std::string&>());
  if (!value.is_number()) return std::nullopt;
  NumberText number;
  number.value = value.get<double>();
  if (value.is_number_float()) {
    number.integer = WholeNumber(number.value);
  } else if (!value.is_number_unsigned() ||
             value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    number.integer = value.get<int64_t>();
  }
  return number;
}

std::optional<bool> ReadBoolean(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  return std::nullopt;
}

std::string TextOf(const Json& value) {
  return value.is_string() ? value.get<std::string>() : CanonicalJson(value);
}

bool Applies(const ParameterDefinition& definition, const Json& resolved) {
  if (!definition.applies_when) return true;
  const auto found = resolved.find(definition.applies_when->parameter);
  if (found == resolved.end()) return false;
  const std::vector<std::string>& values = definition.applies_when->values;
  return std::find(values.begin(), values.end(), TextOf(*found)) != values.end();
}

// "lr" of "learning_rate".
std::string Initials(const std::string& words) {
  std::string initials;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i == 0 || words[i - 1] == '_') initials += words[i];
  }
  return initials;
}

absl::Status UnknownParameter(const TrainerSchema& schema, const std::string& name) {
  const std::optional<std::string> nearest = NearestParameter(schema, name);
  return absl::InvalidArgumentError(absl::StrCat("trainer ", schema.name, " has no parameter ", ShownText(name),
                                                 nearest ? absl::StrCat("; did you mean '", *nearest, "'?") : ""));
}

std::string MistakeBy(const ParameterRule& rule, const Json& complete) {
  std::vector<const Json*> values;
  for (const std::string& name : rule.parameters) {
    const auto found = complete.find(name);
    values.push_back(found == complete.end() ? nullptr : &*found);
  }
  return rule.mistake(values);
}

absl::Status CheckRules(const TrainerSchema& schema, const Json& complete) {
  for (const ParameterRule& rule : schema.rules) {
    const std::string mistake = MistakeBy(rule, complete);
    if (!mistake.empty()) return absl::InvalidArgumentError(mistake);
  }
  return absl::OkStatus();
}

}  // namespace

const ParameterDefinition* TrainerSchema::FindParameter(const std::string& name) const {
  const auto found = std::find_if(parameters.begin(), parameters.end(), [&](const auto& p) { return p.name == name; });
  return found == parameters.end() ? nullptr : &*found;
}

const MetricDefinition* TrainerSchema::FindMetric(const std::string& name) const {
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const MetricDefinition& metric) {
    if (!metric.is_family) return metric.name == name;
    const std::string prefix = metric.name + ".";
    return name.size() > prefix.size() && name.compare(0, prefix.size(), prefix) == 0;
  });
  return found == metrics.end() ? nullptr : &*found;
}

std::optional<std::string> NearestParameter(const TrainerSchema& schema, const std::string& name) {
  std::vector<std::string> known;
  std::vector<std::string> last_parts;
  for (const ParameterDefinition& definition : schema.parameters) {
    known.push_back(definition.name);
    last_parts.push_back(definition.name.substr(definition.name.rfind('.') + 1));
  }
  const std::string wanted = name.substr(name.rfind('.') + 1);
  // First: a long group makes every parameter of it near, "optimizer.kind" to "optimizer.lr" too.
  for (size_t i = 0; i < known.size(); ++i) {
    if (wanted.size() > 1 && wanted == Initials(last_parts[i])) return known[i];
  }
  if (std::optional<std::string> nearest = NearestWord(name, known)) return nearest;
  const std::optional<std::string> last_part = NearestWord(wanted, last_parts);
  if (!last_part) return std::nullopt;
  return known[std::find(last_parts.begin(), last_parts.end(), *last_part) - last_parts.begin()];
}

const TrainerSchema* FindTrainer(const std::string& name) {
  const TrainerSchema& modular = ModularTrainerSchema();
  return name == modular.name ? &modular : nullptr;
}

std::vector<std::string> TrainerNames() {
  return {ModularTrainerSchema().name};
}

absl::StatusOr<Json> CheckParameter(const ParameterDefinition& definition, const Json& value) {
  const auto refuse = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("expected ", Expectation(definition), " for ", definition.name, ", got ", Shown(value)));
  };
  switch (definition.type) {
    case ParameterType::kBoolean: {
      const std::optional<bool> read = ReadBoolean(value);
      if (!read) return refuse();
      return Json(*read);
    }
    case ParameterType::kString: {
      if (!value.is_string()) return refuse();
      const auto& text = value.get_ref<const std::string&>();
      const std::vector<std::string>& choices = definition.choices;
      if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end()) return refuse();
      return value;
    }
    case ParameterType::kInteger: {
      const std::optional<NumberText> number = ReadNumber(value);
      if (!number || !number->integer || !IsWithinBounds(definition, static_cast<double>(*number->integer))) {
        return refuse();
      }
      return Json(*number->integer);
    }
    case ParameterType::kNumber: {
      const std::optional<NumberText> number = ReadNumber(value);
      if (number && !std::isfinite(number->value)) {
        return absl::InvalidArgumentError(
            absl::StrCat("expected a finite number for ", definition.name, ", got ", Shown(value)));
      }
      if (!number || !IsWithinBounds(definition, number->value)) return refuse();
      return JsonNumber(number->value);
    }
  }
  return absl::InternalError("a parameter definition has a type that does not exist");
}

std::string WhyMetricIsAbsent(const TrainerSchema& schema, const std::string& metric, const Json& complete) {
  const MetricDefinition* definition = schema.FindMetric(metric);
  if (definition == nullptr || !definition->absent_where) return "";
  return MistakeBy(*definition->absent_where, complete);
}

absl::StatusOr<Json> CompleteParameters(const TrainerSchema& schema, const Json& given) {
  if (!given.is_object()) return absl::InvalidArgumentError("expected an object of parameters");
  for (const auto& [name, value] : given.items()) {
    if (schema.FindParameter(name) == nullptr) return UnknownParameter(schema, name);
  }
  Json complete = Json::object();
  for (const ParameterDefinition& definition : schema.parameters) {
    const auto found = given.find(definition.name);
    if (!Applies(definition, complete)) {
      if (found == given.end()) continue;
      return absl::InvalidArgumentError(absl::StrCat(definition.name, " applies only when ",
                                                     definition.applies_when->parameter, " is ",
                                                     absl::StrJoin(definition.applies_when->values, " or ")));
    }
    SEEDBED_ASSIGN_OR_RETURN(complete[definition.name],
                             CheckParameter(definition, found == given.end() ? definition.default_value : *found));
  }
  SEEDBED_RETURN_IF_ERROR(CheckRules(schema, complete));
  return complete;
}

absl::StatusOr<Json> ResolveParameters(const TrainerSchema& schema, const Json& given) {
  SEEDBED_ASSIGN_OR_RETURN(Json resolved, CompleteParameters(schema, given));
  for (const ParameterDefinition& definition : schema.parameters) {
    if (!definition.left_out_at_default) continue;
    const auto found = resolved.find(definition.name);
    if (found != resolved.end() && *found == definition.default_value) resolved.erase(found);
  }
  return resolved;
}

}  // namespace seedbed
