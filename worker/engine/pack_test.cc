#include "worker/engine/pack.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "gtest/gtest.h"
#include "worker/engine/numerics.h"
#include "worker/engine/pack_recorder.h"
#include "worker/engine/test_directory.h"
#include "worker/engine/tiny_run.h"

namespace seedbed::engine {
namespace {

RunSpecification RunNumber(int64_t run) {
  RunSpecification specification = TinyRun(20 + 7 * run, {{"optimizer.learning_rate", 0.01 * run}});
  if (run % 3 == 0) specification.parameters["model.width"] = 24;
  specification.seed = run;
  return specification;
}

TEST(PackTest, ReportsRowsThenTheEnd) {
  Recorder recorder(1, MakeLearner, std::chrono::milliseconds(1000));
  RunSpecification run = TinyRun(1200);  // more rows than a batch holds
  run.shared.metrics.log_every = 1;
  run.shared.metrics.evaluate_every = 1;
  recorder.Start(5, run);
  recorder.Finish();
  const Json last = recorder.Last(5);
  EXPECT_EQ(last["type"], "finished");
  EXPECT_EQ(last["last_step"], 1200);
  int64_t next = 0;
  for (const Json& message : recorder.Said(5, "metrics")) {
    EXPECT_LE(message["steps"].size(), 512u);
    for (const Json& step : message["steps"]) EXPECT_EQ(step, next++);
    for (const auto& [name, values] : message["values"].items()) {
      EXPECT_EQ(values.size(), message["steps"].size()) << name;
    }
  }
  EXPECT_EQ(next, 1201);
}

// Twelve runs through five places: each has the rows that it has alone.
TEST(PackTest, ARunsRowsDoNotDependOnItsNeighbours) {
  Recorder pack(5);
  int64_t started = 0;
  std::vector<int64_t> order;
  while (started < 12 || !pack.pack().is_empty()) {
    while (started < 12 && (started < 5 || order.size() + 5 > static_cast<size_t>(started))) {
      ++started;
      pack.Start(started, RunNumber(started));
    }
    pack.pack().Advance();
    for (int64_t run = 1; run <= started; ++run) {
      const bool has_ended = pack.Last(run).is_object() && pack.Last(run)["type"] == "finished";
      if (has_ended && std::find(order.begin(), order.end(), run) == order.end()) order.push_back(run);
    }
  }
  ASSERT_EQ(order.size(), 12u);
  for (int64_t run = 1; run <= 12; ++run) {
    Recorder alone(1, MakeLearner, std::chrono::milliseconds(50));
    alone.Start(run, RunNumber(run));
    alone.Finish();
    EXPECT_EQ(pack.Values(run), alone.Values(run)) << run;
    EXPECT_FALSE(alone.Values(run).empty());
  }
}

TEST(PackTest, RunsTakeTurns) {
  Recorder recorder(3);
  for (const int64_t run : {1, 2, 3}) recorder.Start(run, TinyRun(100));
  for (int round = 0; round < 300; ++round) recorder.pack().Advance();
  // Each has made as many steps, so they end within one round of another.
  EXPECT_FALSE(recorder.pack().is_empty());
  for (int i = 0; i < 3; ++i) recorder.pack().Advance();
  EXPECT_TRUE(recorder.pack().is_empty());
}

TEST(PackTest, WithoutAFreePlaceARunIsRefused) {
  Recorder recorder(2);
  for (const int64_t run : {1, 2, 3}) recorder.Start(run, TinyRun());
  EXPECT_EQ(recorder.Last(3)["type"], "failed");
  EXPECT_NE(recorder.Last(3)["reason"].get<std::string>().find("no free place"), std::string::npos);
  recorder.Finish();
  EXPECT_EQ(recorder.Last(1)["type"], "finished");
  EXPECT_EQ(recorder.Last(2)["type"], "finished");
}

// A learner that does what another does; a base for those that misbehave.
class LearnerAround : public Learner {
 public:
  explicit LearnerAround(std::unique_ptr<Learner> real) : real_(std::move(real)) {}
  int replicas() const override { return 1; }
  const ModelLayout& layout() const override { return real_->layout(); }
  std::vector<TrainMeasure> Forward() override { return real_->Forward(); }
  void Backward() override { real_->Backward(); }
  void Update() override { real_->Update(); }
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
  const std::unique_ptr<Learner> real_;
};

// Its updates throw what a library throws when something goes wrong.
class Thrower final : public LearnerAround {
 public:
  Thrower(std::unique_ptr<Learner> real, int updates, bool memory)
      : LearnerAround(std::move(real)), updates_(updates), memory_(memory) {}
  void Update() override {
    if (updates_-- > 0) return LearnerAround::Update();
    if (memory_) throw std::bad_alloc();
    throw std::runtime_error("CUDA error: an illegal memory access was encountered");
  }

