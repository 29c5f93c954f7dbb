// Runs that come and go in a stacked pack, on the CPU: bits that depend on the capacity alone, and what happens when
// memory is lacking.
#include "worker/engine/stacked_pack.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/schema/modular.h"
#include "gtest/gtest.h"
#include "worker/engine/messages.h"
#include "worker/engine/pack_recorder.h"
#include "worker/engine/tiny_run.h"

namespace seedbed::engine {
namespace {

constexpr int kCapacity = 5;
constexpr int64_t kRuns = 9;
constexpr int64_t kDiverging = 4;

PackSettings StackedSettings(StackedPlaces* places) {
  PackSettings settings = Recorder::Settings(
      places->capacity(), [places](const RunParameters& run, uint64_t seed) { return places->Take(run, seed); });
  settings.is_stacked = true;
  return settings;
}

// Runs of one shape that differ in all that may differ; one diverges.
RunSpecification RunNumber(int64_t run, const Json& shape) {
  RunSpecification specification = TinyRun(15 + 6 * (run % 4), shape);
  Json& parameters = specification.parameters;
  parameters["optimizer.learning_rate"] = run == kDiverging ? 1e30 : 0.004 * static_cast<double>(run);
  parameters["optimizer.weight_decay"] = 0.001 * static_cast<double>(run);
  parameters["model.init_scale"] = 1 + 0.05 * static_cast<double>(run);
  if (run % 2 == 0) parameters["optimizer.clip_norm"] = 0.5;
  if (run % 3 == 0) {
    parameters["optimizer.schedule"] = "cosine";
    parameters["optimizer.warmup_steps"] = 3;
    parameters["optimizer.schedule_steps"] = 10;
  }
  specification.seed = run;
  specification.shared.metrics.evaluate_every = 5;
  return specification;
}

using Values = std::map<std::string, std::map<int64_t, Json>>;

struct Outcome {
  Values values;
  Json last;
  bool operator==(const Outcome& other) const { return values == other.values && last == other.last; }
};

Outcome OutcomeOf(Recorder* recorder, int64_t run) {
  Outcome outcome{recorder->Values(run), recorder->Last(run)};
  for (const char* time : {"wall_seconds", "cpu_seconds"}) outcome.last["summary"].erase(time);
  return outcome;
}

// Each run in a pack of five by itself.
std::map<int64_t, Outcome> Alone(const Json& shape) {
  std::map<int64_t, Outcome> outcomes;
  for (int64_t run = 1; run <= kRuns; ++run) {
    StackedPlaces places("cpu", kCapacity);
    Recorder recorder(StackedSettings(&places));
    recorder.Start(run, RunNumber(run, shape));
    recorder.Finish();
    outcomes[run] = OutcomeOf(&recorder, run);
  }
  return outcomes;
}

// In this order, each as soon as there is a place for it, but `pause` turns after the one before.
std::map<int64_t, Outcome> Together(std::deque<int64_t> order, int pause, const Json& shape) {
  StackedPlaces places("cpu", kCapacity);
  Recorder recorder(StackedSettings(&places));
  std::map<int64_t, Outcome> outcomes;
  std::set<int64_t> there;
  while (!order.empty() || !there.empty()) {
    if (!order.empty() && there.size() < kCapacity) {
      recorder.Start(order.front(), RunNumber(order.front(), shape));
      there.insert(order.front());
      order.pop_front();
    }
    for (int turn = 0; turn <= pause; ++turn) recorder.pack().Advance();
    for (const int64_t run : std::set<int64_t>(there)) {
      const Json last = recorder.Last(run);
      if (last.is_null() || (last["type"] != "finished" && last["type"] != "failed")) continue;
      outcomes[run] = OutcomeOf(&recorder, run);
      there.erase(run);
    }
  }
  return outcomes;
}

TEST(StackedPackTest, ARunWithRefillsAroundItHasTheBitsThatItHasAloneWithDummies) {
  const std::vector<Json> shapes = {
      {{"model.width", 17}},
      {{"model.kind", "transformer"}, {"model.heads", 2}, {"optimizer.kind", "adamw"}},
      {{"optimizer.kind", "adam"}, {"batch_size", 9}},
  };
  for (const Json& shape : shapes) {
    const std::map<int64_t, Outcome> alone = Alone(shape);
    for (const auto& [run, outcome] : alone) {
      EXPECT_EQ(outcome.last["type"], "finished") << outcome.last;
      EXPECT_EQ(outcome.last["outcome"] == "diverged", run == kDiverging) << run << shape;
      EXPECT_GE(outcome.values.at("train_loss").size(), run == kDiverging ? 1u : 4u);
    }
    EXPECT_NE(alone.at(1).values, alone.at(2).values);
    std::deque<int64_t> order;
    for (int64_t run = 1; run <= kRuns; ++run) order.push_back(run);
    EXPECT_TRUE(Together(order, 0, shape) == alone) << shape;
    std::reverse(order.begin(), order.end());
    EXPECT_TRUE(Together(order, 2, shape) == alone) << shape << ", the other way round";
    std::swap(order[0], order[5]);
    std::swap(order[3], order[8]);
    EXPECT_TRUE(Together(order, 23, shape) == alone) << shape << ", mixed, with long pauses";
  }
}

// A run that is stopped with a checkpoint goes on in another pack, in another place, beside others.
TEST(StackedPackTest, ResumesWithTheSameBits) {
  const Json shape = {{"optimizer.kind", "muon"}, {"model.depth", 2}};
  StackedPlaces undisturbed_places("cpu", kCapacity);
  Recorder undisturbed(StackedSettings(&undisturbed_places));
  undisturbed.Start(3, RunNumber(3, shape));
  undisturbed.Finish();

  StackedPlaces first_places("cpu", kCapacity);
  Recorder first(StackedSettings(&first_places));
  first.Start(3, RunNumber(3, shape));
  first.Start(1, RunNumber(1, shape));
  for (int turn = 0; turn < 15; ++turn) first.pack().Advance();
  first.pack().Stop(3, true);
  first.Finish();
  ASSERT_EQ(first.Last(3)["type"], "stopped");
  ASSERT_EQ(first.Said(3, "checkpoint").size(), 1u);
  const Json checkpoint = first.Said(3, "checkpoint")[0];
  EXPECT_GT(checkpoint["step"], 3);

  StackedPlaces second_places("cpu", kCapacity);
  Recorder second(StackedSettings(&second_places));
  for (const int64_t run : {5, 6}) second.Start(run, RunNumber(run, shape));
  for (int turn = 0; turn < 9; ++turn) second.pack().Advance();
  second.Start(3, RunNumber(3, shape), checkpoint["path"]);
  second.Finish();
  Values values = first.Values(3);
  for (const auto& [name, by_step] : second.Values(3)) {
    for (const auto& [step, value] : by_step) {
      EXPECT_TRUE(values[name].emplace(step, value).second) << name << " of step " << step << " came twice";
    }
  }
  EXPECT_EQ(values, undisturbed.Values(3));
  EXPECT_EQ(OutcomeOf(&second, 3).last, OutcomeOf(&undisturbed, 3).last);
}

TEST(StackedPackTest, ARunOfAnotherShapeFailsAndIsTakenOnceThePackIsEmpty) {
  StackedPlaces places("cpu", kCapacity);
  Recorder recorder(StackedSettings(&places));
  recorder.Start(1, RunNumber(1, Json::object()));
  recorder.pack().Advance();
  recorder.Start(2, RunNumber(2, {{"model.width", 8}}));
  recorder.Finish();
  EXPECT_EQ(recorder.Last(2)["type"], "failed");
  EXPECT_EQ(recorder.Last(2)["kind"], "error");
  EXPECT_NE(recorder.Last(2)["reason"].get<std::string>().find("pack_parameters"), std::string::npos);
  EXPECT_EQ(recorder.Last(1)["type"], "finished");
  recorder.Start(5, RunNumber(5, {{"model.width", 8}}));
  recorder.Finish();
  EXPECT_EQ(recorder.Last(5)["type"], "finished");
}

// What `ready` declares is what may differ: all of it, and nothing else.
TEST(CanShareAPackTest, ComparesAllButThePackParameters) {
  const auto parameters = [](const Json& more) { return ReadRunParameters(TinyRun(1, more).parameters).value(); };
  const Json base = {{"optimizer.kind", "adamw"}, {"optimizer.grokfast_lambda", 1.0}};
  const auto can_share = [&](const Json& more) {
    Json other = base;
    other.update(more);
    return CanShareAPack(parameters(base), parameters(other));
  };
  for (const Json& more : std::vector<Json>{{{"optimizer.learning_rate", 0.3}},
                                            {{"optimizer.weight_decay", 0.3}},
                                            {{"optimizer.beta1", 0.3}},
                                            {{"optimizer.beta2", 0.3}},
                                            {{"optimizer.epsilon", 0.3}},
                                            {{"optimizer.clip_norm", 0.3}},
                                            {{"model.init_scale", 0.3}},
                                            {{"optimizer.grokfast_alpha", 0.3}},
                                            {{"optimizer.schedule", "warmup"}, {"optimizer.warmup_steps", 3}},
                                            {{"optimizer.schedule", "cosine"}, {"optimizer.schedule_steps", 3}}}) {
    EXPECT_TRUE(can_share(more)) << more;
  }
  for (const Json& more : std::vector<Json>{{{"model.width", 8}},
                                            {{"model.depth", 2}},
                                            {{"model.activation", "tanh"}},
                                            {{"model.kind", "residual_mlp"}},
                                            {{"task.train_fraction", 0.4}},
                                            {{"task.split_seed", 4}},
                                            {{"task.label_noise", 0.1}},
                                            {{"batch_size", 4}},
                                            {{"loss", "mse"}},
                                            {{"precision", "float64"}},
                                            {{"matmul_precision", "tf32"}},
                                            {{"optimizer.grokfast_lambda", 0.0}},
                                            {{"optimizer.perpendicular_gradient", true}}}) {
    EXPECT_FALSE(can_share(more)) << more;
  }
}

// A value that the parameter may have in the place of `value`.
Json AnotherValue(const ParameterDefinition& parameter, const Json& value) {
  switch (parameter.type) {
    case ParameterType::kBoolean:
      return !value.get<bool>();
    case ParameterType::kInteger:
      return value == 0 ? 3 : 2 * value.get<int64_t>();
    case ParameterType::kNumber:
      return value == 0 ? 0.1 : 0.9 * value.get<double>();
    case ParameterType::kString:
      break;
  }
  const auto other = std::find_if(parameter.choices.begin(), parameter.choices.end(),
                                  [&](const std::string& choice) { return choice != value; });
  return *other;
}

// Parameters of a run in which `parameter` applies.
Json RunWith(const ParameterDefinition& parameter) {
  Json run = TinyRun().parameters;
  run["optimizer.grokfast_lambda"] = 1.0;
  if (parameter.name.rfind("optimizer.schedule", 0) == 0 || parameter.name == "optimizer.warmup_steps" ||
      parameter.name == "optimizer.final_factor") {
    run.update({{"optimizer.schedule", "cosine"}, {"optimizer.schedule_steps", 5}, {"optimizer.warmup_steps", 2}});
  }
  if (parameter.applies_when && !run.contains(parameter.applies_when->parameter)) {
    const std::string& value = parameter.applies_when->values[0];
    run[parameter.applies_when->parameter] = value;
  }
  return run;
}

// A worker packs what `ready` declares, and the pack refuses what it cannot hold: for each parameter that there is the
// two must agree, or runs that could share a pack do not, or ones that cannot are sent to it and fail.
TEST(CanShareAPackTest, AgreesWithWhatReadyDeclaresOfEveryParameter) {
  const Json declared = Json::parse(ReadyMessage(Json::object(), "cpu", 0, 1))["pack_parameters"];
  std::set<std::string> shared;
  for (const ParameterDefinition& parameter : ModularTrainerSchema().parameters) {
    Json one = RunWith(parameter);
    Json other = one;
    other[parameter.name] = AnotherValue(parameter, one.value(parameter.name, parameter.default_value));
    if (parameter.name == "optimizer.schedule") other = TinyRun(1, {{"optimizer.grokfast_lambda", 1.0}}).parameters;
    const absl::StatusOr<RunParameters> first = ReadRunParameters(one);
    const absl::StatusOr<RunParameters> second = ReadRunParameters(other);
    ASSERT_TRUE(first.ok()) << first.status() << " " << one;
    ASSERT_TRUE(second.ok()) << second.status() << " " << other;
    if (CanShareAPack(*first, *second)) shared.insert(parameter.name);
  }
  EXPECT_EQ(shared, declared.get<std::set<std::string>>());
}

// A learner that throws at one of its passes.
class Thrower final : public StackedLearner {
 public:
  Thrower(std::unique_ptr<StackedLearner> real, int passes) : real_(std::move(real)), passes_(passes) {}
  int replicas() const override { return real_->replicas(); }
  const ModelLayout& layout() const override { return real_->layout(); }
  std::vector<TrainMeasure> Forward() override {
    if (passes_-- == 0) throw std::bad_alloc();
    return real_->Forward();
  }
  void Backward() override { real_->Backward(); }
  void Update() override { real_->Update(); }
  void UpdateSome(const std::vector<bool>& which) override { real_->UpdateSome(which); }
  void Refill(int replica, const ReplicaSettings& settings) override { real_->Refill(replica, settings); }
  TestMeasure EvaluateOne(int replica) override { return real_->EvaluateOne(replica); }
  TrainMeasure MeasureTrainingOne(int replica) override { return real_->MeasureTrainingOne(replica); }
  std::vector<const void*> Addresses() const override { return real_->Addresses(); }
  std::vector<TestMeasure> Evaluate() override { return real_->Evaluate(); }
  std::vector<double> GradientNorms() override { return real_->GradientNorms(); }
  std::vector<double> ParameterRms() override { return real_->ParameterRms(); }
  std::vector<double> Logits(int replica, const std::vector<Example>& examples) override {
    return real_->Logits(replica, examples);
  }
  std::vector<double> Parameters(int replica) const override { return real_->Parameters(replica); }
  std::vector<double> Gradient(int replica) const override { return real_->Gradient(replica); }
  LearnerState State(int replica) const override { return real_->State(replica); }
  absl::Status Restore(int replica, const LearnerState& state) override { return real_->Restore(replica, state); }

