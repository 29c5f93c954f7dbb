#pragma once

#include <vector>

#include "worker/engine/learner.h"

// For tests: the mlp, its gradient and its optimisers written from the formulas in plain loops over doubles, one
// example at a time. It shares with the engine only where tensors lie in the slab.
namespace seedbed::engine {

class MlpByHand {
 public:
  MlpByHand(const Task& task, const ModelParameters& model, const OptimizerParameters& optimizer,
            std::vector<double> parameters);

  // Computes loss, correct, gradient at the current parameters.
  void Measure();
  void Update();
  // Over the test examples that are mirrored, or those that are not.
  TestPart Test(bool mirrored) const;

  double loss = 0;
  int64_t correct = 0;
  std::vector<double> parameters;  // as the layout has them
  std::vector<double> gradient;

 private:
  struct Activity {
    std::vector<std::vector<double>> inputs;  // of each hidden layer and of the output layer
    std::vector<std::vector<double>> sums;    // of each hidden layer, before the activation
    std::vector<double> logits;
  };
  Activity Forward(const Example& example) const;
  double LossOf(const Activity& activity, int32_t label, std::vector<double>* probabilities, bool* is_correct) const;
  void Backward(const Example& example, const Activity& activity, std::vector<double> logit_gradient);
  double Value(double z) const;
  double Slope(double z) const;
  int64_t At(int64_t tensor) const { return layout_.tensors[static_cast<size_t>(tensor)].offset; }

  const Task task_;
  const ModelParameters model_;
  const OptimizerParameters optimizer_;
  const ModelLayout layout_;
  std::vector<double> first_, second_;
  int updates_ = 0;
};

}  // namespace seedbed::engine
