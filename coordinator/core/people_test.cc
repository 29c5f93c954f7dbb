#include <string>
#include <utility>

#include "coordinator/core/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

// What people ask of sweeps, runs and workers.
namespace seedbed::core {
namespace {

SweepOptions Grid(int points, int64_t seeds = 1) {
  SweepOptions options;
  options.points = points;
  options.seeds = seeds;
  return options;
}

TEST(Pause, StopsNewLeasesAndNothingElse) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(3));
  SceneWorker worker(scene, "w", 2);
  worker.Synchronize();
  scene.Do(PauseSweep{sweep});
  const SynchronizeAnswer answer = worker.Synchronize();
  EXPECT_TRUE(answer.stop.empty());
  worker.Finish(scene.RunAt(sweep, 0, 0).id);
  EXPECT_TRUE(worker.Synchronize().start.empty());
  EXPECT_EQ(scene.Counts(sweep), "q1 r1 f1 x0 c0");
  scene.Do(ResumeSweep{sweep});
  EXPECT_EQ(scene.Labels(worker.Synchronize().start), "a:2.0");
}

TEST(Pause, NowAsksForWhatRunsAndSurvivesARestart) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(2));
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  worker.Synchronize();
  scene.Do(PauseSweep{sweep, true});
  scene.Restart();
  const SynchronizeAnswer answer = worker.Synchronize();
  ASSERT_EQ(answer.stop.size(), 1u);
  EXPECT_TRUE(answer.stop[0].hand_back);
  EXPECT_EQ(answer.stop[0].lease.run, run);
  EXPECT_EQ(worker.SendRows(run).verdict, ReportVerdict::kAccepted) << "until it stops it is heard";
  worker.End(run, AttemptEnd::kPreempted);
  EXPECT_EQ(scene.Counts(sweep), "q2 r0 f0 x0 c0");
  EXPECT_EQ(scene.state.FindRun(run)->counted_ends, 0);
  EXPECT_TRUE(worker.Synchronize().start.empty());
}

TEST(Pause, NowTakesBackGrantsThatNobodyListed) {
  Scene scene;
  const SweepId sweep = scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  worker.SynchronizeAnswerLost();
  scene.Do(PauseSweep{sweep, true});
  EXPECT_TRUE(worker.Synchronize().start.empty());
  EXPECT_EQ(scene.Counts(sweep), "q1 r0 f0 x0 c0");
  EXPECT_EQ(scene.RunAt(sweep, 0, 0).last_end, AttemptEnd::kPreempted);
}

TEST(Pause, StatesOfASweep) {
  struct Case {
    std::string commands;  // p pause, n pause now, r resume
    std::string state;
  };
  for (const Case& c : {Case{"", "active"}, Case{"p", "paused"}, Case{"pp", "paused"}, Case{"pn", "halted"},
                        Case{"n", "halted"}, Case{"np", "halted"}, Case{"nr", "active"}, Case{"prr", "active"}}) {
    Scene scene;
    const SweepId sweep = scene.Submit("a");
    for (const char command : c.commands) {
      if (command == 'r') {
        scene.Do(ResumeSweep{sweep});
      } else {
        scene.Do(PauseSweep{sweep, command == 'n'});
      }
    }
    EXPECT_EQ(Name(scene.state.FindSweep(sweep)->state), c.state) << c.commands;
  }
  Scene scene;
  const SweepId unfinished = scene.Ask<BeginSubmissionAnswer>(Scene::Begin("b", "s")).sweep;
  EXPECT_EQ(scene.Fails(PauseSweep{unfinished}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(scene.Fails(ResumeSweep{SweepId(9)}).code(), absl::StatusCode::kNotFound);
}

TEST(Pause, SaysWhatItDidNotChange) {
  Scene scene;
  const SweepId sweep = scene.Submit("a");
  const auto why_not = [&scene](Command command) {
    const auto answer = scene.Ask<SweepStateAnswer>(std::move(command));
    EXPECT_EQ(answer.changed, answer.why_not.empty());
    return answer.why_not;
  };
  EXPECT_EQ(why_not(ResumeSweep{sweep}), "not paused");
  EXPECT_EQ(why_not(PauseSweep{sweep}), "");
  EXPECT_EQ(why_not(PauseSweep{sweep}), "paused already");
  EXPECT_EQ(why_not(PauseSweep{sweep, true}), "");
  EXPECT_EQ(why_not(PauseSweep{sweep, true}), "paused already");
  EXPECT_EQ(why_not(ResumeSweep{sweep}), "");
  scene.Do(CancelRuns{sweep, {}});
  for (const bool now : {false, true}) EXPECT_EQ(why_not(PauseSweep{sweep, now}), "all of its runs have ended");
  EXPECT_EQ(scene.state.FindSweep(sweep)->state, SweepState::kActive);
}

TEST(Cancel, IsTerminalAtItsCommit) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(3));
  SceneWorker worker(scene, "w", 1);
  const LeaseKey lease = Lease(worker);
  worker.SendRows(lease.run);
  const Report repeated = [&] {
    Report report = worker.NextReport(lease.run);
    report.sequence = 1;
    return report;
  }();
  EXPECT_EQ(scene.Ask<ChunkAnswer>(CancelRuns{sweep, {}}).changed, 3);
  EXPECT_EQ(scene.Counts(sweep), "q0 r0 f0 x0 c3");
  EXPECT_GT(scene.state.FindRun(lease.run)->fence, lease.fence);
  EXPECT_EQ(scene.Ask<ReportAnswer>(repeated).verdict, ReportVerdict::kDuplicate);
  SceneWorker copy = worker;
  EXPECT_EQ(worker.Finish(lease.run).verdict, ReportVerdict::kRefused);
  EXPECT_EQ(scene.Counts(sweep), "q0 r0 f0 x0 c3");
  const SynchronizeAnswer answer = copy.Synchronize();
  ASSERT_EQ(answer.stop.size(), 1u);
  EXPECT_FALSE(answer.stop[0].hand_back);
}

