#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "worker/engine/run_parameters.h"
#include "worker/engine/task.h"

// Measures of a model's answers, from logits that somebody else computes. No torch, no state between calls.
namespace seedbed::engine {

// Row-major [examples, classes].
using LogitsFunction = std::function<std::vector<double>(const std::vector<Example>&)>;

// Calls `visit` with each example and its logits [classes], in order; asks for the logits of so many examples at once
// that they take a few megabytes.
void ForEachLogits(const std::vector<Example>& examples, int64_t classes, const LogitsFunction& logits,
                   const std::function<void(const Example&, const double*)>& visit);

// The loss of one example: cross-entropy in nats, or the mean square of logits − one-hot label.
double LossOf(Loss loss, const double* logits, int64_t classes, int32_t label);

// The margin of an example: its label's logit less the largest other one; positive where it is answered correctly.
struct MarginMeter {
  void Add(const Example& example, const double* logits, int64_t classes);
  double mean() const { return sum / static_cast<double>(examples); }

  double sum = 0;
  double smallest = std::numeric_limits<double>::infinity();
  int64_t examples = 0;
};

// How much of what a model answers to (a + b) mod p is made of few frequencies: the progress measures of Nanda, Chan,
// Lieberum, Smith and Steinhardt, "Progress measures for grokking via mechanistic interpretability" (ICLR 2023, section
// 5.1). With w_k = 2πk/p, the component of the logits L(a, b) in the key frequencies K is
//   C(a, b) = Σ_{k∈K} α_k cos(w_k(a+b)) + β_k sin(w_k(a+b)),
// α_k = 2/p² · Σ_{a,b} L(a, b) cos(w_k(a+b)), β_k likewise with the sine (1/p² where 2k = p): the orthogonal projection
// over all p² pairs, class by class. The restricted logits are the mean of L over all pairs, plus C; the excluded ones
// L − C. A function of a + b mod p alone, C takes one pass over the pairs and a table of p rows.
class SumComponents {
 public:
  SumComponents(int64_t modulus, int64_t classes);

  // To be called once with each of the p² pairs.
  void Add(const Example& example, const double* logits);

  // C as a row [classes] for each a + b mod p. Frequencies in 1 … ⌊p/2⌋, each once.
  std::vector<double> Component(const std::vector<int64_t>& frequencies) const;
  // The mean of the logits over all pairs, [classes].
  std::vector<double> Mean() const;

 private:
  const int64_t modulus_;
  const int64_t classes_;
  std::vector<double> sums_;  // of the logits of the pairs with a + b = s (mod p), [modulus, classes]
};

// The mean loss over the task's training and test examples, of restricted logits: `component` as Component returns it.
double RestrictedLoss(const Task& task, Loss loss, const std::vector<double>& mean,
                      const std::vector<double>& component);

// The mean loss over the training examples, of excluded logits.
double ExcludedLoss(const Task& task, Loss loss, const std::vector<double>& component, const LogitsFunction& logits);

}  // namespace seedbed::engine
