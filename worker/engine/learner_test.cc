#include "worker/engine/learner.h"

#include <cmath>
#include <string>
#include <tuple>

#include "gtest/gtest.h"
#include "worker/engine/mlp_by_hand.h"
#include "worker/engine/numerics.h"

namespace seedbed::engine {
namespace {

constexpr int kUpdates = 50;

// |a - b| / |b| in the Euclidean norm.
double RelativeDistance(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0;
  double size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

double RelativeError(double a, double b) {
  return std::abs(a - b) / std::abs(b);
}

OptimizerParameters Optimizer(OptimizerKind kind) {
  OptimizerParameters optimizer;
  optimizer.kind = kind;
  optimizer.learning_rate = kind == OptimizerKind::kSgd ? 0.05 : 3e-3;
  optimizer.weight_decay = kind == OptimizerKind::kSgd ? 2e-3 : 0.5;
  return optimizer;
}

struct Problem {
  Task task;
  ModelParameters model;
  ReplicaSettings replica;
};

Problem MakeProblem(Activation activation, OptimizerKind kind, int64_t modulus = 11, int64_t depth = 2,
                    int64_t width = 24, double fraction = 0.4, bool unordered = false) {
  Problem problem;
  TaskParameters task;
  task.modulus = modulus;
  task.train_fraction = fraction;
  task.unordered = unordered;
  problem.task = BuildTask(task).value();
  problem.model.depth = depth;
  problem.model.width = width;
  problem.model.activation = activation;
  problem.replica.seed = 7;
  problem.replica.optimizer = Optimizer(kind);
  return problem;
}

std::unique_ptr<Learner> MakeOne(const Problem& problem, Precision precision, bool reference) {
  return reference ? MakeReferenceLearner(problem.task, problem.model, precision, {problem.replica})
                   : MakeFastLearner(problem.task, problem.model, precision, problem.replica);
}

MlpByHand ByHand(const Problem& problem) {
  const ModelLayout layout = MlpLayout(problem.model, problem.task.symbols, problem.task.classes);
  return MlpByHand(problem.task, problem.model, problem.replica.optimizer,
                   InitialSlab(layout, problem.replica.seed, problem.replica.init_scale));
}

void Step(Learner* learner) {
  learner->Forward();
  learner->Backward();
  learner->Update();
}

class LearnerTest : public testing::TestWithParam<std::tuple<Activation, OptimizerKind, bool>> {
 protected:
  static void SetUpTestSuite() { SetUpTrainingThread(); }
  Problem problem_ = MakeProblem(std::get<0>(GetParam()), std::get<1>(GetParam()));
  const bool reference_ = std::get<2>(GetParam());
};

std::string CaseName(const testing::TestParamInfo<LearnerTest::ParamType>& info) {
  const char* activations[] = {"Relu", "Gelu", "Tanh"};
  return std::string(activations[static_cast<int>(std::get<0>(info.param))]) +
         (std::get<1>(info.param) == OptimizerKind::kSgd ? "Sgd" : "Adamw") +
         (std::get<2>(info.param) ? "Reference" : "Fast");
}

INSTANTIATE_TEST_SUITE_P(All, LearnerTest,
                         testing::Combine(testing::Values(Activation::kRelu, Activation::kGelu, Activation::kTanh),
                                          testing::Values(OptimizerKind::kSgd, OptimizerKind::kAdamw), testing::Bool()),
                         CaseName);

TEST_P(LearnerTest, FollowsTheFormulasInFloat64) {
  const std::unique_ptr<Learner> learner = MakeOne(problem_, Precision::kFloat64, reference_);
  MlpByHand by_hand = ByHand(problem_);
  ASSERT_EQ(learner->Parameters(0), by_hand.parameters);
  for (int update = 0; update < kUpdates; ++update) {
    const TrainMeasure train = learner->Forward()[0];
    learner->Backward();
    by_hand.Measure();
    ASSERT_LT(RelativeError(train.loss, by_hand.loss), 1e-9) << update;
    ASSERT_EQ(train.correct, by_hand.correct) << update;
    ASSERT_EQ(train.examples, static_cast<int64_t>(problem_.task.train.size()));
    ASSERT_LT(RelativeDistance(learner->Gradient(0), by_hand.gradient), 1e-9) << update;
    learner->Update();
    by_hand.Update();
    ASSERT_LT(RelativeDistance(learner->Parameters(0), by_hand.parameters), 1e-9) << update;
  }
}

TEST_P(LearnerTest, StaysNearTheFormulasInFloat32) {
  const std::unique_ptr<Learner> learner = MakeOne(problem_, Precision::kFloat32, reference_);
  MlpByHand by_hand = ByHand(problem_);
  learner->Forward();
  learner->Backward();
  by_hand.Measure();
  EXPECT_LT(RelativeDistance(learner->Gradient(0), by_hand.gradient), 2e-5);
  for (int update = 0; update < kUpdates; ++update) {
    if (update > 0) by_hand.Measure();
    by_hand.Update();
    Step(learner.get());
  }
  EXPECT_LT(RelativeDistance(learner->Parameters(0), by_hand.parameters), 1e-4);
}

TEST_P(LearnerTest, EvaluatesTestPairsByClass) {
  // Long enough to answer some pairs correctly.
  problem_.replica.optimizer.learning_rate *= 4;
  const std::unique_ptr<Learner> learner = MakeOne(problem_, Precision::kFloat64, reference_);
  MlpByHand by_hand = ByHand(problem_);
  for (int update = 0; update < 200; ++update) {
    Step(learner.get());
    by_hand.Measure();
    by_hand.Update();
  }
  learner->Forward();
  learner->Backward();
  by_hand.Measure();
  const TestMeasure test = learner->Evaluate()[0];
  for (const bool mirrored : {true, false}) {
    const TestPart expected = by_hand.Test(mirrored);
    const TestPart& measured = mirrored ? test.mirrored : test.unseen;
    EXPECT_GT(expected.examples, 0);
    if (mirrored) {
      EXPECT_GT(expected.correct, 0);
    }
    EXPECT_EQ(measured.examples, expected.examples);
    EXPECT_EQ(measured.correct, expected.correct);
    EXPECT_LT(RelativeError(measured.loss_sum, expected.loss_sum), 1e-9);
  }
  double gradient_squares = 0;
  for (const double g : by_hand.gradient) gradient_squares += g * g;
  double parameter_squares = 0;
  for (const double p : by_hand.parameters) parameter_squares += p * p;
  EXPECT_LT(RelativeError(learner->GradientNorms()[0], std::sqrt(gradient_squares)), 1e-9);
  const auto count = static_cast<double>(learner->layout().parameter_count);
  EXPECT_LT(RelativeError(learner->ParameterRms()[0], std::sqrt(parameter_squares / count)), 1e-9);
}

TEST_P(LearnerTest, RepeatsItselfBitForBit) {
  std::vector<std::vector<double>> ends;
  for (int repetition = 0; repetition < 2; ++repetition) {
    const std::unique_ptr<Learner> learner = MakeOne(problem_, Precision::kFloat32, reference_);
    for (int update = 0; update < 20; ++update) {
      Step(learner.get());
      if (repetition == 1) learner->Evaluate();  // must leave no trace
    }
    ends.push_back(learner->Parameters(0));
  }
  EXPECT_EQ(ends[0], ends[1]);
}

// Shapes that no power of two divides, one layer and four, a task of two symbols, and pairs that no mirror leaks from.
TEST(FastMlpTest, FollowsTheFormulasAtOddShapes) {
  SetUpTrainingThread();
  struct Case {
    int64_t modulus, depth, width;
    double fraction;
    bool unordered;
  };
  for (const Case& c : {Case{7, 1, 9, 0.5, false}, Case{2, 1, 1, 0.5, false}, Case{13, 4, 17, 0.3, false},
                        Case{23, 3, 8, 0.2, true}, Case{12, 2, 31, 0.9, true}}) {
    const Problem problem =
        MakeProblem(Activation::kGelu, OptimizerKind::kAdamw, c.modulus, c.depth, c.width, c.fraction, c.unordered);
    MlpByHand by_hand = ByHand(problem);
    const std::unique_ptr<Learner> learner = MakeOne(problem, Precision::kFloat64, false);
    for (int update = 0; update < 10; ++update) {
      by_hand.Measure();
      by_hand.Update();
      Step(learner.get());
    }
    EXPECT_LT(RelativeDistance(learner->Parameters(0), by_hand.parameters), 1e-9) << c.modulus;
    learner->Forward();
    const TestMeasure test = learner->Evaluate()[0];
    const TestPart expected = by_hand.Test(false);
    EXPECT_EQ(test.unseen.examples, expected.examples);
    EXPECT_LT(RelativeError(test.unseen.loss_sum, expected.loss_sum), 1e-9) << c.modulus;
    if (c.unordered) {
      EXPECT_EQ(test.mirrored.examples, 0);
    }
  }
}

TEST(ReferenceLearnerTest, StackedReplicasGoTheirOwnWays) {
  SetUpTrainingThread();
  const Problem problem = MakeProblem(Activation::kTanh, OptimizerKind::kSgd);
  std::vector<ReplicaSettings> replicas(3, problem.replica);
  replicas[1].seed = 8;
  replicas[1].optimizer.learning_rate = 0.01;
  replicas[2].init_scale = 0.5;
  replicas[2].optimizer.momentum = 0;
  const auto stacked = MakeReferenceLearner(problem.task, problem.model, Precision::kFloat64, replicas);
  ASSERT_EQ(stacked->replicas(), 3);
  for (int update = 0; update < 20; ++update) Step(stacked.get());
  for (int k = 0; k < 3; ++k) {
    const auto alone = MakeReferenceLearner(problem.task, problem.model, Precision::kFloat64, {replicas[k]});
    for (int update = 0; update < 20; ++update) Step(alone.get());
    EXPECT_LT(RelativeDistance(stacked->Parameters(k), alone->Parameters(0)), 1e-12) << k;
    EXPECT_LT(RelativeError(stacked->Forward()[k].loss, alone->Forward()[0].loss), 1e-12) << k;
  }
}

// A learning rate that throws the parameters out of range: the loss must say so, not look like a number.
TEST(LearnersTest, ShowDivergence) {
  SetUpTrainingThread();
  for (const bool reference : {false, true}) {
    Problem problem = MakeProblem(Activation::kRelu, OptimizerKind::kSgd);
    problem.replica.optimizer.learning_rate = 1e6;
    const std::unique_ptr<Learner> learner = MakeOne(problem, Precision::kFloat32, reference);
    int update = 0;
    while (update < 100 && std::isfinite(learner->Forward()[0].loss)) {
      learner->Backward();
      learner->Update();
      ++update;
    }
    EXPECT_LT(update, 100) << reference;
  }
}

}  // namespace
}  // namespace seedbed::engine
