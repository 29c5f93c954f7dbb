#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "worker/engine/elementwise.h"
#include "worker/engine/fast_parts.h"
#include "worker/engine/model_layout.h"

namespace seedbed::engine {

// The optimisers of stacked_optimizer.h, whose header has their formulas, for one replica on slabs: Grokfast, ⊥Grad and
// clipping, then SGD, Adam or AdamW at the scheduled learning rate. Not Muon.
template <typename T>
class SlabOptimizer {
 public:
  static bool Supports(const OptimizerParameters& settings) { return settings.kind != OptimizerKind::kMuon; }

  SlabOptimizer(const OptimizerParameters& settings, const ModelLayout& layout);

  // One update of `parameters`, a slab as the layout has it; `gradient` is left as it is.
  void Step(const T* gradient, T* parameters);

  // Updates made: with Slabs, all of the state.
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  // The slabs in use, by the names that checkpoints have: "momentum"; "mean", "mean_square"; "slow_gradient".
  std::vector<std::pair<std::string, T*>> Slabs() const;

 private:
  // The gradient after Grokfast and ⊥Grad.
  const T* Filter(const T* gradient, const T* parameters);
  double ClippingFactor(const T* gradient) const;
  void AdamStep(const T* gradient, double gradient_scale, T* parameters);

  const ElementwiseKernels<T>& kernels_;
  const OptimizerParameters settings_;
  const std::vector<TensorLayout> tensors_;
  const int64_t size_;
  int64_t updates_ = 0;
  Buffer<T> momentum_;
  Buffer<T> mean_, mean_square_;
  Buffer<T> slow_;
  Buffer<T> filtered_;
};

}  // namespace seedbed::engine
