// Every optimiser, loss and option of the reference against the formulas in plain loops (mlp_by_hand,
// optimizer_by_hand).
#include <cmath>
#include <functional>
#include <numeric>
#include <string>

#include "gtest/gtest.h"
#include "worker/engine/learner.h"
#include "worker/engine/minibatch.h"
#include "worker/engine/mlp_by_hand.h"
#include "worker/engine/numerics.h"

namespace seedbed::engine {
namespace {

constexpr int kUpdates = 50;

double RelativeDistance(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0;
  double size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

double Norm(const std::vector<double>& values) {
  return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0));
}

struct Options {
  OptimizerParameters optimizer;
  TrainingOptions training;
};

struct Case {
  const char* name;
  std::function<void(Options*)> change;
};

std::vector<Case> Cases() {
  const auto use = [](OptimizerKind kind, double learning_rate, double weight_decay) {
    return [=](Options* o) {
      o->optimizer.kind = kind;
      o->optimizer.learning_rate = learning_rate;
      o->optimizer.weight_decay = weight_decay;
    };
  };
  const auto adam = use(OptimizerKind::kAdam, 3e-3, 0.02);
  const auto muon = use(OptimizerKind::kMuon, 3e-3, 0.5);
  return {
      {"Adam", adam},
      {"AdamOtherBetas",
       [=](Options* o) {
         adam(o);
         o->optimizer.beta1 = 0.5;
         o->optimizer.beta2 = 0.98;
         o->optimizer.epsilon = 1e-3;
       }},
      {"Nesterov", [](Options* o) { o->optimizer.nesterov = true; }},
      {"Muon", muon},
      {"MuonNesterov",
       [=](Options* o) {
         muon(o);
         o->optimizer.momentum = 0.95;
         o->optimizer.nesterov = true;
       }},
      {"Clipped", [](Options* o) { o->optimizer.clip_norm = 0.3; }},
      {"Warmup",
       [](Options* o) {
         o->optimizer.schedule = Schedule::kWarmup;
         o->optimizer.warmup_steps = 13;
       }},
      {"CosineOfAdamw",
       [=](Options* o) {
         use(OptimizerKind::kAdamw, 3e-3, 0.5)(o);
         o->optimizer.schedule = Schedule::kCosine;
         o->optimizer.warmup_steps = 5;
         o->optimizer.schedule_steps = 30;
         o->optimizer.final_factor = 0.2;
       }},
      {"Grokfast",
       [](Options* o) {
         o->optimizer.learning_rate = 0.01;
         o->optimizer.grokfast_alpha = 0.9;
         o->optimizer.grokfast_lambda = 2;
       }},
      {"PerpendicularGradient", [](Options* o) { o->optimizer.perpendicular_gradient = true; }},
      {"AllAtOnce",
       [=](Options* o) {
         muon(o);
         o->optimizer.nesterov = true;
         o->optimizer.schedule = Schedule::kCosine;
         o->optimizer.warmup_steps = 7;
         o->optimizer.schedule_steps = 60;
         o->optimizer.grokfast_lambda = 1;
         o->optimizer.perpendicular_gradient = true;
         o->optimizer.clip_norm = 0.5;
         o->training.batch_size = 9;
       }},
      {"Mse", [](Options* o) { o->training.loss = Loss::kMse; }},
      {"Minibatch", [](Options* o) { o->training.batch_size = 7; }},
      {"MinibatchOfOne",
       [](Options* o) {
         o->training.batch_size = 1;
         o->optimizer.learning_rate = 0.01;
       }},
      {"MseInMinibatches",
       [](Options* o) {
         o->training.loss = Loss::kMse;
         o->training.batch_size = 20;
       }},
      {"BatchOfAll", [](Options* o) { o->training.batch_size = 48; }},
  };
}

struct Problem {
  Task task;
  ModelParameters model;
  ReplicaSettings replica;
  TrainingOptions training;
};

Problem MakeProblem(const std::function<void(Options*)>& change) {
  Options options;
  options.optimizer.learning_rate = 0.05;
  change(&options);
  Problem problem;
  TaskParameters task;
  task.modulus = 11;
  task.train_fraction = 0.4;  // 48 examples: no multiple of 7, 9 or 20
  problem.task = BuildTask(task).value();
  problem.model.width = 12;
  problem.model.activation = Activation::kTanh;
  problem.replica.seed = 7;
  problem.replica.optimizer = options.optimizer;
  problem.training = options.training;
  return problem;
}

std::unique_ptr<Learner> Reference(const Problem& problem) {
  return MakeReferenceLearner(problem.task, problem.model, Precision::kFloat64, {problem.replica}, problem.training);
}

MlpByHand ByHand(const Problem& problem) {
  const ModelLayout layout = MlpLayout(problem.model, problem.task.symbols, problem.task.classes);
  return MlpByHand(problem.task, problem.model, problem.replica.optimizer,
                   InitialSlab(layout, problem.replica.seed, problem.replica.init_scale), problem.training.loss);
}

class TrainingOptionsTest : public testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() { SetUpTrainingThread(); }
};

