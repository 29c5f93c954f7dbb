#include <string>

#include "coordinator/core/scene.h"
#include "gtest/gtest.h"

// How leases are lost, returned and handed back.
namespace seedbed::core {
namespace {

SweepOptions Grid(int points, int64_t seeds) {
  SweepOptions options;
  options.points = points;
  options.seeds = seeds;
  return options;
}

TEST(Expiry, ASilentWorkerIsGoneAndItsLeasesAreLost) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(3, 1));
  SceneWorker worker(scene, "w", 2);
  worker.Synchronize();
  worker.Synchronize();
  scene.Pass(absl::Seconds(14));
  EXPECT_EQ(scene.Counts(sweep), "q1 r2 f0 x0 c0");
  scene.Pass(absl::Seconds(1));
  EXPECT_EQ(scene.Counts(sweep), "q3 r0 f0 x0 c0");
  EXPECT_EQ(worker.entry().state, WorkerState::kGone);
  EXPECT_EQ(scene.RunAt(sweep, 0, 0).counted_ends, 1);
}

TEST(Expiry, ComesWithTicksOnly) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  scene.clock.Advance(absl::Hours(1));
  SceneWorker other(scene, "other", 1);
  EXPECT_TRUE(other.Synchronize().start.empty());
  EXPECT_EQ(worker.SendRows(run).verdict, ReportVerdict::kAccepted);
}

TEST(Expiry, ListingRenews) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  for (int i = 0; i < 10; ++i) {
    scene.Pass(absl::Seconds(10));
    worker.Synchronize();
  }
  EXPECT_EQ(scene.StateOfRun(run), "running");
  EXPECT_EQ(std::get<Running>(scene.state.FindRun(run)->state).step, 10);
}

TEST(Expiry, AGapBetweenTicksExtendsEveryLeaseByTheGap) {
  struct Case {
    absl::Duration gap;
    absl::Duration lives_on;  // after the tick that follows the gap, having been silent for 4 s before it
  };
  for (const Case& c : {Case{absl::Seconds(2), absl::Seconds(9)}, Case{absl::Seconds(3), absl::Seconds(11)},
                        Case{absl::Hours(5), absl::Seconds(11)}}) {
    Scene scene;
    scene.Submit("a");
    SceneWorker worker(scene, "w", 1);
    const RunId run = Lease(worker).run;
    scene.Pass(absl::Seconds(4));
    scene.clock.Advance(c.gap);
    scene.Do(Tick{});
    scene.Pass(c.lives_on - absl::Seconds(1));
    EXPECT_EQ(scene.StateOfRun(run), "running") << c.gap;
    EXPECT_EQ(worker.entry().state, WorkerState::kActive) << c.gap;
    scene.Pass(absl::Seconds(1));
    EXPECT_EQ(scene.StateOfRun(run), "queued") << c.gap;
    EXPECT_EQ(worker.entry().state, WorkerState::kGone) << c.gap;
  }
}

TEST(Expiry, AWriteInWhichCallsWereHeardSparesWhoseCallsWaitedForIt) {
  Scene scene;
  scene.Submit("a", Grid(2, 1));
  SceneWorker silent(scene, "silent", 1);
  SceneWorker waiting(scene, "waiting", 1);
  const RunId lost = Lease(silent).run;
  const RunId kept = Lease(waiting).run;
  scene.Pass(absl::Seconds(14));
  scene.clock.Advance(absl::Seconds(30));
  scene.Do(Tick{/*heard_meanwhile=*/true, {waiting.id, WorkerId("never heard of")}});
  EXPECT_EQ(scene.StateOfRun(lost), "queued");
  EXPECT_EQ(silent.entry().state, WorkerState::kGone);
  scene.Pass(absl::Seconds(14));
  EXPECT_EQ(scene.StateOfRun(kept), "running") << "it could not call before it was answered";
  scene.Pass(absl::Seconds(1));
  EXPECT_EQ(scene.StateOfRun(kept), "queued");
  EXPECT_EQ(waiting.entry().state, WorkerState::kGone);
}

