#include "worker/engine/task.h"

#include <set>
#include <utility>

#include "gtest/gtest.h"
#include "worker/engine/example_rows.h"

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

// These bits decide results: a change of them is a change of every split.
TEST(TaskTest, TheSplitOfSmallModulusIsAsItAlwaysWas) {
  const PairSet trained = Pairs(Build(5, 0.2).train);
  EXPECT_EQ(trained.size(), 5u);
  EXPECT_EQ(trained, (PairSet{{2, 2}, {2, 3}, {3, 4}, {4, 1}, {4, 3}}));
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
