#include "common/schema/definitions.h"

#include <utility>

namespace seedbed {

ParameterDefinition Integer(std::string name, int64_t default_value, int64_t minimum, int64_t maximum,
                            std::string description) {
  ParameterDefinition definition;
  definition.name = std::move(name);
  definition.type = ParameterType::kInteger;
  definition.default_value = default_value;
  definition.minimum = static_cast<double>(minimum);
  definition.maximum = static_cast<double>(maximum);
  definition.description = std::move(description);
  return definition;
}

ParameterDefinition AtLeast(double minimum, std::string name, double default_value, std::string description) {
  ParameterDefinition definition;
  definition.name = std::move(name);
  definition.type = ParameterType::kNumber;
  definition.default_value = default_value;
  definition.minimum = minimum;
  definition.description = std::move(description);
  return definition;
}

ParameterDefinition Above(double minimum, std::string name, double default_value, std::string description) {
  ParameterDefinition definition = AtLeast(minimum, std::move(name), default_value, std::move(description));
  definition.minimum_is_open = true;
  return definition;
}

ParameterDefinition DecayRate(std::string name, double default_value, std::string description) {
  ParameterDefinition definition = AtLeast(0, std::move(name), default_value, std::move(description));
  definition.maximum = 1.0;
  definition.maximum_is_open = true;
  return definition;
}

ParameterDefinition Boolean(std::string name, bool default_value, std::string description) {
  ParameterDefinition definition;
  definition.name = std::move(name);
  definition.type = ParameterType::kBoolean;
  definition.default_value = default_value;
  definition.description = std::move(description);
  return definition;
}

ParameterDefinition Choice(std::string name, std::vector<std::string> choices, std::string default_value,
                           std::string description) {
  ParameterDefinition definition;
  definition.name = std::move(name);
  definition.type = ParameterType::kString;
  definition.default_value = std::move(default_value);
  definition.choices = std::move(choices);
  definition.description = std::move(description);
  return definition;
}

ParameterDefinition When(std::string parameter, std::vector<std::string> values, ParameterDefinition definition) {
  definition.applies_when = AppliesWhen{std::move(parameter), std::move(values)};
  return definition;
}

ParameterDefinition LeftOutAtDefault(ParameterDefinition definition) {
  definition.left_out_at_default = true;
  return definition;
}

}  // namespace seedbed