TEST(Expiry, ARestartedCoordinatorGivesEveryLeaseAFreshGrace) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  scene.Pass(absl::Seconds(14));
  scene.clock.Advance(absl::Hours(1));
  scene.Restart();
  scene.Pass(absl::Seconds(14));
  EXPECT_EQ(scene.StateOfRun(run), "running");
  EXPECT_TRUE(worker.Synchronize().stop.empty());
}

TEST(Expiry, ARunThatKillsSeveralWorkersIsFailed) {
  Scene scene;
  const SweepId sweep = scene.Submit("a");
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(scene.Counts(sweep), "q1 r0 f0 x0 c0");
    SceneWorker worker(scene, "w" + std::to_string(i), 1);
    worker.Synchronize();
    worker.Vanish();
    scene.Pass(absl::Seconds(15));
  }
  EXPECT_EQ(scene.Counts(sweep), "q0 r0 f0 x1 c0");
}

TEST(Return, AnExpiredLeaseIsRestoredUnderANewFence) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const LeaseKey before = Lease(worker);
  worker.SendRows(before.run, 30);
  scene.Pass(absl::Seconds(60));
  EXPECT_EQ(scene.state.FindRun(before.run)->counted_ends, 1);
  const SynchronizeAnswer answer = worker.Synchronize();
  ASSERT_EQ(answer.restored.size(), 1u);
  const LeaseKey after = answer.restored[0];
  EXPECT_EQ(after.attempt, before.attempt);
  EXPECT_GT(after.fence, before.fence);
  EXPECT_EQ(scene.state.FindRun(before.run)->counted_ends, 0) << "the loss is taken back";
  EXPECT_EQ(worker.entry().state, WorkerState::kActive);
  EXPECT_EQ(worker.SendRows(before.run, 40).verdict, ReportVerdict::kAccepted) << "the attempt's sequence goes on";
  EXPECT_EQ(worker.Finish(before.run).verdict, ReportVerdict::kAccepted);
  EXPECT_EQ(scene.StateOfRun(before.run), "finished");
}

TEST(Return, ARestorationIsRepeatedUntilTheWorkerNamesTheNewFence) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  scene.Pass(absl::Seconds(20));
  const SynchronizeAnswer lost = worker.SynchronizeAnswerLost();
  const SynchronizeAnswer repeated = worker.Synchronize();
  ASSERT_EQ(repeated.restored.size(), 1u);
  EXPECT_EQ(repeated.restored[0], lost.restored.at(0));
  EXPECT_TRUE(repeated.start.empty());
  EXPECT_TRUE(worker.Synchronize().restored.empty());
  EXPECT_EQ(scene.StateOfRun(run), "running");
}

TEST(Return, AnEarlierRestorationThatWasNotHeardOfIsNoObstacle) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const LeaseKey first = Lease(worker);
  worker.SendRows(first.run);
  scene.Pass(absl::Seconds(20));
  EXPECT_EQ(worker.SynchronizeAnswerLost().restored.size(), 1u);
  scene.Pass(absl::Seconds(20));
  EXPECT_EQ(scene.StateOfRun(first.run), "queued");
  const SynchronizeAnswer answer = worker.Synchronize();
  ASSERT_EQ(answer.restored.size(), 1u) << "the run was not granted again";
  EXPECT_EQ(answer.restored[0].attempt, first.attempt);
  EXPECT_EQ(scene.state.FindRun(first.run)->counted_ends, 0);
  EXPECT_EQ(worker.SendRows(first.run).verdict, ReportVerdict::kAccepted);
}