TEST(Cancel, AFinishedThatCommittedFirstWins) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(2));
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  worker.Finish(run);
  EXPECT_EQ(scene.Ask<ChunkAnswer>(CancelRuns{sweep, {run}}).changed, 0);
  EXPECT_EQ(scene.Ask<ChunkAnswer>(CancelRuns{sweep, {}}).changed, 1);
  EXPECT_EQ(scene.Counts(sweep), "q0 r0 f1 x0 c1");
}

TEST(Cancel, OfSomeRunsAndInChunks) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(7));
  EXPECT_EQ(
      scene.Ask<ChunkAnswer>(CancelRuns{sweep, {scene.RunAt(sweep, 6, 0).id, scene.RunAt(sweep, 6, 0).id}}).changed, 1);
  EXPECT_EQ(scene.Fails(CancelRuns{sweep, {RunId(99)}}).code(), absl::StatusCode::kNotFound);
  std::string changes;
  for (;;) {
    const ChunkAnswer answer = scene.Ask<ChunkAnswer>(CancelRuns{sweep, {}, 4});
    changes += std::to_string(answer.changed) + (answer.more ? "+" : ".");
    if (!answer.more) break;
  }
  EXPECT_EQ(changes, "4+2.");
  EXPECT_EQ(scene.Counts(sweep), "q0 r0 f0 x0 c7");
}

TEST(Cancel, OfManyRunsTakesFiveThousandAtOnceByDefault) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(5, 1000));
  scene.Do(ExtendSeeds{sweep, 1002});
  ASSERT_EQ(scene.Counts(sweep), "q5010 r0 f0 x0 c0");
  for (const auto& [changed, more] : {std::pair(5000, true), {10, false}}) {
    const ChunkAnswer answer = scene.Ask<ChunkAnswer>(CancelRuns{sweep, {}});
    EXPECT_EQ(answer.changed, changed);
    EXPECT_EQ(answer.more, more);
  }
}