INSTANTIATE_TEST_SUITE_P(All, TrainingOptionsTest, testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(TrainingOptionsTest, FollowsTheFormulas) {
  const Problem problem = MakeProblem(GetParam().change);
  const std::unique_ptr<Learner> learner = Reference(problem);
  MlpByHand by_hand = ByHand(problem);
  const auto examples = static_cast<int64_t>(problem.task.train.size());
  const int64_t batch_size = problem.training.batch_size;
  ASSERT_EQ(examples, 48);
  EXPECT_EQ(learner->full_batch(), batch_size == 0 || batch_size >= examples);
  MinibatchOrder order(problem.replica.seed, examples, batch_size > 0 ? batch_size : examples);
  for (int update = 0; update < kUpdates; ++update) {
    std::vector<Example> batch = problem.task.train;
    if (!learner->full_batch()) {
      batch.clear();
      for (const int64_t i : order.Batch(update)) batch.push_back(problem.task.train[static_cast<size_t>(i)]);
    }
    by_hand.Measure(batch);
    const TrainMeasure train = learner->Forward()[0];
    learner->Backward();
    ASSERT_NEAR(train.loss, by_hand.loss, 1e-9 * by_hand.loss + 1e-12) << update;
    ASSERT_EQ(train.correct, by_hand.correct) << update;
    ASSERT_EQ(train.examples, static_cast<int64_t>(batch.size()));
    ASSERT_LT(RelativeDistance(learner->Gradient(0), by_hand.gradient), 1e-9) << update;
    learner->Update();
    by_hand.Update();
    ASSERT_LT(RelativeDistance(learner->Parameters(0), by_hand.parameters), 1e-9) << update;
    // What is reported is the gradient of the loss, whatever the optimiser made of it.
    ASSERT_NEAR(learner->GradientNorms()[0], Norm(by_hand.gradient), 1e-9 * Norm(by_hand.gradient));
  }
}

TEST_P(TrainingOptionsTest, MeasuresTheWholeTrainingSetAndTheTest) {
  const Problem problem = MakeProblem(GetParam().change);
  const std::unique_ptr<Learner> learner = Reference(problem);
  for (int update = 0; update < 3; ++update) {
    learner->Forward();
    learner->Backward();
    learner->Update();
  }
  MlpByHand by_hand = ByHand(problem);
  by_hand.parameters = learner->Parameters(0);
  by_hand.Measure();
  learner->Forward();
  const TrainMeasure train = learner->MeasureTraining()[0];
  EXPECT_NEAR(train.loss, by_hand.loss, 1e-10);
  EXPECT_EQ(train.correct, by_hand.correct);
  EXPECT_EQ(train.examples, 48);
  const TestMeasure test = learner->Evaluate()[0];
  EXPECT_NEAR(test.unseen.loss_sum, by_hand.Test(false).loss_sum, 1e-9);
  EXPECT_NEAR(test.mirrored.loss_sum, by_hand.Test(true).loss_sum, 1e-9);
}

// Replicas that differ in all that may differ, each as if it were alone, in their own batches too.
TEST(StackedOptionsTest, ReplicasGoTheirOwnWays) {
  SetUpTrainingThread();
  for (const OptimizerKind kind : {OptimizerKind::kSgd, OptimizerKind::kMuon}) {
    Problem problem = MakeProblem([&](Options* o) {
      o->optimizer.kind = kind;
      o->optimizer.learning_rate = 0.01;
      o->training.batch_size = 10;
    });
    std::vector<ReplicaSettings> replicas(4, problem.replica);
    replicas[1].seed = 8;
    replicas[1].optimizer.schedule = Schedule::kWarmup;
    replicas[1].optimizer.warmup_steps = 6;
    replicas[2].optimizer.grokfast_lambda = 2;
    replicas[2].optimizer.nesterov = true;
    replicas[3].optimizer.perpendicular_gradient = true;
    replicas[3].optimizer.clip_norm = 0.1;
    const auto train = [&](const std::vector<ReplicaSettings>& settings) {
      auto learner = MakeReferenceLearner(problem.task, problem.model, Precision::kFloat64, settings, problem.training);
      for (int update = 0; update < 20; ++update) {
        learner->Forward();
        learner->Backward();
        learner->Update();
      }
      return learner;
    };
    const auto stacked = train(replicas);
    for (int k = 0; k < 4; ++k) {
      const auto alone = train({replicas[k]});
      EXPECT_LT(RelativeDistance(stacked->Parameters(k), alone->Parameters(0)), 1e-10) << k;
      EXPECT_EQ(stacked->Logits(k, problem.task.test).size(), problem.task.test.size() * 11);
      EXPECT_LT(RelativeDistance(stacked->Logits(k, problem.task.test), alone->Logits(0, problem.task.test)), 1e-10);
    }
  }
}

TEST(LogitsTest, AreTheModels) {
  SetUpTrainingThread();
  const Problem problem = MakeProblem([](Options*) {});
  std::vector<Example> many;  // more than one batch of the fast implementation, in any order
  for (int i = 0; i < 9; ++i) {
    many.insert(many.end(), problem.task.test.rbegin(), problem.task.test.rend());
    many.insert(many.end(), problem.task.train.begin(), problem.task.train.end());
  }
  const auto fast = MakeFastLearner(problem.task, problem.model, Precision::kFloat64, problem.replica);
  const auto reference = Reference(problem);
  MlpByHand by_hand = ByHand(problem);
  for (Learner* learner : {fast.get(), reference.get()}) {
    by_hand.parameters = learner->Parameters(0);
    std::vector<double> expected;
    for (const Example& example : many) {
      const std::vector<double> row = by_hand.Logits(example);
      expected.insert(expected.end(), row.begin(), row.end());
    }
    const std::vector<double> logits = learner->Logits(0, many);  // before any Forward
    ASSERT_EQ(logits.size(), expected.size());
    EXPECT_LT(RelativeDistance(logits, expected), 1e-12);
  }
}

}  // namespace
}  // namespace seedbed::engine
