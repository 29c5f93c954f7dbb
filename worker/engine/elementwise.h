#pragma once

#include <cstdint>

#include "worker/engine/run_parameters.h"

// The loops of the fast implementation between its matrix products, compiled once per instruction set and chosen when
// first asked for. Matrices are row-major and dense; no two arguments overlap; sums run in a fixed order, so that
// results are a function of the arguments and the instruction set. exp, erf and tanh are our own, to within a few units
// in the last place.
namespace seedbed::engine {

// Pairs of symbols, one a row.
struct PairRows {
  const int32_t* a = nullptr;
  const int32_t* b = nullptr;
  int64_t rows = 0;
};

// For each symbol, the rows that it occurs in (twice where a = b): rows[offsets[s]] … rows[offsets[s + 1] - 1].
struct SymbolRows {
  const int64_t* offsets = nullptr;  // symbols + 1
  const int32_t* rows = nullptr;
  int64_t symbols = 0;
};

inline constexpr double kLayerNormEpsilon = 1e-5;  // added to the variance

template <typename T>
struct LayerNormWeights {
  const T* scale = nullptr;  // [width] each
  const T* shift = nullptr;
};

// What attention over two tokens knows of each symbol at each position: row s is symbol s as the first token, row
// symbols + s as the second.
template <typename T>
struct AttentionTables {
  const T* stream = nullptr;  // [2 · symbols, width]: what the token starts from, with the output projection's bias
  const T* values = nullptr;  // [2 · symbols, heads, width]: each head's value, output projection applied
  const T* scores = nullptr;  // [heads, 2 · symbols, 2 · symbols]: query of the row · key of the column
  T score_scale = 1;
  int64_t symbols = 0;
  int64_t heads = 0;
  int64_t width = 0;
};

template <typename T>
struct SgdSettings {
  T learning_rate, weight_decay, momentum;
  T gradient_scale;  // of the gradient, before decay
  bool nesterov;
};

// With the bias corrections of the update at hand. Decay is coupled (Adam) or in `keep` (AdamW).
template <typename T>
struct AdamSettings {
  T keep;           // factor on parameters: 1 - learning_rate · weight_decay, or 1
  T coupled_decay;  // added to the gradient, times the parameter: weight_decay, or 0
  T gradient_scale;
  T learning_rate;  // divided by 1 - beta1^t
  T beta1, one_minus_beta1, beta2, one_minus_beta2;
  T root_scale;  // 1 / sqrt(1 - beta2^t)
  T epsilon;
};

template <typename T>
struct ElementwiseKernels {
  // z[r] = products[a_r] + products[b_r] + bias; value = f(z), derivative = f'(z), each [rows, width]. `derivative` may
  // be null.
  void (*gather_activate)(Activation f, const T* products, PairRows pairs, const T* bias, int64_t width, T* value,
                          T* derivative);
  // The same with z = value + bias, in place.
  void (*activate)(Activation f, int64_t rows, int64_t width, const T* bias, T* value, T* derivative);
  // Softmax cross-entropy of logits + bias against labels: loss [rows] and whether the label's logit is the largest,
  // the first among equals.
  void (*softmax_loss)(int64_t rows, int64_t classes, const T* logits, const T* bias, const int32_t* labels, T* loss,
                       uint8_t* correct);
  // As softmax_loss; besides, logits become row_scale[r] · d loss[r] / d logits, and bias_gradient [classes] their sum
  // over rows. `scratch` [classes].
  void (*softmax_loss_gradient)(int64_t rows, int64_t classes, T* logits, const T* bias, const int32_t* labels,
                                const T* row_scale, T* loss, uint8_t* correct, T* bias_gradient, T* scratch);
  // gradient *= derivative, and bias_gradient [width] = its sum over rows. `scratch` [width].
  void (*multiply_sum)(int64_t rows, int64_t width, const T* derivative, T* gradient, T* bias_gradient, T* scratch);
  // out[s] = sum over the symbol's rows of gradient · derivative; bias_gradient [width] = half the sum of out over
  // symbols, as each row stands under two symbols.
  void (*scatter)(SymbolRows symbol_rows, int64_t width, const T* gradient, const T* derivative, T* out,
                  T* bias_gradient);
  // out[r] = table[a_r] + table[b_r], and its transpose: out[s] = sum over the symbol's rows of gradient.
  void (*gather_sum)(const T* table, PairRows pairs, int64_t width, T* out);
  void (*scatter_sum)(SymbolRows symbol_rows, int64_t width, const T* gradient, T* out);
  // sum [width] = factor · the sum of matrix over rows. `scratch` [width].
  void (*column_sum)(int64_t rows, int64_t width, T factor, const T* matrix, T* sum, T* scratch);
  // Each row of matrix += factor · values [width].
  void (*add_to_rows)(int64_t rows, int64_t width, T factor, const T* values, T* matrix);

