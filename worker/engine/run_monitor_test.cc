#include "worker/engine/run_monitor.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace seedbed::engine {
namespace {

// One step of a run: train accuracy, and test accuracy if it was evaluated.
struct Point {
  int64_t step;
  double train;
  std::optional<double> test;
  double loss = 1;
};

struct Result {
  std::optional<Ending> ending;
  int64_t ended_at = -1;
  std::string outcome;
  Json summary;
};

// Every point is logged. Stops where the monitor ends the run.
Result Watch(const RunTemplate& shared, const std::vector<Point>& points, double seconds_per_step = 0) {
  RunMonitor monitor = RunMonitor::Create(shared).value();
  Result result;
  for (const Point& point : points) {
    monitor.ObserveTraining(point.step, point.loss, point.train);
    MetricRow row;
    row.step = point.step;
    row[Metric::kTrainAccuracy] = point.train;
    monitor.ObserveRow(row);
    if (point.test) {
      MetricRow evaluated;
      evaluated.step = point.step;
      evaluated[Metric::kTestAccuracy] = point.test;
      monitor.ObserveEvaluation(point.step, 0.5, *point.test);
      monitor.ObserveRow(evaluated);
    }
    result.ending = monitor.EndingAt(point.step, seconds_per_step * static_cast<double>(point.step));
    result.ended_at = point.step;
    if (result.ending) break;
  }
  result.outcome = monitor.Outcome();
  result.summary = monitor.Summary(result.ending);
  return result;
}

RunTemplate Budgeted(int64_t steps, std::vector<StopRule> rules = {}) {
  RunTemplate shared;
  shared.trainer = "modular";
  shared.budget.steps = steps;
  shared.stop = std::move(rules);
  return shared;
}

StopRule Threshold(const std::string& metric, double value, int64_t held_for) {
  StopRule rule;
  rule.metric = metric;
  rule.value = value;
  rule.held_for = held_for;
  return rule;
}

StopRule NotReached(const std::string& metric, double value, int64_t by_step) {
  StopRule rule;
  rule.kind = StopRule::Kind::kNotReached;
  rule.metric = metric;
  rule.value = value;
  rule.by_step = by_step;
  return rule;
}

TEST(RunMonitorTest, Outcomes) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  struct Case {
    const char* name;
    std::vector<Point> points;
    const char* outcome;
    bool collapsed;
  };
  const std::vector<Case> cases = {
      {"never learns", {{0, 0.1, 0.1}, {10, 0.2, 0.1}}, "not_memorised", false},
      {"memorises", {{0, 0.1, 0.1}, {10, 1, 0.2}}, "memorised", false},
      {"memorises, then groks", {{0, 0.1, 0.1}, {10, 1, 0.2}, {20, 1, 0.99}}, "grokked", false},
      {"both at one evaluation", {{0, 0.1, 0.1}, {10, 0.99, 0.99}}, "generalised", false},
      {"at the first evaluation after", {{0, 0.1, 0.1}, {7, 0.99, {}}, {10, 1, 0.99}}, "generalised", false},
      {"at the second evaluation after", {{0, 0, 0}, {7, 0.99, {}}, {10, 1, 0.98}, {20, 1, 0.99}}, "grokked", false},
      {"tests well before it memorises", {{0, 0, 0}, {10, 0.98, 0.99}, {20, 1, 1.0}}, "generalised", false},
      {"tests well and never memorises", {{0, 0, 0}, {10, 0.98, 0.99}}, "generalised", false},
      {"diverges after it grokked", {{0, 1, 0}, {10, 1, 0.9}, {20, 1, 1.0}, {30, 0, 0.0, nan}}, "diverged", true},
      {"collapses", {{0, 1, 0.0}, {10, 0.49, 0.0}}, "memorised", true},
      {"falls back, but not below half", {{0, 1, 0.0}, {10, 0.5, 0.0}}, "memorised", false},
      {"low accuracy is no collapse", {{0, 0.9, 0.0}, {10, 0.1, 0.0}}, "not_memorised", false},
      {"just below 99 %", {{0, 0.98999, 0.0}, {10, 0.98999, 0.0}}, "not_memorised", false},
  };
  for (const Case& c : cases) {
    const Result result = Watch(Budgeted(1000), c.points);
    EXPECT_EQ(result.outcome, c.outcome) << c.name;
    EXPECT_EQ(result.summary["collapsed"], c.collapsed) << c.name;
  }
}

