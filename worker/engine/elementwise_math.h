#pragma once

// Part of elementwise_body.h: exp, the activations and sums over rows, a copy for each instruction set.
#include "worker/engine/elementwise.h"

namespace seedbed::engine::SEEDBED_INSTRUCTION_SET {
namespace {

// Rows summed before a partial sum is added to the total: keeps float sums over thousands of rows accurate.
constexpr int64_t kRowsPerPartialSum = 64;

template <typename T>
struct FloatFormat;

template <>
struct FloatFormat<float> {
  using Bits = uint32_t;
  static constexpr int kMantissaBits = 23;
  static constexpr float kRounder = 12582912.0f;    // 1.5 · 2^23: adding it rounds to an integer in the low bits
  static constexpr float kLowestExponent = -87.0f;  // exp below it is taken as 0 (denormals are flushed anyway)
  static constexpr float kHighestExponent = 88.0f;
  static constexpr float kLn2High = 0.693359375f;  // 12 bits: its products with |n| < 4096 are exact
  static constexpr float kLn2Low = -2.12194440e-4f;
  static constexpr int kExpTerms = 7;
  // erfc(y) exp(y²) / t with t = 1 / (1 + 0.3 y), as a polynomial in t for 0 <= y <= 10: Chebyshev interpolation
  // computed with 60 digits, relative error 1.2e-9.
  static constexpr int kErfcTerms = 11;
  static constexpr float kErfc[kErfcTerms] = {
      0.169286669413f, 0.168580183744f,  0.168472145162f, 0.1059568434f,    0.280468301989f,  -0.311256334875f,
      0.814345600209f, -0.880790389019f, 0.76994602355f,  -0.342258758915f, 0.0572497154587f,
  };
};

template <>
struct FloatFormat<double> {
  using Bits = uint64_t;
  static constexpr int kMantissaBits = 52;
  static constexpr double kRounder = 6755399441055744.0;  // 1.5 · 2^52
  static constexpr double kLowestExponent = -708.0;
  static constexpr double kHighestExponent = 709.0;
  static constexpr double kLn2High = 6.93145751953125e-1;  // 16 bits
  static constexpr double kLn2Low = 1.42860682030941723212e-6;
  static constexpr int kExpTerms = 13;
  // As above for 0 <= y <= 27, relative error 4.5e-18.
  static constexpr int kErfcTerms = 23;
  static constexpr double kErfc[kErfcTerms] = {
      0.16925687506849024787,  0.16925687476745910411,   0.16164032552619912278,   0.14640699517126157463,
      0.12458862773550013127,  0.098202205669075348463,  0.070445360165420448668,  0.042118361206612975844,
      0.029534061212244542187, -0.027201570972733555137, 0.10912637509273668148,   -0.3173853924051127911,
      0.70972017972639332373,  -1.341543042119728231,    2.0547848082265100618,    -2.5388093169592666007,
      2.500624541228681714,    -1.9104368205105522993,   1.0958812478962832794,    -0.45411785705384202109,
      0.12827802307041986304,  -0.022134802728816456751, 0.0017639409867635469917,
  };
};

constexpr double kInverseFactorial[] = {
    1.0,        1.0,         1.0 / 2,      1.0 / 6,       1.0 / 24,       1.0 / 120,       1.0 / 720,
    1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};

template <typename T>
struct ReducedExp {
  T scale;  // 2^n
  T expm1;  // exp(r) - 1, accurate relative to itself
};

// exp(x) = scale · (1 + expm1), with x = n ln 2 + r, |r| <= ln 2 / 2, for x in [kLowestExponent, kHighestExponent] or
// not a number.
template <typename T>
inline __attribute__((always_inline)) ReducedExp<T> Reduce(T x) {
  using Format = FloatFormat<T>;
  using Bits = typename Format::Bits;
  const T rounded = x * T(1.4426950408889634) + Format::kRounder;
  const T n = rounded - Format::kRounder;
  const T r = (x - n * Format::kLn2High) - n * Format::kLn2Low;
  T series = T(kInverseFactorial[Format::kExpTerms]);
#pragma GCC unroll 16
  for (int i = Format::kExpTerms - 1; i >= 1; --i) series = series * r + T(kInverseFactorial[i]);
  const Bits one = __builtin_bit_cast(Bits, T(1));
  const T scale = __builtin_bit_cast(T, one + (__builtin_bit_cast(Bits, rounded) << Format::kMantissaBits));
  return {scale, series * r};
}

// exp(x) for x <= 0; 0 below kLowestExponent.
template <typename T>
inline __attribute__((always_inline)) T ExpOfNegative(T x) {
  const T clamped = x < FloatFormat<T>::kLowestExponent ? FloatFormat<T>::kLowestExponent : x;
  const ReducedExp<T> e = Reduce(clamped);
  const T value = e.scale * e.expm1 + e.scale;
  return x < FloatFormat<T>::kLowestExponent ? T(0) : value;
}

struct Relu {
  template <typename T>
  static inline __attribute__((always_inline)) void Apply(T z, T* value, T* derivative) {
    *value = z < 0 ? T(0) : z;  // keeps what is not a number
    *derivative = z > 0 ? T(1) : T(0);
  }
};

// x Φ(x), and Φ(x) + x φ(x): both need exp(-x²/2) once. The tail is computed, not 1 minus it, so small values keep
// their digits.
struct Gelu {
  template <typename T>
  static inline __attribute__((always_inline)) void Apply(T z, T* value, T* derivative) {
    using Format = FloatFormat<T>;
    const T size = z < 0 ? -z : z;
    const T e = ExpOfNegative(T(-0.5) * z * z);
    const T t = T(1) / (T(1) + T(0.3 * 0.70710678118654752440) * size);
    T series = Format::kErfc[Format::kErfcTerms - 1];
#pragma GCC unroll 32
    for (int i = Format::kErfcTerms - 2; i >= 0; --i) series = series * t + Format::kErfc[i];
    const T tail = T(0.5) * e * t * series;
    const T below = z < 0 ? tail : T(1) - tail;
    *value = z * below;
    *derivative = below + z * e * T(0.39894228040143267794);
  }
};

// u / (u + 2) with u = exp(2|x|) - 1, which is accurate relative to itself at both ends.
struct Tanh {
  template <typename T>
  static inline __attribute__((always_inline)) void Apply(T z, T* value, T* derivative) {
    const T size = z < 0 ? -z : z;
    const T doubled = size > T(20) ? T(40) : T(2) * size;  // tanh(20) is 1 in either precision
    const ReducedExp<T> e = Reduce(doubled);
    const T u = e.scale * e.expm1 + (e.scale - T(1));
    const T y = u / (u + T(2));
    *value = z < 0 ? -y : y;
    *derivative = T(1) - y * y;
  }
};

struct Quadratic {
  template <typename T>
  static inline __attribute__((always_inline)) void Apply(T z, T* value, T* derivative) {
    *value = z * z;
    *derivative = T(2) * z;
  }
};

// run(F()) with the functor that `f` names.
template <typename Run>
inline __attribute__((always_inline)) void WithActivation(Activation f, const Run& run) {
  switch (f) {
    case Activation::kRelu:
      return run(Relu());
    case Activation::kGelu:
      return run(Gelu());
    case Activation::kTanh:
      return run(Tanh());
    case Activation::kQuadratic:
      return run(Quadratic());
  }
}

inline float Log(float x) {
  return __builtin_logf(x);
}
inline double Log(double x) {
  return __builtin_log(x);
}
inline __attribute__((always_inline)) float Root(float x) {
  return __builtin_sqrtf(x);
}
inline __attribute__((always_inline)) double Root(double x) {
  return __builtin_sqrt(x);
}

template <typename T>
inline __attribute__((always_inline)) void AddTo(int64_t size, const T* __restrict values, T* __restrict sum) {
#pragma omp simd
  for (int64_t j = 0; j < size; ++j) sum[j] += values[j];
}

template <typename T>
inline __attribute__((always_inline)) void Clear(int64_t size, T* values) {
  for (int64_t j = 0; j < size; ++j) values[j] = 0;
}

// sum [size] = what add_row(r, partial) adds to `partial` for each row, through partial sums of kRowsPerPartialSum rows
// in `scratch` [size].
template <typename T, typename AddRow>
inline __attribute__((always_inline)) void SumOverRows(int64_t rows, int64_t size, T* sum, T* scratch,
                                                       const AddRow& add_row) {
  Clear(size, sum);
  for (int64_t begin = 0; begin < rows; begin += kRowsPerPartialSum) {
    const int64_t end = begin + kRowsPerPartialSum < rows ? begin + kRowsPerPartialSum : rows;
    Clear(size, scratch);
    for (int64_t r = begin; r < end; ++r) add_row(r, scratch);
    AddTo(size, scratch, sum);
  }
}

}  // namespace
}  // namespace seedbed::engine::SEEDBED_INSTRUCTION_SET
