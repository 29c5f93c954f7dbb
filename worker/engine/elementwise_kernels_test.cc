// Every kernel but those of elementwise_test.cc against plain loops in double, in each precision and with each
// instruction set that runs here, at widths that no vector length divides.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "common/base/philox.h"
#include "gtest/gtest.h"
#include "worker/engine/elementwise.h"

namespace seedbed::engine {
namespace {

constexpr int64_t kRows = 131;  // two partial sums and a rest
constexpr int64_t kWidth = 37;
constexpr int64_t kSymbols = 11;

template <typename T>
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : random_(seed, 99) {}
  std::vector<T> Draw(int64_t count) {
    std::vector<T> values(static_cast<size_t>(count));
    for (T& value : values) value = static_cast<T>(random_.NextNormal());
    return values;
  }
  std::vector<int32_t> Symbols(int64_t count) {
    std::vector<int32_t> symbols(static_cast<size_t>(count));
    for (int32_t& symbol : symbols) symbol = static_cast<int32_t>(random_.NextBelow(kSymbols));
    return symbols;
  }

 private:
  PhiloxStream random_;
};

// Equal to within rounding of sums of a few hundred terms of size one.
template <typename T>
void ExpectNear(const std::vector<T>& values, const std::vector<double>& expected, const std::string& what) {
  ASSERT_EQ(values.size(), expected.size()) << what;
  const double bound = 300 * static_cast<double>(std::numeric_limits<T>::epsilon());
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(values[i], expected[i], bound * std::max(1.0, std::abs(expected[i]))) << what << " at " << i;
  }
}

// check(kernels, instruction set's name) for all that there are.
template <typename Check>
void WithAllKernels(const Check& check) {
  for (const char* set : {"baseline", "avx2", "avx512"}) {
    if (const auto* kernels = ElementwiseKernelsFor<float>(set)) check(*kernels, float(), std::string(set) + " float");
    if (const auto* kernels = ElementwiseKernelsFor<double>(set)) {
      check(*kernels, double(), std::string(set) + " double");
    }
  }
}

// Rows of each symbol, as the caller counts them.
struct Index {
  std::vector<int64_t> offsets = {0};
  std::vector<int32_t> rows;
  SymbolRows View() const { return {offsets.data(), rows.data(), static_cast<int64_t>(offsets.size()) - 1}; }
};

TEST(ElementwiseKernelsTest, GatherAndScatterSums) {
  WithAllKernels([](const auto& kernels, auto zero, const std::string& name) {
    using T = decltype(zero);
    Numbers<T> numbers(1);
    const std::vector<T> table = numbers.Draw(kSymbols * kWidth);
    const std::vector<int32_t> a = numbers.Symbols(kRows), b = numbers.Symbols(kRows);
    std::vector<T> out(kRows * kWidth);
    kernels.gather_sum(table.data(), {a.data(), b.data(), kRows}, kWidth, out.data());
    std::vector<double> expected(out.size()), sums(table.size(), 0.0);
    const std::vector<T> gradient = numbers.Draw(kRows * kWidth);
    Index index;
    for (int32_t s = 0; s < kSymbols; ++s) {
      for (int32_t r = 0; r < kRows; ++r) {
        for (const int32_t symbol : {a[r], b[r]}) {
          if (symbol == s) index.rows.push_back(r);
        }
      }
      index.offsets.push_back(static_cast<int64_t>(index.rows.size()));
    }
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t j = 0; j < kWidth; ++j) {
        expected[r * kWidth + j] = static_cast<double>(table[a[r] * kWidth + j]) + table[b[r] * kWidth + j];
        sums[a[r] * kWidth + j] += gradient[r * kWidth + j];
        sums[b[r] * kWidth + j] += gradient[r * kWidth + j];
      }
    }
    ExpectNear(out, expected, name + " gather_sum");
    std::vector<T> scattered(table.size(), T(7));
    kernels.scatter_sum(index.View(), kWidth, gradient.data(), scattered.data());
    ExpectNear(scattered, sums, name + " scatter_sum");
  });
}