TEST(RunMonitorTest, FirstCrossingsAreKept) {
  const Result result = Watch(Budgeted(50), {{0, 0.1, 0.0},
                                             {3, 0.55, {}},
                                             {4, 0.4, {}},
                                             {9, 0.96, {}},
                                             {10, 0.999, 0.5},
                                             {20, 0.9, 0.95},
                                             {30, 1, 0.3},
                                             {40, 1, 0.99},
                                             {50, 1, 0.985}});
  const Json& s = result.summary;
  EXPECT_EQ(s["t_train_50"], 3);
  EXPECT_EQ(s["t_train_90"], 9);
  EXPECT_EQ(s["t_train_95"], 9);
  EXPECT_EQ(s["t_train_99"], 10);
  EXPECT_EQ(s["t_test_50"], 10);
  EXPECT_EQ(s["t_test_90"], 20);
  EXPECT_EQ(s["t_test_95"], 20);
  EXPECT_EQ(s["t_test_99"], 40);
  EXPECT_EQ(s["delay"], 30);
  EXPECT_EQ(s["final_train_accuracy"], 1.0);
  EXPECT_EQ(s["final_test_accuracy"], 0.985);
  EXPECT_EQ(s["first_nonfinite_step"], nullptr);
  ASSERT_TRUE(result.ending);
  EXPECT_EQ(result.ending->reason, "budget");
}

TEST(RunMonitorTest, StopRules) {
  const double infinity = std::numeric_limits<double>::infinity();
  StopRule low_loss = Threshold("train_accuracy", 0.05, 1);
  low_loss.direction = StopRule::Direction::kAtMost;
  struct Case {
    const char* name;
    RunTemplate shared;
    std::vector<Point> points;
    int64_t ended_at;
    std::string reason;
    Json held_since;
  };
  const std::vector<Point> grokking = {{0, 0, 0.0},    {10, 1, 0.99}, {15, 1, {}},   {20, 1, 0.5}, {30, 1, 0.99},
                                       {40, 1, 0.995}, {45, 1, {}},   {50, 1, 0.99}, {60, 1, 1.0}, {70, 1, 1.0}};
  const std::vector<Case> cases = {
      {"one is enough", Budgeted(70, {Threshold("test_accuracy", 0.99, 1)}), grokking, 10,
       "stop rule test_accuracy >= 0.99", 10},
      {"held for three rows that carry it", Budgeted(70, {Threshold("test_accuracy", 0.99, 3)}), grokking, 50,
       "stop rule test_accuracy >= 0.99 held for 3 rows", 30},
      {"never held that long", Budgeted(70, {Threshold("test_accuracy", 0.99, 9)}), grokking, 70, "budget", nullptr},
      {"at most", Budgeted(70, {low_loss}), grokking, 0, "stop rule train_accuracy <= 0.05", 0},
      {"not reached", Budgeted(70, {NotReached("test_accuracy", 0.995, 30)}), grokking, 30,
       "stop rule test_accuracy not >= 0.995 by step 30", nullptr},
      {"reached in time", Budgeted(70, {NotReached("test_accuracy", 0.99, 30)}), grokking, 70, "budget", nullptr},
      {"reached at the last moment", Budgeted(70, {NotReached("train_accuracy", 0.99, 10)}), grokking, 70, "budget",
       nullptr},
      {"the first rule that holds",
       Budgeted(70, {NotReached("test_accuracy", 0.995, 30), Threshold("test_accuracy", 0.99, 2)}), grokking, 30,
       "stop rule test_accuracy not >= 0.995 by step 30", nullptr},
      {"not finite, always",
       Budgeted(70),
       {{0, 0, 0.0}, {1, 0, {}, infinity}, {2, 0, {}}},
       1,
       "stop rule not finite",
       nullptr},
      {"a rule at the budget's last step", Budgeted(50, {Threshold("test_accuracy", 0.99, 3)}), grokking, 50,
       "stop rule test_accuracy >= 0.99 held for 3 rows", 30},
  };
  for (const Case& c : cases) {
    const Result result = Watch(c.shared, c.points);
    ASSERT_TRUE(result.ending) << c.name;
    EXPECT_EQ(result.ended_at, c.ended_at) << c.name;
    EXPECT_EQ(result.ending->reason, c.reason) << c.name;
    EXPECT_EQ(result.summary["held_since"], c.held_since) << c.name;
  }
}

