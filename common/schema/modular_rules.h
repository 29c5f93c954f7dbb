#pragma once

#include <vector>

#include "common/schema/trainer_schema.h"

namespace seedbed {

// The default of optimizer.grokfast_alpha.
inline constexpr double kGrokfastAlpha = 0.98;

// What the parameters of trainer `modular` must satisfy together.
std::vector<ParameterRule> ModularRules();

// Where metrics of it are absent: those of pairs whose mirror is (or is not) trained on, of the embedding's spectrum,
// of the logits' part in the key frequencies, and of minibatches.
ParameterRule AbsentWithoutMirrors();
ParameterRule AbsentWithoutMirroredPairs();
ParameterRule AbsentWithoutSpectrum();
ParameterRule AbsentButForAddition();
ParameterRule AbsentInFullBatch();

}  // namespace seedbed