 private:
  int updates_;
  const bool memory_;
};

TEST(PackTest, ARunThatFailsOrDivergesEndsAlone) {
  // Seeds from 100 on fail, in the way that the seed says.
  const LearnerFactory factory = [](const RunParameters& run,
                                    uint64_t seed) -> absl::StatusOr<std::unique_ptr<Learner>> {
    if (seed == 102) throw std::runtime_error("DefaultCPUAllocator: not enough memory: you tried to allocate");
    if (seed == 103) return absl::ResourceExhaustedError("too large");
    SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<Learner> learner, MakeLearner(run, seed));
    if (seed < 100) return learner;
    return std::unique_ptr<Learner>(new Thrower(std::move(learner), 9, seed == 101));
  };
  Recorder recorder(8, factory);
  for (const int64_t seed : {1, 100, 101, 102, 103, 2}) {
    RunSpecification run = TinyRun(30);
    run.seed = seed;
    recorder.Start(seed, run);
  }
  recorder.Start(200, TinyRun(30, {{"optimizer.learning_rate", 1e9}}));
  recorder.Start(201, TinyRun(30, {{"model.depth", "deep"}}));
  recorder.Finish();
  for (const int64_t run : {100, 101, 102, 103, 201}) EXPECT_EQ(recorder.Last(run)["type"], "failed") << run;
  for (const int64_t run : {101, 102, 103}) EXPECT_EQ(recorder.Last(run)["kind"], "out_of_memory") << run;
  for (const int64_t run : {100, 201}) EXPECT_EQ(recorder.Last(run)["kind"], "error") << run;
  EXPECT_EQ(recorder.Values(100)["train_loss"].rbegin()->first, 8);  // what was measured before is reported
  EXPECT_EQ(recorder.Last(200)["outcome"], "diverged");
  for (const int64_t run : {1, 2}) {
    EXPECT_EQ(recorder.Last(run)["type"], "finished");
    Recorder alone(1);
    RunSpecification specification = TinyRun(30);
    specification.seed = run;
    alone.Start(run, specification);
    alone.Finish();
    EXPECT_EQ(recorder.Values(run), alone.Values(run)) << run;
  }
}

// An evaluation may take longer than the worker waits for a sign of life.
TEST(PackTest, BeforeWhatMayTakeLongAllAreSaidToBeBusy) {
  // Parameters of a large model, and a learner of a small one: nothing here takes long.
  RunSpecification large =
      TinyRun(30, {{"model.width", 2048}, {"model.depth", 8}, {"task.modulus", 2000}, {"task.train_fraction", 0.5}});
  large.shared.metrics.evaluate_every = 10;
  const LearnerFactory factory = [](const RunParameters& run, uint64_t seed) {
    return run.task.modulus == 2000 ? MakeLearner(ReadRunParameters(TinyRun().parameters).value(), seed)
                                    : MakeLearner(run, seed);
  };
  Recorder recorder(2, factory);
  recorder.Start(1, large);
  recorder.Start(2, TinyRun(30));
  recorder.pack().Advance();
  for (const int64_t run : {1, 2}) {
    const std::vector<Json> busy = recorder.Said(run, "busy");
    ASSERT_EQ(busy.size(), 2u) << "before it is built, and before it is evaluated for the first time";
    EXPECT_GE(busy[1]["seconds"], 3600);
  }
  recorder.Finish();
  EXPECT_EQ(recorder.Said(1, "busy").size(), 2u) << "later ones are known to be short";
  EXPECT_EQ(recorder.Last(1)["type"], "finished");
}

// What a pack says of its runs while time passes, which it does only where its learners say so.
class SignsOfLife {
 public:
  using Seconds = std::chrono::duration<double>;

  // So long take an update and what a checkpoint is made of.
  SignsOfLife(double update_seconds, double state_seconds)
      : pack_(Settings(update_seconds, state_seconds), [this](const std::string& text) { Note(Json::parse(text)); }) {}

