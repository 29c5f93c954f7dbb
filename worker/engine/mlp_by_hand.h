#pragma once

#include <vector>

#include "worker/engine/learner.h"
#include "worker/engine/optimizer_by_hand.h"

// For tests: the mlp and its gradient written from the formulas in plain loops over doubles, one example at a time. It
// shares with the engine only where tensors lie in the slab.
namespace seedbed::engine {

class MlpByHand {
 public:
  MlpByHand(const Task& task, const ModelParameters& model, const OptimizerParameters& optimizer,
            std::vector<double> parameters, Loss kind_of_loss = Loss::kCrossEntropy);

  // Computes loss, correct, gradient at the current parameters, over these examples.
  void Measure(const std::vector<Example>& examples);
  // Over all training examples.
  void Measure() { Measure(task_.train); }
  void Update() { optimizer_.Update(gradient, &parameters); }
  std::vector<double> Logits(const Example& example) const { return Forward(example).logits; }
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
  // Also the loss's gradient in the logits.
  double LossOf(const Activity& activity, int32_t label, std::vector<double>* logit_gradient, bool* is_correct) const;
  void Backward(const Example& example, const Activity& activity, std::vector<double> logit_gradient);
  double Value(double z) const;
  double Slope(double z) const;
  int64_t At(int64_t tensor) const { return layout_.tensors[static_cast<size_t>(tensor)].offset; }

  const Task task_;
  const ModelParameters model_;
  const ModelLayout layout_;
  const Loss loss_;
  OptimizerByHand optimizer_;
};

}  // namespace seedbed::engine
