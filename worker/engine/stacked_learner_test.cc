// Replicas that share a stacked learner: each is what it is alone, and none touches another.
#include "worker/engine/stacked_learner.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "worker/engine/model_layout.h"
#include "worker/engine/numerics.h"
#include "worker/engine/tiny_run.h"

namespace seedbed::engine {
namespace {

constexpr int kReplicas = 5;

RunParameters Parameters(const Json& more) {
  return ReadRunParameters(TinyRun(1, more).parameters).value();
}

// Replica k of a pack: all that may differ does.
ReplicaSettings Settings(const RunParameters& run, int k) {
  ReplicaSettings settings;
  settings.seed = 40 + static_cast<uint64_t>(k);
  settings.init_scale = 1 + 0.1 * k;
  settings.optimizer = run.optimizer;
  OptimizerParameters& optimizer = settings.optimizer;
  optimizer.learning_rate *= 1 + 0.3 * k;
  optimizer.weight_decay *= 1 + k;
  optimizer.momentum = 0.9 - 0.1 * k;
  optimizer.beta1 = 0.9 - 0.05 * k;
  optimizer.beta2 = 0.999 - 0.01 * k;
  optimizer.epsilon = 1e-8 * (1 + k);
  if (k == 2) optimizer.clip_norm = 0.1;
  if (k == 3) {
    optimizer.schedule = Schedule::kCosine;
    optimizer.warmup_steps = 3;
    optimizer.schedule_steps = 9;
    optimizer.final_factor = 0.1;
  }
  if (k == 4) {
    optimizer.schedule = Schedule::kWarmup;
    optimizer.warmup_steps = 6;
  }
  return settings;
}

std::vector<ReplicaSettings> AllSettings(const RunParameters& run) {
  std::vector<ReplicaSettings> all;
  for (int k = 0; k < kReplicas; ++k) all.push_back(Settings(run, k));
  return all;
}

std::unique_ptr<StackedLearner> Make(const RunParameters& run, const std::vector<ReplicaSettings>& replicas) {
  SetUpTrainingThread();
  return MakeStackedLearner(run, replicas, "cpu").value();
}

void Step(StackedLearner* learner, const std::vector<bool>& which) {
  learner->Forward();
  learner->Backward();
  learner->UpdateSome(which);
}

const std::vector<bool>& All() {
  static const auto* const all = new std::vector<bool>(kReplicas, true);
  return *all;
}

// Names differ in nothing but what is remembered; NaN is equal to itself here.
bool SameBits(const LearnerState& a, const LearnerState& b) {
  if (a.updates != b.updates || a.slabs.size() != b.slabs.size()) return false;
  for (const auto& [name, slab] : a.slabs) {
    const auto other = b.slabs.find(name);
    if (other == b.slabs.end() || other->second.size() != slab.size()) return false;
    if (std::memcmp(slab.data(), other->second.data(), slab.size() * sizeof(double)) != 0) return false;
  }
  return true;
}

double RelativeDistance(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0;
  double size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

struct Case {
  const char* name;
  Json parameters;
};

std::vector<Case> Cases() {
  const Json transformer = {{"model.kind", "transformer"},     {"model.heads", 2},
                            {"model.feed_forward", 24},        {"optimizer.kind", "adamw"},
                            {"optimizer.learning_rate", 3e-3}, {"optimizer.weight_decay", 0.5}};
  return {
      {"Mlp", {{"model.depth", 2}, {"model.width", 17}}},  // rows that begin at odd places
      {"MlpNesterov", {{"optimizer.nesterov", true}, {"model.activation", "relu"}}},
      {"ResidualAdam", {{"model.kind", "residual_mlp"}, {"optimizer.kind", "adam"}, {"optimizer.learning_rate", 3e-3}}},
      {"Transformer", transformer},
      {"Muon", {{"model.depth", 2}, {"optimizer.kind", "muon"}, {"optimizer.learning_rate", 3e-3}}},
      {"Grokfast", {{"optimizer.grokfast_lambda", 2.0}, {"optimizer.perpendicular_gradient", true}}},
      {"MseInMinibatches", {{"loss", "mse"}, {"batch_size", 7}}},
  };
}

class StackedLearnerTest : public testing::TestWithParam<Case> {
 protected:
  static RunParameters Run(const char* precision) {
    Json parameters = GetParam().parameters;
    parameters["precision"] = precision;
    return Parameters(parameters);
  }
};

TEST_P(StackedLearnerTest, TrainsEachReplicaAsItsOwnLearnerDoes) {
  const RunParameters run = Run("float64");
  const std::unique_ptr<StackedLearner> stacked = Make(run, AllSettings(run));
  std::vector<std::unique_ptr<Learner>> alone;
  for (int k = 0; k < kReplicas; ++k) {
    RunParameters own = run;
    own.model.init_scale = Settings(run, k).init_scale;
    own.optimizer = Settings(run, k).optimizer;
    alone.push_back(MakeLearner(own, Settings(run, k).seed).value());
  }
  for (int step = 0; step < 15; ++step) {
    const std::vector<TrainMeasure> measures = stacked->Forward();
    stacked->Backward();
    for (int k = 0; k < kReplicas; ++k) {
      const auto index = static_cast<size_t>(k);
      const TrainMeasure own = alone[index]->Forward()[0];
      alone[index]->Backward();
      EXPECT_NEAR(measures[index].loss, own.loss, 1e-9 * std::abs(own.loss)) << k << " at " << step;
      EXPECT_EQ(measures[index].correct, own.correct);
      EXPECT_EQ(measures[index].examples, own.examples);
      EXPECT_LT(RelativeDistance(stacked->Gradient(k), alone[index]->Gradient(0)), 1e-8) << k << " at " << step;
      EXPECT_NEAR(stacked->GradientNorms()[index], alone[index]->GradientNorms()[0], 1e-8);
      const TestMeasure test = stacked->EvaluateOne(k);
      const TestMeasure own_test = alone[index]->Evaluate()[0];
      EXPECT_NEAR(test.unseen.loss_sum, own_test.unseen.loss_sum, 1e-8 * own_test.unseen.loss_sum + 1e-12);
      EXPECT_NEAR(test.mirrored.loss_sum, own_test.mirrored.loss_sum, 1e-8 * own_test.mirrored.loss_sum + 1e-12);
      EXPECT_EQ(test.unseen.correct, own_test.unseen.correct);
      EXPECT_EQ(test.mirrored.examples, own_test.mirrored.examples);
      alone[index]->Update();
    }
    stacked->UpdateSome(All());
  }
  for (int k = 0; k < kReplicas; ++k) {
    const auto index = static_cast<size_t>(k);
    EXPECT_LT(RelativeDistance(stacked->Parameters(k), alone[index]->Parameters(0)), 1e-8) << k;
    EXPECT_NEAR(stacked->ParameterRms()[index], alone[index]->ParameterRms()[0], 1e-9);
    EXPECT_EQ(stacked->State(k).updates, 15);
  }
}

TEST_P(StackedLearnerTest, HoldsReplicasToTheBit) {
  const RunParameters run = Run("float32");
  const std::unique_ptr<StackedLearner> learner = Make(run, AllSettings(run));
  for (int step = 0; step < 3; ++step) Step(learner.get(), All());
  std::vector<LearnerState> before;
  for (int k = 0; k < kReplicas; ++k) before.push_back(learner->State(k));
  for (int step = 0; step < 4; ++step) Step(learner.get(), {true, false, false, true, false});
  for (int k = 0; k < kReplicas; ++k) {
    const bool is_held = k != 0 && k != 3;
    EXPECT_EQ(SameBits(learner->State(k), before[static_cast<size_t>(k)]), is_held) << k;
  }
  // What it was held at is what it goes on from.
  const std::unique_ptr<StackedLearner> undisturbed = Make(run, AllSettings(run));
  for (int step = 0; step < 5; ++step) Step(undisturbed.get(), All());
  for (int step = 0; step < 2; ++step) Step(learner.get(), All());
  for (const int k : {1, 2, 4}) EXPECT_TRUE(SameBits(learner->State(k), undisturbed->State(k))) << k;
}

// What is not a number stays in its replica: held or not, the others have the bits that they have beside a sound one.
TEST_P(StackedLearnerTest, ANaNDisturbsNobody) {
  const RunParameters run = Run("float32");
  const std::unique_ptr<StackedLearner> sound = Make(run, AllSettings(run));
  const std::unique_ptr<StackedLearner> learner = Make(run, AllSettings(run));
  LearnerState broken = learner->State(2);
  for (auto& [name, slab] : broken.slabs) {
    for (size_t i = 0; i < slab.size(); i += 3) {
      slab[i] = i % 2 == 0 ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
    }
  }
  ASSERT_TRUE(learner->Restore(2, broken).ok());
  const LearnerState held = learner->State(2);
  for (int step = 0; step < 6; ++step) {
    const bool updates_it = step >= 3;
    Step(sound.get(), All());
    Step(learner.get(), {true, true, updates_it, true, true});
    if (!updates_it) {
      EXPECT_TRUE(SameBits(learner->State(2), held)) << step;
    }
    const std::vector<TrainMeasure> measures = learner->Forward();
    EXPECT_TRUE(std::isnan(measures[2].loss));
    EXPECT_EQ(measures[2].correct, 0);
    const std::vector<TrainMeasure> expected = sound->Forward();
    for (const int k : {0, 1, 3, 4}) {
      EXPECT_EQ(measures[static_cast<size_t>(k)].loss, expected[static_cast<size_t>(k)].loss);
      EXPECT_TRUE(SameBits(learner->State(k), sound->State(k))) << k << " at " << step;
      EXPECT_EQ(learner->EvaluateOne(k).unseen.loss_sum, sound->EvaluateOne(k).unseen.loss_sum);
      EXPECT_EQ(learner->GradientNorms()[static_cast<size_t>(k)], sound->GradientNorms()[static_cast<size_t>(k)]);
    }
  }
}

// In place: no tensor moves, the others do not notice, and the new one is as if it had been there from the start.
TEST_P(StackedLearnerTest, RefillsInPlace) {
  const RunParameters run = Run("float32");
  std::vector<ReplicaSettings> settings = AllSettings(run);
  const std::unique_ptr<StackedLearner> learner = Make(run, settings);
  const std::unique_ptr<StackedLearner> undisturbed = Make(run, settings);
  const std::vector<const void*> addresses = learner->Addresses();
  ASSERT_GT(addresses.size(), 6u);
  for (int step = 0; step < 4; ++step) {
    Step(learner.get(), All());
    Step(undisturbed.get(), All());
  }
  ReplicaSettings other = Settings(run, 1);
  other.seed = 99;
  other.init_scale = 0.7;
  other.optimizer.learning_rate *= 0.5;
  learner->Refill(3, other);
  settings[3] = other;
  const std::unique_ptr<StackedLearner> fresh = Make(run, settings);
  EXPECT_TRUE(SameBits(learner->State(3), fresh->State(3)));
  const LearnerState state = learner->State(3);
  for (const double value : state.slabs.begin()->second) EXPECT_TRUE(std::isfinite(value));
  for (int step = 0; step < 5; ++step) {
    Step(learner.get(), All());
    Step(undisturbed.get(), All());
    Step(fresh.get(), All());
    EXPECT_TRUE(SameBits(learner->State(3), fresh->State(3))) << step;
    for (const int k : {0, 1, 2, 4}) EXPECT_TRUE(SameBits(learner->State(k), undisturbed->State(k))) << k;
  }
  EXPECT_EQ(learner->State(3).updates, 5);
  EXPECT_EQ(learner->State(0).updates, 9);
  EXPECT_EQ(learner->Addresses(), addresses);
}

TEST_P(StackedLearnerTest, ItsPlaceInThePackDecidesNoBit) {
  const RunParameters run = Run("float32");
  std::vector<ReplicaSettings> settings = AllSettings(run);
  const std::unique_ptr<StackedLearner> learner = Make(run, settings);
  std::swap(settings[0], settings[3]);
  std::swap(settings[1], settings[4]);
  const std::unique_ptr<StackedLearner> moved = Make(run, settings);
  const int place[kReplicas] = {3, 4, 2, 0, 1};
  for (int step = 0; step < 6; ++step) {
    const std::vector<TrainMeasure> here = learner->Forward();
    const std::vector<TrainMeasure> there = moved->Forward();
    for (int k = 0; k < kReplicas; ++k) {
      EXPECT_EQ(here[static_cast<size_t>(k)].loss, there[static_cast<size_t>(place[k])].loss) << k;
      EXPECT_EQ(learner->EvaluateOne(k).unseen.loss_sum, moved->EvaluateOne(place[k]).unseen.loss_sum);
      EXPECT_EQ(learner->MeasureTrainingOne(k).loss, moved->MeasureTrainingOne(place[k]).loss);
      EXPECT_EQ(learner->Logits(k, {{1, 2, 0}, {3, 3, 0}}), moved->Logits(place[k], {{1, 2, 0}, {3, 3, 0}}));
    }
    learner->UpdateSome(All());
    moved->UpdateSome(All());
    for (int k = 0; k < kReplicas; ++k) EXPECT_TRUE(SameBits(learner->State(k), moved->State(place[k]))) << k;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, StackedLearnerTest, testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

// The precision of the products reaches every model: coarser factors, larger differences.
TEST(MatmulPrecisionTest, ChangesWhatEveryModelComputes) {
  for (const char* kind : {"mlp", "residual_mlp", "transformer"}) {
    const auto loss = [&](const char* precision) {
      const RunParameters run = Parameters({{"model.kind", kind},
                                            {"model.width", 32},
                                            {"matmul_precision", precision},
                                            {"implementation", "reference"}});
      SetUpTrainingThread();
      const std::unique_ptr<Learner> learner = MakeLearner(run, 3).value();
      learner->Forward();
      learner->Backward();
      return std::make_pair(learner->Logits(0, {{1, 2, 0}, {3, 5, 0}, {6, 6, 0}}), learner->Gradient(0));
    };
    const auto [logits, gradient] = loss("full");
    const auto [tf32_logits, tf32_gradient] = loss("tf32");
    const auto [bf16_logits, bf16_gradient] = loss("bf16");
    const double tf32 = RelativeDistance(tf32_logits, logits), bf16 = RelativeDistance(bf16_logits, logits);
    EXPECT_GT(tf32, 1e-5) << kind;
    EXPECT_LT(tf32, 2e-3) << kind;
    EXPECT_GT(bf16, 3 * tf32) << kind;
    EXPECT_LT(bf16, 2e-2) << kind;
    EXPECT_GT(RelativeDistance(bf16_gradient, gradient), 1e-4) << kind;
    EXPECT_LT(RelativeDistance(bf16_gradient, gradient), 5e-2) << kind;
    EXPECT_GT(RelativeDistance(tf32_gradient, gradient), 1e-5) << kind;
  }
}

}  // namespace
}  // namespace seedbed::engine
