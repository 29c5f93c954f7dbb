#include <limits>
#include <string>

#include "coordinator/core/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

// How a sweep comes into being and grows.
namespace seedbed::core {
namespace {

using ::testing::HasSubstr;

SweepOptions Grid(int points, int64_t seeds) {
  SweepOptions options;
  options.points = points;
  options.seeds = seeds;
  return options;
}

TEST(Submission, NothingIsLeasedUntilItIsComplete) {
  Scene scene;
  SceneWorker worker(scene, "w", 4);
  const SweepId sweep = scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "s1")).sweep;
  EXPECT_TRUE(worker.Synchronize().start.empty());
  scene.Do(Scene::Add(sweep, 0, Grid(2, 1)));
  EXPECT_TRUE(worker.Synchronize().start.empty());
  scene.Do(CompleteSubmission{sweep, "s1"});
  EXPECT_EQ(scene.Labels(worker.Synchronize().start), "a:0.0 a:1.0");
}

TEST(Submission, EveryStepMayBeRepeated) {
  Scene scene;
  const BeginSubmissionAnswer first = scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "s1"));
  EXPECT_TRUE(first.created);
  const BeginSubmissionAnswer again = scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "s1"));
  EXPECT_EQ(again.sweep, first.sweep);
  EXPECT_FALSE(again.created);
  EXPECT_FALSE(again.already_complete);
  EXPECT_TRUE(scene.last_events.empty());
  for (const int64_t expected : {6, 0}) {
    const auto added = scene.Ask<AddConfigurationsAnswer>(Scene::Add(first.sweep, 0, Grid(3, 2)));
    EXPECT_EQ(added.runs_added, expected);
    EXPECT_EQ(added.configurations_added, expected / 2);
  }
  scene.Do(CompleteSubmission{first.sweep, "s1"});
  scene.Do(CompleteSubmission{first.sweep, "s1"});
  EXPECT_TRUE(scene.last_events.empty());
  EXPECT_TRUE(scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "s1")).already_complete);
  EXPECT_EQ(scene.Counts(first.sweep), "q6 r0 f0 x0 c0");
}

TEST(Submission, WhatTellsConfigurationsApartMayChangeAndTouchesNothingElse) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(2, 1));
  const SweepId other = scene.Submit("b", Grid(1, 1));
  const ConfigurationId mine = scene.RunAt(sweep, 1, 0).configuration;
  scene.Do(ChangeVaried{sweep, {{mine, R"({"x":1})"}}});
  ASSERT_EQ(scene.last_events.size(), 1u);
  EXPECT_EQ(std::get<VariedChanged>(scene.last_events[0]).varied_json, R"({"x":1})");
  EXPECT_EQ(scene.Counts(sweep), "q2 r0 f0 x0 c0");
  EXPECT_EQ(scene.Fails(ChangeVaried{other, {{mine, "{}"}}}).code(), absl::StatusCode::kNotFound);
  std::vector<std::pair<ConfigurationId, std::string>> many(kMostRunsPerChunk + 1, {mine, "{}"});
  EXPECT_EQ(scene.Fails(ChangeVaried{sweep, std::move(many)}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Submission, ARepetitionAfterARestartSendsAllAgainAndAddsNothing) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(2, 2));
  scene.Restart();
  EXPECT_FALSE(scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "submission-1")).already_complete);
  EXPECT_EQ(scene.Ask<AddConfigurationsAnswer>(Scene::Add(sweep, 0, Grid(2, 2))).runs_added, 0);
  scene.Do(CompleteSubmission{sweep, "submission-1"});
  EXPECT_TRUE(scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "submission-1")).already_complete);
}

TEST(Submission, TheSameNameAddsPointsAndSeedsAndGoesOnMeanwhile) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(2, 1));
  SceneWorker worker(scene, "w", 1);
  EXPECT_EQ(scene.Labels(worker.Synchronize().start), "a:0.0");
  EXPECT_EQ(scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "later")).sweep, sweep);
  EXPECT_EQ(scene.state.FindSweep(sweep)->state, SweepState::kActive);
  EXPECT_TRUE(worker.Synchronize().stop.empty());
  EXPECT_EQ(scene.Ask<AddConfigurationsAnswer>(Scene::Add(sweep, 1, Grid(2, 2))).runs_added, 3);
  // Leased as they arrive: the submission is not complete yet.
  worker.Finish(scene.RunAt(sweep, 0, 0).id);
  worker.slots = 4;
  EXPECT_EQ(scene.Labels(worker.Synchronize().start), "a:1.0 a:2.0 a:1.1 a:2.1");
  scene.Do(CompleteSubmission{sweep, "later"});
}

