// Which rows a session measures what at: analyses, minibatches, the decay of a step.
#include <cmath>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "worker/engine/messages.h"
#include "worker/engine/numerics.h"
#include "worker/engine/session.h"

namespace seedbed::engine {
namespace {

RunSpecification SmallRun() {
  RunSpecification run;
  run.shared.trainer = "modular";
  run.shared.budget.steps = 25;
  run.shared.metrics.log_every = 4;
  run.shared.metrics.evaluate_every = 10;
  run.parameters = {{"task.modulus", 7}, {"task.train_fraction", 0.5}, {"model.width", 16},
                    {"model.depth", 1},  {"optimizer.kind", "adamw"},  {"optimizer.learning_rate", 0.01}};
  return run;
}

std::vector<MetricRow> RowsOf(const RunSpecification& specification, Json* summary = nullptr) {
  SetUpTrainingThread();
  const auto session = Session::Create(specification).value();
  std::vector<MetricRow> rows;
  while (true) {
    const Session::Progress progress = session->Advance();
    if (progress.row) rows.push_back(*progress.row);
    if (!progress.ending) continue;
    if (summary != nullptr) *summary = session->Summary();
    return rows;
  }
}

std::vector<int64_t> Steps(const std::vector<MetricRow>& rows) {
  std::vector<int64_t> steps;
  for (const MetricRow& row : rows) steps.push_back(row.step);
  return steps;
}

TEST(SessionMeasuresTest, AnalysesStandAtTheirIntervalAndAtTheEnd) {
  RunSpecification run = SmallRun();
  run.shared.metrics.analyze_every = 7;
  const std::vector<MetricRow> rows = RowsOf(run);
  EXPECT_EQ(Steps(rows), (std::vector<int64_t>{0, 4, 7, 8, 10, 12, 14, 16, 20, 21, 24, 25}));
  for (const MetricRow& row : rows) {
    const bool is_analysed = row.step % 7 == 0 || row.step == 25;
    EXPECT_EQ(row[Metric::kRestrictedLoss].has_value(), is_analysed) << row.step;
    EXPECT_EQ(row.Find("weight_norm.embedding.weight").has_value(), is_analysed) << row.step;
    EXPECT_EQ(row.others.size(), is_analysed ? 5u : 0u) << "each once";
    EXPECT_EQ(row[Metric::kTestLoss].has_value(), row.step % 10 == 0 || row.step == 25) << row.step;
    EXPECT_TRUE(row[Metric::kTrainLoss].has_value());
    EXPECT_FALSE(row[Metric::kBatchLoss].has_value());
  }
}

TEST(SessionMeasuresTest, EvaluationsAndAnalysesAreAnnounced) {
  SetUpTrainingThread();
  RunSpecification run = SmallRun();
  run.shared.metrics.analyze_every = 7;
  const auto session = Session::Create(run).value();
  std::vector<int64_t> announced;
  int untimed = 0;
  session->set_announce([&](std::optional<double> seconds) {
    announced.push_back(session->step());
    untimed += seconds.has_value() ? 0 : 1;
    EXPECT_GT(seconds.value_or(1), 0);
  });
  while (!session->Advance().ending) {
  }
  // 0, 10 and 20 are evaluated, the multiples of 7 analysed, the first and the last step both.
  EXPECT_EQ(announced, (std::vector<int64_t>{0, 0, 7, 10, 14, 20, 21, 25, 25}));
  EXPECT_EQ(untimed, 2) << "the first of each kind";
}

TEST(SessionMeasuresTest, AnalysesDoNotChangeTheTraining) {
  const std::vector<MetricRow> plain = RowsOf(SmallRun());
  RunSpecification run = SmallRun();
  run.shared.metrics.analyze_every = 1;
  const std::vector<MetricRow> analysed = RowsOf(run);
  ASSERT_EQ(analysed.size(), 26u);
  for (const MetricRow& row : plain) {
    for (size_t i = 0; i < kMetricCount; ++i) {
      if (row.values[i]) {
        EXPECT_EQ(row.values[i], analysed[static_cast<size_t>(row.step)].values[i]) << row.step;
      }
    }
  }
}

TEST(SessionMeasuresTest, AnAnalysisHasItsSayInWhetherTheRunEnds) {
  RunSpecification run = SmallRun();
  run.shared.metrics.analyze_every = 7;
  StopRule rule;
  rule.metric = "weight_norm.output.weight";
  rule.value = 0;
  rule.held_for = 3;
  run.shared.stop = {rule};
  const std::vector<MetricRow> rows = RowsOf(run);
  EXPECT_EQ(rows.back().step, 14);
  EXPECT_TRUE(rows.back()[Metric::kTestAccuracy].has_value());
}

TEST(SessionMeasuresTest, MinibatchesMeasureTheTrainingSetAtEvaluations) {
  RunSpecification run = SmallRun();
  run.parameters["batch_size"] = 5;
  run.shared.budget.steps = 300;
  Json summary;
  const std::vector<MetricRow> rows = RowsOf(run, &summary);
  int64_t first = -1;
  for (const MetricRow& row : rows) {
    const bool is_evaluated = row.step % 10 == 0;
    EXPECT_TRUE(row[Metric::kBatchLoss].has_value()) << row.step;
    EXPECT_EQ(row[Metric::kTrainLoss].has_value(), is_evaluated) << row.step;
    EXPECT_EQ(row[Metric::kTrainAccuracy].has_value(), is_evaluated) << row.step;
    if (first < 0 && is_evaluated && *row[Metric::kTrainAccuracy] >= 0.99) first = row.step;
  }
  ASSERT_GT(first, 0);
  EXPECT_EQ(summary["t_train_99"], first);
  EXPECT_EQ(summary["final_train_loss"], *rows.back()[Metric::kTrainLoss]);
}

TEST(SessionMeasuresTest, EffectiveDecayFollowsTheSchedule) {
  RunSpecification run = SmallRun();
  run.parameters["optimizer.weight_decay"] = 0.5;
  run.parameters["optimizer.schedule"] = "warmup";
  run.parameters["optimizer.warmup_steps"] = 20;
  for (const MetricRow& row : RowsOf(run)) {
    const auto& decay = row[Metric::kEffectiveDecay];
    ASSERT_EQ(decay.has_value(), row.step % 10 == 0 || row.step == 25);
    if (decay) {
      EXPECT_NEAR(*decay, 0.005 * std::min(1.0, (row.step + 1) / 20.0), 1e-15) << row.step;
    }
  }
}

TEST(SessionMeasuresTest, MetricsOfFamiliesGoIntoTheMessage) {
  MetricRow plain, analysed;
  plain.step = 1;
  analysed.step = 2;
  analysed.others = {{"weight_norm.output.bias", 2.5}, {"weight_norm.layers.0.bias", INFINITY}};
  const Json values = Json::parse(MetricsMessage(3, {plain, analysed, plain}))["values"];
  EXPECT_EQ(values["weight_norm.output.bias"], Json::array({nullptr, 2.5, nullptr}));
  EXPECT_EQ(values["weight_norm.layers.0.bias"], Json::array({nullptr, "Infinity", nullptr}));
}

}  // namespace
}  // namespace seedbed::engine
