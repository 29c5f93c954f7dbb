#pragma once

#include <cstdint>
#include <string>

#include "common/base/json.h"
#include "common/schema/run_specification.h"

// For tests.
namespace seedbed::engine {

// A run of a few milliseconds: modulus 7, width 16, one layer; a row at each multiple of 4 and of 10.
inline RunSpecification TinyRun(int64_t steps = 25, const Json& more_parameters = Json::object()) {
  RunSpecification run;
  run.shared.trainer = "modular";
  run.shared.budget.steps = steps;
  run.shared.metrics.log_every = 4;
  run.shared.metrics.evaluate_every = 10;
  run.parameters = {{"task.modulus", 7},
                    {"task.train_fraction", 0.5},
                    {"model.width", 16},
                    {"model.depth", 1},
                    {"optimizer.learning_rate", 0.05}};
  run.parameters.update(more_parameters);
  run.seed = 5;
  return run;
}

}  // namespace seedbed::engine