TEST(Submission, ThePriorityMayChangeAndCountsAtOnce) {
  Scene scene;
  scene.Submit("a", Grid(1, 1));
  scene.Submit("b", Grid(1, 1));
  SweepOptions urgent;
  urgent.priority = 9;
  scene.Do(Scene::Begin("b", "again", urgent));
  SceneWorker worker(scene, "w", 1);
  EXPECT_EQ(scene.Labels(worker.Synchronize().start), "b:0.0");
}

TEST(Submission, AnyOtherChangeIsRefusedWithTheDifference) {
  Scene scene;
  scene.Submit("a");
  BeginSubmission changed = Scene::Begin("a", "s2");
  changed.fixed_json = R"({"budget":{"steps":200},"trainer":"modular"})";
  const absl::Status refused = scene.Fails(changed);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("- budget.steps: 100"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("+ budget.steps: 200"));
}

TEST(Submission, AnInterruptedOneIsTakenUpUnderAnotherId) {
  Scene scene;
  const SweepId sweep = scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "killed")).sweep;
  scene.Do(Scene::Add(sweep, 0, Grid(2, 1)));
  scene.Restart();
  const BeginSubmissionAnswer taken_up = scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "next"));
  EXPECT_EQ(taken_up.sweep, sweep);
  EXPECT_FALSE(taken_up.already_complete);
  EXPECT_EQ(scene.Ask<AddConfigurationsAnswer>(Scene::Add(sweep, 0, Grid(3, 1))).runs_added, 1);
  EXPECT_EQ(scene.Fails(CompleteSubmission{sweep, "killed"}).code(), absl::StatusCode::kFailedPrecondition);
  scene.Do(CompleteSubmission{sweep, "next"});
  EXPECT_EQ(scene.state.FindSweep(sweep)->state, SweepState::kActive);
  EXPECT_EQ(scene.Counts(sweep), "q3 r0 f0 x0 c0");
}

TEST(Submission, APointStandsOnceHoweverOftenItIsNamed) {
  Scene scene;
  const SweepId sweep = scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "s")).sweep;
  AddConfigurations twice = Scene::Add(sweep, 0, Grid(1, 1));
  twice.configurations.push_back(twice.configurations[0]);
  twice.seeds = {4, 4, 2};
  const auto added = scene.Ask<AddConfigurationsAnswer>(twice);
  EXPECT_EQ(added.configurations_added, 1);
  EXPECT_EQ(added.runs_added, 2);
  EXPECT_EQ(scene.RunAt(sweep, 0, 0).seed, 4);
  EXPECT_EQ(scene.RunAt(sweep, 0, 1).seed, 2);
}

TEST(Submission, MistakesCreateNothing) {
  Scene scene;
  const SweepId sweep = scene.Submit("a");
  BeginSubmission no_trainer = Scene::Begin("b", "s");
  no_trainer.template_json = "{}";
  BeginSubmission no_room = Scene::Begin("b", "s");
  no_room.max_concurrent = 0;
  BeginSubmission negative = Scene::Begin("b", "s");
  negative.retries = -1;
  AddConfigurations too_many = Scene::Add(sweep, 0, Grid(10, 501));
  AddConfigurations no_seed = Scene::Add(sweep, 0, Grid(1, 0));
  AddConfigurations broken = Scene::Add(sweep, 5, Grid(1, 1));
  broken.configurations[0].parameters_json = "{";
  struct Case {
    const char* what;
    Command command;
    absl::StatusCode code;
  };
  const std::vector<Case> table = {
      {"a name with a slash", Scene::Begin("a/b", "s"), absl::StatusCode::kInvalidArgument},
      {"no submission id", Scene::Begin("b", ""), absl::StatusCode::kInvalidArgument},
      {"no trainer", no_trainer, absl::StatusCode::kInvalidArgument},
      {"max_concurrent 0", no_room, absl::StatusCode::kInvalidArgument},
      {"negative retries", negative, absl::StatusCode::kInvalidArgument},
      {"a chunk too large", too_many, absl::StatusCode::kInvalidArgument},
      {"no seed", no_seed, absl::StatusCode::kInvalidArgument},
      {"broken parameters", broken, absl::StatusCode::kInvalidArgument},
      {"an unknown sweep", Scene::Add(SweepId(99), 0, Grid(1, 1)), absl::StatusCode::kNotFound},
      {"completing an unknown sweep", CompleteSubmission{SweepId(99), "s"}, absl::StatusCode::kNotFound},
  };
  for (const Case& c : table) EXPECT_EQ(scene.Fails(c.command).code(), c.code) << c.what;
  EXPECT_EQ(scene.state.sweeps().size(), 1u);
  EXPECT_EQ(scene.Counts(sweep), "q1 r0 f0 x0 c0");
}

