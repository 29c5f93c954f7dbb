#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/engine/fast_learner.h"
#include "worker/engine/fast_models.h"

namespace seedbed::engine {
namespace {

constexpr int64_t kPairsAtOnce = 64;  // between attention and LayerNorm, so that tokens stay in the nearest cache

std::string Name(const char* tensor) {
  return absl::StrCat("layers.0.", tensor);
}

// One pre-norm encoder layer over [a, b], read out from the mean over both. What is saved on it:
//
// - LayerNorm 1, queries, keys and values depend on the symbol and its position: 2 · symbols rows, not 2 · pairs.
// - So do the scores' two ends: queries · keys is one small table per head.
// - Attention's output projection is linear, so it is applied to each symbol's values before they are weighted:
//   W Σ αᵢ vᵢ = Σ αᵢ W vᵢ, per head.
// - The feed-forward's second half commutes with the mean, and nothing but the read-out follows: with the read-out V it
//   is one matrix, V·W₂ of [classes, feed_forward]. Its gradient G gives W₂ the gradient Vᵀ·G, and V also G·W₂ᵀ.
//
// Per pair there remain LayerNorm 2, the feed-forward's first half, and products with as few columns as classes.
template <typename T>
class FastTransformer final : public FastLearner<T> {
 public:
  FastTransformer(const Task& task, const ModelParameters& model, const ReplicaSettings& replica)
      : FastLearner<T>(TransformerLayout(model, task.symbols, task.classes), task, KeepOrder(task), replica),
        activation_(model.activation),
        width_(model.width),
        heads_(model.heads),
        hidden_width_(model.feed_forward),
        token_index_(SymbolIndex::OfTokens(train_, symbols_)),
        tables_(2 * symbols_, width_, heads_),
        table_gradients_(2 * symbols_, width_, heads_),
        merged_output_(classes_ * hidden_width_),
        merged_gradient_(classes_ * hidden_width_),
        training_pass_(rows_, width_, heads_, hidden_width_),
        tested_pass_(tested_rows_, width_, heads_, hidden_width_),
        normalized_(2 * rows_ * width_),
        inverse_(2 * rows_),
        mean_gradient_(rows_ * width_),
        pooled_gradient_(rows_ * hidden_width_),
        norm_gradient_(2 * rows_ * width_),
        stream_gradient_(2 * rows_ * width_),
        scratch_(std::max({hidden_width_, 3 * width_})) {
    PrepareSymbolProducts();
    PreparePairProducts();
  }

  void Backward() override {
    for (MatrixProduct<T>& product : read_out_gradients_) product.Run();
    kernels_.multiply_pooled_sum(rows_, hidden_width_, pooled_gradient_.get(), training_pass_.hidden.get(),
                                 this->GradientAt(Name("linear1.bias")), scratch_.get());
    for (MatrixProduct<T>& product : hidden_gradients_) product.Run();
    ShareMeanGradient();
    kernels_.layer_norm_gradient(2 * rows_, width_, Norm("norm2").scale, normalized_.get(), inverse_.get(),
                                 norm_gradient_.get(), stream_gradient_.get(), this->GradientAt(Name("norm2.weight")),
                                 this->GradientAt(Name("norm2.bias")), scratch_.get());
    AttentionBackward();
    SymbolsBackward();
  }

 private:
  using FastLearner<T>::classes_;
  using FastLearner<T>::kernels_;
  using FastLearner<T>::rows_;
  using FastLearner<T>::symbols_;
  using FastLearner<T>::tested_rows_;
  using FastLearner<T>::train_;
  using Mode = typename MatrixProduct<T>::Mode;
  using Products = std::vector<MatrixProduct<T>>;

  // What depends on one symbol and its position, or its gradient. `tokens` is 2 · symbols.
  struct Tables {
    Tables(int64_t tokens, int64_t width, int64_t heads)
        : start(tokens * width),
          norm(tokens * width),
          normalized(tokens * width),
          inverse(tokens),
          projected(tokens * 3 * width),
          values(tokens * heads * width),
          scores(heads * tokens * tokens),
          stream(tokens * width) {}
    Buffer<T> start;             // embedding + position, [tokens, width]
    Buffer<T> norm, normalized;  // LayerNorm 1's output, and before scale and shift
    Buffer<T> inverse;           // [tokens]
    Buffer<T> projected;         // queries, keys, values: [tokens, 3 · width]
    Buffer<T> values;            // [tokens, heads, width]
    Buffer<T> scores;            // [heads, tokens, tokens]
    Buffer<T> stream;            // [tokens, width]
  };

