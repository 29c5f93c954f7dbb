#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/engine/fast_learner.h"
#include "worker/engine/fast_models.h"

namespace seedbed::engine {
namespace {

constexpr double kBranch = 0.5;  // factor on what a block adds to the stream

// The residual mlp with LayerNorm. Mirrored pairs are one row; a block's bias is added in the pass that normalises its
// result; products add to the stream in place. Without a final LayerNorm nothing stands between the last block's second
// layer W₂ and the read-out V: for what the block adds they are one matrix, V·W₂ of [classes, inner_width]. Its
// gradient G gives W₂ the gradient Vᵀ·G, and V also G·W₂ᵀ.
template <typename T>
class FastResidualMlp final : public FastLearner<T> {
 public:
  FastResidualMlp(const Task& task, const ModelParameters& model, const ReplicaSettings& replica)
      : FastLearner<T>(ResidualMlpLayout(model, task.symbols, task.classes), task, MergeMirrored(task), replica),
        activation_(model.activation),
        depth_(model.depth),
        width_(model.width),
        inner_width_(model.inner_width),
        final_norm_(model.final_norm),
        merged_block_(final_norm_ ? -1 : depth_ - 1),
        symbol_index_(SymbolIndex::OfPairs(train_, symbols_)),
        stream_(rows_ * width_),
        stream_gradient_(rows_ * width_),
        norm_gradient_(rows_ * width_),
        inner_gradient_(rows_ * inner_width_),
        merged_output_(classes_ * inner_width_),
        merged_gradient_(classes_ * inner_width_),
        tested_stream_(tested_rows_ * width_),
        tested_norm_(tested_rows_ * width_),
        tested_inner_(tested_rows_ * inner_width_),
        scratch_(std::max(2 * width_, inner_width_)) {
    for (int64_t k = 0; k < Norms(); ++k) norms_.emplace_back(rows_, width_);
    for (int64_t k = 0; k < depth_; ++k) {
      inner_.emplace_back(rows_ * inner_width_);
      derivative_.emplace_back(rows_ * inner_width_);
    }
    PrepareProducts();
  }

  void Backward() override {
    output_products_[1].Run();
    output_products_[2].Run();
    if (final_norm_) {
      std::fill_n(stream_gradient_.get(), rows_ * width_, T(0));
      NormBackward(depth_);
    }
    for (int64_t k = depth_ - 1; k >= 0; --k) {
      kernels_.column_sum(rows_, width_, T(kBranch), stream_gradient_.get(), this->GradientAt(Name(k, "linear2.bias")),
                          scratch_.get());
      BlockProducts& products = products_[k];
      products.second_weight_gradient.Run();
      if (k == merged_block_) {
        merged_products_[1].Run();
        merged_products_[2].Run();
      }
      products.second_backward.Run();
      kernels_.multiply_sum(rows_, inner_width_, derivative_[k].get(), inner_gradient_.get(),
                            this->GradientAt(Name(k, "linear1.bias")), scratch_.get());
      products.first_weight_gradient.Run();
      products.first_backward.Run();
      NormBackward(k);
    }
    kernels_.scatter_sum(symbol_index_.View(), width_, stream_gradient_.get(), this->GradientAt("embedding.weight"));
  }

 private:
  using FastLearner<T>::classes_;
  using FastLearner<T>::kernels_;
  using FastLearner<T>::rows_;
  using FastLearner<T>::symbols_;
  using FastLearner<T>::tested_rows_;
  using FastLearner<T>::train_;
  using Mode = typename MatrixProduct<T>::Mode;

  // Of one LayerNorm over all rows.
  struct Norm {
    Norm(int64_t rows, int64_t width) : normalized(rows * width), output(rows * width), inverse(rows) {}
    Buffer<T> normalized, output;  // [rows, width]
    Buffer<T> inverse;             // [rows]
  };

  struct BlockProducts {
    MatrixProduct<T> first, second;
    MatrixProduct<T> second_weight_gradient, second_backward, first_weight_gradient, first_backward;
  };

  int64_t Norms() const { return depth_ + (final_norm_ ? 1 : 0); }
  static std::string Name(int64_t block, const char* tensor) { return absl::StrCat("layers.", block, ".", tensor); }
  // Of the LayerNorm of block k, or the final one.
  std::string NormName(int64_t k, const char* tensor) const {
    return k == depth_ ? absl::StrCat("norm.", tensor) : absl::StrCat("layers.", k, ".norm.", tensor);
  }
  LayerNormWeights<T> NormWeights(int64_t k) const {
    return {this->ParameterAt(NormName(k, "weight")), this->ParameterAt(NormName(k, "bias"))};
  }
  const T* SecondBias(int64_t k) const { return k < 0 ? nullptr : this->ParameterAt(Name(k, "linear2.bias")); }

