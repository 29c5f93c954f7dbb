#include <string>
#include <utility>
#include <vector>

#include "common/schema/largest_step.h"
#include "coordinator/core/scene.h"
#include "gtest/gtest.h"

// What is kept of a run's checkpoints, and where it goes on.
namespace seedbed::core {
namespace {

std::vector<int64_t> Steps(const Scene& scene, RunId run) {
  std::vector<int64_t> steps;
  for (const Checkpoint& each : scene.state.CheckpointsOf(run)) steps.push_back(each.step);
  return steps;
}

SceneWorker WithNumerics(Scene& scene, const std::string& id, const std::string& numerics, int slots = 1) {
  SceneWorker worker(scene, id, slots);
  worker.trainers[0].numerics_json = numerics;
  return worker;
}

TEST(Checkpoints, TwoAreKeptWhileTheRunRuns) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  for (const int64_t step : {10, 20, 30}) {
    worker.SendRows(run, step);
    EXPECT_EQ(worker.Save(run, step), CheckpointVerdict::kStored);
  }
  EXPECT_EQ(Steps(scene, run), (std::vector<int64_t>{20, 30}));
  EXPECT_EQ(scene.state.checkpoint_bytes(), 1020 + 1030);
}

TEST(Checkpoints, AreStoredOnceTheirReportIsDurableAndUnderTheLivingLeaseOnly) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  StoreCheckpoint early = worker.NextCheckpoint(run, 10);
  early.checkpoint.sequence = 1;
  EXPECT_EQ(scene.Ask<CheckpointAnswer>(early).verdict, CheckpointVerdict::kTooEarly);
  worker.SendRows(run, 10);
  StoreCheckpoint stale = early;
  stale.lease.fence = Fence(stale.lease.fence.value() + 1);
  EXPECT_EQ(scene.Ask<CheckpointAnswer>(stale).verdict, CheckpointVerdict::kRefused);
  StoreCheckpoint others = early;
  others.worker = WorkerId("x");
  EXPECT_EQ(scene.Ask<CheckpointAnswer>(others).verdict, CheckpointVerdict::kRefused);
  EXPECT_EQ(scene.Ask<CheckpointAnswer>(early).verdict, CheckpointVerdict::kStored);
  EXPECT_EQ(scene.Ask<CheckpointAnswer>(early).verdict, CheckpointVerdict::kDuplicate);
  EXPECT_EQ(worker.Save(run, 5), CheckpointVerdict::kDuplicate) << "a later one is there";
  StoreCheckpoint malformed = early;
  malformed.checkpoint.sha256 = "abc";
  EXPECT_EQ(scene.Fails(malformed).code(), absl::StatusCode::kInvalidArgument);
  worker.End(run, AttemptEnd::kCrashed);
  early.checkpoint.step = 20;
  EXPECT_EQ(scene.Ask<CheckpointAnswer>(early).verdict, CheckpointVerdict::kRefused);
}

// Whatever is stored has to be loaded again.
TEST(Checkpoints, OfStepsAndSizesThatCannotBeAreRefused) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  worker.SendRows(run, 10);
  StoreCheckpoint huge = worker.NextCheckpoint(run, kLargestStep);
  huge.checkpoint.bytes = kMostCheckpointBytes;
  StoreCheckpoint wrong = huge;
  for (const int64_t step : {kLargestStep + 1, (int64_t{1} << 62) + 1, int64_t{-1}}) {
    wrong.checkpoint.step = step;
    EXPECT_EQ(scene.Fails(wrong).code(), absl::StatusCode::kInvalidArgument) << step;
  }
  wrong = huge;
  wrong.checkpoint.bytes = kMostCheckpointBytes + 1;
  EXPECT_EQ(scene.Fails(wrong).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(scene.Ask<CheckpointAnswer>(huge).verdict, CheckpointVerdict::kStored);
  scene.Restart();
  EXPECT_EQ(Steps(scene, run), (std::vector<int64_t>{kLargestStep}));
}

