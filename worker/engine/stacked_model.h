#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ATen/ATen.h"
#include "worker/engine/model_layout.h"
#include "worker/engine/run_parameters.h"

// Private to the engine: the reference's models, written once for K replicas on any device. To add one, write a file in
// the manner of stacked_mlp.cc (layout, logits, size) and name its maker in stacked_model.cc; the fast implementation
// can follow later.
namespace seedbed::engine {

class StackedModel {
 public:
  virtual ~StackedModel() = default;
  virtual ModelLayout Layout() const = 0;
  // `parameters` in the order of Layout(), each [K, shape…]; `a` and `b` are int64 symbols [n]. Returns logits [K, n,
  // classes]. Made of differentiable operations only.
  virtual at::Tensor Logits(const std::vector<at::Tensor>& parameters, const at::Tensor& a,
                            const at::Tensor& b) const = 0;
  // As model_layout.h has it.
  virtual double ValuesPerExample() const = 0;
};

// The model that `model.kind` names.
std::unique_ptr<StackedModel> MakeStackedModel(const ModelParameters& model, int64_t symbols, int64_t classes);

std::unique_ptr<StackedModel> MakeStackedMlp(const ModelParameters& model, int64_t symbols, int64_t classes);
std::unique_ptr<StackedModel> MakeStackedResidualMlp(const ModelParameters& model, int64_t symbols, int64_t classes);
std::unique_ptr<StackedModel> MakeStackedTransformer(const ModelParameters& model, int64_t symbols, int64_t classes);

// What models are made of. K is the number of replicas, everywhere the first dimension.

// A model's parameters one after another, in the layout's order.
class ParameterReader {
 public:
  explicit ParameterReader(const std::vector<at::Tensor>& parameters) : next_(parameters.data()) {}
  const at::Tensor& Next() { return *next_++; }

 private:
  const at::Tensor* next_;
};

at::Tensor Activate(Activation activation, const at::Tensor& z);
// table [K, rows, width], index [n] -> [K, n, width]. Its gradient is a product with a matrix of ones and zeros: no
// atomics.
at::Tensor Lookup(const at::Tensor& table, const at::Tensor& index);
// h [K, n, inputs] and the next two parameters, weight [K, outputs, inputs] and bias [K, outputs] -> [K, n, outputs]
at::Tensor Linear(const at::Tensor& h, ParameterReader* parameters);
// Over the last dimension of h [K, n, width], ε = 1e-5; the next two parameters, weight and bias [K, width].
at::Tensor LayerNorm(const at::Tensor& h, ParameterReader* parameters);

}  // namespace seedbed::engine
