#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/run_parameters.h"

namespace seedbed::engine {

struct Example {
  int32_t a = 0;
  int32_t b = 0;
  int32_t label = 0;
};

// A table of modular arithmetic, split into what is trained on and what is tested.
struct Task {
  int32_t symbols = 0;         // a and b lie in {0, …, symbols - 1}
  int32_t classes = 0;         // labels in {0, …, classes - 1}
  std::vector<Example> train;  // in rising order of (a, b)
  std::vector<Example> test;   // in rising order of (a, b)
  // For test[i]: whether (b, a) is trained on. A model that cannot tell (a, b) from (b, a) has then seen the answer.
  std::vector<bool> test_is_mirrored;
};

// Builds the table and splits it. With ordered pairs round(train_fraction · modulus²) of the modulus² pairs are trained
// on; with unordered ones round(train_fraction · modulus·(modulus+1)/2) of the pairs {a, b}, each of them in both
// orders, so that no test pair is mirrored. The split depends on (split_seed, modulus, train_fraction, ordered or not)
// alone: a Fisher-Yates shuffle by Philox. INVALID_ARGUMENT if one side would be empty.
absl::StatusOr<Task> BuildTask(const TaskParameters& parameters);

}  // namespace seedbed::engine
