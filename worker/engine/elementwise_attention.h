#pragma once

// Part of elementwise_body.h: what the transformer does between products, on two tokens a pair.
#include "worker/engine/elementwise_math.h"

namespace seedbed::engine::SEEDBED_INSTRUCTION_SET {
namespace {

// Softmax of two, without overflow and without losing the digits of the smaller.
template <typename T>
inline __attribute__((always_inline)) void TwoWeights(T first, T second, T* weights) {
  const T difference = second - first;
  const T e = ExpOfNegative(difference > 0 ? -difference : difference);
  const T large = T(1) / (T(1) + e);
  const T small = e * large;
  weights[0] = difference > 0 ? small : large;
  weights[1] = difference > 0 ? large : small;
}

template <typename T>
void AttentionWeights(AttentionTables<T> tables, PairRows pairs, T* weights) {
  const int64_t rows = 2 * tables.symbols;
  for (int64_t r = 0; r < pairs.rows; ++r) {
    const int64_t first = pairs.a[r];
    const int64_t second = tables.symbols + pairs.b[r];
    for (int64_t h = 0; h < tables.heads; ++h) {
      const T* scores = tables.scores + h * rows * rows;
      T* w = weights + (r * tables.heads + h) * 4;
      const T scale = tables.score_scale;
      TwoWeights(scale * scores[first * rows + first], scale * scores[first * rows + second], w);
      TwoWeights(scale * scores[second * rows + first], scale * scores[second * rows + second], w + 2);
    }
  }
}

template <typename T>
void Attend(AttentionTables<T> tables, PairRows pairs, const T* weights, const T* __restrict mean_bias, T* stream,
            T* mean) {
  const int64_t width = tables.width;
  for (int64_t r = 0; r < pairs.rows; ++r) {
    const int64_t first = pairs.a[r];
    const int64_t second = tables.symbols + pairs.b[r];
    T* __restrict x0 = stream + 2 * r * width;
    T* __restrict x1 = x0 + width;
    const T* __restrict start0 = tables.stream + first * width;
    const T* __restrict start1 = tables.stream + second * width;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) {
      x0[j] = start0[j];
      x1[j] = start1[j];
    }
    for (int64_t h = 0; h < tables.heads; ++h) {
      const T* w = weights + (r * tables.heads + h) * 4;
      const T w00 = w[0], w01 = w[1], w10 = w[2], w11 = w[3];
      const T* __restrict v0 = tables.values + (first * tables.heads + h) * width;
      const T* __restrict v1 = tables.values + (second * tables.heads + h) * width;
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) {
        x0[j] += w00 * v0[j] + w01 * v1[j];
        x1[j] += w10 * v0[j] + w11 * v1[j];
      }
    }
    T* __restrict m = mean + r * width;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) m[j] = T(0.5) * (x0[j] + x1[j]) + mean_bias[j];
  }
}

template <typename T>
void AttendScoreGradient(AttentionTables<T> tables, PairRows pairs, const T* weights, const T* stream_gradient,
                         T* score_gradient) {
  const int64_t width = tables.width;
  const int64_t rows = 2 * tables.symbols;
  for (int64_t r = 0; r < pairs.rows; ++r) {
    const int64_t first = pairs.a[r];
    const int64_t second = tables.symbols + pairs.b[r];
    const T* __restrict g0 = stream_gradient + 2 * r * width;
    const T* __restrict g1 = g0 + width;
    for (int64_t h = 0; h < tables.heads; ++h) {
      const T* __restrict v0 = tables.values + (first * tables.heads + h) * width;
      const T* __restrict v1 = tables.values + (second * tables.heads + h) * width;
      T dot0 = 0;  // of the gradient in what a weight moves: from the first value to the second
      T dot1 = 0;
#pragma omp simd reduction(+ : dot0, dot1)
      for (int64_t j = 0; j < width; ++j) {
        const T difference = v1[j] - v0[j];
        dot0 += g0[j] * difference;
        dot1 += g1[j] * difference;
      }
      const T* w = weights + (r * tables.heads + h) * 4;
      const T gradient0 = tables.score_scale * w[0] * w[1] * dot0;
      const T gradient1 = tables.score_scale * w[2] * w[3] * dot1;
      T* scores = score_gradient + h * rows * rows;
      scores[first * rows + first] -= gradient0;
      scores[first * rows + second] += gradient0;
      scores[second * rows + first] -= gradient1;
      scores[second * rows + second] += gradient1;
    }
  }
}

