#pragma once

// Part of elementwise_body.h: LayerNorm.
#include "worker/engine/elementwise_math.h"

namespace seedbed::engine::SEEDBED_INSTRUCTION_SET {
namespace {

template <typename T>
inline __attribute__((always_inline)) T SumOf(int64_t size, const T* __restrict values) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < size; ++j) sum += values[j];
  return sum;
}

// The variance is taken about the mean, not as a difference of moments: large means cost no digits.
template <typename T>
void LayerNorm(int64_t rows, int64_t width, LayerNormWeights<T> weights, T bias_factor, const T* __restrict bias,
               T* input, T* output, T* normalized, T* inverse) {
  const T* __restrict scale = weights.scale;
  const T* __restrict shift = weights.shift;
  const T share = T(1) / static_cast<T>(width);
  for (int64_t r = 0; r < rows; ++r) {
    T* __restrict x = input + r * width;
    if (bias != nullptr) {
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) x[j] += bias_factor * bias[j];
    }
    const T mean = SumOf(width, x) * share;
    T squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t j = 0; j < width; ++j) squares += (x[j] - mean) * (x[j] - mean);
    const T factor = T(1) / Root(squares * share + T(kLayerNormEpsilon));
    T* __restrict y = output + r * width;
    if (normalized == nullptr) {
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) y[j] = (x[j] - mean) * factor * scale[j] + shift[j];
      continue;
    }
    inverse[r] = factor;
    T* __restrict kept = normalized + r * width;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) {
      const T value = (x[j] - mean) * factor;
      kept[j] = value;
      y[j] = value * scale[j] + shift[j];
    }
  }
}

// With u = scale · output_gradient: input_gradient += inverse · (u - mean(u) - normalized · mean(u · normalized)).
template <typename T>
void LayerNormGradient(int64_t rows, int64_t width, const T* __restrict scale, const T* normalized, const T* inverse,
                       const T* output_gradient, T* input_gradient, T* scale_gradient, T* shift_gradient, T* scratch) {
  T* __restrict scale_partial = scratch;
  T* __restrict shift_partial = scratch + width;
  const T share = T(1) / static_cast<T>(width);
  Clear(width, scale_gradient);
  Clear(width, shift_gradient);
  for (int64_t begin = 0; begin < rows; begin += kRowsPerPartialSum) {
    const int64_t end = begin + kRowsPerPartialSum < rows ? begin + kRowsPerPartialSum : rows;
    Clear(2 * width, scratch);
    for (int64_t r = begin; r < end; ++r) {
      const T* __restrict value = normalized + r * width;
      const T* __restrict g = output_gradient + r * width;
      T* __restrict out = input_gradient + r * width;
      T sum = 0;
      T product_sum = 0;
#pragma omp simd reduction(+ : sum, product_sum)
      for (int64_t j = 0; j < width; ++j) {
        const T u = g[j] * scale[j];
        const T product = g[j] * value[j];
        sum += u;
        product_sum += u * value[j];
        scale_partial[j] += product;
        shift_partial[j] += g[j];
      }
      const T mean = sum * share;
      const T slope = product_sum * share;
      const T factor = inverse[r];
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) out[j] += factor * (g[j] * scale[j] - mean - value[j] * slope);
    }
    AddTo(width, scale_partial, scale_gradient);
    AddTo(width, shift_partial, shift_gradient);
  }
}

}  // namespace
}  // namespace seedbed::engine::SEEDBED_INSTRUCTION_SET