TEST(ElementwiseKernelsTest, RowsAndColumns) {
  WithAllKernels([](const auto& kernels, auto zero, const std::string& name) {
    using T = decltype(zero);
    Numbers<T> numbers(2);
    std::vector<T> matrix = numbers.Draw(kRows * kWidth);
    const std::vector<T> values = numbers.Draw(kWidth);
    std::vector<T> sum(kWidth, T(3)), scratch(kWidth, T(3));
    kernels.column_sum(kRows, kWidth, T(0.25), matrix.data(), sum.data(), scratch.data());
    std::vector<double> expected_sum(kWidth, 0.0), expected(matrix.size());
    for (int64_t i = 0; i < kRows * kWidth; ++i) {
      expected_sum[i % kWidth] += 0.25 * matrix[i];
      expected[i] = matrix[i] - 1.5 * values[i % kWidth];
    }
    ExpectNear(sum, expected_sum, name + " column_sum");
    kernels.add_to_rows(kRows, kWidth, T(-1.5), values.data(), matrix.data());
    ExpectNear(matrix, expected, name + " add_to_rows");
  });
}

TEST(ElementwiseKernelsTest, MultiplySumAndScatter) {
  WithAllKernels([](const auto& kernels, auto zero, const std::string& name) {
    using T = decltype(zero);
    Numbers<T> numbers(3);
    const std::vector<T> derivative = numbers.Draw(kRows * kWidth);
    std::vector<T> gradient = numbers.Draw(kRows * kWidth);
    Index index;  // row r belongs to symbols r % 3 and 3, so that each stands under two
    for (int32_t s = 0; s < 4; ++s) {
      for (int32_t r = 0; r < kRows; ++r) {
        if (s == 3 || r % 3 == s) index.rows.push_back(r);
      }
      index.offsets.push_back(static_cast<int64_t>(index.rows.size()));
    }
    std::vector<double> products(gradient.size()), bias(kWidth, 0.0), sums(4 * kWidth, 0.0);
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t j = 0; j < kWidth; ++j) {
        const double product = static_cast<double>(gradient[r * kWidth + j]) * derivative[r * kWidth + j];
        products[r * kWidth + j] = product;
        bias[j] += product;
        sums[r % 3 * kWidth + j] += product;
        sums[3 * kWidth + j] += product;
      }
    }
    std::vector<T> out(4 * kWidth), bias_gradient(kWidth), scratch(kWidth);
    kernels.scatter(index.View(), kWidth, gradient.data(), derivative.data(), out.data(), bias_gradient.data());
    ExpectNear(out, sums, name + " scatter");
    ExpectNear(bias_gradient, bias, name + " scatter's bias");
    kernels.multiply_sum(kRows, kWidth, derivative.data(), gradient.data(), bias_gradient.data(), scratch.data());
    ExpectNear(gradient, products, name + " multiply_sum");
    ExpectNear(bias_gradient, bias, name + " multiply_sum's bias");
  });
}

