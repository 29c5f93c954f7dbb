#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "worker/engine/elementwise.h"
#include "worker/engine/example_rows.h"
#include "worker/engine/fast_optimizer.h"
#include "worker/engine/fast_parts.h"
#include "worker/engine/learner.h"
#include "worker/engine/matrix_product.h"

namespace seedbed::engine {

// What the hand-written learners share: one replica's slabs, softmax and loss, measures, evaluation in blocks of rows.
// A model adds its passes; only the matrix products in them are the library's. T is float or double.
template <typename T>
class FastLearner : public Learner {
 public:
  int replicas() const final { return 1; }
  const ModelLayout& layout() const final { return layout_; }

  std::vector<TrainMeasure> Forward() final;
  void Update() final { optimizer_.Step(gradient_.get(), parameters_.get()); }
  std::vector<TestMeasure> Evaluate() final;
  std::vector<double> GradientNorms() final;
  std::vector<double> ParameterRms() final;
  std::vector<double> Logits(int replica, const std::vector<Example>& examples) final;
  std::vector<double> Parameters(int replica) const final;
  std::vector<double> Gradient(int replica) const final;
  LearnerState State(int replica) const final;
  absl::Status Restore(int replica, const LearnerState& state) final;

 protected:
  static constexpr int64_t kEvaluationRows = 512;  // at once, so that what is between two products stays near

  FastLearner(ModelLayout layout, const Task& task, ExampleRows rows, const ReplicaSettings& replica);

  // What depends on one symbol alone, at the current parameters. The results stay until the next call.
  virtual void ForwardSymbols() = 0;
  // Then the logits of all training rows, without the output's bias.
  virtual void ForwardTraining() = 0;
  // Then the same for up to kEvaluationRows other pairs, into tested_logits_, touching nothing that Backward needs.
  // `products` is what TestedProducts made for as many rows.
  virtual void ForwardTested(PairRows pairs, std::vector<MatrixProduct<T>>* products) = 0;
  virtual std::vector<MatrixProduct<T>> TestedProducts(int64_t rows) = 0;

  // Where tensors of the layout lie. The name must be there.
  const TensorLayout& Tensor(const std::string& name) const;
  T* ParameterAt(const std::string& name) const { return parameters_.get() + Tensor(name).offset; }
  T* GradientAt(const std::string& name) const { return gradient_.get() + Tensor(name).offset; }
  MatrixView<T> ParameterMatrix(const std::string& name) const { return Matrix(parameters_, name); }
  MatrixView<T> GradientMatrix(const std::string& name) const { return Matrix(gradient_, name); }
  MatrixView<T> LogitMatrix() const { return {logits_.get(), rows_, classes_}; }
  MatrixView<T> TestedLogitMatrix(int64_t rows) const { return {tested_logits_.get(), rows, classes_}; }

  const ElementwiseKernels<T>& kernels_;
  const ModelLayout layout_;
  const int64_t symbols_;
  const int64_t classes_;
  const RowArrays train_;
  const RowArrays tested_;
  const int64_t rows_;         // of train_
  const int64_t tested_rows_;  // the most of one block of an evaluation
  Buffer<T> parameters_;       // slabs, as layout_ has them
  Buffer<T> gradient_;
  Buffer<T> logits_;         // [rows, classes]; the gradient of the loss in them after Forward
  Buffer<T> tested_logits_;  // [tested_rows_, classes]

 private:
  MatrixView<T> Matrix(const Buffer<T>& slab, const std::string& name) const;
  void ForwardBlock(PairRows pairs);
  std::vector<double> Slab(const T* slab) const;
  void SetSlab(const std::vector<double>& values, T* slab) const;

  const OptimizerParameters settings_;
  SlabOptimizer<T> optimizer_;
  const T* output_bias_;
  T* output_bias_gradient_;
  Buffer<T> row_scale_, loss_, scratch_;
  Buffer<uint8_t> correct_;
  Buffer<T> tested_loss_;
  Buffer<uint8_t> tested_correct_;
  std::map<int64_t, std::vector<MatrixProduct<T>>> tested_products_;  // by their number of rows
};

}  // namespace seedbed::engine