  void ForwardSymbols() override {
    if (merged_block_ >= 0) merged_products_[0].Run();
  }

  void ForwardTraining() override {
    kernels_.gather_sum(this->ParameterAt("embedding.weight"), train_.AllPairs(), width_, stream_.get());
    for (int64_t k = 0; k < depth_; ++k) {
      NormForward(k);
      products_[k].first.Run();
      kernels_.activate(activation_, rows_, inner_width_, this->ParameterAt(Name(k, "linear1.bias")), inner_[k].get(),
                        derivative_[k].get());
      if (k != merged_block_) products_[k].second.Run();
    }
    if (final_norm_) {
      NormForward(depth_);
    } else {
      kernels_.add_to_rows(rows_, width_, T(kBranch), SecondBias(depth_ - 1), stream_.get());
    }
    output_products_[0].Run();
    if (merged_block_ >= 0) products_[merged_block_].second.Run();
  }

  void NormForward(int64_t k) {
    const Norm& norm = norms_[k];
    kernels_.layer_norm(rows_, width_, NormWeights(k), T(kBranch), SecondBias(k - 1), stream_.get(), norm.output.get(),
                        norm.normalized.get(), norm.inverse.get());
  }

  // Adds to the stream's gradient what the normalised rows' gradient gives it.
  void NormBackward(int64_t k) {
    const Norm& norm = norms_[k];
    kernels_.layer_norm_gradient(rows_, width_, NormWeights(k).scale, norm.normalized.get(), norm.inverse.get(),
                                 norm_gradient_.get(), stream_gradient_.get(), this->GradientAt(NormName(k, "weight")),
                                 this->GradientAt(NormName(k, "bias")), scratch_.get());
  }

  void ForwardTested(PairRows pairs, std::vector<MatrixProduct<T>>* products) override {
    kernels_.gather_sum(this->ParameterAt("embedding.weight"), pairs, width_, tested_stream_.get());
    const auto normalise = [&](int64_t k) {
      kernels_.layer_norm(pairs.rows, width_, NormWeights(k), T(kBranch), SecondBias(k - 1), tested_stream_.get(),
                          tested_norm_.get(), nullptr, nullptr);
    };
    for (int64_t k = 0; k < depth_; ++k) {
      normalise(k);
      (*products)[2 * k].Run();
      kernels_.activate(activation_, pairs.rows, inner_width_, this->ParameterAt(Name(k, "linear1.bias")),
                        tested_inner_.get(), nullptr);
      if (k != merged_block_) (*products)[2 * k + 1].Run();
    }
    if (final_norm_) {
      normalise(depth_);
    } else {
      kernels_.add_to_rows(pairs.rows, width_, T(kBranch), SecondBias(depth_ - 1), tested_stream_.get());
    }
    (*products)[2 * depth_].Run();
    if (merged_block_ >= 0) (*products)[2 * merged_block_ + 1].Run();
  }