// The gradient is compared with central differences of the plain formula.
TEST(ElementwiseKernelsTest, LayerNormAndItsGradient) {
  WithAllKernels([](const auto& kernels, auto zero, const std::string& name) {
    using T = decltype(zero);
    constexpr int64_t kNormRows = 67;
    constexpr double kFactor = 0.5;
    Numbers<T> numbers(4);
    std::vector<T> input = numbers.Draw(kNormRows * kWidth);
    for (T& x : input) x = x * T(0.1) + T(4);  // a mean that is large beside the deviation
    const std::vector<T> scale = numbers.Draw(kWidth), shift = numbers.Draw(kWidth), bias = numbers.Draw(kWidth);
    const std::vector<T> gradient = numbers.Draw(kNormRows * kWidth);
    const std::vector<T> start = numbers.Draw(kNormRows * kWidth);

    std::vector<double> moved(input.begin(), input.end());
    for (size_t i = 0; i < moved.size(); ++i) moved[i] += kFactor * bias[i % kWidth];
    const auto normalize = [&](const std::vector<double>& rows, int64_t r, double* inverse) {
      double mean = 0, variance = 0;
      for (int64_t j = 0; j < kWidth; ++j) mean += rows[r * kWidth + j] / kWidth;
      for (int64_t j = 0; j < kWidth; ++j) variance += std::pow(rows[r * kWidth + j] - mean, 2) / kWidth;
      *inverse = 1 / std::sqrt(variance + 1e-5);
      std::vector<double> row(kWidth);
      for (int64_t j = 0; j < kWidth; ++j) row[j] = (rows[r * kWidth + j] - mean) * *inverse;
      return row;
    };
    std::vector<double> normalized, inverse, output, scale_gradient(kWidth, 0.0), shift_gradient(kWidth, 0.0);
    std::vector<double> input_gradient(start.begin(), start.end());
    for (int64_t r = 0; r < kNormRows; ++r) {
      inverse.push_back(0);
      const std::vector<double> row = normalize(moved, r, &inverse.back());
      for (int64_t j = 0; j < kWidth; ++j) {
        normalized.push_back(row[j]);
        output.push_back(row[j] * scale[j] + shift[j]);
        scale_gradient[j] += row[j] * gradient[r * kWidth + j];
        shift_gradient[j] += gradient[r * kWidth + j];
        std::vector<double> other = moved;
        const double step = 2e-4;
        double ignored = 0;
        constexpr double kFactors[][2] = {{-2, 1}, {-1, -8}, {1, 8}, {2, -1}};  // steps and weight: of fourth order
        for (const auto& [steps, weight] : kFactors) {
          other[r * kWidth + j] = moved[r * kWidth + j] + steps * step;
          const std::vector<double> changed = normalize(other, r, &ignored);
          for (int64_t i = 0; i < kWidth; ++i) {
            input_gradient[r * kWidth + j] += weight * changed[i] * scale[i] * gradient[r * kWidth + i] / (12 * step);
          }
        }
      }
    }
    std::vector<T> out(input.size()), kept(input.size()), kept_inverse(kNormRows), out_alone(input.size());
    const LayerNormWeights<T> weights{scale.data(), shift.data()};
    kernels.layer_norm(kNormRows, kWidth, weights, T(kFactor), bias.data(), input.data(), out.data(), kept.data(),
                       kept_inverse.data());
    const double loss_of_digits = std::is_same_v<T, float> ? 40 : 1e4;  // mean over deviation; differences
    const auto near = [&](const std::vector<T>& values, const std::vector<double>& expected, const char* what) {
      const double bound = 300 * loss_of_digits * static_cast<double>(std::numeric_limits<T>::epsilon());
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_NEAR(values[i], expected[i], bound * std::max(1.0, std::abs(expected[i]))) << name << what << i;
      }
    };
    ExpectNear(input, moved, name + " bias");
    near(out, output, " output ");
    near(kept, normalized, " normalized ");
    near(kept_inverse, inverse, " inverse ");
    kernels.layer_norm(kNormRows, kWidth, weights, T(0), nullptr, input.data(), out_alone.data(), nullptr, nullptr);
    near(out_alone, output, " output alone ");

    std::vector<T> in = start, scales(kWidth), shifts(kWidth), scratch(2 * kWidth, T(5));
    kernels.layer_norm_gradient(kNormRows, kWidth, scale.data(), kept.data(), kept_inverse.data(), gradient.data(),
                                in.data(), scales.data(), shifts.data(), scratch.data());
    near(in, input_gradient, " input gradient ");
    near(scales, scale_gradient, " scale gradient ");
    near(shifts, shift_gradient, " shift gradient ");
  });
}

struct AttentionCase {
  static constexpr int64_t kHeads = 3;
  static constexpr int64_t kTokens = 2 * kSymbols;
};

// Attention by its definition: what each token of each pair ends up with, as a function of the tables.
struct PlainAttention {
  std::vector<double> stream, values, scores;
  double scale = 0.3;

  double Weight(int64_t h, int64_t from, int64_t to, int64_t other) const {
    const auto score = [&](int64_t column) {
      return scale * scores[(h * AttentionCase::kTokens + from) * AttentionCase::kTokens + column];
    };
    return std::exp(score(to)) / (std::exp(score(to)) + std::exp(score(other)));
  }
  double Token(int64_t first, int64_t second, int64_t position, int64_t j) const {
    const int64_t own = position == 0 ? first : second;
    double x = stream[own * kWidth + j];
    for (int64_t h = 0; h < AttentionCase::kHeads; ++h) {
      const auto value = [&](int64_t token) { return values[(token * AttentionCase::kHeads + h) * kWidth + j]; };
      x += Weight(h, own, first, second) * value(first) + Weight(h, own, second, first) * value(second);
    }
    return x;
  }
  // The sum of tokens · gradient over all pairs, which the gradients are derivatives of.
  template <typename T>
  double Total(const std::vector<int32_t>& a, const std::vector<int32_t>& b, const std::vector<T>& gradient) const {
    double total = 0;
    for (size_t r = 0; r < a.size(); ++r) {
      for (int64_t position = 0; position < 2; ++position) {
        for (int64_t j = 0; j < kWidth; ++j) {
          total += Token(a[r], kSymbols + b[r], position, j) * gradient[(2 * r + position) * kWidth + j];
        }
      }
    }
    return total;
  }
  double Slope(std::vector<double>* table, size_t at, const std::vector<int32_t>& a, const std::vector<int32_t>& b,
               const std::vector<double>& gradient) {
    const double kept = (*table)[at];
    (*table)[at] = kept + 1e-4;
    const double above = Total(a, b, gradient);
    (*table)[at] = kept - 1e-4;
    const double below = Total(a, b, gradient);
    (*table)[at] = kept;
    return (above - below) / 2e-4;
  }
};

