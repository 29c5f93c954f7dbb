#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/engine/fast_learner.h"
#include "worker/engine/fast_models.h"

namespace seedbed::engine {
namespace {

// The mlp with what can be saved on it: the first layer's product is taken once per symbol, mirrored pairs are one row,
// each activation keeps its derivative for the backward pass, and the softmax turns into its gradient in place.
template <typename T>
class FastMlp final : public FastLearner<T> {
 public:
  FastMlp(const Task& task, const ModelParameters& model, const ReplicaSettings& replica)
      : FastLearner<T>(MlpLayout(model, task.symbols, task.classes), task, MergeMirrored(task), replica),
        activation_(model.activation),
        depth_(model.depth),
        width_(model.width),
        symbol_index_(SymbolIndex::OfPairs(train_, symbols_)),
        products_(symbols_ * width_),
        product_gradient_(symbols_ * width_),
        scratch_(width_) {
    for (int64_t i = 0; i < depth_; ++i) {
      value_.emplace_back(rows_ * width_);
      derivative_.emplace_back(rows_ * width_);
    }
    for (Buffer<T>& gradient : value_gradient_) gradient = Buffer<T>(rows_ * width_);
    for (Buffer<T>& value : tested_value_) value = Buffer<T>(tested_rows_ * width_);
    PrepareProducts();
  }

  void Backward() override {
    for (int64_t i = depth_; i >= 1; --i) {
      T* gradient = value_gradient_[i % 2].get();  // of the loss in layer i's output, then in its input
      if (i < depth_) {
        kernels_.multiply_sum(rows_, width_, derivative_[i].get(), gradient, this->GradientAt(Name(i) + ".bias"),
                              scratch_.get());
      }
      weight_gradient_products_[i - 1].Run();
      backward_products_[i - 1].Run();
    }
    kernels_.scatter(symbol_index_.View(), width_, value_gradient_[0].get(), derivative_[0].get(),
                     product_gradient_.get(), this->GradientAt(Name(0) + ".bias"));
    symbol_products_[1].Run();
    symbol_products_[2].Run();
  }

 private:
  using FastLearner<T>::kernels_;
  using FastLearner<T>::rows_;
  using FastLearner<T>::symbols_;
  using FastLearner<T>::tested_rows_;
  using FastLearner<T>::train_;

  // Layer 0 is the first hidden one, layer `depth` the output.
  std::string Name(int64_t i) const { return i == depth_ ? "output" : absl::StrCat("layers.", i); }
  const T* Bias(int64_t i) const { return this->ParameterAt(Name(i) + ".bias"); }
  MatrixView<T> Weight(int64_t i) const { return this->ParameterMatrix(Name(i) + ".weight"); }
  MatrixView<T> WeightGradient(int64_t i) const { return this->GradientMatrix(Name(i) + ".weight"); }

  void ForwardSymbols() override { symbol_products_[0].Run(); }

  void ForwardTraining() override {
    kernels_.gather_activate(activation_, products_.get(), train_.AllPairs(), Bias(0), width_, value_[0].get(),
                             derivative_[0].get());
    for (int64_t i = 1; i < depth_; ++i) {
      forward_products_[i - 1].Run();
      kernels_.activate(activation_, rows_, width_, Bias(i), value_[i].get(), derivative_[i].get());
    }
    forward_products_[depth_ - 1].Run();
  }

  void ForwardTested(PairRows pairs, std::vector<MatrixProduct<T>>* products) override {
    kernels_.gather_activate(activation_, products_.get(), pairs, Bias(0), width_, tested_value_[0].get(), nullptr);
    for (int64_t i = 1; i < depth_; ++i) {
      (*products)[i - 1].Run();
      kernels_.activate(activation_, pairs.rows, width_, Bias(i), tested_value_[i % 2].get(), nullptr);
    }
    (*products)[depth_ - 1].Run();
  }

  // Value i is layer i's output; its gradient lies in value_gradient_[i % 2], that of the logits in the logits.
  void PrepareProducts() {
    const MatrixView<T> embedding = this->ParameterMatrix("embedding.weight");
    const MatrixView<T> products{products_.get(), symbols_, width_};
    const MatrixView<T> product_gradient{product_gradient_.get(), symbols_, width_};
    symbol_products_.emplace_back(products, embedding, Weight(0).Transposed());
    symbol_products_.emplace_back(WeightGradient(0), product_gradient.Transposed(), embedding);
    symbol_products_.emplace_back(this->GradientMatrix("embedding.weight"), product_gradient, Weight(0));
    for (int64_t i = 1; i <= depth_; ++i) {
      const auto values = [&](const Buffer<T>& buffer) { return MatrixView<T>{buffer.get(), rows_, width_}; };
      const bool is_last = i == depth_;
      const MatrixView<T> input = values(value_[i - 1]);
      const MatrixView<T> output = is_last ? this->LogitMatrix() : values(value_[i]);
      const MatrixView<T> output_gradient = is_last ? this->LogitMatrix() : values(value_gradient_[i % 2]);
      forward_products_.emplace_back(output, input, Weight(i).Transposed());
      weight_gradient_products_.emplace_back(WeightGradient(i), output_gradient.Transposed(), input);
      backward_products_.emplace_back(values(value_gradient_[(i - 1) % 2]), output_gradient, Weight(i));
    }
  }

  std::vector<MatrixProduct<T>> TestedProducts(int64_t rows) override {
    const auto values = [&](int64_t i) { return MatrixView<T>{tested_value_[i % 2].get(), rows, width_}; };
    std::vector<MatrixProduct<T>> products;
    for (int64_t i = 1; i <= depth_; ++i) {
      products.emplace_back(i == depth_ ? this->TestedLogitMatrix(rows) : values(i), values(i - 1),
                            Weight(i).Transposed());
    }
    return products;
  }

  const Activation activation_;
  const int64_t depth_, width_;
  const SymbolIndex symbol_index_;
  Buffer<T> products_, product_gradient_;      // embedding · first weightᵀ, [symbols, width]
  std::vector<Buffer<T>> value_, derivative_;  // per hidden layer [rows, width]
  Buffer<T> value_gradient_[2];                // [rows, width]
  Buffer<T> tested_value_[2];                  // [tested_rows_, width]
  Buffer<T> scratch_;

  std::vector<MatrixProduct<T>> symbol_products_;  // forward, weight gradient, embedding gradient
  std::vector<MatrixProduct<T>> forward_products_, weight_gradient_products_,
      backward_products_;  // of layers 1 … depth
};

}  // namespace

std::unique_ptr<Learner> MakeFastMlp(const Task& task, const ModelParameters& model, Precision precision,
                                     const ReplicaSettings& replica) {
  if (precision == Precision::kFloat64) return std::make_unique<FastMlp<double>>(task, model, replica);
  return std::make_unique<FastMlp<float>>(task, model, replica);
}

}  // namespace seedbed::engine
