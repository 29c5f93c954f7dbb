#pragma once

#include <memory>
#include <vector>

#include "ATen/ATen.h"
#include "worker/engine/model_layout.h"
#include "worker/engine/run_parameters.h"

// Private to the engine: the reference's models, written once for K replicas on any device. To add one, write its
// layout, this class and a line in MakeStackedModel; the fast implementation can follow later.
namespace seedbed::engine {

class StackedModel {
 public:
  virtual ~StackedModel() = default;
  virtual ModelLayout Layout() const = 0;
  // `parameters` in the order of Layout(), each [K, shape…]; `a` and `b` are int64 symbols [n]. Returns logits [K, n,
  // classes]. Made of differentiable operations only.
  virtual at::Tensor Logits(const std::vector<at::Tensor>& parameters, const at::Tensor& a,
                            const at::Tensor& b) const = 0;
};

std::unique_ptr<StackedModel> MakeStackedModel(const ModelParameters& model, int64_t symbols, int64_t classes);

}  // namespace seedbed::engine