TEST(RunMonitorTest, TimeRunsOut) {
  RunTemplate shared = Budgeted(100);
  shared.budget.seconds = 2.5;
  const Result result = Watch(shared, {{0, 0, 0.0}, {1, 0, {}}, {2, 0, {}}, {3, 0, {}}, {4, 0, {}}}, 1.0);
  ASSERT_TRUE(result.ending);
  EXPECT_EQ(result.ended_at, 3);
  EXPECT_EQ(result.ending->reason, "time");
}

TEST(RunMonitorTest, NonFiniteValuesAreNamed) {
  const Result result = Watch(Budgeted(9), {{0, 0, 0.0}, {4, 0, 0.0, std::numeric_limits<double>::quiet_NaN()}});
  EXPECT_EQ(result.summary["first_nonfinite_step"], 4);
  EXPECT_EQ(result.summary["final_train_loss"], "NaN");
}

// With minibatches the whole training set is looked at now and then only, but a batch that is not finite ends the run.
TEST(RunMonitorTest, BatchesEndARunButMemoriseNothing) {
  RunMonitor monitor = RunMonitor::Create(Budgeted(100)).value();
  monitor.ObserveBatch(3, 0.001);
  EXPECT_FALSE(monitor.EndingAt(3, 0));
  EXPECT_EQ(monitor.Outcome(), "not_memorised");
  EXPECT_EQ(monitor.Summary(std::nullopt)["final_train_loss"], nullptr);
  monitor.ObserveBatch(4, std::numeric_limits<double>::infinity());
  EXPECT_EQ(monitor.EndingAt(4, 0)->reason, "stop rule not finite");
  EXPECT_EQ(monitor.Outcome(), "diverged");
  EXPECT_EQ(monitor.Summary(std::nullopt)["first_nonfinite_step"], 4);
}

TEST(RunMonitorTest, RulesOnTheNormOfATensor) {
  StopRule rule = Threshold("weight_norm.layers.0.weight", 2.5, 2);
  rule.direction = StopRule::Direction::kAtMost;
  RunMonitor monitor = RunMonitor::Create(Budgeted(100, {rule})).value();
  const std::vector<std::optional<double>> norms = {3.0, 2.0, 2.6, 2.4, std::nullopt, 2.5};
  for (size_t step = 0; step < norms.size(); ++step) {
    MetricRow row;
    row.step = static_cast<int64_t>(step);
    row.others = {{"weight_norm.layers.0.bias", 0.0}};
    if (norms[step]) row.others.emplace_back("weight_norm.layers.0.weight", *norms[step]);
    monitor.ObserveRow(row);
    const std::optional<Ending> ending = monitor.EndingAt(row.step, 0);
    EXPECT_EQ(ending.has_value(), step == 5) << step;
    if (ending) {
      EXPECT_EQ(ending->held_since, 3);
    }
  }
}

TEST(RunMonitorTest, RefusesAMetricThatItDoesNotMeasure) {
  const auto monitor = RunMonitor::Create(Budgeted(9, {Threshold("test_acuracy", 0.9, 1)}));
  ASSERT_FALSE(monitor.ok());
  EXPECT_NE(monitor.status().message().find("did you mean 'test_accuracy'"), absl::string_view::npos)
      << monitor.status();
}

}  // namespace
}  // namespace seedbed::engine
