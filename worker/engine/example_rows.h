#pragma once

#include <cstdint>
#include <vector>

#include "worker/engine/task.h"

namespace seedbed::engine {

// A task as rows that a model can be run on, each of which counts as often as it stands for an example.
struct ExampleRows {
  struct Row {
    int32_t a = 0;
    int32_t b = 0;
    int32_t label = 0;
    int32_t train_weight = 0;     // training examples that it stands for
    int32_t mirrored_weight = 0;  // tested ones whose mirror is trained on
    int32_t unseen_weight = 0;    // the other tested ones
  };
  std::vector<Row> trained;      // train_weight >= 1; they may stand for tested examples too
  std::vector<Row> tested_only;  // train_weight == 0
  int32_t train_examples = 0;    // sums of the weights, over both lists
  int32_t mirrored_examples = 0;
  int32_t unseen_examples = 0;
};

// As a model with f(a, b) = f(b, a) sees it: examples that differ only in the order of a and b are one row, with a <=
// b. At modulus 97 and train fraction 0.2, 1,696 rows stand for 1,882 training examples and 3,057 more for the 7,527
// tested ones. Rows whose labels differ (noise, operations that do not commute) stay apart.
ExampleRows MergeMirrored(const Task& task);

// As a model that tells the two orders apart sees it: a row for each example, in the task's order.
ExampleRows KeepOrder(const Task& task);

}  // namespace seedbed::engine