TEST(ElementwiseKernelsTest, AttentionAndItsGradients) {
  WithAllKernels([](const auto& kernels, auto zero, const std::string& name) {
    using T = decltype(zero);
    constexpr int64_t kHeads = AttentionCase::kHeads, kTokens = AttentionCase::kTokens, kPairs = 19;
    Numbers<T> numbers(5);
    const std::vector<T> stream = numbers.Draw(kTokens * kWidth), values = numbers.Draw(kTokens * kHeads * kWidth);
    const std::vector<T> scores = numbers.Draw(kHeads * kTokens * kTokens), mean_bias = numbers.Draw(kWidth);
    const std::vector<int32_t> a = numbers.Symbols(kPairs), b = numbers.Symbols(kPairs);
    PlainAttention plain{
        {stream.begin(), stream.end()}, {values.begin(), values.end()}, {scores.begin(), scores.end()}};
    const PairRows pairs{a.data(), b.data(), kPairs};
    const AttentionTables<T> tables{stream.data(), values.data(), scores.data(), T(0.3), kSymbols, kHeads, kWidth};

    std::vector<T> weights(kPairs * kHeads * 4), out(2 * kPairs * kWidth), mean(kPairs * kWidth);
    kernels.attention_weights(tables, pairs, weights.data());
    kernels.attend(tables, pairs, weights.data(), mean_bias.data(), out.data(), mean.data());
    std::vector<double> expected, expected_mean(mean.size());
    for (int64_t r = 0; r < kPairs; ++r) {
      for (int64_t position = 0; position < 2; ++position) {
        for (int64_t j = 0; j < kWidth; ++j) {
          expected.push_back(plain.Token(a[r], kSymbols + b[r], position, j));
          expected_mean[r * kWidth + j] += expected.back() / 2 + (position == 0 ? mean_bias[j] : T(0));
        }
      }
    }
    ExpectNear(out, expected, name + " attend");
    ExpectNear(mean, expected_mean, name + " mean");

    const std::vector<T> gradient = numbers.Draw(2 * kPairs * kWidth);
    const std::vector<double> exact(gradient.begin(), gradient.end());
    Index index;
    for (int32_t token = 0; token < kTokens; ++token) {
      for (int32_t r = 0; r < kPairs; ++r) {
        if (a[r] == token || kSymbols + b[r] == token) index.rows.push_back(r);
      }
      index.offsets.push_back(static_cast<int64_t>(index.rows.size()));
    }
    std::vector<T> scores_gradient(scores.size(), T(0)), values_gradient(values.size(), T(9)),
        stream_gradient(stream.size(), T(9));
    kernels.attend_score_gradient(tables, pairs, weights.data(), gradient.data(), scores_gradient.data());
    kernels.attend_value_gradient(index.View(), kHeads, kWidth, weights.data(), gradient.data(), values_gradient.data(),
                                  stream_gradient.data());
    const double bound = std::is_same_v<T, float> ? 2e-4 : 1e-5;
    const auto check = [&](const std::vector<T>& found, std::vector<double>* table, size_t stride, const char* what) {
      for (size_t i = 0; i < found.size(); i += stride) {
        ASSERT_NEAR(found[i], plain.Slope(table, i, a, b, exact), bound) << name << what << i;
      }
    };
    check(scores_gradient, &plain.scores, 7, " score ");
    check(values_gradient, &plain.values, 17, " value ");
    check(stream_gradient, &plain.stream, 13, " stream ");
  });
}

