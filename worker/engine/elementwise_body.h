// Included once by each of elementwise_*.cc with SEEDBED_INSTRUCTION_SET defined as that file's namespace. It includes
// no header with inline functions: one compiled here for a newer instruction set could replace the copy that older CPUs
// run.
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

template <typename F, bool kDerivative, typename T>
void GatherRows(const T* __restrict products, PairRows pairs, const T* __restrict bias, int64_t width,
                T* __restrict value, T* __restrict derivative) {
  for (int64_t r = 0; r < pairs.rows; ++r) {
    const T* __restrict left = products + pairs.a[r] * width;
    const T* __restrict right = products + pairs.b[r] * width;
    T* __restrict v = value + r * width;
    T* __restrict d = kDerivative ? derivative + r * width : nullptr;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) {
      T slope;
      F::Apply(left[j] + right[j] + bias[j], &v[j], &slope);
      if (kDerivative) d[j] = slope;
    }
  }
}

template <typename F, bool kDerivative, typename T>
void ActivateRows(int64_t rows, int64_t width, const T* __restrict bias, T* __restrict value,
                  T* __restrict derivative) {
  for (int64_t r = 0; r < rows; ++r) {
    T* __restrict v = value + r * width;
    T* __restrict d = kDerivative ? derivative + r * width : nullptr;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) {
      T slope;
      F::Apply(v[j] + bias[j], &v[j], &slope);
      if (kDerivative) d[j] = slope;
    }
  }
}

template <typename T>
void GatherActivate(Activation f, const T* products, PairRows pairs, const T* bias, int64_t width, T* value,
                    T* derivative) {
  const auto run = [&](auto function) {
    using F = decltype(function);
    if (derivative != nullptr) {
      GatherRows<F, true>(products, pairs, bias, width, value, derivative);
    } else {
      GatherRows<F, false>(products, pairs, bias, width, value, derivative);
    }
  };
  if (f == Activation::kRelu) run(Relu());
  if (f == Activation::kGelu) run(Gelu());
  if (f == Activation::kTanh) run(Tanh());
}

template <typename T>
void Activate(Activation f, int64_t rows, int64_t width, const T* bias, T* value, T* derivative) {
  const auto run = [&](auto function) {
    using F = decltype(function);
    if (derivative != nullptr) {
      ActivateRows<F, true>(rows, width, bias, value, derivative);
    } else {
      ActivateRows<F, false>(rows, width, bias, value, derivative);
    }
  };
  if (f == Activation::kRelu) run(Relu());
  if (f == Activation::kGelu) run(Gelu());
  if (f == Activation::kTanh) run(Tanh());
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
struct RowSoftmax {
  T largest;
  T sum;  // of exp(x - largest)
};

// What a row of logits + bias says of its label; with kKeep, logits become exp(x - largest).
template <bool kKeep, typename T, typename Logit>
inline RowSoftmax<T> SoftmaxRow(int64_t classes, Logit* __restrict x, const T* __restrict bias, int32_t label, T* loss,
                                uint8_t* correct) {
  T largest = x[0] + bias[0];
#pragma omp simd reduction(max : largest)
  for (int64_t j = 1; j < classes; ++j) {
    const T shifted = x[j] + bias[j];
    largest = shifted > largest ? shifted : largest;
  }
  const T own = x[label] + bias[label];
  // Equal logits before the label's beat it. A row that is not finite makes `own < largest` false; its loss tells.
  bool beaten = !(own >= largest);
  for (int64_t j = 0; j < label; ++j) beaten |= x[j] + bias[j] == own;
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < classes; ++j) {
    const T e = ExpOfNegative(x[j] + bias[j] - largest);
    if constexpr (kKeep) x[j] = e;
    sum += e;
  }
  *loss = -((own - largest) - Log(sum));
  *correct = !beaten;
  return {largest, sum};
}

template <typename T>
void SoftmaxLoss(int64_t rows, int64_t classes, const T* logits, const T* bias, const int32_t* labels, T* loss,
                 uint8_t* correct) {
  for (int64_t r = 0; r < rows; ++r) {
    SoftmaxRow<false, T>(classes, logits + r * classes, bias, labels[r], loss + r, correct + r);
  }
}

template <typename T>
void AddTo(int64_t size, const T* __restrict values, T* __restrict sum) {
#pragma omp simd
  for (int64_t j = 0; j < size; ++j) sum[j] += values[j];
}

template <typename T>
void Clear(int64_t size, T* values) {
  for (int64_t j = 0; j < size; ++j) values[j] = 0;
}