TEST(Return, NotIfSomethingElseBecameOfTheRun) {
  struct Case {
    const char* what;
    void (*meanwhile)(Scene&, SweepId, RunId);
  };
  const std::vector<Case> table = {
      {"granted again", [](Scene& scene, SweepId, RunId) { SceneWorker(scene, "other", 1).Synchronize(); }},
      {"granted and ended again",
       [](Scene& scene, SweepId, RunId) {
         SceneWorker other(scene, "other", 1);
         other.Synchronize();
         other.Goodbye();
       }},
      {"cancelled",
       [](Scene& scene, SweepId sweep, RunId) {
         scene.Do(CancelRuns{sweep, {}});
       }},
      {"cancelled and retried",
       [](Scene& scene, SweepId sweep, RunId run) {
         scene.Do(CancelRuns{sweep, {run}});
         scene.Do(RetryRuns{sweep, {run}});
       }},
      {"halted",
       [](Scene& scene, SweepId sweep, RunId) {
         scene.Do(PauseSweep{sweep, true});
       }},
      {"deleted", [](Scene& scene, SweepId sweep, RunId) { scene.Do(DeleteSweep{sweep}); }},
  };
  for (const Case& c : table) {
    Scene scene;
    const SweepId sweep = scene.Submit("a");
    SceneWorker worker(scene, "w", 1);
    const RunId run = Lease(worker).run;
    scene.Pass(absl::Seconds(20));
    c.meanwhile(scene, sweep, run);
    worker.slots = 0;
    const SynchronizeAnswer answer = worker.Synchronize();
    EXPECT_TRUE(answer.restored.empty()) << c.what;
    EXPECT_EQ(answer.stop.size(), 1u) << c.what;
  }
}

TEST(Return, NotBeyondMaxConcurrent) {
  for (const int64_t most : {2, 1}) {
    Scene scene;
    scene.Submit("a", Grid(2, 1));
    SceneWorker other(scene, "other", 1);
    Lease(other);
    SceneWorker worker(scene, "w", 1);
    const RunId run = Lease(worker).run;
    SweepOptions options = Grid(2, 1);
    options.max_concurrent = most;
    scene.Do(Scene::Begin("a", "again", options));
    for (int i = 0; i < 4; ++i) {
      scene.Pass(absl::Seconds(5));
      other.Synchronize();
    }
    ASSERT_EQ(scene.StateOfRun(run), "queued");
    const SynchronizeAnswer answer = worker.Synchronize();
    EXPECT_EQ(answer.restored.size(), most == 2 ? 1u : 0u) << "the other one has a place of " << most;
    EXPECT_EQ(answer.stop.size(), most == 2 ? 0u : 1u);
  }
}

void Drain(Scene& scene, SceneWorker& worker) {
  scene.Do(DrainWorker{worker.id});
}

void LetThreeRunsStall(Scene& scene, SceneWorker& worker) {
  scene.Submit("stalls", Grid(3, 1));
  worker.Synchronize();
  for (int i = 0; i < 3; ++i) worker.End(worker.held.begin()->first, AttemptEnd::kStalled);
}

TEST(Return, AWorkerComesBackAsWhatItWasAlsoAfterARestart) {
  struct Case {
    WorkerState state;
    void (*bring)(Scene&, SceneWorker&);
  };
  for (const Case& c : {Case{WorkerState::kActive, [](Scene&, SceneWorker&) {}}, Case{WorkerState::kDraining, Drain},
                        Case{WorkerState::kQuarantined, LetThreeRunsStall}}) {
    for (const bool restarted : {false, true}) {
      Scene scene;
      SceneWorker worker(scene, "w", 3);
      worker.Synchronize();
      c.bring(scene, worker);
      ASSERT_EQ(worker.entry().state, c.state);
      scene.Submit("waiting");
      scene.Pass(absl::Seconds(20));
      EXPECT_EQ(worker.entry().state, WorkerState::kGone);
      if (restarted) scene.Restart();
      const SynchronizeAnswer answer = worker.Synchronize();
      EXPECT_EQ(answer.state, c.state) << Name(c.state) << (restarted ? ", restarted" : "");
      EXPECT_EQ(worker.entry().state, c.state);
      EXPECT_EQ(answer.start.empty(), c.state != WorkerState::kActive) << Name(c.state);
      // What it was is forgotten once it is something else.
      if (c.state == WorkerState::kActive) continue;
      scene.Do(ResumeWorker{worker.id});
      scene.Restart();
      EXPECT_EQ(worker.Synchronize().state, WorkerState::kActive);
    }
  }
}

