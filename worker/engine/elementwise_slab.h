#pragma once

// Part of elementwise_body.h: optimisers and sums on slabs.
#include "worker/engine/elementwise_math.h"

namespace seedbed::engine::SEEDBED_INSTRUCTION_SET {
namespace {

template <typename T, bool kNesterov>
void SgdPass(int64_t size, SgdSettings<T> s, const T* __restrict gradient, T* __restrict momentum,
             T* __restrict parameter) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    const T decayed = s.gradient_scale * gradient[i] + s.weight_decay * parameter[i];
    const T velocity = s.momentum * momentum[i] + decayed;
    momentum[i] = velocity;
    parameter[i] -= s.learning_rate * (kNesterov ? decayed + s.momentum * velocity : velocity);
  }
}

template <typename T>
void Sgd(int64_t size, SgdSettings<T> settings, const T* gradient, T* momentum, T* parameter) {
  if (settings.nesterov) {
    SgdPass<T, true>(size, settings, gradient, momentum, parameter);
  } else {
    SgdPass<T, false>(size, settings, gradient, momentum, parameter);
  }
}

template <typename T>
void Adam(int64_t size, AdamSettings<T> s, const T* __restrict gradient, T* __restrict mean, T* __restrict mean_square,
          T* __restrict parameter) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    const T g = s.gradient_scale * gradient[i] + s.coupled_decay * parameter[i];
    const T m = s.beta1 * mean[i] + s.one_minus_beta1 * g;
    const T v = s.beta2 * mean_square[i] + s.one_minus_beta2 * g * g;
    mean[i] = m;
    mean_square[i] = v;
    parameter[i] = s.keep * parameter[i] - s.learning_rate * m / (Root(v) * s.root_scale + s.epsilon);
  }
}

template <typename T>
void Amplify(int64_t size, T keep, T amplification, const T* __restrict gradient, T* __restrict slow,
             T* __restrict out) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    const T g = gradient[i];
    const T average = keep * slow[i] + (T(1) - keep) * g;
    slow[i] = average;
    out[i] = g + amplification * average;
  }
}

template <typename T>
void AddMultiple(int64_t size, T factor, const T* __restrict direction, T* __restrict values) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) values[i] += factor * direction[i];
}

template <typename T>
double Dot(int64_t size, const T* left, const T* right) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < size; ++i) sum += static_cast<double>(left[i]) * static_cast<double>(right[i]);
  return sum;
}

}  // namespace
}  // namespace seedbed::engine::SEEDBED_INSTRUCTION_SET