template <typename T>
void SoftmaxLossGradient(int64_t rows, int64_t classes, T* logits, const T* bias, const int32_t* labels,
                         const T* row_scale, T* loss, uint8_t* correct, T* bias_gradient, T* __restrict scratch) {
  Clear(classes, bias_gradient);
  for (int64_t begin = 0; begin < rows; begin += kRowsPerPartialSum) {
    const int64_t end = begin + kRowsPerPartialSum < rows ? begin + kRowsPerPartialSum : rows;
    Clear(classes, scratch);
    for (int64_t r = begin; r < end; ++r) {
      T* __restrict x = logits + r * classes;
      const RowSoftmax<T> row = SoftmaxRow<true, T>(classes, x, bias, labels[r], loss + r, correct + r);
      const T inverse = T(1) / row.sum;
      const T scale = row_scale[r];
      x[labels[r]] -= row.sum;  // (e - sum) / sum is the label's probability minus 1
#pragma omp simd
      for (int64_t j = 0; j < classes; ++j) {
        const T gradient = x[j] * inverse * scale;
        x[j] = gradient;
        scratch[j] += gradient;
      }
    }
    AddTo(classes, scratch, bias_gradient);
  }
}

template <typename T>
void MultiplySum(int64_t rows, int64_t width, const T* derivative, T* gradient, T* bias_gradient,
                 T* __restrict scratch) {
  Clear(width, bias_gradient);
  for (int64_t begin = 0; begin < rows; begin += kRowsPerPartialSum) {
    const int64_t end = begin + kRowsPerPartialSum < rows ? begin + kRowsPerPartialSum : rows;
    Clear(width, scratch);
    for (int64_t r = begin; r < end; ++r) {
      const T* __restrict d = derivative + r * width;
      T* __restrict g = gradient + r * width;
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) {
        const T product = g[j] * d[j];
        g[j] = product;
        scratch[j] += product;
      }
    }
    AddTo(width, scratch, bias_gradient);
  }
}

template <typename T>
void Scatter(SymbolRows symbol_rows, int64_t width, const T* gradient, const T* derivative, T* out, T* bias_gradient) {
  Clear(width, bias_gradient);
  for (int64_t s = 0; s < symbol_rows.symbols; ++s) {
    T* __restrict sum = out + s * width;
    Clear(width, sum);
    for (int64_t i = symbol_rows.offsets[s]; i < symbol_rows.offsets[s + 1]; ++i) {
      const T* __restrict g = gradient + symbol_rows.rows[i] * width;
      const T* __restrict d = derivative + symbol_rows.rows[i] * width;
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) sum[j] += g[j] * d[j];
    }
    AddTo(width, sum, bias_gradient);
  }
  for (int64_t j = 0; j < width; ++j) bias_gradient[j] *= T(0.5);
}

template <typename T>
void Sgd(int64_t size, SgdSettings<T> s, const T* __restrict gradient, T* __restrict momentum,
         T* __restrict parameter) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    const T decayed = gradient[i] + s.weight_decay * parameter[i];
    const T velocity = s.momentum * momentum[i] + decayed;
    momentum[i] = velocity;
    parameter[i] -= s.learning_rate * velocity;
  }
}

template <typename T>
void Adamw(int64_t size, AdamwSettings<T> s, const T* __restrict gradient, T* __restrict mean,
           T* __restrict mean_square, T* __restrict parameter) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    const T g = gradient[i];
    const T m = s.beta1 * mean[i] + s.one_minus_beta1 * g;
    const T v = s.beta2 * mean_square[i] + s.one_minus_beta2 * g * g;
    mean[i] = m;
    mean_square[i] = v;
    parameter[i] = s.keep * parameter[i] - s.learning_rate * m / (Root(v) * s.root_scale + s.epsilon);
  }
}

template <typename T>
double SumOfSquares(int64_t size, const T* values) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < size; ++i) {
    const auto value = static_cast<double>(values[i]);
    sum += value * value;
  }
  return sum;
}

template <typename T>
constexpr ElementwiseKernels<T> kKernels = {
    GatherActivate<T>, Activate<T>, SoftmaxLoss<T>, SoftmaxLossGradient<T>, MultiplySum<T>,
    Scatter<T>,        Sgd<T>,      Adamw<T>,       SumOfSquares<T>,
};

}  // namespace

const ElementwiseKernels<float>& FloatKernels() {
  return kKernels<float>;
}
const ElementwiseKernels<double>& DoubleKernels() {
  return kKernels<double>;
}

}  // namespace seedbed::engine::SEEDBED_INSTRUCTION_SET
