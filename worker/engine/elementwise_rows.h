#pragma once

// Part of elementwise_body.h: what the multilayer perceptrons do between products, and softmax.
#include "worker/engine/elementwise_math.h"

namespace seedbed::engine::SEEDBED_INSTRUCTION_SET {
namespace {

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
  WithActivation(f, [&](auto function) {
    using F = decltype(function);
    if (derivative != nullptr) {
      GatherRows<F, true>(products, pairs, bias, width, value, derivative);
    } else {
      GatherRows<F, false>(products, pairs, bias, width, value, derivative);
    }
  });
}

template <typename T>
void Activate(Activation f, int64_t rows, int64_t width, const T* bias, T* value, T* derivative) {
  WithActivation(f, [&](auto function) {
    using F = decltype(function);
    if (derivative != nullptr) {
      ActivateRows<F, true>(rows, width, bias, value, derivative);
    } else {
      ActivateRows<F, false>(rows, width, bias, value, derivative);
    }
  });
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
void SoftmaxLossGradient(int64_t rows, int64_t classes, T* logits, const T* bias, const int32_t* labels,
                         const T* row_scale, T* loss, uint8_t* correct, T* bias_gradient, T* scratch) {
  SumOverRows(rows, classes, bias_gradient, scratch, [=](int64_t r, T* __restrict partial) {
    T* __restrict x = logits + r * classes;
    const RowSoftmax<T> row = SoftmaxRow<true, T>(classes, x, bias, labels[r], loss + r, correct + r);
    const T scale = row_scale[r] / row.sum;
    x[labels[r]] -= row.sum;  // (e - sum) / sum is the label's probability minus 1
#pragma omp simd
    for (int64_t j = 0; j < classes; ++j) {
      const T gradient = x[j] * scale;
      x[j] = gradient;
      partial[j] += gradient;
    }
  });
}

template <typename T>
void MultiplySum(int64_t rows, int64_t width, const T* derivative, T* gradient, T* bias_gradient, T* scratch) {
  SumOverRows(rows, width, bias_gradient, scratch, [=](int64_t r, T* __restrict partial) {
    const T* __restrict d = derivative + r * width;
    T* __restrict g = gradient + r * width;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) {
      const T product = g[j] * d[j];
      g[j] = product;
      partial[j] += product;
    }
  });
}

template <typename T>
void ColumnSum(int64_t rows, int64_t width, T factor, const T* matrix, T* sum, T* scratch) {
  SumOverRows(rows, width, sum, scratch,
              [=](int64_t r, T* __restrict partial) { AddTo(width, matrix + r * width, partial); });
  for (int64_t j = 0; j < width; ++j) sum[j] *= factor;
}

template <typename T>
void AddToRows(int64_t rows, int64_t width, T factor, const T* __restrict values, T* matrix) {
  for (int64_t r = 0; r < rows; ++r) {
    T* __restrict x = matrix + r * width;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) x[j] += factor * values[j];
  }
}

template <typename T>
void GatherSum(const T* table, PairRows pairs, int64_t width, T* out) {
  for (int64_t r = 0; r < pairs.rows; ++r) {
    const T* __restrict left = table + pairs.a[r] * width;
    const T* __restrict right = table + pairs.b[r] * width;
    T* __restrict sum = out + r * width;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) sum[j] = left[j] + right[j];
  }
}

template <typename T>
void ScatterSum(SymbolRows symbol_rows, int64_t width, const T* gradient, T* out) {
  for (int64_t s = 0; s < symbol_rows.symbols; ++s) {
    T* sum = out + s * width;
    Clear(width, sum);
    for (int64_t i = symbol_rows.offsets[s]; i < symbol_rows.offsets[s + 1]; ++i) {
      AddTo(width, gradient + symbol_rows.rows[i] * width, sum);
    }
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

}  // namespace
}  // namespace seedbed::engine::SEEDBED_INSTRUCTION_SET
