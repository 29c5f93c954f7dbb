#pragma once

#include <cstdint>
#include <vector>

#include "worker/engine/model_layout.h"
#include "worker/engine/run_parameters.h"

// For tests: the optimisers written from their formulas in plain loops over doubles, one tensor after another. It
// shares with the engine only where tensors lie in the slab.
namespace seedbed::engine {

class OptimizerByHand {
 public:
  OptimizerByHand(const OptimizerParameters& optimizer, ModelLayout layout);

  // One update of `parameters` by the loss's `gradient`, both slabs of the layout.
  void Update(std::vector<double> gradient, std::vector<double>* parameters);

 private:
  double LearningRate() const;
  void UpdateTensor(const TensorLayout& tensor, const std::vector<double>& gradient, std::vector<double>* parameters);
  void UpdateMatrix(const TensorLayout& tensor, const std::vector<double>& gradient, std::vector<double>* parameters);

  const OptimizerParameters optimizer_;
  const ModelLayout layout_;
  std::vector<double> momentum_, mean_, mean_square_, slow_;
  int64_t updates_ = 0;  // this one included
};

// Muon's five steps on a row-major matrix.
std::vector<double> NewtonSchulzByHand(const std::vector<double>& matrix, int64_t rows, int64_t columns);

}  // namespace seedbed::engine