TEST(Retry, QueuesFailedRunsAgainWithTheirCountsCleared) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(3));
  SceneWorker worker(scene, "w", 3);
  worker.Synchronize();
  const RunId failed = scene.RunAt(sweep, 0, 0).id;
  worker.End(failed, AttemptEnd::kFailed);
  worker.Finish(scene.RunAt(sweep, 1, 0).id);
  scene.Do(CancelRuns{sweep, {scene.RunAt(sweep, 2, 0).id}});
  const Fence before = scene.state.FindRun(failed)->fence;
  EXPECT_EQ(scene.Ask<ChunkAnswer>(RetryRuns{sweep, {}}).changed, 1);
  ASSERT_EQ(scene.last_events.size(), 1u);
  EXPECT_TRUE(std::get<RunStateChanged>(scene.last_events[0]).delete_rows);
  EXPECT_EQ(scene.Counts(sweep), "q1 r0 f1 x0 c1");
  EXPECT_EQ(scene.state.FindRun(failed)->failed_ends, 0);
  EXPECT_GT(scene.state.FindRun(failed)->fence, before);
  RetryRuns cancelled_too{sweep, {}};
  cancelled_too.include_cancelled = true;
  cancelled_too.keep_rows = true;
  EXPECT_EQ(scene.Ask<ChunkAnswer>(cancelled_too).changed, 1);
  EXPECT_FALSE(std::get<RunStateChanged>(scene.last_events[0]).delete_rows);
  EXPECT_EQ(scene.Fails(RetryRuns{sweep, {scene.RunAt(sweep, 1, 0).id}}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(scene.Ask<ChunkAnswer>(RetryRuns{sweep, {failed}}).changed, 0) << "on its way already";
  worker.held.clear();
  EXPECT_EQ(Lease(worker).attempt, 2) << "attempts are never numbered twice";
}

TEST(Retry, OfNamedRunsMayPassOverWhatHasNotFailed) {
  struct Case {
    bool include_cancelled;
    std::string counts;
  };
  for (const Case& c : {Case{false, "q1 r1 f1 x0 c1"}, Case{true, "q2 r1 f1 x0 c0"}}) {
    Scene scene;
    const SweepId sweep = scene.Submit("a", Grid(4));
    SceneWorker worker(scene, "w", 4);
    worker.Synchronize();
    worker.End(scene.RunAt(sweep, 0, 0).id, AttemptEnd::kFailed);
    worker.Finish(scene.RunAt(sweep, 1, 0).id);
    scene.Do(CancelRuns{sweep, {scene.RunAt(sweep, 2, 0).id}});
    RetryRuns retry{sweep, {}};
    for (int i = 0; i < 4; ++i) retry.runs.push_back(scene.RunAt(sweep, i, 0).id);
    EXPECT_EQ(scene.Fails(retry).code(), absl::StatusCode::kFailedPrecondition);
    retry.pass_over = true;
    retry.include_cancelled = c.include_cancelled;
    scene.Do(retry);
    EXPECT_EQ(scene.Counts(sweep), c.counts);
    retry.runs.push_back(RunId(99));
    EXPECT_EQ(scene.Fails(retry).code(), absl::StatusCode::kNotFound);
  }
}

TEST(Retry, OfNamedRunsTakesEachOnceAlsoIfItFailsAgain) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(5));
  SceneWorker worker(scene, "w", 5);
  worker.Synchronize();
  RetryRuns retry{sweep, {}};
  for (int i = 0; i < 5; ++i) {
    retry.runs.push_back(scene.RunAt(sweep, i, 0).id);
    if (i != 1) worker.End(retry.runs.back(), AttemptEnd::kFailed);
  }
  retry.most = 2;
  const auto first = scene.Ask<ChunkAnswer>(retry);
  EXPECT_EQ(first.changed, 2);
  ASSERT_TRUE(first.more);
  EXPECT_EQ(first.next, 3) << "the first two that had failed, and the one between that runs";
  retry.runs.erase(retry.runs.begin(), retry.runs.begin() + first.next);
  worker.Synchronize();
  worker.End(scene.RunAt(sweep, 0, 0).id, AttemptEnd::kFailed);
  const auto second = scene.Ask<ChunkAnswer>(retry);
  EXPECT_EQ(second.changed, 2);
  EXPECT_FALSE(second.more);
  EXPECT_EQ(scene.Counts(sweep), "q2 r2 f0 x1 c0") << "it has failed since it was asked for";
}