  Pack& pack() { return pack_; }
  void Start(int64_t run, int64_t steps) {
    RunRequest request;
    request.run = run;
    request.specification = TinyRun(steps);
    request.directory = TestDirectory();
    last_[run] = now_;
    pack_.Start(std::move(request));
  }

  // The most by which what was said of a run came later than the `busy` before it, if any, had said; seconds. Rows do
  // not count: a run may have none for long.
  double longest_silence() const { return longest_silence_; }
  std::vector<Json> Said(int64_t run, const std::string& type) { return said_[{run, type}]; }

 private:
  class Slow final : public LearnerAround {
   public:
    Slow(std::unique_ptr<Learner> real, double update_seconds, double state_seconds, SignsOfLife* signs)
        : LearnerAround(std::move(real)),
          update_seconds_(update_seconds),
          state_seconds_(state_seconds),
          signs_(signs) {}
    void Update() override {
      signs_->Pass(update_seconds_);
      LearnerAround::Update();
    }
    LearnerState State(int replica) const override {
      signs_->Pass(state_seconds_);
      return LearnerAround::State(replica);
    }

   private:
    const double update_seconds_;
    const double state_seconds_;
    SignsOfLife* const signs_;
  };

  PackSettings Settings(double update_seconds, double state_seconds) {
    PackSettings settings = Recorder::Settings(2, MakeLearner, std::chrono::milliseconds(50));
    settings.now = [this] { return now_; };
    settings.make_learner = [=](const RunParameters& run, uint64_t seed) -> absl::StatusOr<std::unique_ptr<Learner>> {
      SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<Learner> learner, MakeLearner(run, seed));
      return std::unique_ptr<Learner>(new Slow(std::move(learner), update_seconds, state_seconds, this));
    };
    return settings;
  }
  void Pass(double seconds) {
    now_ += std::chrono::duration_cast<std::chrono::steady_clock::duration>(Seconds(seconds));
  }
  void Note(const Json& message) {
    const auto run = message["run"].get<int64_t>();
    said_[{run, message["type"]}].push_back(message);
    if (message["type"] == "metrics") return;
    longest_silence_ = std::max(longest_silence_, Seconds(now_ - last_[run]).count() - busy_seconds_[run]);
    last_[run] = now_;
    busy_seconds_[run] = message.value("seconds", 0.0);
  }

  std::chrono::steady_clock::time_point now_;
  std::map<int64_t, std::chrono::steady_clock::time_point> last_;
  std::map<int64_t, double> busy_seconds_;  // by what was said last
  double longest_silence_ = 0;
  std::map<std::pair<int64_t, std::string>, std::vector<Json>> said_;
  Pack pack_;
};

// Whoever hears nothing of a run for longer takes it for stalled.
constexpr double kLongestSilence = 10;

TEST(PackTest, OfEveryRunASignComesWithinTenSeconds) {
  for (const double update_seconds : {0.01, 0.7, 2.9}) {
    SignsOfLife signs(update_seconds, 0);
    signs.Start(1, 300);
    signs.Start(2, 300);
    while (!signs.pack().is_empty()) signs.pack().Advance();
    EXPECT_LT(signs.longest_silence(), kLongestSilence) << update_seconds;
    for (const int64_t run : {1, 2}) {
      EXPECT_EQ(signs.Said(run, "finished").size(), 1u);
      // Of 300 steps of each of the two.
      EXPECT_GE(signs.Said(run, "alive").size(), 600 * update_seconds / kLongestSilence - 1) << update_seconds;
      EXPECT_TRUE(signs.Said(run, "busy").empty()) << "nothing here is long";
    }
  }
}

TEST(PackTest, LongStepsAreAnnounced) {
  SignsOfLife signs(40, 0);
  signs.Start(1, 20);
  signs.pack().Advance();  // nobody can know how long the first one takes
  signs.Start(2, 20);
  for (int turn = 0; turn < 10; ++turn) {
    signs.pack().Advance();
    for (const Json& busy : signs.Said(1, "busy")) EXPECT_GT(busy["seconds"], 40);
  }
  EXPECT_GE(signs.Said(1, "busy").size(), 10u);
  EXPECT_GE(signs.Said(2, "busy").size(), 8u) << "its neighbour's steps keep it waiting too";
  EXPECT_TRUE(signs.Said(1, "alive").empty());
  EXPECT_LE(signs.longest_silence(), 40) << "that of the first step";
}

