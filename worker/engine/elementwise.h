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

template <typename T>
struct SgdSettings {
  T learning_rate, weight_decay, momentum;
};

// With the bias corrections of the update at hand.
template <typename T>
struct AdamwSettings {
  T keep;           // 1 - learning_rate · weight_decay
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
  // PyTorch's SGD and AdamW on slabs of `size`.
  void (*sgd)(int64_t size, SgdSettings<T> settings, const T* gradient, T* momentum, T* parameter);
  void (*adamw)(int64_t size, AdamwSettings<T> settings, const T* gradient, T* mean, T* mean_square, T* parameter);
  double (*sum_of_squares)(int64_t size, const T* values);
};

// T is float or double. Lives for ever; thread-safe.
template <typename T>
const ElementwiseKernels<T>& BestElementwiseKernels();

// Those of one instruction set (a name from AvailableInstructionSets), for tests; nullptr if it is not available here.
template <typename T>
const ElementwiseKernels<T>* ElementwiseKernelsFor(const char* instruction_set);

// "avx512", "avx2" or "baseline": what BestElementwiseKernels uses. Part of the numerics fingerprint.
const char* BestInstructionSet();

}  // namespace seedbed::engine