TEST(Delete, GoesInChunksAndLeavesNothing) {
  Scene scene;
  const SweepId kept = scene.Submit("kept", Grid(2));
  const SweepId sweep = scene.Submit("a", Grid(3, 3));
  SceneWorker worker(scene, "w", 4);
  worker.Synchronize();
  std::string changes;
  for (;;) {
    const ChunkAnswer answer = scene.Ask<ChunkAnswer>(DeleteSweep{sweep, 4});
    changes += std::to_string(answer.changed) + (answer.more ? "+" : ".");
    if (!answer.more) break;
    EXPECT_EQ(scene.Fails(Scene::Begin("a", "s2")).code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(scene.Fails(ResumeSweep{sweep}).code(), absl::StatusCode::kFailedPrecondition);
    scene.Restart();
  }
  EXPECT_EQ(changes, "4+4+3.") << "two were running and are cancelled first";
  EXPECT_EQ(scene.state.FindSweep(sweep), nullptr);
  EXPECT_EQ(scene.state.run_count(), 2);
  EXPECT_EQ(scene.Counts(kept), "q0 r2 f0 x0 c0");
  const SynchronizeAnswer answer = worker.Synchronize();
  EXPECT_EQ(answer.stop.size(), 2u);
  const SweepId again = scene.Submit("a", Grid(1));
  EXPECT_GT(again, sweep) << "ids are never used again";
  EXPECT_EQ(scene.Fails(DeleteSweep{sweep}).code(), absl::StatusCode::kNotFound);
}

TEST(Delete, OfASweepWhoseSubmissionBrokeOff) {
  Scene scene;
  const SweepId sweep = scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "s")).sweep;
  EXPECT_FALSE(scene.Ask<ChunkAnswer>(DeleteSweep{sweep}).more);
  EXPECT_EQ(scene.state.FindSweepByName("a"), nullptr);
}

TEST(Delete, OnlyIfAllAreCancelledSparesASweepWithAnyOtherRun) {
  struct Case {
    const char* what;
    void (*meanwhile)(Scene&, SweepId);
    bool deleted;
  };
  const std::vector<Case> table = {
      {"nothing", [](Scene&, SweepId) {}, true},
      {"one was queued again",
       [](Scene& scene, SweepId sweep) {
         RetryRuns retry{sweep, {scene.RunAt(sweep, 0, 0).id}};
         retry.include_cancelled = true;
         scene.Do(retry);
       },
       false},
      {"a seed was added",
       [](Scene& scene, SweepId sweep) {
         scene.Do(ExtendSeeds{sweep, 2});
       },
       false},
      {"its deletion has begun",
       [](Scene& scene, SweepId sweep) {
         scene.Do(DeleteSweep{sweep, 1});
       },
       true},
  };
  for (const Case& c : table) {
    Scene scene;
    const SweepId sweep = scene.Submit("a", Grid(3));
    scene.Do(CancelRuns{sweep, {}});
    c.meanwhile(scene, sweep);
    const std::string before = scene.Counts(sweep);
    const DeleteSweep command{sweep, 2, /*only_if_all_cancelled=*/true};
    if (c.deleted) {
      while (scene.Ask<ChunkAnswer>(command).more) {
      }
      EXPECT_EQ(scene.state.FindSweep(sweep), nullptr) << c.what;
    } else {
      const absl::Status refused = scene.Fails(command);
      EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << c.what;
      EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("not cancelled")) << c.what;
      EXPECT_EQ(scene.Counts(sweep), before) << c.what;
    }
  }
  Scene scene;
  const SweepId arriving = scene.Ask<BeginSubmissionAnswer>(Scene::Begin("a", "s")).sweep;
  EXPECT_EQ(scene.Fails(DeleteSweep{arriving, 1, true}).code(), absl::StatusCode::kFailedPrecondition)
      << "none of its runs has come yet";
}

TEST(Drain, FinishesWhatItHoldsAndGetsNothingNew) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(3));
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  scene.Do(DrainWorker{worker.id});
  scene.Do(DrainWorker{worker.id});
  EXPECT_TRUE(scene.last_events.empty());
  const SynchronizeAnswer answer = worker.Synchronize();
  EXPECT_EQ(answer.state, WorkerState::kDraining);
  EXPECT_TRUE(answer.stop.empty());
  worker.Finish(run);
  EXPECT_TRUE(worker.Synchronize().start.empty());
  scene.Restart();
  EXPECT_TRUE(worker.Synchronize().start.empty());
  scene.Do(ResumeWorker{worker.id});
  EXPECT_EQ(scene.Labels(worker.Synchronize().start), "a:1.0");
  EXPECT_EQ(scene.Counts(sweep), "q1 r1 f1 x0 c0");
  EXPECT_EQ(scene.Fails(DrainWorker{WorkerId("nobody")}).code(), absl::StatusCode::kNotFound);
  worker.Goodbye();
  EXPECT_EQ(scene.Fails(DrainWorker{worker.id}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(scene.Fails(ResumeWorker{worker.id}).code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace seedbed::core