TEST(Return, OfAWorkerThatIsGoneNothingIsKeptButItsName) {
  Scene scene;
  SceneWorker worker(scene, "w", 1);
  worker.trainers = {{"modular", R"({"blas":"a"})", {"x"}}};
  worker.Synchronize();
  EXPECT_EQ(worker.entry().host, "node");
  worker.Goodbye();
  EXPECT_EQ(worker.entry().name, "name-w");
  EXPECT_EQ(worker.entry().host + worker.entry().device + worker.entry().version, "");
  EXPECT_TRUE(worker.entry().trainers.empty());
  scene.Restart();
  worker.Synchronize();
  EXPECT_EQ(worker.entry().host, "node");
  ASSERT_EQ(worker.entry().trainers.size(), 1u);
  EXPECT_EQ(worker.entry().trainers[0].numerics_json, R"({"blas":"a"})");
  EXPECT_EQ(worker.entry().trainers[0].pack_parameters, std::vector<std::string>{"x"});
}

TEST(Registration, BeyondTheMostWorkersNoneComesUntilOneIsGone) {
  EXPECT_EQ(Settings().most_workers, 16'384);
  Settings settings;
  settings.most_workers = 2;
  Scene scene(settings);
  SceneWorker first(scene, "a", 1);
  SceneWorker second(scene, "b", 1);
  SceneWorker third(scene, "c", 1);
  first.Synchronize();
  second.Synchronize();
  const absl::Status refused = scene.Fails(third.Facts());
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.message(),
            "There are 2 workers, and no room for 'name-c': stop some, or wait until the silent ones are gone");
  second.Synchronize();
  first.Goodbye();
  third.Synchronize();
  EXPECT_EQ(scene.Fails(first.Facts()).code(), absl::StatusCode::kResourceExhausted) << "nor one that comes back";
  first.Goodbye();
}

TEST(Goodbye, HandsLeasesBackAndCountsForNobody) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(2, 1));
  SceneWorker worker(scene, "w", 2);
  worker.Synchronize();
  EXPECT_EQ(worker.Goodbye().state, WorkerState::kGone);
  EXPECT_EQ(scene.Counts(sweep), "q2 r0 f0 x0 c0");
  EXPECT_EQ(scene.RunAt(sweep, 0, 0).last_end, AttemptEnd::kPreempted);
  EXPECT_EQ(scene.RunAt(sweep, 0, 0).counted_ends, 0);
  EXPECT_EQ(worker.Goodbye().state, WorkerState::kGone) << "once more is no error";
  SceneWorker unknown(scene, "unknown", 1);
  unknown.Goodbye();
  EXPECT_TRUE(scene.last_events.empty());
}

TEST(VoidLeases, OfDeadWorkersEndAtOnceAndUncounted) {
  Scene scene;
  const SweepId sweep = scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const LeaseKey lease = Lease(worker);
  scene.Do(VoidLeases{{worker.id, WorkerId("never heard of")}});
  EXPECT_EQ(scene.Counts(sweep), "q1 r0 f0 x0 c0");
  EXPECT_EQ(scene.RunAt(sweep, 0, 0).counted_ends, 0);
  EXPECT_EQ(scene.RunAt(sweep, 0, 0).last_end, AttemptEnd::kLost);
  EXPECT_EQ(worker.entry().state, WorkerState::kGone);
  worker.slots = 0;
  worker.held[lease.run] = lease;
  EXPECT_TRUE(worker.Synchronize().restored.empty()) << "dead is dead";
}

}  // namespace
}  // namespace seedbed::core