  // What depends on a pair.
  struct Pass {
    Pass(int64_t pairs, int64_t width, int64_t heads, int64_t hidden_width)
        : weights(pairs * heads * 4),
          stream(2 * kPairsAtOnce * width),
          mean(pairs * width),
          norm(2 * pairs * width),
          hidden(2 * pairs * hidden_width),
          pooled(pairs * hidden_width) {}
    Buffer<T> weights;  // of attention, [pairs, heads, 2, 2]
    Buffer<T> stream;   // after attention, of kPairsAtOnce pairs
    Buffer<T> mean;     // of the stream after attention, with the second bias of the feed-forward: [pairs, width]
    Buffer<T> norm;     // LayerNorm 2's output, [2 · pairs, width]
    Buffer<T> hidden;   // inside the feed-forward, [2 · pairs, hidden_width]; in training then the derivative
    Buffer<T> pooled;   // [pairs, hidden_width]
  };

  LayerNormWeights<T> Norm(const char* norm) const {
    return {this->ParameterAt(absl::StrCat("layers.0.", norm, ".weight")),
            this->ParameterAt(absl::StrCat("layers.0.", norm, ".bias"))};
  }
  AttentionTables<T> Attention() const {
    AttentionTables<T> tables;
    tables.stream = tables_.stream.get();
    tables.values = tables_.values.get();
    tables.scores = tables_.scores.get();
    tables.score_scale = T(1 / std::sqrt(static_cast<double>(width_ / heads_)));
    tables.symbols = symbols_;
    tables.heads = heads_;
    tables.width = width_;
    return tables;
  }

  void ForwardSymbols() override {
    const int64_t tokens = 2 * symbols_;
    const T* embedding = this->ParameterAt("embedding.weight");
    const T* positions = this->ParameterAt("positions.weight");
    for (int64_t token = 0; token < tokens; ++token) {
      const T* symbol = embedding + token % symbols_ * width_;
      const T* position = positions + token / symbols_ * width_;
      for (int64_t j = 0; j < width_; ++j) tables_.start.get()[token * width_ + j] = symbol[j] + position[j];
    }
    kernels_.layer_norm(tokens, width_, Norm("norm1"), T(0), nullptr, tables_.start.get(), tables_.norm.get(),
                        tables_.normalized.get(), tables_.inverse.get());
    projection_[0].Run();
    kernels_.add_to_rows(tokens, 3 * width_, T(1), this->ParameterAt(Name("self_attn.in_proj_bias")),
                         tables_.projected.get());
    for (MatrixProduct<T>& product : symbol_products_) product.Run();
    std::copy_n(tables_.start.get(), tokens * width_, tables_.stream.get());
    kernels_.add_to_rows(tokens, width_, T(1), this->ParameterAt(Name("self_attn.out_proj.bias")),
                         tables_.stream.get());
  }

  void ForwardTraining() override {
    ForwardPairs(train_.AllPairs(), training_pass_, normalized_.get(), inverse_.get(), &pair_products_);
  }

  void ForwardTested(PairRows pairs, Products* products) override {
    ForwardPairs(pairs, tested_pass_, nullptr, nullptr, products);
  }

  // With `normalized` and `inverse`, keeps what Backward needs.
  void ForwardPairs(PairRows pairs, const Pass& pass, T* normalized, T* inverse, Products* products) {
    kernels_.attention_weights(Attention(), pairs, pass.weights.get());
    const bool keeps = normalized != nullptr;
    for (int64_t begin = 0; begin < pairs.rows; begin += kPairsAtOnce) {
      const int64_t count = std::min(kPairsAtOnce, pairs.rows - begin);
      const PairRows some{pairs.a + begin, pairs.b + begin, count};
      kernels_.attend(Attention(), some, pass.weights.get() + begin * heads_ * 4,
                      this->ParameterAt(Name("linear2.bias")), pass.stream.get(), pass.mean.get() + begin * width_);
      kernels_.layer_norm(2 * count, width_, Norm("norm2"), T(0), nullptr, pass.stream.get(),
                          pass.norm.get() + 2 * begin * width_, keeps ? normalized + 2 * begin * width_ : nullptr,
                          keeps ? inverse + 2 * begin : nullptr);
    }
    (*products)[0].Run();
    kernels_.activate_pooled(activation_, keeps, pairs.rows, hidden_width_, this->ParameterAt(Name("linear1.bias")),
                             pass.hidden.get(), pass.pooled.get());
    (*products)[1].Run();
    (*products)[2].Run();
  }

  // Half of the mean's gradient is each token's.
  void ShareMeanGradient() {
    for (int64_t r = 0; r < rows_; ++r) {
      const T* mean = mean_gradient_.get() + r * width_;
      T* token = stream_gradient_.get() + 2 * r * width_;
      for (int64_t j = 0; j < width_; ++j) token[j] = T(0.5) * mean[j];
      std::copy_n(token, width_, token + width_);
    }
  }