TEST(PackTest, WritingACheckpointIsAnnounced) {
  SignsOfLife signs(0.1, 25);
  signs.Start(1, 100);
  signs.Start(2, 100);
  for (int turn = 0; turn < 20; ++turn) signs.pack().Advance();
  for (int checkpoints = 1; checkpoints <= 3; ++checkpoints) {
    signs.pack().Checkpoint(1);
    while (signs.Said(1, "checkpoint").size() < static_cast<size_t>(checkpoints)) signs.pack().Advance();
  }
  for (const int64_t run : {1, 2}) {
    ASSERT_GE(signs.Said(run, "busy").size(), 3u) << run;
    EXPECT_EQ(signs.Said(run, "busy")[0]["reason"], "writing a checkpoint");
    EXPECT_GE(signs.Said(run, "busy")[0]["seconds"], 25);
  }
  signs.pack().Stop(1, true);
  while (!signs.pack().is_empty()) signs.pack().Advance();
  EXPECT_EQ(signs.Said(1, "checkpoint").size(), 4u);
  EXPECT_LT(signs.longest_silence(), kLongestSilence);
}

// However fast the steps are: a checkpoint is announced by its size, and by how long the last one took.
TEST(PackTest, ALargeCheckpointIsAnnouncedForLonger) {
  SignsOfLife slow(0.1, 200);
  slow.Start(1, 100);
  for (int i = 0; i < 5; ++i) slow.pack().Advance();
  for (size_t checkpoints = 1; checkpoints <= 2; ++checkpoints) {
    slow.pack().Checkpoint(1);
    while (slow.Said(1, "checkpoint").size() < checkpoints) slow.pack().Advance();
  }
  double longest = 0;
  for (const Json& busy : slow.Said(1, "busy")) longest = std::max(longest, busy["seconds"].get<double>());
  EXPECT_GT(longest, 200) << "as long as the last one";

  // 134 million parameters of a run whose learner is a small one.
  const LearnerFactory factory = [](const RunParameters&, uint64_t seed) {
    return MakeLearner(ReadRunParameters(TinyRun().parameters).value(), seed);
  };
  Recorder large(1, factory);
  large.Start(1, TinyRun(4, {{"model.width", 4096}, {"model.depth", 8}}));
  large.pack().Advance();
  const size_t before = large.Said(1, "busy").size();
  large.pack().Checkpoint(1);
  large.pack().Advance();
  const std::vector<Json> busy = large.Said(1, "busy");
  ASSERT_GT(busy.size(), before);
  EXPECT_EQ(busy[before]["reason"], "writing a checkpoint");
  EXPECT_GT(busy[before]["seconds"], 90) << "two gigabytes";
}

TEST(PackTest, TooLargeAModelIsOutOfMemory) {
  Recorder recorder(2);
  recorder.Start(6, TinyRun(25, {{"model.width", 16384}, {"model.depth", 64}, {"task.modulus", 4096}}));
  recorder.Start(7, TinyRun());
  recorder.Finish();
  EXPECT_EQ(recorder.Last(6)["type"], "failed");
  EXPECT_EQ(recorder.Last(6)["kind"], "out_of_memory") << recorder.Last(6);
  EXPECT_EQ(recorder.Last(7)["type"], "finished");
}

TEST(PackTest, StopsAtAStepOrBeforeAnythingIsBuilt) {
  Recorder recorder(3);
  recorder.Start(1, TinyRun(1000));
  recorder.Start(2, TinyRun(1000));
  for (int i = 0; i < 20; ++i) recorder.pack().Advance();
  recorder.Start(3, TinyRun(1000));
  recorder.pack().Stop(99, true);  // of nobody: ignored
  recorder.pack().Stop(1, false);
  recorder.pack().Stop(3, true);
  while (recorder.Last(1)["type"] != "stopped" || recorder.Last(3).is_null()) recorder.pack().Advance();
  EXPECT_EQ(recorder.Last(1), (Json{{"type", "stopped"}, {"run", 1}, {"last_step", 9}}));
  EXPECT_EQ(recorder.Said(3), (std::vector<Json>{{{"type", "stopped"}, {"run", 3}, {"last_step", 0}}}));
  recorder.pack().StopAll(false);
  recorder.Finish();
  EXPECT_EQ(recorder.Last(2)["type"], "stopped");
}