template <typename T>
void AttendValueGradient(SymbolRows token_rows, int64_t heads, int64_t width, const T* weights,
                         const T* stream_gradient, T* value_gradient, T* table_gradient) {
  for (int64_t row = 0; row < token_rows.symbols; ++row) {
    const int64_t position = 2 * row < token_rows.symbols ? 0 : 1;
    T* values = value_gradient + row * heads * width;
    T* table = table_gradient + row * width;
    Clear(heads * width, values);
    Clear(width, table);
    for (int64_t i = token_rows.offsets[row]; i < token_rows.offsets[row + 1]; ++i) {
      const int64_t r = token_rows.rows[i];
      const T* __restrict g0 = stream_gradient + 2 * r * width;
      const T* __restrict g1 = g0 + width;
      AddTo(width, g0 + position * width, table);
      for (int64_t h = 0; h < heads; ++h) {
        const T* w = weights + (r * heads + h) * 4 + position;
        const T from0 = w[0];  // what either token takes of this one's value
        const T from1 = w[2];
        T* __restrict out = values + h * width;
#pragma omp simd
        for (int64_t j = 0; j < width; ++j) out[j] += from0 * g0[j] + from1 * g1[j];
      }
    }
  }
}

template <typename F, bool kKeep, typename T>
inline void ActivatePooledRows(int64_t pairs, int64_t width, const T* __restrict bias, T* value, T* pooled) {
  for (int64_t r = 0; r < pairs; ++r) {
    T* __restrict z0 = value + 2 * r * width;
    T* __restrict z1 = z0 + width;
    T* __restrict sum = pooled + r * width;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) {
      T value0, value1, slope0, slope1;
      F::Apply(z0[j] + bias[j], &value0, &slope0);
      F::Apply(z1[j] + bias[j], &value1, &slope1);
      sum[j] = T(0.5) * (value0 + value1);
      if (kKeep) {
        z0[j] = T(0.5) * slope0;
        z1[j] = T(0.5) * slope1;
      }
    }
  }
}

template <typename T>
void ActivatePooled(Activation f, bool keep_derivative, int64_t pairs, int64_t width, const T* bias, T* value,
                    T* pooled) {
  WithActivation(f, [&](auto function) {
    using F = decltype(function);
    if (keep_derivative) {
      ActivatePooledRows<F, true>(pairs, width, bias, value, pooled);
    } else {
      ActivatePooledRows<F, false>(pairs, width, bias, value, pooled);
    }
  });
}

template <typename T>
void MultiplyPooledSum(int64_t pairs, int64_t width, const T* pooled_gradient, T* derivative, T* bias_gradient,
                       T* scratch) {
  SumOverRows(pairs, width, bias_gradient, scratch, [=](int64_t r, T* __restrict partial) {
    const T* __restrict g = pooled_gradient + r * width;
    T* __restrict d0 = derivative + 2 * r * width;
    T* __restrict d1 = d0 + width;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) {
      const T gradient0 = g[j] * d0[j];
      const T gradient1 = g[j] * d1[j];
      d0[j] = gradient0;
      d1[j] = gradient1;
      partial[j] += gradient0 + gradient1;
    }
  });
}

}  // namespace
}  // namespace seedbed::engine::SEEDBED_INSTRUCTION_SET
