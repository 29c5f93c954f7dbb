#pragma once

#include <vector>

#include "common/schema/trainer_schema.h"

namespace seedbed {

// What the parameters of trainer `modular` must satisfy together.
std::vector<ParameterRule> ModularRules();

}  // namespace seedbed