TEST(Checkpoints, OneThatIsAskedForIsWantedUntilItIsStored) {
  Scene scene;
  SweepOptions options;
  options.points = 3;
  const SweepId sweep = scene.Submit("a", options);
  EXPECT_EQ(scene.Fails(RequestCheckpoints{sweep, {}}).code(), absl::StatusCode::kFailedPrecondition) << "nothing runs";
  SceneWorker worker(scene, "w", 2);
  const std::vector<LeaseToStart> leases = worker.Synchronize().start;
  ASSERT_EQ(leases.size(), 2u);
  const RunId run = leases[0].lease.run;
  EXPECT_TRUE(worker.Synchronize().checkpoint.empty());
  EXPECT_EQ(scene.Ask<ChunkAnswer>(RequestCheckpoints{sweep, {run}}).changed, 1);
  for (int call = 0; call < 2; ++call) {
    const SynchronizeAnswer answer = worker.Synchronize();
    ASSERT_EQ(answer.checkpoint.size(), 1u);
    EXPECT_EQ(answer.checkpoint[0], leases[0].lease);
  }
  worker.SendRows(run, 10);
  EXPECT_EQ(worker.Save(run, 10), CheckpointVerdict::kStored);
  EXPECT_TRUE(worker.Synchronize().checkpoint.empty());
  EXPECT_EQ(scene.Ask<ChunkAnswer>(RequestCheckpoints{sweep, {}}).changed, 2) << "of all that run";
  EXPECT_EQ(worker.Synchronize().checkpoint.size(), 2u);
  EXPECT_EQ(scene.Fails(RequestCheckpoints{sweep, {run, RunId(999)}}).code(), absl::StatusCode::kNotFound);
  // A lost attempt's wish is not the next one's.
  worker.End(run, AttemptEnd::kCrashed);
  EXPECT_EQ(scene.Fails(RequestCheckpoints{sweep, {run}}).code(), absl::StatusCode::kFailedPrecondition);
  worker.Synchronize();
  for (const LeaseKey& each : worker.Synchronize().checkpoint) EXPECT_NE(each.run, run);
}

TEST(Checkpoints, TheNextAttemptGoesOnFromTheNewestAndItsGrantIsRepeatedWithIt) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  worker.SendRows(run, 30);
  worker.Save(run, 10);
  worker.Save(run, 30);
  worker.End(run, AttemptEnd::kCrashed);
  const SynchronizeAnswer answer = worker.SynchronizeAnswerLost();
  ASSERT_EQ(answer.start.size(), 1u);
  EXPECT_EQ(answer.start[0].resume_step, 30);
  EXPECT_TRUE(answer.start[0].final_checkpoint);
  scene.Restart();
  const SynchronizeAnswer repeated = worker.Synchronize();
  ASSERT_EQ(repeated.start.size(), 1u);
  EXPECT_EQ(repeated.start[0].resume_step, 30);
  EXPECT_EQ(Steps(scene, run), (std::vector<int64_t>{10, 30}));
}

TEST(Checkpoints, AnUnusableOneIsDroppedAndTheOneBeforeIsUsed) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  worker.SendRows(run, 30);
  worker.Save(run, 10);
  worker.Save(run, 30);
  worker.End(run, AttemptEnd::kCrashed);
  for (const int64_t expected : {30, 10}) {
    const SynchronizeAnswer answer = worker.Synchronize();
    ASSERT_EQ(answer.start.size(), 1u);
    ASSERT_EQ(answer.start[0].resume_step, expected);
    Report report = worker.NextReport(run);
    report.end = Report::End{};
    report.end->end = AttemptEnd::kPreempted;
    report.end->unusable_checkpoint = expected;
    scene.Do(report);
    worker.held.erase(run);
  }
  EXPECT_FALSE(worker.Synchronize().start.at(0).resume_step) << "none is left: from the start";
  EXPECT_EQ(scene.state.FindRun(run)->counted_ends, 1) << "the crash only";
  EXPECT_EQ(scene.state.checkpoint_bytes(), 0);
}

TEST(Checkpoints, WhatStaysAfterTheEndIsTheSweepsChoice) {
  for (const auto& [keep, expected] : std::vector<std::pair<KeepCheckpoints, std::vector<int64_t>>>{
           {KeepCheckpoints::kLast, {30}}, {KeepCheckpoints::kNone, {}}, {KeepCheckpoints::kAll, {10, 20, 30}}}) {
    Scene scene;
    SweepOptions options;
    options.keep_checkpoints = keep;
    scene.Submit("a", options);
    SceneWorker worker(scene, "w", 1);
    const SynchronizeAnswer answer = worker.Synchronize();
    EXPECT_EQ(answer.start.at(0).final_checkpoint, keep != KeepCheckpoints::kNone);
    const RunId run = answer.start[0].lease.run;
    for (const int64_t step : {10, 20, 30}) worker.Save(run, step);
    worker.Finish(run);
    EXPECT_EQ(Steps(scene, run), expected) << Name(keep);
  }
}