TEST(PackTest, CheckpointsFollowTheirRowsAndAreGoneOnFrom) {
  Recorder undisturbed(1);
  undisturbed.Start(1, TinyRun(60));
  undisturbed.Finish();

  Recorder first(2);
  first.Start(1, TinyRun(60));
  first.Start(2, TinyRun(60, {{"model.width", 8}}));
  for (int i = 0; i < 23; ++i) first.pack().Advance();
  first.pack().Checkpoint(1);
  for (int i = 0; i < 20; ++i) first.pack().Advance();
  first.pack().Stop(1, true);
  while (first.Last(1)["type"] != "stopped") first.pack().Advance();
  const std::vector<Json> checkpoints = first.Said(1, "checkpoint");
  ASSERT_EQ(checkpoints.size(), 2u);
  EXPECT_EQ(checkpoints[0]["numerics"], (Json{{"device", "test"}}));
  EXPECT_EQ(checkpoints[0]["sha256"].get<std::string>().size(), 64u);
  EXPECT_EQ(checkpoints[1]["step"], first.Last(1)["last_step"]);
  // No row up to a checkpoint's step comes after it.
  int64_t checkpoint_step = -1;
  for (const Json& message : first.Said(1)) {
    if (message["type"] == "checkpoint") checkpoint_step = message["step"].get<int64_t>();
    if (message["type"] == "metrics") {
      EXPECT_GT(message["steps"][0], checkpoint_step);
    }
  }
  for (const Json& checkpoint : checkpoints) {
    Recorder second(1);
    second.Start(1, TinyRun(60), checkpoint["path"].get<std::string>());
    second.Finish();
    ASSERT_EQ(second.Last(1)["type"], "finished");
    auto values = first.Values(1);
    for (auto& [name, by_step] : values) {
      by_step.erase(by_step.upper_bound(checkpoint["step"].get<int64_t>()), by_step.end());
    }
    for (const auto& [name, by_step] : second.Values(1)) {
      for (const auto& [step, value] : by_step) {
        EXPECT_GT(step, checkpoint["step"].get<int64_t>());
        EXPECT_TRUE(values[name].emplace(step, value).second) << name << " of step " << step << " came twice";
      }
    }
    EXPECT_EQ(values, undisturbed.Values(1));
  }
}

TEST(PackTest, ACheckpointThatCannotBeWrittenEndsNothing) {
  Recorder recorder(1);
  RunRequest request;
  request.run = 1;
  request.specification = TinyRun(40);
  request.directory = "/nowhere/at/all";
  recorder.pack().Start(std::move(request));
  for (int i = 0; i < 5; ++i) recorder.pack().Advance();
  testing::internal::CaptureStderr();
  recorder.pack().Checkpoint(1);
  recorder.Finish();
  EXPECT_NE(testing::internal::GetCapturedStderr().find("/nowhere/at/all"), std::string::npos);
  EXPECT_TRUE(recorder.Said(1, "checkpoint").empty());
  EXPECT_EQ(recorder.Last(1)["type"], "finished");
}

TEST(PackTest, TheLastStepsCheckpointComesBeforeTheEnd) {
  Recorder recorder(1);
  RunRequest request;
  request.run = 1;
  request.specification = TinyRun(40);
  request.checkpoint_file = TestPath("last.sbc");
  request.final_checkpoint = true;
  recorder.pack().Start(std::move(request));
  recorder.Finish();
  const std::vector<Json>& said = recorder.Said(1);
  ASSERT_GE(said.size(), 2u);
  EXPECT_EQ(said[said.size() - 2]["type"], "checkpoint");
  EXPECT_EQ(said[said.size() - 2]["step"], 40);
  EXPECT_EQ(said.back()["type"], "finished");
  Recorder again(1);
  again.Start(1, TinyRun(40), TestPath("last.sbc"));
  again.Finish();
  ASSERT_EQ(again.Said(1).size(), 1u);
  EXPECT_EQ(again.Last(1)["type"], "finished");
  EXPECT_EQ(again.Last(1)["last_step"], 40);
  EXPECT_EQ(again.Last(1)["outcome"], said.back()["outcome"]);
}

}  // namespace
}  // namespace seedbed::engine
