// A run that is stopped and resumed against the same run undisturbed: every bit of its rows, its parameters and its
// summary.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/base/philox.h"
#include "gtest/gtest.h"
#include "worker/engine/checkpoint_file.h"
#include "worker/engine/numerics.h"
#include "worker/engine/session.h"
#include "worker/engine/test_directory.h"
#include "worker/engine/tiny_run.h"

namespace seedbed::engine {
namespace {

struct Outcome {
  std::vector<MetricRow> rows;
  Json summary;
  std::string outcome, reason;
  LearnerState state;
};

Json WithoutTimes(Json summary) {
  summary.erase("wall_seconds");
  summary.erase("cpu_seconds");
  return summary;
}

// Trains to the end, but is stopped at each of `stops`, saved and resumed by a new session.
Outcome Train(const RunSpecification& specification, const std::vector<int64_t>& stops = {}) {
  SetUpTrainingThread();
  Outcome outcome;
  std::unique_ptr<Session> session = Session::Create(specification).value();
  auto next_stop = stops.begin();
  while (!session->ending()) {
    if (next_stop != stops.end() && session->step() == *next_stop) {
      if (!session->is_measured()) {
        const Session::Progress progress = session->Measure();
        if (progress.row) outcome.rows.push_back(*progress.row);
      }
      EXPECT_TRUE(session->Save(TestPath("stopped.sbc"), Json::object()).ok());
      session.reset();
      absl::StatusOr<std::unique_ptr<Session>> resumed = Session::Resume(specification, TestPath("stopped.sbc"));
      EXPECT_TRUE(resumed.ok()) << resumed.status();
      session = *std::move(resumed);
      EXPECT_EQ(session->step(), *next_stop++);
      EXPECT_TRUE(session->is_measured());
    }
    const Session::Progress progress = session->Advance();
    if (progress.row) outcome.rows.push_back(*progress.row);
  }
  outcome.summary = WithoutTimes(session->Summary());
  outcome.outcome = session->Outcome();
  outcome.reason = session->ending()->reason;
  EXPECT_TRUE(session->Save(TestPath("final.sbc"), Json::object()).ok());
  outcome.state = ReadCheckpoint(TestPath("final.sbc")).value().state;
  return outcome;
}

void ExpectTheSame(const Outcome& a, const Outcome& b, const std::string& what) {
  ASSERT_EQ(a.rows.size(), b.rows.size()) << what;
  for (size_t i = 0; i < a.rows.size(); ++i) {
    ASSERT_EQ(a.rows[i].step, b.rows[i].step) << what;
    ASSERT_EQ(a.rows[i].values, b.rows[i].values) << what << ", step " << a.rows[i].step;
  }
  EXPECT_EQ(a.summary, b.summary) << what;
  EXPECT_EQ(a.outcome, b.outcome) << what;
  EXPECT_EQ(a.reason, b.reason) << what;
  EXPECT_EQ(a.state.updates, b.state.updates) << what;
  EXPECT_EQ(a.state.slabs, b.state.slabs) << what;
}

// `count` different steps below `steps`, rising.
std::vector<int64_t> RandomStops(uint64_t seed, int64_t steps, size_t count) {
  PhiloxStream random(seed, 0);
  std::vector<int64_t> stops;
  while (stops.size() < count) {
    const auto stop = static_cast<int64_t>(random.NextBelow(static_cast<uint64_t>(steps)));
    if (std::find(stops.begin(), stops.end(), stop) == stops.end()) stops.push_back(stop);
  }
  std::sort(stops.begin(), stops.end());
  return stops;
}

const std::vector<Json>& Variants() {
  static const auto* const variants = new std::vector<Json>{
      {{"optimizer.kind", "sgd"}, {"model.activation", "relu"}},
      {{"optimizer.kind", "adamw"}, {"optimizer.learning_rate", 0.01}, {"model.depth", 2}},
      {{"optimizer.kind", "sgd"}, {"optimizer.momentum", 0.0}, {"task.pairs", "unordered"}},
  };
  return *variants;
}

TEST(ResumeTest, SameBitsAfterStopsAtRandomSteps) {
  uint64_t seed = 1;
  for (const Json& variant : Variants()) {
    for (const char* implementation : {"auto", "reference"}) {
      for (const char* precision : {"float32", "float64"}) {
        Json parameters = variant;
        parameters["implementation"] = implementation;
        parameters["precision"] = precision;
        const RunSpecification run = TinyRun(60, parameters);
        const std::vector<int64_t> stops = RandomStops(++seed, 60, 4);
        ExpectTheSame(Train(run), Train(run, stops), parameters.dump() + ", stops " + Json(stops).dump());
      }
    }
  }
}

// At the first step, at steps with rows and evaluations, at neighbours, and at the last but one.
TEST(ResumeTest, SameBitsAfterStopsAtSpecialSteps) {
  const RunSpecification run = TinyRun(25);
  const Outcome undisturbed = Train(run);
  for (const std::vector<int64_t>& stops :
       std::vector<std::vector<int64_t>>{{0}, {1}, {10}, {20}, {24}, {0, 1, 2, 3, 4}, {9, 10, 11}}) {
    ExpectTheSame(undisturbed, Train(run, stops), Json(stops).dump());
  }
}

TEST(ResumeTest, StopRulesLookAcrossStops) {
  RunSpecification run = TinyRun(60);
  StopRule held;
  held.metric = "test_accuracy";
  held.value = 0;
  held.held_for = 5;  // from the first evaluation on
  run.shared.stop = {held};
  Outcome whole = Train(run);
  EXPECT_EQ(whole.rows.back().step, 40);
  EXPECT_EQ(whole.summary["held_since"], 0);
  ExpectTheSame(whole, Train(run, {15, 30, 39}), "held");

  // Reached at the first step alone: the loss falls from there.
  StopRule reached;
  reached.kind = StopRule::Kind::kNotReached;
  reached.metric = "train_loss";
  reached.value = *whole.rows[0][Metric::kTrainLoss];
  reached.by_step = 31;
  run.shared.stop = {reached};
  whole = Train(run);
  for (size_t i = 1; i < whole.rows.size(); ++i) {
    ASSERT_LT(*whole.rows[i][Metric::kTrainLoss], reached.value);  // or it would prove nothing
  }
  EXPECT_EQ(whole.rows.back().step, 60);
  ExpectTheSame(whole, Train(run, {7, 30}), "reached");

  run.shared.stop[0].value *= 2;
  whole = Train(run);
  EXPECT_EQ(whole.rows.back().step, 31);
  ExpectTheSame(whole, Train(run, {7, 30}), "not reached");
}

TEST(ResumeTest, FirstCrossingsAreThoseOfTheWholeRun) {
  RunSpecification run = TinyRun(300, {{"optimizer.kind", "adamw"}, {"optimizer.learning_rate", 0.02}});
  const Outcome whole = Train(run);
  ASSERT_TRUE(whole.summary["t_train_99"].is_number());
  const auto crossed = whole.summary["t_train_99"].get<int64_t>();
  ASSERT_GT(crossed, 1);
  for (const int64_t stop : {crossed - 1, crossed, crossed + 1}) {
    ExpectTheSame(whole, Train(run, {stop}), std::to_string(stop));
  }
}

TEST(ResumeTest, FromTheLastStepItEndsAtOnce) {
  const RunSpecification run = TinyRun(12);
  const Outcome whole = Train(run);
  const absl::StatusOr<std::unique_ptr<Session>> resumed = Session::Resume(run, TestPath("final.sbc"));
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  const Session::Progress progress = (*resumed)->Advance();
  ASSERT_TRUE(progress.ending.has_value());
  EXPECT_EQ(progress.ending->reason, "budget");
  EXPECT_FALSE(progress.row.has_value());
  EXPECT_EQ((*resumed)->step(), 12);
  EXPECT_EQ(WithoutTimes((*resumed)->Summary()), whole.summary);
}

TEST(ResumeTest, TimesAddUp) {
  const RunSpecification run = TinyRun(12);
  SetUpTrainingThread();
  auto session = Session::Create(run).value();
  session->Measure();
  ASSERT_TRUE(session->Save(TestPath("times.sbc"), Json::object()).ok());
  Checkpoint saved = ReadCheckpoint(TestPath("times.sbc")).value();
  EXPECT_GT(saved.cpu_seconds, 0);
  EXPECT_GT(saved.wall_seconds, 0);
  saved.cpu_seconds = 1000;
  saved.wall_seconds = 2000;
  ASSERT_TRUE(WriteCheckpoint(TestPath("times.sbc"), saved).ok());
  session = Session::Resume(run, TestPath("times.sbc")).value();
  while (!session->Advance().ending) continue;
  for (const auto& [key, before] : {std::pair<const char*, double>{"cpu_seconds", 1000}, {"wall_seconds", 2000}}) {
    EXPECT_GT(session->Summary()[key].get<double>(), before);
    EXPECT_LT(session->Summary()[key].get<double>(), before + 100);
  }
}

// A checkpoint that cannot be used says so in words that a worker can tell from the run's own mistakes.
TEST(ResumeTest, UnusableCheckpointsAreNamed) {
  const RunSpecification run = TinyRun(12);
  Train(run);
  const auto message = [](const RunSpecification& asked, const std::string& name) {
    const absl::Status status = Session::Resume(asked, TestPath(name + ".sbc")).status();
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(status.message().find("checkpoint "), 0u) << status;
    return std::string(status.message());
  };
  // Of one that cannot be read at all nothing is known.
  const absl::Status missing = Session::Resume(run, TestPath("there_is_none.sbc")).status();
  EXPECT_EQ(missing.message().find("cannot read checkpoint "), 0u) << missing;
  RunSpecification other = run;
  other.seed = 77;
  EXPECT_NE(message(other, "final").find("of another run"), std::string::npos);

  const Checkpoint good = ReadCheckpoint(TestPath("final.sbc")).value();
  std::vector<Checkpoint> bad(6, good);
  bad[0].tensors[0].name = "embeddings";
  bad[1].state.slabs.erase("momentum");
  bad[2].state.slabs["mean"] = bad[2].state.slabs["momentum"];
  bad[3].monitor["t_train"]["99"] = "soon";
  bad[4].monitor.erase("rules");
  bad[5].precision = Precision::kFloat64;
  for (size_t i = 0; i < bad.size(); ++i) {
    ASSERT_TRUE(WriteCheckpoint(TestPath("bad.sbc"), bad[i]).ok());
    EXPECT_NE(message(run, "bad"), "") << i;
  }
  RunSpecification wrong = run;
  wrong.parameters["model.widht"] = 3;
  const absl::Status status = Session::Resume(wrong, TestPath("final.sbc")).status();
  EXPECT_EQ(status.message().find("checkpoint"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("did you mean"), absl::string_view::npos) << status;
}

TEST(LearnerStateTest, OnlyUpdatesChangeIt) {
  SetUpTrainingThread();
  for (const char* implementation : {"auto", "reference"}) {
    const RunParameters run = ReadRunParameters(TinyRun(1, {{"implementation", implementation}}).parameters).value();
    const std::unique_ptr<Learner> learner = MakeLearner(run, 3).value();
    learner->Forward();
    learner->Backward();
    learner->Update();
    const LearnerState state = learner->State(0);
    EXPECT_EQ(state.updates, 1);
    EXPECT_EQ(state.slabs.at("parameters"), learner->Parameters(0));
    learner->Forward();
    learner->Backward();
    learner->Evaluate();
    EXPECT_EQ(learner->State(0).slabs, state.slabs);
    EXPECT_EQ(learner->State(0).updates, 1);
    learner->Update();
    EXPECT_NE(learner->State(0).slabs.at("parameters"), state.slabs.at("parameters"));
    EXPECT_NE(learner->State(0).slabs.at("momentum"), state.slabs.at("momentum"));
    ASSERT_TRUE(learner->Restore(0, state).ok());
    EXPECT_EQ(learner->State(0).slabs, state.slabs);
    EXPECT_EQ(learner->State(0).updates, 1);

    LearnerState wrong = state;
    wrong.slabs["parameters"].push_back(0);
    EXPECT_FALSE(learner->Restore(0, wrong).ok());
    wrong = state;
    wrong.updates = -1;
    EXPECT_FALSE(learner->Restore(0, wrong).ok());
    EXPECT_EQ(learner->State(0).slabs, state.slabs);
  }
}

}  // namespace
}  // namespace seedbed::engine