  // input += bias_factor · bias, unless `bias` is null; normalized = (input - mean) · inverse with inverse = 1 /
  // sqrt(variance + epsilon) over each row, output = normalized · scale + shift. `inverse` [rows]; `normalized` and
  // `inverse` may both be null.
  void (*layer_norm)(int64_t rows, int64_t width, LayerNormWeights<T> weights, T bias_factor, const T* bias, T* input,
                     T* output, T* normalized, T* inverse);
  // input_gradient += what output_gradient gives the input; scale_gradient and shift_gradient [width]. `scratch`
  // [2 · width].
  void (*layer_norm_gradient)(int64_t rows, int64_t width, const T* scale, const T* normalized, const T* inverse,
                              const T* output_gradient, T* input_gradient, T* scale_gradient, T* shift_gradient,
                              T* scratch);

  // Attention over pairs of tokens. weights [pairs, heads, 2, 2]: what each token takes of the first and the second,
  // the softmax of score_scale · scores.
  void (*attention_weights)(AttentionTables<T> tables, PairRows pairs, T* weights);
  // stream [2 · pairs, width]: both tokens of a pair, one after the other: what it started from and the weighted values
  // of all heads. mean [pairs, width]: their mean + mean_bias.
  void (*attend)(AttentionTables<T> tables, PairRows pairs, const T* weights, const T* mean_bias, T* stream, T* mean);
  // score_gradient, as tables.scores, += what stream_gradient [2 · pairs, width] gives the scores.
  void (*attend_score_gradient)(AttentionTables<T> tables, PairRows pairs, const T* weights, const T* stream_gradient,
                                T* score_gradient);
  // value_gradient and table_gradient = what stream_gradient gives tables.values and tables.stream. token_rows: for
  // each of the tables' 2 · symbols rows the pairs that it stands in.
  void (*attend_value_gradient)(SymbolRows token_rows, int64_t heads, int64_t width, const T* weights,
                                const T* stream_gradient, T* value_gradient, T* table_gradient);
  // z = value [2 · pairs, width] + bias; pooled [pairs, width] = the mean of f(z) over a pair's two rows. With
  // `keep_derivative` value becomes f'(z) / 2: what pooled moves by.
  void (*activate_pooled)(Activation f, bool keep_derivative, int64_t pairs, int64_t width, const T* bias, T* value,
                          T* pooled);
  // Both of a pair's rows of derivative *= the pair's pooled_gradient; bias_gradient [width] = the sum over rows.
  // `scratch` [width].
  void (*multiply_pooled_sum)(int64_t pairs, int64_t width, const T* pooled_gradient, T* derivative, T* bias_gradient,
                              T* scratch);

  // PyTorch's SGD and Adam or AdamW on slabs of `size`.
  void (*sgd)(int64_t size, SgdSettings<T> settings, const T* gradient, T* momentum, T* parameter);
  void (*adam)(int64_t size, AdamSettings<T> settings, const T* gradient, T* mean, T* mean_square, T* parameter);
  // slow = keep · slow + (1 - keep) · gradient; out = gradient + amplification · slow.
  void (*amplify)(int64_t size, T keep, T amplification, const T* gradient, T* slow, T* out);
  // values += factor · direction.
  void (*add_multiple)(int64_t size, T factor, const T* direction, T* values);
  // Accumulated in double; the only ones here whose arguments may be the same.
  double (*dot)(int64_t size, const T* left, const T* right);
};

// T is float or double. Lives for ever; thread-safe.
template <typename T>
const ElementwiseKernels<T>& BestElementwiseKernels();

// Those of one instruction set ("avx512", "avx2" or "baseline"), for tests; nullptr if it is not available here.
template <typename T>
const ElementwiseKernels<T>* ElementwiseKernelsFor(const char* instruction_set);

// "avx512", "avx2" or "baseline": what BestElementwiseKernels uses. Part of the numerics fingerprint.
const char* BestInstructionSet();

}  // namespace seedbed::engine
