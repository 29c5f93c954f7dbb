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

// A table of an operation on symbols, split into what is trained on and what is tested.
struct Task {
  int32_t symbols = 0;         // a and b lie in {0, …, symbols - 1}
  int32_t classes = 0;         // labels in {0, …, classes - 1}
  std::vector<Example> train;  // in rising order of (a, b); some labels may be noise
  std::vector<Example> test;   // in rising order of (a, b); labels are right
  // Whether (a, b) and (b, a) have the same answer: the operation commutes. Only then is it of interest whether the
  // mirror of a test pair is trained on.
  bool has_mirrors = true;
  // For test[i]: whether (b, a) is trained on. A model that cannot tell (a, b) from (b, a) has then seen the answer.
  // False where has_mirrors is.
  std::vector<bool> test_is_mirrored;
};

// Symbols, and classes, of the task: its modulus, or 120 for operations on permutations of five things, numbered as
// task_answers.h says.
int32_t SymbolCount(const TaskParameters& parameters);

// Builds the table and splits it.
//  - With ordered pairs round(train_fraction · n) of the n pairs that the operation has (modular_operations.h) are
//    trained on. With unordered ones round(train_fraction · n) of the n pairs {a, b}, each of them in both orders, so
//    that no test pair is mirrored. The split depends on (split_seed, train_fraction, which pairs there are) alone: a
//    Fisher-Yates shuffle by Philox.
//  - round(label_noise · m) of the m pairs trained on (with unordered ones: pairs {a, b}, both orders alike) get
//  another
//    label, uniform over the classes - 1 wrong ones. Which, and what label, is a function of the split and split_seed;
//    more noise keeps what less noise does.
// INVALID_ARGUMENT as the rules of trainer `modular` have it: no such operation, a modulus that is not prime for one
// that divides, unordered pairs for one that does not commute, nothing to train on or to test.
absl::StatusOr<Task> BuildTask(const TaskParameters& parameters);

}  // namespace seedbed::engine
