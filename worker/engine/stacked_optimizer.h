#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "worker/engine/learner.h"

namespace seedbed::engine {

// Private to the engine: PyTorch's SGD (momentum, coupled L2) and AdamW on stacked [K, …] tensors, each replica with
// its own hyperparameters.
class StackedOptimizer {
 public:
  // `parameters`: [K, …] each; they are updated in place. `replicas`: K entries of one kind.
  StackedOptimizer(std::vector<at::Tensor> parameters, const std::vector<ReplicaSettings>& replicas);
  // `gradients` in the order of the parameters.
  void Step(const std::vector<at::Tensor>& gradients);

  // What it remembers, by the names of OptimizerSlabs; the tensors in the order of the parameters, shared with it.
  std::map<std::string, std::vector<at::Tensor>> Memory() const;
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }

 private:
  // f of each replica's settings as a [K, 1, …] tensor that broadcasts against `like`.
  template <typename F>
  at::Tensor PerReplica(const at::Tensor& like, F f) const;
  void SgdStep(const std::vector<at::Tensor>& gradients);
  void AdamwStep(const std::vector<at::Tensor>& gradients);

  std::vector<at::Tensor> parameters_;
  std::vector<OptimizerParameters> settings_;  // by replica
  std::vector<at::Tensor> first_;              // momentum, or the mean of gradients
  std::vector<at::Tensor> second_;             // kAdamw: the mean of squared gradients
  int64_t updates_ = 0;
};

}  // namespace seedbed::engine