 private:
  const std::unique_ptr<StackedLearner> real_;
  int passes_;
};

TEST(StackedPackTest, WhatIsThrownForAllIsThrownAtAll) {
  SetUpTrainingThread();
  const RunParameters run = ReadRunParameters(TinyRun().parameters).value();
  const std::vector<ReplicaSettings> replicas(3);
  const auto pack = StackedPack::Create(std::make_unique<Thrower>(MakeStackedLearner(run, replicas, "cpu").value(), 2));
  const auto a = pack->Take({}).value();
  const auto b = pack->Take({}).value();
  for (int step = 0; step < 2; ++step) {
    a->Forward();
    a->Update();
  }
  EXPECT_FALSE(pack->is_broken());
  EXPECT_THROW(a->Forward(), std::bad_alloc);
  EXPECT_TRUE(pack->is_broken());
  EXPECT_THROW(a->Forward(), std::bad_alloc);
  EXPECT_THROW(a->GradientNorms(), std::bad_alloc);
  EXPECT_THROW(b->Forward(), std::bad_alloc);
}

TEST(StackedPackTest, PlacesAreGivenBack) {
  SetUpTrainingThread();
  const RunParameters run = ReadRunParameters(TinyRun().parameters).value();
  const auto pack = StackedPack::Create(MakeStackedLearner(run, std::vector<ReplicaSettings>(2), "cpu").value());
  EXPECT_TRUE(pack->is_empty());
  auto a = pack->Take({}).value();
  const auto b = pack->Take({}).value();
  EXPECT_EQ(pack->Take({}).status().code(), absl::StatusCode::kResourceExhausted);
  a.reset();
  EXPECT_FALSE(pack->is_empty());
  EXPECT_TRUE(pack->Take({}).ok());
}

// All runs of the pack end as out of memory, whichever met it, in a pack of its capacity; the next pack is smaller.
TEST(StackedPackTest, LackOfMemoryEndsAllAndShrinksThePack) {
  StackedPlaces places("cpu", 8);
  PackSettings settings = StackedSettings(&places);
  int takes = 0;
  settings.make_learner = [&](const RunParameters& run, uint64_t seed) {
    if (++takes == 3) throw std::runtime_error("CUDA out of memory. Tried to allocate 2.00 GiB");
    return places.Take(run, seed);
  };
  std::vector<int> capacities;
  Pack* pack = nullptr;
  settings.shrink = [&] { EXPECT_TRUE(places.Shrink()); };
  places.OnCapacityChange([&](int capacity) {
    capacities.push_back(capacity);
    pack->SetCapacity(capacity, {{"pack_capacity", capacity}});
  });
  Recorder recorder(settings);
  pack = &recorder.pack();
  for (int64_t run = 1; run <= 5; ++run) recorder.Start(run, RunNumber(run, Json::object()));
  recorder.Finish();
  for (int64_t run = 1; run <= 5; ++run) {
    EXPECT_EQ(recorder.Last(run)["type"], "failed") << run;
    EXPECT_EQ(recorder.Last(run)["kind"], "out_of_memory") << run;
    EXPECT_EQ(recorder.Last(run)["pack"], 8) << run;
  }
  EXPECT_EQ(capacities, std::vector<int>{4});
  // As the worker may not know that yet: a fifth run goes back to be tried in a pack of four.
  for (int64_t run = 11; run <= 15; ++run) recorder.Start(run, RunNumber(run - 10, Json::object()));
  recorder.Finish();
  EXPECT_EQ(recorder.Last(15)["kind"], "out_of_memory");
  EXPECT_EQ(recorder.Last(15)["pack"], 8);
  for (int64_t run = 11; run <= 14; ++run) EXPECT_EQ(recorder.Last(run)["type"], "finished") << run;
}

TEST(StackedPlacesTest, HalveDownToOne) {
  StackedPlaces places("cpu", 5);
  EXPECT_TRUE(places.Shrink());
  EXPECT_EQ(places.capacity(), 2);
  EXPECT_TRUE(places.Shrink());
  EXPECT_EQ(places.capacity(), 1);
  EXPECT_FALSE(places.Shrink());
  EXPECT_EQ(places.capacity(), 1);
}

// Each shape is measured; runs for which the measured pack has no place go back unharmed.
TEST(StackedPlacesTest, TakeTheCapacityThatIsMeasuredForAShape) {
  int measured = 0;
  StackedPlaces places("cpu", 4, 16, [&](const RunParameters& run) -> absl::StatusOr<int> {
    ++measured;
    return run.model.width == 8 ? 32 : 2;
  });
  PackSettings settings = StackedSettings(&places);
  Pack* pack = nullptr;
  std::vector<int> capacities;
  places.OnCapacityChange([&](int capacity) {
    capacities.push_back(capacity);
    pack->SetCapacity(capacity, Json::object());
  });
  Recorder recorder(settings);
  pack = &recorder.pack();
  for (int64_t run = 1; run <= 4; ++run) recorder.Start(run, RunNumber(run, Json::object()));
  recorder.Finish();
  for (const int64_t run : {1, 2}) EXPECT_EQ(recorder.Last(run)["type"], "finished") << run;
  for (const int64_t run : {3, 4}) {
    EXPECT_EQ(recorder.Last(run)["kind"], "out_of_memory") << run;
    EXPECT_EQ(recorder.Last(run)["pack"], 4) << run;
  }
  recorder.Start(5, RunNumber(5, {{"model.width", 8}}));
  recorder.Finish();
  EXPECT_EQ(recorder.Last(5)["type"], "finished");
  EXPECT_EQ(capacities, (std::vector<int>{2, 16}));
  EXPECT_EQ(measured, 2);
}

TEST(MeasuredCapacityTest, IsTheLargestPowerOfTwoThatFits) {
  for (const int64_t shared : {0, 1000, 70000}) {
    for (const int64_t one : {1, 10, 333, 4000}) {
      for (const int64_t free_bytes : {1, 5000, 100000, 2000000}) {
        const int capacity = MeasuredCapacity(free_bytes, 256, [&](int replicas) -> absl::StatusOr<int64_t> {
                               return shared + replicas * one;
                             }).value();
        const auto fits = [&](int replicas) { return 10 * (shared + replicas * one) <= 8 * free_bytes; };
        int expected = 1;
        for (const int power : {2, 4, 8, 16, 32, 64, 128, 256}) expected = fits(power) ? power : expected;
        EXPECT_EQ(capacity, expected) << shared << " " << one << " " << free_bytes;
      }
    }
  }
  EXPECT_FALSE(MeasuredCapacity(1000, 256, [](int) { return absl::StatusOr<int64_t>(absl::InternalError("x")); }).ok());
}

}  // namespace
}  // namespace seedbed::engine