  // From stream_gradient_ to the tables' gradients, as far as queries, keys and values.
  void AttentionBackward() {
    const int64_t tokens = 2 * symbols_;
    std::fill_n(table_gradients_.scores.get(), heads_ * tokens * tokens, T(0));
    kernels_.attend_score_gradient(Attention(), train_.AllPairs(), training_pass_.weights.get(), stream_gradient_.get(),
                                   table_gradients_.scores.get());
    kernels_.attend_value_gradient(token_index_.View(), heads_, width_, training_pass_.weights.get(),
                                   stream_gradient_.get(), table_gradients_.values.get(),
                                   table_gradients_.stream.get());
    kernels_.column_sum(tokens, width_, T(1), table_gradients_.stream.get(),
                        this->GradientAt(Name("self_attn.out_proj.bias")), scratch_.get());
    for (MatrixProduct<T>& product : head_gradients_) product.Run();
  }

  // From there to embedding and positions.
  void SymbolsBackward() {
    const int64_t tokens = 2 * symbols_;
    kernels_.column_sum(tokens, 3 * width_, T(1), table_gradients_.projected.get(),
                        this->GradientAt(Name("self_attn.in_proj_bias")), scratch_.get());
    projection_[1].Run();
    projection_[2].Run();
    T* gradient = table_gradients_.stream.get();
    kernels_.layer_norm_gradient(tokens, width_, Norm("norm1").scale, tables_.normalized.get(), tables_.inverse.get(),
                                 table_gradients_.norm.get(), gradient, this->GradientAt(Name("norm1.weight")),
                                 this->GradientAt(Name("norm1.bias")), scratch_.get());
    const int64_t size = symbols_ * width_;
    T* embedding = this->GradientAt("embedding.weight");
    for (int64_t i = 0; i < size; ++i) embedding[i] = gradient[i] + gradient[size + i];
    T* positions = this->GradientAt("positions.weight");
    kernels_.column_sum(symbols_, width_, T(1), gradient, positions, scratch_.get());
    kernels_.column_sum(symbols_, width_, T(1), gradient + size, positions + width_, scratch_.get());
  }

  void PrepareSymbolProducts() {
    const int64_t tokens = 2 * symbols_;
    const auto wide = [&](const Buffer<T>& buffer) { return MatrixView<T>{buffer.get(), tokens, 3 * width_}; };
    const MatrixView<T> norm{tables_.norm.get(), tokens, width_};
    const MatrixView<T> norm_gradient{table_gradients_.norm.get(), tokens, width_};
    const MatrixView<T> projected = wide(tables_.projected);
    const MatrixView<T> projected_gradient = wide(table_gradients_.projected);
    const MatrixView<T> in = this->ParameterMatrix(Name("self_attn.in_proj_weight"));
    projection_.emplace_back(projected, norm, in.Transposed());
    projection_.emplace_back(this->GradientMatrix(Name("self_attn.in_proj_weight")), projected_gradient.Transposed(),
                             norm);
    projection_.emplace_back(norm_gradient, projected_gradient, in);

    const MatrixView<T> out = this->ParameterMatrix(Name("self_attn.out_proj.weight"));
    const MatrixView<T> out_gradient = this->GradientMatrix(Name("self_attn.out_proj.weight"));
    const int64_t part = width_ / heads_;
    for (int64_t h = 0; h < heads_; ++h) {
      const auto head = [&](const MatrixView<T>& view, int64_t which) {
        return view.Columns(which * width_ + h * part, part);
      };
      const auto values = [&](const Tables& tables) {
        return MatrixView<T>{tables.values.get(), tokens, heads_ * width_}.Columns(h * width_, width_);
      };
      const auto scores = [&](const Tables& tables) {
        return MatrixView<T>{tables.scores.get() + h * tokens * tokens, tokens, tokens};
      };
      const MatrixView<T> query = head(projected, 0), key = head(projected, 1), value = head(projected, 2);
      symbol_products_.emplace_back(values(tables_), value, head(out, 0).Transposed());
      symbol_products_.emplace_back(scores(tables_), query, key.Transposed());
      const MatrixView<T> values_gradient = values(table_gradients_);
      const MatrixView<T> scores_gradient = scores(table_gradients_);
      head_gradients_.emplace_back(head(projected_gradient, 0), scores_gradient, key);
      head_gradients_.emplace_back(head(projected_gradient, 1), scores_gradient.Transposed(), query);
      head_gradients_.emplace_back(head(projected_gradient, 2), values_gradient, head(out, 0));
      head_gradients_.emplace_back(head(out_gradient, 0), values_gradient.Transposed(), value);
    }
    symbol_products_.emplace_back(MergedOutput(), this->ParameterMatrix("output.weight"),
                                  this->ParameterMatrix(Name("linear2.weight")));
  }

