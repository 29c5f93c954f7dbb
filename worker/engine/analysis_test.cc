#include "worker/engine/analysis.h"

#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "worker/engine/logit_measures.h"
#include "worker/engine/numerics.h"

namespace seedbed::engine {
namespace {

RunParameters RunOf(const char* operation, int64_t modulus) {
  RunParameters run;
  run.task.operation = operation;
  run.task.modulus = modulus;
  run.task.train_fraction = 0.6;
  run.model.width = 20;
  run.model.depth = 1;
  run.optimizer.kind = OptimizerKind::kAdamw;
  run.optimizer.learning_rate = 0.01;
  run.precision = Precision::kFloat64;
  return run;
}

// The parameters of `run` after some updates, analysed.
struct Analysed {
  std::unique_ptr<Learner> learner;
  MetricRow row;
};

Analysed Analyse(const RunParameters& run, int updates) {
  SetUpTrainingThread();
  Analysed analysed;
  ReplicaSettings replica;
  replica.seed = 3;
  replica.optimizer = run.optimizer;
  const Task task = BuildTask(run.task).value();
  analysed.learner = MakeReferenceLearner(task, run.model, run.precision, {replica});
  for (int update = 0; update < updates; ++update) {
    analysed.learner->Forward();
    analysed.learner->Backward();
    analysed.learner->Update();
  }
  Analysis::Create(run).value().Measure(analysed.learner.get(), 0, &analysed.row);
  return analysed;
}

TEST(AnalysisTest, NormsOfAllTensorsMakeTheRms) {
  const Analysed analysed = Analyse(RunOf("add", 11), 5);
  const ModelLayout& layout = analysed.learner->layout();
  ASSERT_EQ(analysed.row.others.size(), layout.tensors.size());
  double squares = 0;
  for (size_t i = 0; i < layout.tensors.size(); ++i) {
    EXPECT_EQ(analysed.row.others[i].first, "weight_norm." + layout.tensors[i].name);
    squares += std::pow(analysed.row.others[i].second, 2);
  }
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(layout.parameter_count)), analysed.learner->ParameterRms()[0],
              1e-12);
  EXPECT_EQ(analysed.row.Find("weight_norm.output.bias"), analysed.row.others.back().second);
}

// The margins say how many answers are right, and their means what the logits are.
TEST(AnalysisTest, MarginsAgreeWithTheAnswers) {
  const Analysed analysed = Analyse(RunOf("add", 11), 400);
  const TrainMeasure train = analysed.learner->Forward()[0];
  ASSERT_EQ(train.correct, train.examples);
  EXPECT_GT(*analysed.row[Metric::kTrainLogitMarginMin], 0);
  EXPECT_GT(*analysed.row[Metric::kTrainLogitMargin], *analysed.row[Metric::kTrainLogitMarginMin]);
  const TestMeasure test = analysed.learner->Evaluate()[0];
  ASSERT_LT(test.unseen.correct, test.unseen.examples);
  EXPECT_LE(*analysed.row[Metric::kTestLogitMarginMin], 0);
  const Task task = BuildTask(RunOf("add", 11).task).value();
  double sum = 0;
  for (const Example& example : task.test) {
    std::vector<double> logits = analysed.learner->Logits(0, {example});
    const double label = logits[example.label];
    logits.erase(logits.begin() + example.label);
    sum += label - *std::max_element(logits.begin(), logits.end());
  }
  EXPECT_NEAR(*analysed.row[Metric::kTestLogitMargin], sum / static_cast<double>(task.test.size()), 1e-10);
}

// With ⌊p/2⌋ <= 5 all frequencies are key ones: what restricting leaves out is what depends on more than a + b.
TEST(AnalysisTest, RestrictedAndExcludedLossesAreThoseOfTheLearnersLogits) {
  const RunParameters run = RunOf("add", 11);
  const Analysed analysed = Analyse(run, 100);
  const Task task = BuildTask(run.task).value();
  std::vector<std::vector<double>> by_sum(11, std::vector<double>(11, 0.0));
  std::vector<double> mean(11, 0.0);
  for (int32_t a = 0; a < 11; ++a) {
    for (int32_t b = 0; b < 11; ++b) {
      const std::vector<double> logits = analysed.learner->Logits(0, {{a, b, 0}});
      for (int32_t c = 0; c < 11; ++c) {
        by_sum[(a + b) % 11][c] += logits[c] / 11;
        mean[c] += logits[c] / 121;
      }
    }
  }
  double restricted = 0, excluded = 0;
  for (int32_t a = 0; a < 11; ++a) {
    for (int32_t b = 0; b < 11; ++b) {
      restricted += LossOf(Loss::kCrossEntropy, by_sum[(a + b) % 11].data(), 11, (a + b) % 11) / 121;
    }
  }
  for (const Example& example : task.train) {
    std::vector<double> rest = analysed.learner->Logits(0, {example});
    for (int32_t c = 0; c < 11; ++c) rest[c] += mean[c] - by_sum[(example.a + example.b) % 11][c];
    excluded += LossOf(Loss::kCrossEntropy, rest.data(), 11, example.label) / static_cast<double>(task.train.size());
  }
  EXPECT_NEAR(*analysed.row[Metric::kRestrictedLoss], restricted, 1e-10);
  EXPECT_NEAR(*analysed.row[Metric::kExcludedLoss], excluded, 1e-10);
}

TEST(AnalysisTest, SpectrumIsTheEmbeddings) {
  const Analysed analysed = Analyse(RunOf("add", 23), 30);
  const TensorLayout& embedding = analysed.learner->layout().tensors[0];
  const std::vector<double> parameters = analysed.learner->Parameters(0);
  std::vector<int32_t> order;
  for (int32_t n = 0; n < 23; ++n) order.push_back(n);
  const Spectrum spectrum = SpectrumOf(parameters.data() + embedding.offset, 20, order);
  EXPECT_EQ(analysed.row[Metric::kEmbeddingTop5Share], TopShare(spectrum, 5, false));
  EXPECT_EQ(analysed.row[Metric::kEmbeddingTop5ShareWithConstant], TopShare(spectrum, 5, true));
  EXPECT_EQ(analysed.row[Metric::kEmbeddingGini], SpectrumGini(spectrum));
  EXPECT_EQ(analysed.row[Metric::kEmbeddingParticipation], spectrum.inverse_participation_ratio);
  const std::vector<int64_t> frequencies = KeyFrequencies(spectrum, 5);
  EXPECT_EQ(analysed.row.Find("key_frequency_1"), frequencies[0]);
  EXPECT_EQ(analysed.row.Find("key_frequency_5"), frequencies[4]);
}

TEST(AnalysisTest, WhatMeansNothingIsAbsent) {
  const MetricRow few = Analyse(RunOf("add", 5), 1).row;  // two frequencies
  EXPECT_TRUE(few[Metric::kKeyFrequency2].has_value());
  EXPECT_FALSE(few[Metric::kKeyFrequency3].has_value());
  RunParameters diverging = RunOf("add", 11);
  diverging.optimizer.learning_rate = 1e300;
  const MetricRow diverged = Analyse(diverging, 4).row;
  EXPECT_FALSE(diverged[Metric::kTestLogitMarginMin].has_value());
  EXPECT_FALSE(diverged[Metric::kKeyFrequency1].has_value());
  EXPECT_FALSE(diverged[Metric::kRestrictedLoss].has_value());
}

}  // namespace
}  // namespace seedbed::engine
