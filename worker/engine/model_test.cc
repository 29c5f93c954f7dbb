// Every model of the reference, and every option of each, against its formulas in plain loops: the loss that it has,
// and the gradient against central differences of that loss, both in float64.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "common/base/philox.h"
#include "gtest/gtest.h"
#include "worker/engine/learner.h"
#include "worker/engine/model_by_hand.h"
#include "worker/engine/numerics.h"

namespace seedbed::engine {
namespace {

RunParameters RunOf(const Json& model) {
  Json all = {{"task.modulus", 7},         {"task.train_fraction", 0.5},     {"task.operation", "subtract"},
              {"model.width", 8},          {"precision", "float64"},         {"implementation", "reference"},
              {"optimizer.kind", "adamw"}, {"optimizer.learning_rate", 0.03}};
  all.update(model);
  return ReadRunParameters(all).value();
}

class ModelTest : public testing::TestWithParam<Json> {
 protected:
  static void SetUpTestSuite() { SetUpTrainingThread(); }
};

const Json kModels[] = {
    {{"model.kind", "mlp"}},
    {{"model.kind", "mlp"}, {"model.activation", "quadratic"}, {"model.depth", 1}},
    {{"model.kind", "residual_mlp"}},
    {{"model.kind", "residual_mlp"}, {"model.inner_width", 13}, {"model.final_norm", true}, {"model.depth", 3}},
    {{"model.kind", "residual_mlp"}, {"model.layer_norm", false}, {"model.activation", "tanh"}},
    {{"model.kind", "residual_mlp"},
     {"model.layer_norm", false},
     {"model.final_norm", true},
     {"model.activation", "relu"}},
    {{"model.kind", "transformer"}},
    {{"model.kind", "transformer"}, {"model.depth", 1}, {"model.heads", 1}, {"model.feed_forward", 5}},
    {{"model.kind", "transformer"}, {"model.heads", 8}, {"model.equals_token", true}, {"model.readout", "last"}},
    {{"model.kind", "transformer"}, {"model.causal", true}, {"model.activation", "quadratic"}},
    {{"model.kind", "transformer"},
     {"model.causal", true},
     {"model.equals_token", true},
     {"model.readout", "last"},
     {"model.layer_norm", false},
     {"model.activation", "relu"}},
    {{"model.kind", "transformer"}, {"model.norm", "post"}, {"model.activation", "tanh"}},
    {{"model.kind", "transformer"},
     {"model.norm", "post"},
     {"model.final_norm", true},
     {"model.equals_token", true},
     {"model.heads", 2}},
    {{"model.kind", "transformer"},
     {"model.final_norm", true},
     {"model.readout", "last"},
     {"model.position_scale", 0.5}},
    {{"model.kind", "transformer"}, {"model.layer_norm", false}, {"model.init_scale", 0.5}},
};

INSTANTIATE_TEST_SUITE_P(All, ModelTest, testing::ValuesIn(kModels));

// A few updates first, so that what starts as 0 or 1 has moved away from it.
TEST_P(ModelTest, HasTheLossAndTheGradientOfItsFormulas) {
  const RunParameters run = RunOf(GetParam());
  const Task task = BuildTask(run.task).value();
  const std::unique_ptr<Learner> learner = MakeLearner(run, 3).value();
  for (int update = 0; update < 5; ++update) {
    learner->Forward();
    learner->Backward();
    learner->Update();
  }
  const ModelByHand by_hand(run.model, task.symbols, task.classes, learner->layout());
  std::vector<double> slab = learner->Parameters(0);
  const double expected = by_hand.Loss(slab, task.train);
  EXPECT_NEAR(learner->Forward()[0].loss, expected, 1e-11 * expected);
  learner->Backward();
  const TestMeasure test = learner->Evaluate()[0];
  const double test_loss = by_hand.Loss(slab, task.test) * static_cast<double>(task.test.size());
  EXPECT_EQ(test.unseen.examples, static_cast<int64_t>(task.test.size()));
  EXPECT_NEAR(test.unseen.loss_sum, test_loss, 1e-11 * test_loss);

  const std::vector<double> gradient = learner->Gradient(0);
  PhiloxStream random(1, 0);
  constexpr double kStep = 1e-5;
  for (const TensorLayout& tensor : learner->layout().tensors) {
    for (int trial = 0; trial < 6; ++trial) {
      const auto at = static_cast<size_t>(tensor.offset) + random.NextBelow(static_cast<uint64_t>(tensor.size));
      const double value = slab[at];
      slab[at] = value + kStep;
      const double above = by_hand.Loss(slab, task.train);
      slab[at] = value - kStep;
      const double below = by_hand.Loss(slab, task.train);
      slab[at] = value;
      EXPECT_NEAR(gradient[at], (above - below) / (2 * kStep), 2e-8 * std::max(1.0, std::abs(gradient[at])))
          << tensor.name << " " << at - static_cast<size_t>(tensor.offset);
    }
  }
}

TEST_P(ModelTest, StackedReplicasGoTheirOwnWays) {
  const RunParameters run = RunOf(GetParam());
  const Task task = BuildTask(run.task).value();
  std::vector<ReplicaSettings> replicas(2);
  for (size_t k = 0; k < replicas.size(); ++k) {
    replicas[k].seed = k + 3;
    replicas[k].init_scale = run.model.init_scale;
    replicas[k].optimizer = run.optimizer;
  }
  const auto stacked = MakeReferenceLearner(task, run.model, run.precision, replicas);
  for (int k = 0; k < 2; ++k) {
    const std::unique_ptr<Learner> alone = MakeLearner(run, replicas[k].seed).value();
    const double expected = alone->Forward()[0].loss;
    EXPECT_NEAR(stacked->Forward()[k].loss, expected, 1e-12 * expected);
  }
  EXPECT_NE(stacked->Forward()[0].loss, stacked->Forward()[1].loss);
}

// One stored model of the study must fit, and absurd ones must not be tried.
TEST(NeededBytesTest, KnowsTheModels) {
  const auto bytes = [](const Json& given) { return NeededBytes(ReadRunParameters(given).value()); };
  const Json transformer = {
      {"model.kind", "transformer"}, {"model.depth", 1}, {"model.width", 512}, {"optimizer.kind", "adamw"}};
  // 3,252,833 parameters: 8 bytes each at the start, and four slabs of float32.
  EXPECT_GT(bytes(transformer), 3252833.0 * (8 + 16));
  EXPECT_LT(bytes(transformer), 0.5e9);
  Json larger = transformer;
  larger["model.feed_forward"] = 65536;
  larger["model.width"] = 16384;
  larger["model.depth"] = 64;
  EXPECT_GT(bytes(larger), 1e12);
  EXPECT_GT(bytes({{"model.kind", "residual_mlp"}, {"model.inner_width", 4096}}), 2 * bytes(Json::object()));
}

}  // namespace
}  // namespace seedbed::engine