  void PreparePairProducts() {
    pair_products_ = PairProducts(training_pass_, rows_, this->LogitMatrix());
    const MatrixView<T> logits = this->LogitMatrix();  // their gradient by then
    const MatrixView<T> output = this->ParameterMatrix("output.weight");
    const MatrixView<T> output_gradient = this->GradientMatrix("output.weight");
    const MatrixView<T> second = this->ParameterMatrix(Name("linear2.weight"));
    const MatrixView<T> merged_gradient{merged_gradient_.get(), classes_, hidden_width_};
    const MatrixView<T> mean{training_pass_.mean.get(), rows_, width_};
    const MatrixView<T> pooled{training_pass_.pooled.get(), rows_, hidden_width_};
    const MatrixView<T> second_bias{this->GradientAt(Name("linear2.bias")), width_, 1};
    const MatrixView<T> output_bias{this->GradientAt("output.bias"), classes_, 1};
    Products& p = read_out_gradients_;
    p.emplace_back(merged_gradient, logits.Transposed(), pooled);
    p.emplace_back(MatrixView<T>{pooled_gradient_.get(), rows_, hidden_width_}, logits, MergedOutput());
    p.emplace_back(output_gradient, logits.Transposed(), mean);
    p.emplace_back(output_gradient, merged_gradient, second.Transposed(), Mode::kAdd);
    p.emplace_back(this->GradientMatrix(Name("linear2.weight")), output.Transposed(), merged_gradient);
    p.emplace_back(MatrixView<T>{mean_gradient_.get(), rows_, width_}, logits, output);
    p.emplace_back(second_bias, output.Transposed(), output_bias);

    const MatrixView<T> hidden{training_pass_.hidden.get(), 2 * rows_, hidden_width_};  // its gradient by then
    const MatrixView<T> norm{training_pass_.norm.get(), 2 * rows_, width_};
    hidden_gradients_.emplace_back(this->GradientMatrix(Name("linear1.weight")), hidden.Transposed(), norm);
    hidden_gradients_.emplace_back(MatrixView<T>{norm_gradient_.get(), 2 * rows_, width_}, hidden,
                                   this->ParameterMatrix(Name("linear1.weight")));
  }

  // Of ForwardPairs.
  Products PairProducts(const Pass& pass, int64_t pairs, MatrixView<T> logits) const {
    Products products;
    products.emplace_back(MatrixView<T>{pass.hidden.get(), 2 * pairs, hidden_width_},
                          MatrixView<T>{pass.norm.get(), 2 * pairs, width_},
                          this->ParameterMatrix(Name("linear1.weight")).Transposed());
    products.emplace_back(logits, MatrixView<T>{pass.mean.get(), pairs, width_},
                          this->ParameterMatrix("output.weight").Transposed());
    products.emplace_back(logits, MatrixView<T>{pass.pooled.get(), pairs, hidden_width_}, MergedOutput().Transposed(),
                          Mode::kAdd);
    return products;
  }

  Products TestedProducts(int64_t rows) override {
    return PairProducts(tested_pass_, rows, this->TestedLogitMatrix(rows));
  }

  MatrixView<T> MergedOutput() const { return {merged_output_.get(), classes_, hidden_width_}; }

  const Activation activation_;
  const int64_t width_, heads_, hidden_width_;
  const SymbolIndex token_index_;
  Tables tables_, table_gradients_;
  Buffer<T> merged_output_, merged_gradient_;  // read-out · second weight, [classes, hidden_width]
  Pass training_pass_, tested_pass_;
  Buffer<T> normalized_, inverse_;  // of LayerNorm 2 in training, [2 · rows, width] and [2 · rows]
  Buffer<T> mean_gradient_;         // [rows, width]
  Buffer<T> pooled_gradient_;       // [rows, hidden_width]
  Buffer<T> norm_gradient_;         // of LayerNorm 2's output, [2 · rows, width]
  Buffer<T> stream_gradient_;       // after attention, [2 · rows, width]
  Buffer<T> scratch_;

  Products projection_;       // queries, keys, values: forward, weight gradient, input gradient
  Products symbol_products_;  // the rest of ForwardSymbols
  Products head_gradients_;
  Products pair_products_;
  Products read_out_gradients_, hidden_gradients_;
};

}  // namespace

std::unique_ptr<Learner> MakeFastTransformer(const Task& task, const ModelParameters& model, Precision precision,
                                             const ReplicaSettings& replica) {
  if (precision == Precision::kFloat64) return std::make_unique<FastTransformer<double>>(task, model, replica);
  return std::make_unique<FastTransformer<float>>(task, model, replica);
}

}  // namespace seedbed::engine