TEST(ElementwiseKernelsTest, AttentionWeightsKeepTheDigitsOfTheSmaller) {
  WithAllKernels([](const auto& kernels, auto zero, const std::string& name) {
    using T = decltype(zero);
    const std::vector<T> scores = {30, -30, -700, 700};
    const AttentionTables<T> tables{nullptr, nullptr, scores.data(), T(1), 1, 1, 1};
    const int32_t symbol = 0;
    std::vector<T> weights(4);
    kernels.attention_weights(tables, {&symbol, &symbol, 1}, weights.data());
    EXPECT_EQ(weights[0], T(1)) << name;
    EXPECT_NEAR(weights[1] / std::exp(-60.0), 1, 1e-5) << name;
    EXPECT_EQ(weights[2], T(0)) << name;
    EXPECT_EQ(weights[3], T(1)) << name;
  });
}

TEST(ElementwiseKernelsTest, PooledActivations) {
  WithAllKernels([](const auto& kernels, auto zero, const std::string& name) {
    using T = decltype(zero);
    Numbers<T> numbers(6);
    for (const Activation f : {Activation::kRelu, Activation::kGelu, Activation::kTanh, Activation::kQuadratic}) {
      std::vector<T> value = numbers.Draw(2 * kRows * kWidth);
      const std::vector<T> bias = numbers.Draw(kWidth), pooled_gradient = numbers.Draw(kRows * kWidth);
      std::vector<T> activated = value, slope(value.size());
      kernels.activate(f, 2 * kRows, kWidth, bias.data(), activated.data(), slope.data());  // has its own test
      std::vector<double> pooled, half_slope(slope.begin(), slope.end()), gradient, bias_sum(kWidth, 0.0);
      for (double& s : half_slope) s /= 2;
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t j = 0; j < kWidth; ++j) {
          pooled.push_back((static_cast<double>(activated[2 * r * kWidth + j]) + activated[(2 * r + 1) * kWidth + j]) /
                           2);
        }
      }
      for (int64_t i = 0; i < 2 * kRows * kWidth; ++i) {
        gradient.push_back(half_slope[i] * pooled_gradient[i / kWidth / 2 * kWidth + i % kWidth]);
        bias_sum[i % kWidth] += gradient.back();
      }
      std::vector<T> out(kRows * kWidth), out_alone(kRows * kWidth), scratch(kWidth), bias_gradient(kWidth);
      std::vector<T> value_alone = value;
      kernels.activate_pooled(f, false, kRows, kWidth, bias.data(), value_alone.data(), out_alone.data());
      kernels.activate_pooled(f, true, kRows, kWidth, bias.data(), value.data(), out.data());
      EXPECT_EQ(out, out_alone) << name;
      ExpectNear(out, pooled, name + " pooled");
      ExpectNear(value, half_slope, name + " half the derivative");
      kernels.multiply_pooled_sum(kRows, kWidth, pooled_gradient.data(), value.data(), bias_gradient.data(),
                                  scratch.data());
      ExpectNear(value, gradient, name + " gradient");
      ExpectNear(bias_gradient, bias_sum, name + " bias gradient");
    }
  });
}

TEST(ElementwiseKernelsTest, SlabSums) {
  WithAllKernels([](const auto& kernels, auto zero, const std::string& name) {
    using T = decltype(zero);
    constexpr int64_t kSize = 1003;
    Numbers<T> numbers(7);
    const std::vector<T> gradient = numbers.Draw(kSize);
    std::vector<T> slow = numbers.Draw(kSize), out(kSize);
    std::vector<double> average, amplified, moved;
    double dot = 0;
    for (int64_t i = 0; i < kSize; ++i) {
      average.push_back(0.75 * slow[i] + 0.25 * gradient[i]);
      amplified.push_back(gradient[i] + 2 * average.back());
      dot += static_cast<double>(slow[i]) * gradient[i];
      moved.push_back(amplified.back() - 0.5 * gradient[i]);
    }
    EXPECT_NEAR(kernels.dot(kSize, slow.data(), gradient.data()), dot, 1e-10) << name;
    kernels.amplify(kSize, T(0.75), T(2), gradient.data(), slow.data(), out.data());
    ExpectNear(slow, average, name + " slow");
    ExpectNear(out, amplified, name + " amplified");
    kernels.add_multiple(kSize, T(-0.5), gradient.data(), out.data());
    ExpectNear(out, moved, name + " add_multiple");
  });
}

}  // namespace
}  // namespace seedbed::engine
