#pragma once

#include "common/schema/trainer_schema.h"

namespace seedbed {

// The trainer `modular`: seedbed-engine's tables. Lives for ever.
const TrainerSchema& ModularTrainerSchema();

}  // namespace seedbed
