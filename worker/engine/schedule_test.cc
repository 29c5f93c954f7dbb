#include "worker/engine/schedule.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "worker/engine/minibatch.h"

namespace seedbed::engine {
namespace {

OptimizerParameters Scheduled(Schedule schedule, int64_t warmup, int64_t length = 0, double final_factor = 0) {
  OptimizerParameters optimizer;
  optimizer.schedule = schedule;
  optimizer.warmup_steps = warmup;
  optimizer.schedule_steps = length;
  optimizer.final_factor = final_factor;
  return optimizer;
}

TEST(ScheduleTest, Factors) {
  const double root_half = 0.70710678118654752;
  struct Case {
    const char* name;
    OptimizerParameters optimizer;
    std::vector<std::pair<int64_t, double>> factors;  // after so many updates
  };
  for (const Case& c : {
           Case{"constant", Scheduled(Schedule::kConstant, 0), {{0, 1}, {1'000'000, 1}}},
           Case{"warm-up",
                Scheduled(Schedule::kWarmup, 10),
                {{0, 0.1}, {1, 0.2}, {8, 0.9}, {9, 1}, {10, 1}, {400'000, 1}}},
           Case{"cosine",
                Scheduled(Schedule::kCosine, 0, 8),
                {{0, 1}, {2, (1 + root_half) / 2}, {4, 0.5}, {6, (1 - root_half) / 2}, {8, 0}, {9, 0}}},
           Case{"cosine to a tenth after a warm-up",
                Scheduled(Schedule::kCosine, 4, 6, 0.1),
                {{0, 0.25},
                 {3, 1},
                 {4, 1},
                 {6, 0.1 + 0.9 * 0.75},
                 {7, 0.55},
                 {8, 0.1 + 0.9 * 0.25},
                 {10, 0.1},
                 {99, 0.1}}},
       }) {
    for (const auto& [updates, factor] : c.factors) {
      EXPECT_NEAR(ScheduleFactor(c.optimizer, updates), factor, 1e-15) << c.name << " at " << updates;
    }
  }
}

TEST(ScheduleTest, EffectiveDecay) {
  OptimizerParameters optimizer = Scheduled(Schedule::kWarmup, 4);
  optimizer.learning_rate = 0.01;
  optimizer.weight_decay = 2e-3;
  optimizer.momentum = 0.9;
  EXPECT_NEAR(*EffectiveDecay(optimizer, 100), 2e-4, 1e-18);
  EXPECT_NEAR(*EffectiveDecay(optimizer, 1), 1e-4, 1e-18);
  optimizer.kind = OptimizerKind::kAdamw;
  EXPECT_NEAR(*EffectiveDecay(optimizer, 100), 2e-5, 1e-18);
  optimizer.kind = OptimizerKind::kAdam;
  EXPECT_FALSE(EffectiveDecay(optimizer, 100).has_value());
}

TEST(MinibatchOrderTest, EveryExampleOnceAnEpoch) {
  for (const int64_t batch : {1, 3, 5, 10, 12}) {
    MinibatchOrder order(3, 10, batch);
    std::set<std::vector<int64_t>> epochs;
    int64_t updates = 0;
    for (int epoch = 0; epoch < 4; ++epoch) {
      std::vector<int64_t> seen;
      for (int64_t i = 0; i < order.batches_per_epoch(); ++i) {
        const std::vector<int64_t> some = order.Batch(updates++);
        const bool is_last = i + 1 == order.batches_per_epoch();
        EXPECT_EQ(static_cast<int64_t>(some.size()), is_last ? 10 - i * batch : batch);
        seen.insert(seen.end(), some.begin(), some.end());
      }
      epochs.insert(seen);
      std::sort(seen.begin(), seen.end());
      std::vector<int64_t> all(10);
      std::iota(all.begin(), all.end(), 0);
      EXPECT_EQ(seen, all);
    }
    EXPECT_EQ(epochs.size(), 4u) << "every epoch has an order of its own";
  }
}

TEST(MinibatchOrderTest, DependsOnSeedAndStepAlone) {
  MinibatchOrder forwards(3, 10, 4), backwards(3, 10, 4), other(4, 10, 4);
  std::vector<std::vector<int64_t>> batches;
  bool is_other = false;
  for (int64_t updates = 0; updates < 9; ++updates) {
    batches.push_back(forwards.Batch(updates));
    is_other = is_other || other.Batch(updates) != batches.back();
  }
  for (int64_t updates = 8; updates >= 0; --updates) EXPECT_EQ(backwards.Batch(updates), batches[updates]);
  EXPECT_TRUE(is_other);
}

// As ModelLayoutTest.InitialValuesAreThoseOfTheSeedForEver, and from the same computation: another order is another
// result, also of a run that is resumed by a newer engine.
TEST(MinibatchOrderTest, IsThatOfTheSeedForEver) {
  struct {
    uint64_t seed;
    int64_t epoch;
    std::vector<int64_t> order;
  } const cases[] = {
      {3, 0, {6, 2, 1, 9, 8, 3, 4, 0, 7, 5}},
      {3, 1, {3, 0, 4, 6, 9, 1, 5, 2, 8, 7}},
      {3, 1000, {7, 8, 5, 0, 4, 1, 9, 2, 3, 6}},
      {(uint64_t{1} << 63) + 7, 0, {6, 9, 4, 0, 3, 2, 1, 7, 8, 5}},
  };
  for (const auto& each : cases) {
    MinibatchOrder order(each.seed, 10, 4);
    std::vector<int64_t> seen;
    for (int64_t batch = 0; batch < 3; ++batch) {
      const std::vector<int64_t> some = order.Batch(3 * each.epoch + batch);
      seen.insert(seen.end(), some.begin(), some.end());
    }
    EXPECT_EQ(seen, each.order) << each.seed << ", epoch " << each.epoch;
  }
}

// Each place is as likely to come first: 6,000 epochs of 6 examples, five standard deviations wide.
TEST(MinibatchOrderTest, IsUniform) {
  MinibatchOrder order(11, 6, 1);
  std::vector<int> first(6, 0);
  for (int64_t epoch = 0; epoch < 6000; ++epoch) ++first[static_cast<size_t>(order.Batch(6 * epoch)[0])];
  for (const int count : first) EXPECT_NEAR(count, 1000, 5 * 29);
}

}  // namespace
}  // namespace seedbed::engine