TEST(ExtendSeeds, BeyondTheRunsThatASweepMayHaveNothingIsAdded) {
  Settings settings;
  settings.most_runs_of_sweep = 20;
  Scene scene(settings);
  const SweepId sweep = scene.Submit("wide", Grid(4, 2));
  AddConfigurations more = Scene::Add(sweep, 0, Grid(1, 1));
  more.seeds = {7, 8, 9, 10};
  scene.Do(more);  // 6 + 2 + 2 + 2
  for (const int64_t seeds : {int64_t{6}, int64_t{1'000'000}, std::numeric_limits<int64_t>::max()}) {
    const absl::Status refused = scene.Fails(ExtendSeeds{sweep, seeds});
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("more than 20 runs: 4 configurations"));
    EXPECT_THAT(std::string(refused.message()), HasSubstr("at most 5 seeds"));
    EXPECT_EQ(scene.Counts(sweep), "q12 r0 f0 x0 c0");
  }
  EXPECT_EQ(scene.Ask<ChunkAnswer>(ExtendSeeds{sweep, 4}).changed, 6);
  // Nor by a later chunk, or by a submission.
  ExtendSeeds later{sweep, 10};
  later.from_ordinal = 1;
  EXPECT_EQ(scene.Fails(later).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(scene.Fails(Scene::Add(sweep, 4, Grid(3, 1))).code(), absl::StatusCode::kResourceExhausted);
  scene.Do(Scene::Add(sweep, 4, Grid(2, 1)));
  EXPECT_EQ(scene.Counts(sweep), "q20 r0 f0 x0 c0");
  EXPECT_EQ(scene.Ask<ChunkAnswer>(ExtendSeeds{sweep, 1}).changed, 0) << "which adds nothing";
}

TEST(ExtendSeeds, AddsTheSmallestSeedsNotUsedInChunks) {
  Scene scene;
  const SweepId sweep = scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "s")).sweep;
  AddConfigurations add = Scene::Add(sweep, 0, Grid(3, 1));
  add.seeds = {1, 5};
  scene.Do(add);
  EXPECT_EQ(scene.Fails(ExtendSeeds{sweep, 4}).code(), absl::StatusCode::kFailedPrecondition);
  scene.Do(CompleteSubmission{sweep, "s"});
  ExtendSeeds extend{sweep, 5};
  extend.most = 2;
  int64_t added = 0;
  int calls = 0;
  ChunkAnswer answer;
  do {
    answer = scene.Ask<ChunkAnswer>(extend);
    EXPECT_LE(answer.changed, extend.most);
    added += answer.changed;
    extend.from_ordinal = answer.next;
    ASSERT_LT(++calls, 20);
  } while (answer.more);
  EXPECT_EQ(added, 9);
  for (int point = 0; point < 3; ++point) {
    std::string seeds;
    for (int round = 0; round < 5; ++round) seeds += std::to_string(scene.RunAt(sweep, point, round).seed);
    EXPECT_EQ(seeds, "15023") << "point " << point;
  }
  EXPECT_EQ(scene.Ask<ChunkAnswer>(ExtendSeeds{sweep, 3}).changed, 0);
  EXPECT_EQ(scene.Fails(ExtendSeeds{sweep, 0}).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace seedbed::core