TEST(Checkpoints, RetryDropsThemUnlessRowsAreKept) {
  for (const bool keep_rows : {false, true}) {
    Scene scene;
    const SweepId sweep = scene.Submit("a");
    SceneWorker worker(scene, "w", 1);
    const RunId run = Lease(worker).run;
    worker.Save(run, 10);
    worker.End(run, AttemptEnd::kFailed);
    ASSERT_EQ(scene.StateOfRun(run), "failed");
    EXPECT_EQ(Steps(scene, run), std::vector<int64_t>{10});
    RetryRuns retry{sweep, {run}};
    retry.keep_rows = keep_rows;
    scene.Do(retry);
    EXPECT_EQ(Steps(scene, run).empty(), !keep_rows);
    EXPECT_EQ(worker.Synchronize().start.at(0).resume_step.has_value(), keep_rows);
  }
}

TEST(Checkpoints, PreferAFreeWorkerOfTheSameFingerprint) {
  Scene scene;
  scene.Submit("a");
  SceneWorker first = WithNumerics(scene, "first", R"({"cpu":"a"})");
  const RunId run = Lease(first).run;
  first.Save(run, 10);
  SceneWorker same = WithNumerics(scene, "same", R"({"cpu":"a"})");
  EXPECT_TRUE(same.Synchronize().start.empty());
  first.Goodbye();
  SceneWorker other = WithNumerics(scene, "other", R"({"cpu":"b"})");
  EXPECT_TRUE(other.Synchronize().start.empty()) << "the worker `same` is free";
  EXPECT_EQ(same.Synchronize().start.at(0).resume_step, 10);
}

TEST(Checkpoints, GoOnElsewhereAndSaySoWhereNumericsMayMix) {
  Scene scene;
  scene.Submit("a");
  SceneWorker first = WithNumerics(scene, "first", R"({"cpu":"a"})");
  const RunId run = Lease(first).run;
  first.Save(run, 10);
  first.Goodbye();
  SceneWorker other = WithNumerics(scene, "other", R"({"cpu":"b"})");
  EXPECT_EQ(other.Synchronize().start.at(0).resume_step, 10);
  bool mixes = false;
  for (const Event& event : scene.last_events) {
    if (const auto* granted = std::get_if<AttemptGranted>(&event)) mixes = granted->mixes_numerics;
  }
  EXPECT_TRUE(mixes);
}

TEST(Checkpoints, GoOnElsewhereWhileTheSameFingerprintIsBusy) {
  Scene scene;
  SweepOptions options;
  options.points = 2;
  const SweepId sweep = scene.Submit("a", options);
  SceneWorker first = WithNumerics(scene, "first", R"({"cpu":"a"})", 2);
  first.Synchronize();
  first.Synchronize();  // and it has no slot left
  const RunId run = scene.RunAt(sweep, 0, 0).id;
  first.Save(run, 10);
  first.End(run, AttemptEnd::kPreempted);
  SceneWorker other = WithNumerics(scene, "other", R"({"cpu":"b"})");
  const SynchronizeAnswer answer = other.Synchronize();
  ASSERT_EQ(answer.start.size(), 1u);
  EXPECT_EQ(answer.start[0].lease.run, run);
  EXPECT_EQ(answer.start[0].resume_step, 10);
}

TEST(Checkpoints, StrictNumericsWaitForTheFingerprintOrStartAgain) {
  Scene scene;
  SweepOptions options;
  options.points = 2;
  options.numerics = NumericsPolicy::kStrict;
  scene.Submit("a", options);
  SceneWorker first = WithNumerics(scene, "first", R"({"cpu":"a"})", 2);
  first.Synchronize();
  const RunId run = scene.RunAt(SweepId(1), 0, 0).id;
  const RunId busy_with = scene.RunAt(SweepId(1), 1, 0).id;
  first.Save(run, 10);
  first.slots = 1;
  first.End(run, AttemptEnd::kPreempted);
  first.Synchronize();  // and it has no slot left
  SceneWorker other = WithNumerics(scene, "other", R"({"cpu":"b"})");
  EXPECT_TRUE(other.Synchronize().start.empty()) << "busy as it is, the worker `first` will come to it";
  EXPECT_EQ(first.held.count(busy_with), 1u);
  first.Goodbye();
  const SynchronizeAnswer answer = other.Synchronize();
  ASSERT_EQ(answer.start.size(), 1u);
  EXPECT_EQ(answer.start[0].lease.run, run);
  EXPECT_FALSE(answer.start[0].resume_step);
  EXPECT_TRUE(Steps(scene, run).empty());
}

}  // namespace
}  // namespace seedbed::core
