#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/schema/trainer_schema.h"

// Shorthand for writing a trainer's tables.
namespace seedbed {

ParameterDefinition Integer(std::string name, int64_t default_value, int64_t minimum, int64_t maximum,
                            std::string description);
ParameterDefinition AtLeast(double minimum, std::string name, double default_value, std::string description);
ParameterDefinition Above(double minimum, std::string name, double default_value, std::string description);
// In [0, 1).
ParameterDefinition DecayRate(std::string name, double default_value, std::string description);
ParameterDefinition Boolean(std::string name, bool default_value, std::string description);
ParameterDefinition Choice(std::string name, std::vector<std::string> choices, std::string default_value,
                           std::string description);

// The definition, with a condition; and one that stands in configurations only where it differs from its default.
ParameterDefinition When(std::string parameter, std::vector<std::string> values, ParameterDefinition definition);
ParameterDefinition LeftOutAtDefault(ParameterDefinition definition);

}  // namespace seedbed
