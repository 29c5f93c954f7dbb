// The hand-written learners against the reference, on configurations drawn at random.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "common/base/philox.h"
#include "gtest/gtest.h"
#include "worker/engine/learner.h"
#include "worker/engine/numerics.h"

namespace seedbed::engine {
namespace {

constexpr int kConfigurations = 12;  // of each kind
constexpr int kUpdates = 6;

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

struct Configuration {
  TaskParameters task;
  ModelParameters model;
  ReplicaSettings replica;
  std::string text;  // for messages
};

template <typename T>
T OneOf(PhiloxStream* random, const std::vector<T>& choices) {
  return choices[random->NextBelow(choices.size())];
}

OptimizerParameters DrawOptimizer(PhiloxStream* random) {
  OptimizerParameters o;
  o.kind = OneOf<OptimizerKind>(random, {OptimizerKind::kSgd, OptimizerKind::kAdam, OptimizerKind::kAdamw});
  o.learning_rate = o.kind == OptimizerKind::kSgd ? 0.02 : 2e-3;
  o.weight_decay = OneOf<double>(random, {0, 1e-3, 0.1});
  o.nesterov = random->NextBelow(2) == 0;
  o.momentum = o.nesterov ? 0.8 : OneOf<double>(random, {0, 0.9});
  o.epsilon = OneOf<double>(random, {1e-8, 1e-3});
  o.clip_norm = OneOf<double>(random, {0, 0, 0.05, 100});
  o.schedule = OneOf<Schedule>(random, {Schedule::kConstant, Schedule::kWarmup, Schedule::kCosine});
  o.warmup_steps = 2;
  o.schedule_steps = 5;
  o.final_factor = 0.1;
  o.grokfast_lambda = OneOf<double>(random, {0, 0, 2});
  o.perpendicular_gradient = random->NextBelow(3) == 0;
  return o;
}

Configuration Draw(const std::string& kind, uint64_t number) {
  PhiloxStream random(number, 1234);
  Configuration c;
  c.task.modulus = OneOf<int64_t>(&random, {5, 11, 13, 23});
  c.task.operation = OneOf<std::string>(&random, {"add", "subtract"});
  c.task.train_fraction = OneOf<double>(&random, {0.3, 0.8});
  c.task.split_seed = static_cast<int64_t>(number);
  c.task.unordered = c.task.operation == "add" && random.NextBelow(2) == 0;
  c.task.label_noise = OneOf<double>(&random, {0, 0.2});
  c.model.kind = kind;
  c.model.depth = kind == "transformer" ? 1 : OneOf<int64_t>(&random, {1, 2, 3});
  c.model.heads = OneOf<int64_t>(&random, {1, 3, 4});
  c.model.width = c.model.heads * OneOf<int64_t>(&random, {1, 5, 8});
  c.model.activation =
      OneOf<Activation>(&random, {Activation::kRelu, Activation::kGelu, Activation::kTanh, Activation::kQuadratic});
  c.model.init_scale = OneOf<double>(&random, {1, 0.5});
  c.model.inner_width = OneOf<int64_t>(&random, {c.model.width, 3, 40});
  c.model.feed_forward = OneOf<int64_t>(&random, {4 * c.model.width, 7});
  c.model.final_norm = kind == "residual_mlp" && random.NextBelow(2) == 0;
  c.replica.seed = number;
  c.replica.init_scale = c.model.init_scale;
  c.replica.optimizer = DrawOptimizer(&random);
  // A key's bias, and what stands before a norm over one value, have no gradient but rounding, which a small epsilon
  // would let Adam blow up to a step of full size.
  if (kind == "transformer" || (kind != "mlp" && c.model.width == 1)) c.replica.optimizer.epsilon = 1e-3;
  c.text = kind + " number " + std::to_string(number) + ": modulus " + std::to_string(c.task.modulus) + ", width " +
           std::to_string(c.model.width) + ", activation " + std::to_string(static_cast<int>(c.model.activation)) +
           ", optimizer " + std::to_string(static_cast<int>(c.replica.optimizer.kind));
  return c;
}

struct Learners {
  Learners(const Configuration& c, Precision fast_precision)
      : task(BuildTask(c.task).value()),
        fast(MakeFastLearner(task, c.model, fast_precision, c.replica)),
        reference(MakeReferenceLearner(task, c.model, Precision::kFloat64, {c.replica})) {}
  Task task;
  std::unique_ptr<Learner> fast, reference;
};

void ExpectSamePart(const TestPart& fast, const TestPart& reference, const std::string& text) {
  EXPECT_EQ(fast.examples, reference.examples) << text;
  EXPECT_EQ(fast.correct, reference.correct) << text;
  EXPECT_NEAR(fast.loss_sum, reference.loss_sum, 1e-9 * std::abs(reference.loss_sum)) << text;
}

class FastLearnerTest : public testing::TestWithParam<const char*> {
 protected:
  static void SetUpTestSuite() { SetUpTrainingThread(); }
};

INSTANTIATE_TEST_SUITE_P(Kinds, FastLearnerTest, testing::Values("mlp", "residual_mlp", "transformer"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(FastLearnerTest, FollowsTheReferenceInFloat64) {
  for (uint64_t number = 0; number < kConfigurations; ++number) {
    const Configuration c = Draw(GetParam(), number);
    const Learners learners(c, Precision::kFloat64);
    Learner& fast = *learners.fast;
    Learner& reference = *learners.reference;
    ASSERT_EQ(fast.Parameters(0), reference.Parameters(0)) << c.text;
    for (int update = 0; update < kUpdates; ++update) {
      const TrainMeasure train = fast.Forward()[0];
      const TrainMeasure expected = reference.Forward()[0];
      ASSERT_NEAR(train.loss, expected.loss, 1e-9 * expected.loss) << c.text;
      ASSERT_EQ(train.correct, expected.correct) << c.text;
      ASSERT_EQ(train.examples, expected.examples) << c.text;
      fast.Backward();
      reference.Backward();
      ASSERT_LT(RelativeDistance(fast.Gradient(0), reference.Gradient(0)), 1e-9) << c.text << ", update " << update;
      ASSERT_NEAR(fast.GradientNorms()[0] / reference.GradientNorms()[0], 1, 1e-9) << c.text;
      fast.Update();
      reference.Update();
      ASSERT_LT(RelativeDistance(fast.Parameters(0), reference.Parameters(0)), 1e-9) << c.text << ", update " << update;
    }
    fast.Forward();
    reference.Forward();
    fast.Backward();  // evaluations come after it
    reference.Backward();
    const TestMeasure test = fast.Evaluate()[0];
    const TestMeasure expected = reference.Evaluate()[0];
    ExpectSamePart(test.mirrored, expected.mirrored, c.text + ", mirrored");
    ExpectSamePart(test.unseen, expected.unseen, c.text + ", unseen");
    const std::vector<double> logits = fast.Logits(0, learners.task.test);
    ASSERT_EQ(logits.size(), learners.task.test.size() * static_cast<size_t>(learners.task.classes)) << c.text;
    EXPECT_LT(RelativeDistance(logits, reference.Logits(0, learners.task.test)), 1e-9) << c.text;
    EXPECT_NEAR(fast.ParameterRms()[0] / reference.ParameterRms()[0], 1, 1e-9) << c.text;
  }
}

// Tensor by tensor, so that a small one cannot hide among large ones. Where the reference's own gradient is rounding (a
// key's bias moves nothing), there is nothing to compare.
TEST_P(FastLearnerTest, HasEachTensorsGradient) {
  for (uint64_t number = 100; number < 100 + kConfigurations; ++number) {
    const Configuration c = Draw(GetParam(), number);
    const Learners learners(c, Precision::kFloat64);
    for (Learner* learner : {learners.fast.get(), learners.reference.get()}) {
      learner->Forward();
      learner->Backward();
    }
    const std::vector<double> found = learners.fast->Gradient(0);
    const std::vector<double> expected = learners.reference->Gradient(0);
    for (const TensorLayout& tensor : learners.fast->layout().tensors) {
      const auto part = [&](const std::vector<double>& slab) {
        return std::vector<double>(slab.begin() + tensor.offset, slab.begin() + tensor.offset + tensor.size);
      };
      double largest = 0;
      for (const double g : part(expected)) largest = std::max(largest, std::abs(g));
      if (largest < 1e-12) continue;
      EXPECT_LT(RelativeDistance(part(found), part(expected)), 1e-9) << c.text << ", " << tensor.name;
    }
  }
}

TEST_P(FastLearnerTest, StaysNearTheReferenceInFloat32) {
  for (uint64_t number = 200; number < 200 + kConfigurations; ++number) {
    const Configuration c = Draw(GetParam(), number);
    const Learners learners(c, Precision::kFloat32);
    for (Learner* learner : {learners.fast.get(), learners.reference.get()}) {
      learner->Forward();
      learner->Backward();
    }
    EXPECT_LT(RelativeDistance(learners.fast->Gradient(0), learners.reference->Gradient(0)), 2e-5) << c.text;
  }
}

TEST_P(FastLearnerTest, RepeatsItselfBitForBit) {
  const Configuration c = Draw(GetParam(), 1);
  std::vector<std::vector<double>> ends;
  for (int repetition = 0; repetition < 2; ++repetition) {
    const std::unique_ptr<Learner> learner =
        MakeFastLearner(BuildTask(c.task).value(), c.model, Precision::kFloat32, c.replica);
    for (int update = 0; update < 20; ++update) {
      learner->Forward();
      learner->Backward();
      if (repetition == 1) learner->Evaluate();  // must leave no trace
      learner->Update();
    }
    ends.push_back(learner->Parameters(0));
  }
  EXPECT_EQ(ends[0], ends[1]);
}

TEST_P(FastLearnerTest, GoesOnFromAStateBitForBit) {
  for (uint64_t number = 300; number < 304; ++number) {
    const Configuration c = Draw(GetParam(), number);
    const Task task = BuildTask(c.task).value();
    const auto make = [&] { return MakeFastLearner(task, c.model, Precision::kFloat32, c.replica); };
    const auto train = [](Learner* learner, int updates) {
      for (int update = 0; update < updates; ++update) {
        learner->Forward();
        learner->Backward();
        learner->Update();
      }
    };
    const std::unique_ptr<Learner> whole = make();
    train(whole.get(), 4);
    const LearnerState state = whole->State(0);
    train(whole.get(), 5);
    const std::unique_ptr<Learner> resumed = make();
    ASSERT_TRUE(resumed->Restore(0, state).ok()) << c.text;
    train(resumed.get(), 5);
    EXPECT_EQ(resumed->Parameters(0), whole->Parameters(0)) << c.text;
    EXPECT_EQ(resumed->State(0).slabs, whole->State(0).slabs) << c.text;
  }
}

}  // namespace
}  // namespace seedbed::engine
