#include "worker/engine/task.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "common/schema/modular_operations.h"
#include "gtest/gtest.h"
#include "worker/engine/example_rows.h"
#include "worker/engine/task_answers.h"

namespace seedbed::engine {
namespace {

Task Build(int64_t modulus, double fraction, bool unordered = false, int64_t split_seed = 0) {
  TaskParameters parameters;
  parameters.modulus = modulus;
  parameters.train_fraction = fraction;
  parameters.unordered = unordered;
  parameters.split_seed = split_seed;
  return BuildTask(parameters).value();
}

using PairSet = std::set<std::pair<int32_t, int32_t>>;

PairSet Pairs(const std::vector<Example>& examples) {
  PairSet pairs;
  for (const Example& example : examples) pairs.insert({example.a, example.b});
  return pairs;
}

TEST(TaskTest, TheStudysSplitHasItsCounts) {
  const Task task = Build(97, 0.2);
  EXPECT_EQ(task.train.size(), 1882u);
  EXPECT_EQ(task.test.size(), 7527u);
  int64_t mirrored = 0;
  for (const bool is_mirrored : task.test_is_mirrored) mirrored += is_mirrored;
  // A test pair's mirror is trained on with probability 0.2; 3 standard deviations of the count are about 100.
  EXPECT_NEAR(static_cast<double>(mirrored) / 7527, 0.2, 0.015);
}

TEST(TaskTest, EveryPairIsOnOneSideWithItsSumAsLabel) {
  struct Case {
    int64_t modulus;
    double fraction;
    bool unordered;
    size_t train;
  };
  for (const Case& c : {Case{2, 0.5, false, 2}, Case{7, 0.3, false, 15}, Case{12, 0.2, false, 29},
                        Case{23, 0.61, false, 323}, Case{97, 0.5, false, 4705}}) {
    const Task task = Build(c.modulus, c.fraction, c.unordered);
    EXPECT_EQ(task.train.size(), c.train) << c.modulus;
    EXPECT_EQ(task.train.size() + task.test.size(), static_cast<size_t>(c.modulus * c.modulus));
    PairSet all = Pairs(task.train);
    const PairSet trained = all;
    for (const auto& pair : Pairs(task.test)) EXPECT_TRUE(all.insert(pair).second);
    EXPECT_EQ(all.size(), static_cast<size_t>(c.modulus * c.modulus));
    for (const auto* side : {&task.train, &task.test}) {
      for (const Example& e : *side) {
        int32_t sum = e.a + e.b;
        while (sum >= c.modulus) sum -= static_cast<int32_t>(c.modulus);
        EXPECT_EQ(e.label, sum);
      }
    }
    for (size_t i = 0; i < task.test.size(); ++i) {
      EXPECT_EQ(task.test_is_mirrored[i], trained.count({task.test[i].b, task.test[i].a}) == 1);
    }
  }
}

TEST(TaskTest, UnorderedPairsStayTogether) {
  const Task task = Build(59, 0.6, true);
  const PairSet trained = Pairs(task.train);
  size_t unordered = 0;
  for (const auto& [a, b] : trained) {
    EXPECT_EQ(trained.count({b, a}), 1u);
    unordered += a <= b;
  }
  EXPECT_EQ(unordered, 1062u);  // 0.6 · 59 · 60 / 2
  for (const bool is_mirrored : task.test_is_mirrored) EXPECT_FALSE(is_mirrored);
}

TEST(TaskTest, TheSplitFollowsItsSeedAlone) {
  EXPECT_EQ(Pairs(Build(23, 0.3, false, 5).train), Pairs(Build(23, 0.3, false, 5).train));
  EXPECT_NE(Pairs(Build(23, 0.3, false, 5).train), Pairs(Build(23, 0.3, false, 6).train));
}

Task BuildOperation(const std::string& operation, int64_t modulus, double fraction = 0.5, double label_noise = 0,
                    bool unordered = false) {
  TaskParameters parameters;
  parameters.operation = operation;
  parameters.modulus = modulus;
  parameters.train_fraction = fraction;
  parameters.label_noise = label_noise;
  parameters.unordered = unordered;
  return BuildTask(parameters).value();
}

// All examples, by pair.
std::map<std::pair<int32_t, int32_t>, int32_t> Answers(const Task& task) {
  std::map<std::pair<int32_t, int32_t>, int32_t> answers;
  for (const auto* side : {&task.train, &task.test}) {
    for (const Example& e : *side) EXPECT_TRUE(answers.insert({{e.a, e.b}, e.label}).second);
  }
  return answers;
}

// (expression - label) is a multiple of p; a quotient is what gives the dividend when multiplied again.
TEST(TaskTest, EveryOperationGivesTheAnswersOfItsFormula) {
  const std::map<std::string, std::function<int64_t(int64_t, int64_t, int64_t)>> zero_when_right = {
      {"add", [](int64_t x, int64_t y, int64_t z) { return x + y - z; }},
      {"subtract", [](int64_t x, int64_t y, int64_t z) { return x - y - z; }},
      {"multiply", [](int64_t x, int64_t y, int64_t z) { return x * y - z; }},
      {"multiply_with_zero", [](int64_t x, int64_t y, int64_t z) { return x * y - z; }},
      {"divide", [](int64_t x, int64_t y, int64_t z) { return z * y - x; }},
      {"x2+y2", [](int64_t x, int64_t y, int64_t z) { return x * x + y * y - z; }},
      {"x2+xy+y2", [](int64_t x, int64_t y, int64_t z) { return x * (x + y) + y * y - z; }},
      {"x2+xy+y2+x", [](int64_t x, int64_t y, int64_t z) { return x * (x + y + 1) + y * y - z; }},
      {"x3+xy", [](int64_t x, int64_t y, int64_t z) { return x * (x * x + y) - z; }},
      {"x3+xy2+y", [](int64_t x, int64_t y, int64_t z) { return x * (x * x + y * y) + y - z; }},
      {"divide_or_subtract", [](int64_t x, int64_t y, int64_t z) { return y % 2 == 1 ? z * y - x : x - y - z; }},
  };
  for (const ModularOperation& operation : ModularOperations()) {
    if (operation.on_permutations) continue;
    ASSERT_EQ(zero_when_right.count(operation.name), 1u);
    for (const int64_t modulus : {3, 7, 12, 31}) {
      if (operation.divides && modulus == 12) continue;
      const Task task = BuildOperation(operation.name, modulus);
      EXPECT_EQ(task.symbols, modulus);
      EXPECT_EQ(task.classes, modulus);
      const auto answers = Answers(task);
      EXPECT_EQ(static_cast<int64_t>(answers.size()), SplitUnitCount(operation, modulus, false)) << operation.name;
      bool is_symmetric = true;
      for (const auto& [pair, label] : answers) {
        EXPECT_EQ(zero_when_right.at(operation.name)(pair.first, pair.second, label) % modulus, 0)
            << operation.name << " " << pair.first << " " << pair.second;
        EXPECT_GE(label, 0);
        EXPECT_LT(label, modulus);
        const auto mirror = answers.find({pair.second, pair.first});
        is_symmetric = is_symmetric && mirror != answers.end() && mirror->second == label;
      }
      EXPECT_EQ(is_symmetric, operation.commutes) << operation.name << " " << modulus;
    }
  }
}

TEST(TaskTest, PairsWithoutZeroAreSplitAsTheStudyHasThem) {
  const Task task = BuildOperation("multiply", 97, 0.2);
  EXPECT_EQ(task.symbols, 97);
  EXPECT_EQ(task.classes, 97);
  EXPECT_EQ(task.train.size(), 1843u);  // of 9,216
  EXPECT_EQ(task.test.size(), 9216u - 1843u);
  for (const auto& [pair, label] : Answers(task)) {
    EXPECT_GT(pair.first, 0);
    EXPECT_GT(pair.second, 0);
    EXPECT_GT(label, 0);
  }
  EXPECT_EQ(Answers(BuildOperation("divide", 97)).size(), 97u * 96u);
  EXPECT_EQ(Answers(BuildOperation("divide_or_subtract", 97)).size(), 9409u);
}

TEST(TaskTest, MirrorsBelongToOperationsThatCommute) {
  const Task subtract = BuildOperation("subtract", 97, 0.2);
  EXPECT_FALSE(subtract.has_mirrors);
  for (const bool is_mirrored : subtract.test_is_mirrored) EXPECT_FALSE(is_mirrored);
  const Task squares = BuildOperation("x2+y2", 97, 0.2);
  EXPECT_TRUE(squares.has_mirrors);
  // The split is of pairs alone: the same one for every operation that has all of them.
  EXPECT_EQ(Pairs(squares.train), Pairs(subtract.train));
  EXPECT_EQ(Pairs(squares.train), Pairs(Build(97, 0.2).train));
}

TEST(TaskTest, NoiseTouchesAGivenShareOfTheTrainingLabels) {
  const Task clean = BuildOperation("add", 97, 0.5);
  std::map<std::pair<int32_t, int32_t>, int32_t> less;
  for (const double share : {0.1, 0.3}) {
    const Task noisy = BuildOperation("add", 97, 0.5, share);
    EXPECT_EQ(Pairs(noisy.train), Pairs(clean.train));
    std::map<std::pair<int32_t, int32_t>, int32_t> wrong;
    std::vector<int> shifts(97, 0);
    for (size_t i = 0; i < clean.train.size(); ++i) {
      if (noisy.train[i].label == clean.train[i].label) continue;
      wrong[{noisy.train[i].a, noisy.train[i].b}] = noisy.train[i].label;
      ++shifts[(noisy.train[i].label - clean.train[i].label + 97) % 97];
    }
    EXPECT_EQ(wrong.size(), static_cast<size_t>(std::llround(share * 4705)));
    // Uniform over the 96 wrong classes: chi-squared of 95 degrees of freedom is below 145 in 999 of 1,000 cases.
    double chi_squared = 0;
    const double expected = static_cast<double>(wrong.size()) / 96;
    for (int shift = 1; shift < 97; ++shift) chi_squared += std::pow(shifts[shift] - expected, 2) / expected;
    EXPECT_LT(chi_squared, 145);
    for (const auto& [pair, label] : less) EXPECT_EQ(wrong.at(pair), label);
    less = wrong;
    for (size_t i = 0; i < clean.test.size(); ++i) EXPECT_EQ(noisy.test[i].label, clean.test[i].label);
  }
}

// As ModelLayoutTest.InitialValuesAreThoseOfTheSeedForEver, and from the same computation.
TEST(TaskTest, SplitAndNoiseAreThoseOfTheSeedForEver) {
  TaskParameters parameters;
  parameters.modulus = 7;
  parameters.train_fraction = 0.5;
  parameters.split_seed = 9;
  parameters.label_noise = 0.2;
  const Task task = BuildTask(parameters).value();
  const std::vector<std::pair<int32_t, int32_t>> trained = {
      {0, 0}, {0, 1}, {0, 3}, {0, 5}, {1, 0}, {1, 1}, {1, 3}, {1, 4}, {1, 5}, {1, 6}, {2, 0}, {2, 3}, {2, 4},
      {2, 6}, {3, 1}, {4, 1}, {4, 4}, {4, 5}, {5, 1}, {5, 2}, {5, 3}, {6, 0}, {6, 1}, {6, 2}, {6, 6}};
  const std::map<std::pair<int32_t, int32_t>, int32_t> wrong = {
      {{0, 0}, 6}, {{0, 3}, 1}, {{1, 6}, 2}, {{2, 3}, 6}, {{6, 6}, 0}};
  ASSERT_EQ(task.train.size(), trained.size());
  for (size_t i = 0; i < trained.size(); ++i) {
    const Example& example = task.train[i];
    EXPECT_EQ(std::make_pair(example.a, example.b), trained[i]);
    const auto noise = wrong.find(trained[i]);
    EXPECT_EQ(example.label, noise == wrong.end() ? (example.a + example.b) % 7 : noise->second)
        << example.a << " + " << example.b;
  }
}

TEST(TaskTest, NoiseOnUnorderedPairsKeepsBothOrdersAlike) {
  const Task noisy = BuildOperation("add", 23, 0.5, 0.25, true);
  const auto answers = Answers(noisy);
  int wrong = 0;
  for (const Example& e : noisy.train) {
    EXPECT_EQ(answers.at({e.b, e.a}), e.label);
    wrong += e.a <= e.b && e.label != (e.a + e.b) % 23;
  }
  EXPECT_EQ(wrong, 35);  // a quarter of 138, half of 23 · 24 / 2; 34.5 rounds up
}

// S5 by its axioms and by counts that any textbook has.
TEST(TaskTest, PermutationsFormTheirGroup) {
  const auto product = Answers(BuildOperation("s5_xy", 97));
  ASSERT_EQ(product.size(), 14400u);
  const auto times = [&](int32_t x, int32_t y) { return product.at({x, y}); };
  std::map<int, int> orders;
  int commuting = 0;
  for (int32_t x = 0; x < 120; ++x) {
    EXPECT_EQ(times(0, x), x);
    EXPECT_EQ(times(x, 0), x);
    std::set<int32_t> row;
    int order = 1;
    for (int32_t power = x; power != 0; power = times(power, x)) ++order;
    ++orders[order];
    for (int32_t y = 0; y < 120; ++y) {
      row.insert(times(x, y));
      commuting += times(x, y) == times(y, x);
      for (int32_t z = 0; z < 120; z += 7) EXPECT_EQ(times(times(x, y), z), times(x, times(y, z)));
    }
    EXPECT_EQ(row.size(), 120u);
  }
  EXPECT_EQ(orders, (std::map<int, int>{{1, 1}, {2, 25}, {3, 20}, {4, 30}, {5, 24}, {6, 20}}));
  EXPECT_EQ(commuting, 120 * 7);  // as many times 120 as there are conjugacy classes

  // xyx⁻¹ over all x is y's conjugacy class; xyx is the product taken twice.
  const auto conjugate = Answers(BuildOperation("s5_xyx-1", 97));
  const auto sandwich = Answers(BuildOperation("s5_xyx", 97));
  std::multiset<size_t> class_sizes;
  std::set<std::set<int32_t>> classes;
  for (int32_t y = 0; y < 120; ++y) {
    std::set<int32_t> members;
    for (int32_t x = 0; x < 120; ++x) {
      members.insert(conjugate.at({x, y}));
      EXPECT_EQ(times(conjugate.at({x, y}), x), times(x, y));
      EXPECT_EQ(sandwich.at({x, y}), times(x, times(y, x)));
    }
    classes.insert(members);
  }
  for (const auto& members : classes) class_sizes.insert(members.size());
  EXPECT_EQ(class_sizes, (std::multiset<size_t>{1, 10, 15, 20, 20, 24, 30}));
}

TEST(TaskTest, PermutationsAreNumberedInLexicographicOrder) {
  std::vector<int8_t> images = {0, 1, 2, 3, 4};
  int32_t number = 0;
  do {
    const PermutationOfFive permutation = PermutationNumber(number);
    EXPECT_TRUE(std::equal(images.begin(), images.end(), permutation.begin())) << number;
    EXPECT_EQ(NumberOf(permutation), number++);
  } while (std::next_permutation(images.begin(), images.end()));
  EXPECT_EQ(number, 120);
  // Applied y first: (0 1 2 4 3) swaps the last two; (1 0 2 3 4) the first two; (1 2 0 3 4) sends 0 to 1, 1 to 2.
  const auto product = Answers(BuildOperation("s5_xy", 97));
  const int32_t swap = NumberOf({1, 0, 2, 3, 4});
  const int32_t cycle = NumberOf({1, 2, 0, 3, 4});
  EXPECT_EQ(product.at({swap, cycle}), NumberOf({0, 2, 1, 3, 4}));
  EXPECT_EQ(product.at({cycle, swap}), NumberOf({2, 1, 0, 3, 4}));
}

// These bits decide results: a change of them is a change of every split.
TEST(TaskTest, TheSplitOfSmallModulusIsAsItAlwaysWas) {
  const PairSet trained = Pairs(Build(5, 0.2).train);
  EXPECT_EQ(trained.size(), 5u);
  EXPECT_EQ(trained, (PairSet{{2, 2}, {2, 3}, {3, 4}, {4, 1}, {4, 3}}));
}

TEST(TaskTest, RefusesWhatTheOperationCannotDo) {
  struct Case {
    const char* operation;
    int64_t modulus;
    bool unordered;
    const char* message;
  };
  for (const Case& c : {Case{"divide", 12, false, "prime"}, Case{"subtract", 13, true, "does not commute"},
                        Case{"power", 13, false, "no task.operation power"}}) {
    TaskParameters parameters;
    parameters.operation = c.operation;
    parameters.modulus = c.modulus;
    parameters.unordered = c.unordered;
    const auto task = BuildTask(parameters);
    ASSERT_FALSE(task.ok()) << c.operation;
    EXPECT_NE(task.status().message().find(c.message), absl::string_view::npos) << task.status();
  }
}

TEST(TaskTest, RefusesAnEmptySide) {
  TaskParameters parameters;
  parameters.modulus = 3;
  for (const double fraction : {0.01, 0.99}) {
    parameters.train_fraction = fraction;
    const auto task = BuildTask(parameters);
    ASSERT_FALSE(task.ok());
    EXPECT_NE(task.status().message().find("train_fraction"), absl::string_view::npos) << task.status();
  }
}

TEST(ExampleRowsTest, StandForEveryExample) {
  const Task task = Build(97, 0.2);
  const ExampleRows rows = MergeMirrored(task);
  EXPECT_EQ(rows.train_examples, 1882);
  EXPECT_EQ(rows.mirrored_examples + rows.unseen_examples, 7527);
  // 97 · 98 / 2 distinct pairs; brute force says how many are trained on.
  PairSet distinct;
  for (const Example& e : task.train) distinct.insert(std::minmax(e.a, e.b));
  EXPECT_EQ(rows.trained.size(), distinct.size());
  EXPECT_EQ(rows.trained.size() + rows.tested_only.size(), 4753u);
  int64_t mirrored = 0;
  for (const bool is_mirrored : task.test_is_mirrored) mirrored += is_mirrored;
  EXPECT_EQ(rows.mirrored_examples, mirrored);
  for (const auto& row : rows.tested_only) {
    EXPECT_EQ(row.mirrored_weight, 0);
    EXPECT_EQ(row.unseen_weight, row.a == row.b ? 1 : 2);
  }
  for (const auto& row : rows.trained) EXPECT_EQ(row.train_weight + row.mirrored_weight, row.a == row.b ? 1 : 2);
}

TEST(ExampleRowsTest, KeepsRowsOfDifferentLabelsApart) {
  Task task;
  task.symbols = task.classes = 3;
  task.train = {{0, 1, 1}, {1, 2, 0}};
  task.test = {{1, 0, 2}, {2, 1, 0}, {2, 2, 1}};
  task.test_is_mirrored = {true, true, false};
  const ExampleRows rows = MergeMirrored(task);
  ASSERT_EQ(rows.trained.size(), 2u);
  EXPECT_EQ(rows.trained[0].mirrored_weight, 0);
  EXPECT_EQ(rows.trained[1].mirrored_weight, 1);
  ASSERT_EQ(rows.tested_only.size(), 2u);
  EXPECT_EQ(rows.tested_only[0].label, 2);
  EXPECT_EQ(rows.tested_only[0].mirrored_weight, 1);
  EXPECT_EQ(rows.tested_only[1].unseen_weight, 1);
}

}  // namespace
}  // namespace seedbed::engine
