#include "worker/engine/logit_measures.h"

#include <cmath>

#include "common/base/philox.h"
#include "gtest/gtest.h"

namespace seedbed::engine {
namespace {

const double kPi = std::acos(-1.0);

Task Addition(int64_t modulus) {
  TaskParameters task;
  task.modulus = modulus;
  task.train_fraction = 0.4;
  return BuildTask(task).value();
}

double FullLoss(const Task& task, Loss loss, const LogitsFunction& logits) {
  double sum = 0;
  for (const auto* examples : {&task.train, &task.test}) {
    ForEachLogits(*examples, task.classes, logits, [&](const Example& example, const double* row) {
      sum += LossOf(loss, row, task.classes, example.label);
    });
  }
  return sum / static_cast<double>(task.train.size() + task.test.size());
}

SumComponents Added(const Task& task, const LogitsFunction& logits) {
  SumComponents components(task.symbols, task.classes);
  for (const auto* examples : {&task.train, &task.test}) {
    ForEachLogits(*examples, task.classes, logits,
                  [&](const Example& example, const double* row) { components.Add(example, row); });
  }
  return components;
}

// Any function of (a, b, class) as a LogitsFunction.
template <typename F>
LogitsFunction Tabulated(const Task& task, F f) {
  return [&task, f](const std::vector<Example>& examples) {
    std::vector<double> values;
    for (const Example& example : examples) {
      for (int32_t c = 0; c < task.classes; ++c) values.push_back(f(example.a, example.b, c));
    }
    return values;
  };
}

double RandomValue(int32_t a, int32_t b, int32_t c) {
  return PhiloxStream(static_cast<uint64_t>(a), static_cast<uint64_t>(1000 * b + c)).NextNormal();
}

TEST(LossOfTest, IsTheFormula) {
  const double logits[] = {1, 3, -2};
  EXPECT_NEAR(LossOf(Loss::kCrossEntropy, logits, 3, 0),
              -std::log(std::exp(1) / (std::exp(1) + std::exp(3) + std::exp(-2))), 1e-15);
  EXPECT_NEAR(LossOf(Loss::kMse, logits, 3, 0), (0 + 9 + 4) / 3.0, 1e-15);
  const double large[] = {2000, 1000};
  EXPECT_EQ(LossOf(Loss::kCrossEntropy, large, 2, 1), 1000);
}

TEST(MarginMeterTest, MeanAndSmallest) {
  const double right[] = {5, 1, 2}, wrong[] = {0, 7, 6};
  MarginMeter margins;
  margins.Add({0, 0, 0}, right, 3);
  margins.Add({0, 0, 2}, wrong, 3);
  EXPECT_EQ(margins.mean(), (3 - 1) / 2.0);
  EXPECT_EQ(margins.smallest, -1);
}

TEST(ForEachLogitsTest, VisitsAllInOrderAFewAtATime) {
  const Task task = Addition(97);
  size_t most = 0;
  const LogitsFunction logits = [&](const std::vector<Example>& examples) {
    most = std::max(most, examples.size());
    std::vector<double> values(examples.size() * 5000);
    for (size_t i = 0; i < examples.size(); ++i) values[i * 5000 + 4999] = examples[i].a * 97 + examples[i].b;
    return values;
  };
  size_t next = 0;
  ForEachLogits(task.test, 5000, logits, [&](const Example& example, const double* row) {
    ASSERT_EQ(example.a, task.test[next].a);
    ASSERT_EQ(row[4999], task.test[next].a * 97 + task.test[next].b);
    ++next;
  });
  EXPECT_EQ(next, task.test.size());
  EXPECT_LT(most, 300u);
  EXPECT_GT(most, 100u);
}

// Logits made of a constant and the key frequencies alone: nothing is lost by restricting them, and excluding them
// leaves the constant.
TEST(SumComponentsTest, LogitsInTheKeyFrequencies) {
  for (const Loss loss : {Loss::kCrossEntropy, Loss::kMse}) {
    const Task task = Addition(13);
    const auto constant = [](int32_t c) { return 0.1 * c; };
    const LogitsFunction logits = Tabulated(task, [&](int32_t a, int32_t b, int32_t c) {
      return constant(c) + 3 * std::cos(2 * kPi * 2 * (a + b - c) / 13) + std::sin(2 * kPi * 5 * (a + b + 3 * c) / 13);
    });
    const SumComponents components = Added(task, logits);
    const std::vector<double> component = components.Component({5, 2});
    EXPECT_NEAR(RestrictedLoss(task, loss, components.Mean(), component), FullLoss(task, loss, logits), 1e-12);
    double rest = 0;
    std::vector<double> row;
    for (int32_t c = 0; c < 13; ++c) row.push_back(constant(c));
    for (const Example& example : task.train) rest += LossOf(loss, row.data(), 13, example.label);
    EXPECT_NEAR(ExcludedLoss(task, loss, component, logits), rest / static_cast<double>(task.train.size()), 1e-12);
    // One frequency less, and there is something in both.
    const std::vector<double> part = components.Component({2});
    EXPECT_GT(std::abs(RestrictedLoss(task, loss, components.Mean(), part) - FullLoss(task, loss, logits)), 1e-3);
  }
}

// Waves of a alone, of a − b, and other products of waves are no waves of a + b.
TEST(SumComponentsTest, OtherWavesAreLeftOut) {
  const Task task = Addition(11);
  const LogitsFunction logits = Tabulated(task, [](int32_t a, int32_t b, int32_t c) {
    return std::cos(2 * kPi * 3 * (a - b) / 11) * c + std::sin(2 * kPi * 3 * a / 11) +
           std::cos(2 * kPi * 3 * a / 11) * std::cos(2 * kPi * 4 * b / 11) * (c + 1);
  });
  for (const double value : Added(task, logits).Component({1, 2, 3, 4, 5})) EXPECT_NEAR(value, 0, 1e-13);
}

// The projection as it is defined, wave by wave over all pairs, for odd and even p (where one wave has no sine).
TEST(SumComponentsTest, IsTheProjection) {
  for (const int32_t p : {7, 8}) {
    const Task task = Addition(p);
    const LogitsFunction logits = Tabulated(task, RandomValue);
    const std::vector<int64_t> frequencies = p == 8 ? std::vector<int64_t>{4, 1} : std::vector<int64_t>{3, 1};
    const std::vector<double> component = Added(task, logits).Component(frequencies);
    std::vector<double> expected(component.size(), 0.0);
    for (const int64_t k : frequencies) {
      for (const double phase : {0.0, kPi / 2}) {
        const auto wave = [&](int32_t s) { return std::cos(2 * kPi * static_cast<double>(k) * s / p - phase); };
        for (int32_t c = 0; c < p; ++c) {
          double inner = 0, square = 0;
          for (int32_t a = 0; a < p; ++a) {
            for (int32_t b = 0; b < p; ++b) {
              inner += wave(a + b) * RandomValue(a, b, c);
              square += wave(a + b) * wave(a + b);
            }
          }
          for (int32_t s = 0; s < p && square > 1e-9; ++s) expected[s * p + c] += inner / square * wave(s);
        }
      }
    }
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(component[i], expected[i], 1e-12) << p;
  }
}

}  // namespace
}  // namespace seedbed::engine
