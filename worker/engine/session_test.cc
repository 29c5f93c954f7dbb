#include "worker/engine/session.h"

#include <cmath>
#include <vector>

#include "common/schema/modular.h"
#include "gtest/gtest.h"
#include "worker/engine/numerics.h"

namespace seedbed::engine {
namespace {

RunSpecification SmallRun() {
  RunSpecification run;
  run.shared.trainer = "modular";
  run.shared.budget.steps = 25;
  run.shared.metrics = {4, 10};
  run.parameters = {{"task.modulus", 7}, {"task.train_fraction", 0.5}, {"model.width", 16},
                    {"model.depth", 1},  {"optimizer.kind", "adamw"},  {"optimizer.learning_rate", 0.01}};
  return run;
}

std::vector<MetricRow> RowsOf(const RunSpecification& specification, std::optional<Ending>* ending = nullptr) {
  SetUpTrainingThread();
  const auto session = Session::Create(specification).value();
  std::vector<MetricRow> rows;
  while (true) {
    const Session::Progress progress = session->Advance();
    if (progress.row) rows.push_back(*progress.row);
    if (!progress.ending) continue;
    if (ending != nullptr) *ending = progress.ending;
    return rows;
  }
}

std::vector<int64_t> Steps(const std::vector<MetricRow>& rows) {
  std::vector<int64_t> steps;
  for (const MetricRow& row : rows) steps.push_back(row.step);
  return steps;
}

TEST(SessionTest, MetricsAreTheSchemasInItsOrder) {
  const std::vector<MetricDefinition>& metrics = ModularTrainerSchema().metrics;
  ASSERT_EQ(metrics.size(), kMetricCount + 1);
  for (size_t i = 0; i < kMetricCount; ++i) {
    EXPECT_EQ(metrics[i].name, MetricName(static_cast<Metric>(i)));
    EXPECT_FALSE(metrics[i].is_family);
  }
  EXPECT_EQ(metrics.back().name, kWeightNormFamily);
  EXPECT_TRUE(metrics.back().is_family);
}

TEST(SessionTest, RowsStandAtBothIntervalsAndAtTheEnd) {
  std::optional<Ending> ending;
  const std::vector<MetricRow> rows = RowsOf(SmallRun(), &ending);
  EXPECT_EQ(Steps(rows), (std::vector<int64_t>{0, 4, 8, 10, 12, 16, 20, 24, 25}));
  EXPECT_EQ(ending->reason, "budget");
  for (const MetricRow& row : rows) {
    const bool is_evaluated = row.step % 10 == 0 || row.step == 25;
    EXPECT_TRUE(row[Metric::kTrainLoss].has_value());
    EXPECT_EQ(row[Metric::kTestAccuracy].has_value(), is_evaluated) << row.step;
    EXPECT_EQ(row[Metric::kGradientNorm].has_value(), is_evaluated) << row.step;
  }
}

// Row s describes the parameters after s updates, so a run cut short has the rows of the longer one.
TEST(SessionTest, ALongerBudgetBeginsWithTheShorterOnesRows) {
  RunSpecification shorter = SmallRun();
  shorter.shared.budget.steps = 20;
  const std::vector<MetricRow> few = RowsOf(shorter);
  const std::vector<MetricRow> many = RowsOf(SmallRun());
  ASSERT_EQ(Steps(few), (std::vector<int64_t>{0, 4, 8, 10, 12, 16, 20}));
  for (size_t i = 0; i < few.size(); ++i) EXPECT_EQ(few[i].values, many[i].values) << few[i].step;
}

TEST(SessionTest, IntervalsDoNotChangeTheTraining) {
  RunSpecification often = SmallRun();
  often.shared.metrics = {1, 1};
  const std::vector<MetricRow> all = RowsOf(often);
  ASSERT_EQ(all.size(), 26u);
  for (const MetricRow& row : RowsOf(SmallRun())) {
    const MetricRow& same = all[static_cast<size_t>(row.step)];
    for (size_t i = 0; i < kMetricCount; ++i) {
      if (row.values[i]) {
        EXPECT_EQ(row.values[i], same.values[i]) << row.step;
      }
    }
  }
}

TEST(SessionTest, BothImplementationsMeasureTheSame) {
  RunSpecification run = SmallRun();
  run.parameters["precision"] = "float64";
  const std::vector<MetricRow> fast = RowsOf(run);
  run.parameters["implementation"] = "reference";
  const std::vector<MetricRow> reference = RowsOf(run);
  ASSERT_EQ(Steps(fast), Steps(reference));
  for (size_t r = 0; r < fast.size(); ++r) {
    for (size_t i = 0; i < kMetricCount; ++i) {
      ASSERT_EQ(fast[r].values[i].has_value(), reference[r].values[i].has_value());
      if (fast[r].values[i]) {
        EXPECT_NEAR(*fast[r].values[i], *reference[r].values[i], 1e-9 * *reference[r].values[i]);
      }
    }
  }
}

TEST(SessionTest, UnorderedPairsHaveNoMirroredAccuracy) {
  RunSpecification run = SmallRun();
  run.parameters["task.pairs"] = "unordered";
  for (const MetricRow& row : RowsOf(run)) {
    EXPECT_FALSE(row[Metric::kTestAccuracyMirrored].has_value());
    EXPECT_EQ(row[Metric::kTestAccuracyUnseen], row[Metric::kTestAccuracy]);
  }
}

TEST(SessionTest, OperationsThatDoNotCommuteHaveNoMirrors) {
  RunSpecification run = SmallRun();
  run.parameters["task.operation"] = "subtract";
  const std::vector<MetricRow> rows = RowsOf(run);
  EXPECT_TRUE(rows[0][Metric::kTestAccuracy].has_value());
  for (const MetricRow& row : rows) {
    EXPECT_FALSE(row[Metric::kTestAccuracyMirrored].has_value());
    EXPECT_FALSE(row[Metric::kTestAccuracyUnseen].has_value());
  }
}

// t_train_* does not depend on how often rows are written, and a rule between rows ends the run with a whole row.
TEST(SessionTest, TrainAccuracyIsWatchedAtEveryStep) {
  RunSpecification often = SmallRun();
  often.shared.budget.steps = 300;
  often.shared.metrics = {1, 300};
  int64_t first = -1;
  for (const MetricRow& row : RowsOf(often)) {
    if (first < 0 && *row[Metric::kTrainAccuracy] >= 0.99) first = row.step;
  }
  ASSERT_GT(first, 0);
  RunSpecification seldom = often;
  seldom.shared.metrics = {300, 300};
  SetUpTrainingThread();
  const auto session = Session::Create(seldom).value();
  while (!session->Advance().ending) continue;
  EXPECT_EQ(session->Summary()["t_train_99"], first);

  StopRule rule;
  rule.kind = StopRule::Kind::kNotReached;
  rule.metric = "train_accuracy";
  rule.value = 2;
  rule.by_step = 17;
  seldom.shared.stop = {rule};
  const std::vector<MetricRow> rows = RowsOf(seldom);
  EXPECT_EQ(Steps(rows), (std::vector<int64_t>{0, 17}));
  EXPECT_TRUE(rows.back()[Metric::kTestAccuracy].has_value());
}

// A rule that a metric must have met by a step waits for that step's evaluation.
TEST(SessionTest, AnEvaluationThatIsDueHasItsSay) {
  const std::vector<MetricRow> rows = RowsOf(SmallRun());
  const double before = *rows[3][Metric::kParameterRms];
  const double at_twenty = *rows[6][Metric::kParameterRms];
  ASSERT_EQ(rows[6].step, 20);
  ASSERT_NE(before, at_twenty);
  StopRule rule;
  rule.kind = StopRule::Kind::kNotReached;
  rule.metric = "parameter_rms";
  rule.direction = at_twenty > before ? StopRule::Direction::kAtLeast : StopRule::Direction::kAtMost;
  rule.value = at_twenty;
  rule.by_step = 20;
  RunSpecification run = SmallRun();
  run.shared.stop = {rule};
  EXPECT_EQ(RowsOf(run).back().step, 25);
  run.shared.stop[0].by_step = 19;
  EXPECT_EQ(RowsOf(run).back().step, 19);
}

TEST(SessionTest, ASmallRunGroks) {
  RunSpecification run = SmallRun();
  run.shared.budget.steps = 3000;
  run.shared.metrics = {1000, 20};
  run.parameters["task.modulus"] = 31;
  run.parameters["task.train_fraction"] = 0.8;
  run.parameters["task.pairs"] = "unordered";
  run.parameters["model.width"] = 64;
  run.parameters["optimizer.weight_decay"] = 2.0;
  StopRule rule;
  rule.metric = "test_accuracy";
  rule.value = 0.99;
  rule.held_for = 3;
  run.shared.stop = {rule};
  SetUpTrainingThread();
  const auto session = Session::Create(run).value();
  Session::Progress progress;
  while (!progress.ending) progress = session->Advance();
  EXPECT_EQ(progress.ending->reason, "stop rule test_accuracy >= 0.99 held for 3 rows");
  EXPECT_EQ(session->Outcome(), "grokked");
  EXPECT_EQ(session->Summary()["held_since"], session->step() - 40);
}

TEST(SessionTest, DivergenceEndsARunWithItsStep) {
  RunSpecification run = SmallRun();
  run.parameters.erase("optimizer.kind");
  run.parameters["optimizer.learning_rate"] = 1e9;
  std::optional<Ending> ending;
  const std::vector<MetricRow> rows = RowsOf(run, &ending);
  EXPECT_EQ(ending->reason, "stop rule not finite");
  EXPECT_FALSE(std::isfinite(*rows.back()[Metric::kTrainLoss]));
}

TEST(SessionTest, StopRulesOnMetricsThatNeverComeAreRefused) {
  const struct {
    const char* metric;
    int64_t analyze_every;
    const char* message;
  } rows[] = {
      {"restricted_loss", 0, "metrics.analyze_every is 0"},
      {"batch_loss", 0, "only with minibatches"},
      {"weight_norm.layers.7.weight", 5,
       "the model has no 'layers.7.weight' (it has embedding.weight, layers.0.weight"},
      {"weight_norm.layers.0.weight", 5, nullptr},
      {"test_accuracy_unseen", 0, nullptr},
  };
  for (const auto& row : rows) {
    RunSpecification run = SmallRun();
    StopRule rule;
    rule.metric = row.metric;
    run.shared.stop = {rule};
    run.shared.metrics.analyze_every = row.analyze_every;
    const absl::Status status = Session::Create(run).status();
    EXPECT_EQ(status.ok(), row.message == nullptr) << row.metric << ": " << status;
    const char* expected = row.message == nullptr ? "" : row.message;
    EXPECT_NE(status.message().find(expected), absl::string_view::npos) << status;
  }
}

TEST(SessionTest, MistakesAreNamed) {
  struct Case {
    const char* parameter;
    Json value;
    const char* message;
  };
  for (const Case& c :
       {Case{"model.widht", 8, "did you mean 'model.width'"}, Case{"model.width", 0, "model.width"},
        Case{"optimizer.momentum", 0.9, "applies only when"}, Case{"task.train_fraction", 0.001, "train_fraction"}}) {
    RunSpecification run = SmallRun();
    run.parameters[c.parameter] = c.value;
    const auto session = Session::Create(run);
    ASSERT_FALSE(session.ok()) << c.parameter;
    EXPECT_NE(session.status().message().find(c.message), absl::string_view::npos) << session.status();
  }
  RunSpecification other = SmallRun();
  other.shared.trainer = "another";
  EXPECT_FALSE(Session::Create(other).ok());
}

}  // namespace
}  // namespace seedbed::engine