  void PrepareProducts() {
    const auto stream_like = [&](const Buffer<T>& buffer) { return MatrixView<T>{buffer.get(), rows_, width_}; };
    const auto inner_like = [&](const Buffer<T>& buffer) { return MatrixView<T>{buffer.get(), rows_, inner_width_}; };
    const MatrixView<T> stream_gradient = stream_like(stream_gradient_);
    const MatrixView<T> inner_gradient = inner_like(inner_gradient_);
    const MatrixView<T> output = this->ParameterMatrix("output.weight");
    const MatrixView<T> logits = this->LogitMatrix();
    for (int64_t k = 0; k < depth_; ++k) {
      const bool is_merged = k == merged_block_;
      const MatrixView<T> first = this->ParameterMatrix(Name(k, "linear1.weight"));
      // Where the block's result goes, where its gradient stands, and what takes it there.
      const MatrixView<T> target = is_merged ? logits : stream_like(stream_);
      const MatrixView<T> target_gradient = is_merged ? logits : stream_gradient;
      const MatrixView<T> second = is_merged ? MergedOutput() : this->ParameterMatrix(Name(k, "linear2.weight"));
      const MatrixView<T> second_gradient = is_merged ? MatrixView<T>{merged_gradient_.get(), classes_, inner_width_}
                                                      : this->GradientMatrix(Name(k, "linear2.weight"));
      const MatrixView<T> normalised = stream_like(norms_[k].output);
      const MatrixView<T> inner = inner_like(inner_[k]);
      products_.push_back({{inner, normalised, first.Transposed()},
                           {target, inner, second.Transposed(), Mode::kAdd, kBranch},
                           {second_gradient, target_gradient.Transposed(), inner, Mode::kSet, kBranch},
                           {inner_gradient, target_gradient, second, Mode::kSet, kBranch},
                           {this->GradientMatrix(Name(k, "linear1.weight")), inner_gradient.Transposed(), normalised},
                           {stream_like(norm_gradient_), inner_gradient, first}});
    }
    const MatrixView<T> top = final_norm_ ? stream_like(norms_[depth_].output) : stream_like(stream_);
    const MatrixView<T> top_gradient = final_norm_ ? stream_like(norm_gradient_) : stream_gradient;
    output_products_.emplace_back(logits, top, output.Transposed());
    output_products_.emplace_back(this->GradientMatrix("output.weight"), logits.Transposed(), top);
    output_products_.emplace_back(top_gradient, logits, output);
    if (merged_block_ < 0) return;
    const std::string second = Name(merged_block_, "linear2.weight");
    const MatrixView<T> merged_gradient{merged_gradient_.get(), classes_, inner_width_};
    merged_products_.emplace_back(MergedOutput(), output, this->ParameterMatrix(second));
    merged_products_.emplace_back(this->GradientMatrix("output.weight"), merged_gradient,
                                  this->ParameterMatrix(second).Transposed(), Mode::kAdd);
    merged_products_.emplace_back(this->GradientMatrix(second), output.Transposed(), merged_gradient);
  }

  MatrixView<T> MergedOutput() const { return {merged_output_.get(), classes_, inner_width_}; }

  std::vector<MatrixProduct<T>> TestedProducts(int64_t rows) override {
    const MatrixView<T> stream{tested_stream_.get(), rows, width_};
    const MatrixView<T> norm{tested_norm_.get(), rows, width_};
    const MatrixView<T> inner{tested_inner_.get(), rows, inner_width_};
    std::vector<MatrixProduct<T>> products;
    const MatrixView<T> logits = this->TestedLogitMatrix(rows);
    for (int64_t k = 0; k < depth_; ++k) {
      const bool is_merged = k == merged_block_;
      const MatrixView<T> second = is_merged ? MergedOutput() : this->ParameterMatrix(Name(k, "linear2.weight"));
      products.emplace_back(inner, norm, this->ParameterMatrix(Name(k, "linear1.weight")).Transposed());
      products.emplace_back(is_merged ? logits : stream, inner, second.Transposed(), Mode::kAdd, kBranch);
    }
    products.emplace_back(logits, final_norm_ ? norm : stream, this->ParameterMatrix("output.weight").Transposed());
    return products;
  }

  const Activation activation_;
  const int64_t depth_, width_, inner_width_;
  const bool final_norm_;
  const int64_t merged_block_;  // the one whose second layer is merged with the read-out; -1: none
  const SymbolIndex symbol_index_;
  Buffer<T> stream_, stream_gradient_;         // [rows, width]
  Buffer<T> norm_gradient_;                    // of a LayerNorm's output, [rows, width]
  Buffer<T> inner_gradient_;                   // [rows, inner_width]
  Buffer<T> merged_output_, merged_gradient_;  // read-out · second weight, [classes, inner_width]
  std::vector<Norm> norms_;                    // of each block, and the final one
  std::vector<Buffer<T>> inner_;               // per block, [rows, inner_width]: after the activation
  std::vector<Buffer<T>> derivative_;          // of it
  Buffer<T> tested_stream_, tested_norm_;      // [tested_rows_, width]
  Buffer<T> tested_inner_;                     // [tested_rows_, inner_width]
  Buffer<T> scratch_;

  std::vector<BlockProducts> products_;            // by block
  std::vector<MatrixProduct<T>> output_products_;  // forward, weight gradient, input gradient
  std::vector<MatrixProduct<T>> merged_products_;  // forward, the read-out's gradient, the second weight's
};

}  // namespace

std::unique_ptr<Learner> MakeFastResidualMlp(const Task& task, const ModelParameters& model, Precision precision,
                                             const ReplicaSettings& replica) {
  if (precision == Precision::kFloat64) return std::make_unique<FastResidualMlp<double>>(task, model, replica);
  return std::make_unique<FastResidualMlp<float>>(task, model, replica);
}

}  // namespace seedbed::engine
