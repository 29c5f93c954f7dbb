#include "worker/engine/elementwise.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace seedbed::engine {
namespace {

const char* const kInstructionSets[] = {"baseline", "avx2", "avx512"};

double ExactValue(Activation f, double z) {
  if (f == Activation::kRelu) return z > 0 ? z : 0;
  if (f == Activation::kTanh) return std::tanh(z);
  if (f == Activation::kQuadratic) return z * z;
  return 0.5 * z * std::erfc(-z / std::sqrt(2.0));
}

double ExactSlope(Activation f, double z) {
  if (f == Activation::kRelu) return z > 0 ? 1 : 0;
  if (f == Activation::kTanh) return 1 - std::tanh(z) * std::tanh(z);
  if (f == Activation::kQuadratic) return 2 * z;
  return 0.5 * std::erfc(-z / std::sqrt(2.0)) + z * std::exp(-z * z / 2) / std::sqrt(2 * std::acos(-1.0));
}

// z over the range where the functions bend, and very small and large ones.
template <typename T>
std::vector<T> Arguments() {
  std::vector<T> z;
  for (int i = -40000; i <= 40000; ++i) z.push_back(static_cast<T>(i) / T(3001));
  for (const double size : {1e-30, 1e-12, 1e-6, 1e-3, 20.0, 50.0, 1000.0}) {
    z.push_back(static_cast<T>(size));
    z.push_back(static_cast<T>(-size));
  }
  return z;
}

// Values within `ulps` of the result relative to max(|result|, floor · |z|): in the far tail of gelu the result
// underflows.
template <typename T>
void ExpectAccurateActivations(const ElementwiseKernels<T>& kernels, double ulps, const std::string& name) {
  const std::vector<T> z = Arguments<T>();
  const auto n = static_cast<int64_t>(z.size());
  const std::vector<T> bias(z.size(), T(0));
  const double ulp = std::numeric_limits<T>::epsilon();
  for (const Activation f : {Activation::kRelu, Activation::kGelu, Activation::kTanh, Activation::kQuadratic}) {
    std::vector<T> value = z;
    std::vector<T> slope(z.size());
    kernels.activate(f, 1, n, bias.data(), value.data(), slope.data());
    std::vector<T> value_alone = z;
    kernels.activate(f, 1, n, bias.data(), value_alone.data(), nullptr);
    EXPECT_EQ(value, value_alone) << name;
    for (size_t i = 0; i < z.size(); ++i) {
      const double exact = ExactValue(f, static_cast<double>(z[i]));
      const double size = std::abs(static_cast<double>(z[i]));
      const double tail = f == Activation::kGelu && z[i] < 0 ? std::max(1.0, size * size / 2) : 1;
      const double bound = ulps * ulp * std::max(tail * std::abs(exact), 1e-3 * size);
      ASSERT_NEAR(value[i], exact, bound) << name << " value of " << static_cast<int>(f) << " at " << z[i];
      ASSERT_NEAR(slope[i], ExactSlope(f, static_cast<double>(z[i])), ulps * ulp)
          << name << " slope of " << static_cast<int>(f) << " at " << z[i];
    }
  }
}

TEST(ElementwiseTest, ActivationsAreAccurate) {
  for (const char* set : kInstructionSets) {
    if (const auto* kernels = ElementwiseKernelsFor<float>(set)) ExpectAccurateActivations(*kernels, 8, set);
    if (const auto* kernels = ElementwiseKernelsFor<double>(set)) ExpectAccurateActivations(*kernels, 8, set);
  }
}

TEST(ElementwiseTest, TanhAndGeluKeepTheDigitsOfSmallValues) {
  const auto& kernels = BestElementwiseKernels<float>();
  for (const float z : {1e-8F, -3e-6F, 2e-4F}) {
    const float bias = 0;
    float value = z;
    kernels.activate(Activation::kTanh, 1, 1, &bias, &value, nullptr);
    EXPECT_NEAR(value / z, 1, 3e-7);
    value = z;
    kernels.activate(Activation::kGelu, 1, 1, &bias, &value, nullptr);
    EXPECT_NEAR(value / z, 0.5 + z / std::sqrt(2 * std::acos(-1.0)), 3e-7);
  }
}

TEST(ElementwiseTest, WhatIsNotANumberStaysSo) {
  for (const Activation f : {Activation::kRelu, Activation::kGelu, Activation::kTanh, Activation::kQuadratic}) {
    std::vector<float> value(9, std::numeric_limits<float>::quiet_NaN());
    const std::vector<float> bias(9, 0);
    BestElementwiseKernels<float>().activate(f, 1, 9, bias.data(), value.data(), nullptr);
    for (const float v : value) EXPECT_TRUE(std::isnan(v)) << static_cast<int>(f);
  }
}

TEST(ElementwiseTest, SoftmaxSaturatesAsFloat32Does) {
  const float logits[] = {20, 0, 1};
  const float bias[] = {0, 0, 0};
  const int32_t label = 0;
  float loss = -1;
  uint8_t correct = 0;
  BestElementwiseKernels<float>().softmax_loss(1, 3, logits, bias, &label, &loss, &correct);
  EXPECT_EQ(loss, 0);  // log(1 + e^-20 + e^-19) rounds to 0
  EXPECT_EQ(correct, 1);
}

TEST(ElementwiseTest, AnAnswerIsTheFirstOfEqualLogits) {
  struct Case {
    std::vector<double> logits;
    int32_t label;
    int correct;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Case& c : {Case{{1, 2, 2}, 1, 1}, Case{{1, 2, 2}, 2, 0}, Case{{3, 2, 1}, 0, 1}, Case{{0, 0, 0}, 0, 1},
                        Case{{0, 0, 0}, 2, 0}, Case{{nan, nan, nan}, 0, 0}}) {
    const std::vector<double> bias(3, 0.0);
    double loss = 0;
    uint8_t correct = 9;
    BestElementwiseKernels<double>().softmax_loss(1, 3, c.logits.data(), bias.data(), &c.label, &loss, &correct);
    EXPECT_EQ(correct, c.correct) << c.label;
  }
}

TEST(ElementwiseTest, NotFiniteLogitsGiveANotFiniteLoss) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (int at = 0; at < 97; at += 12) {
      std::vector<float> logits(97, 0.5F);
      logits[static_cast<size_t>(at)] = bad;
      const std::vector<float> bias(97, 0);
      const int32_t label = 3;
      float loss = 0;
      uint8_t correct = 0;
      BestElementwiseKernels<float>().softmax_loss(1, 97, logits.data(), bias.data(), &label, &loss, &correct);
      EXPECT_FALSE(std::isfinite(loss)) << bad << " at " << at;
    }
  }
}

}  // namespace
}  // namespace seedbed::engine
