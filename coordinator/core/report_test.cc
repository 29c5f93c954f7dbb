#include <limits>
#include <string>

#include "common/schema/largest_step.h"
#include "coordinator/core/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

// Reports, their acknowledgement, and what the ends of attempts lead to.
namespace seedbed::core {
namespace {

using ::testing::HasSubstr;

SweepOptions Grid(int points, int retries = 0) {
  SweepOptions options;
  options.points = points;
  options.retries = retries;
  return options;
}

TEST(Report, OfStepsThatCannotBeIsInvalid) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  Synchronize facts = worker.Facts();
  for (const int64_t step : {kLargestStep + 1, std::numeric_limits<int64_t>::max(), int64_t{-2}}) {
    Report report = worker.NextReport(run, step);
    report.sequence = 1;
    EXPECT_EQ(scene.Fails(report).code(), absl::StatusCode::kInvalidArgument) << step;
    report.last_step = 0;
    report.end = Report::End{AttemptEnd::kFinished, "", 1, RunResult{"grokked", "budget", step, "{}"}, {}};
    EXPECT_EQ(scene.Fails(report).code(), absl::StatusCode::kInvalidArgument) << step;
    facts.leases[0].step = step;
    EXPECT_EQ(scene.Fails(facts).code(), absl::StatusCode::kInvalidArgument) << step;
  }
  worker.sequences[run] = 0;
  EXPECT_EQ(worker.SendRows(run, kLargestStep).verdict, ReportVerdict::kAccepted);
}

TEST(Report, IsJudgedByLeaseAndSequence) {
  struct Case {
    const char* what;
    void (*change)(Report&);
    ReportVerdict verdict;
    int64_t acknowledged;
  };
  const std::vector<Case> table = {
      {"the next one", [](Report&) {}, ReportVerdict::kAccepted, 3},
      {"the last one again", [](Report& r) { r.sequence = 2; }, ReportVerdict::kDuplicate, 2},
      {"the first one again", [](Report& r) { r.sequence = 1; }, ReportVerdict::kDuplicate, 2},
      {"one is missing", [](Report& r) { r.sequence = 4; }, ReportVerdict::kGap, 2},
      {"an older fence", [](Report& r) { r.lease.fence = Fence(r.lease.fence.value() - 1); }, ReportVerdict::kRefused,
       0},
      {"a newer fence", [](Report& r) { r.lease.fence = r.lease.fence.Next(); }, ReportVerdict::kRefused, 0},
      {"another attempt", [](Report& r) { ++r.lease.attempt; }, ReportVerdict::kRefused, 0},
      {"another worker", [](Report& r) { r.worker = WorkerId("x"); }, ReportVerdict::kRefused, 2},
      {"an unknown run", [](Report& r) { r.lease.run = RunId(99); }, ReportVerdict::kRefused, 0},
  };
  for (const Case& c : table) {
    Scene scene;
    scene.Submit("a");
    SceneWorker worker(scene, "w", 1);
    const RunId run = Lease(worker).run;
    worker.SendRows(run);
    worker.SendRows(run);
    Report report = worker.NextReport(run);
    c.change(report);
    const auto answer = scene.Ask<ReportAnswer>(report);
    EXPECT_EQ(answer.verdict, c.verdict) << c.what;
    EXPECT_EQ(answer.acknowledged_sequence, c.acknowledged) << c.what;
    EXPECT_EQ(answer.reason.empty(), c.verdict != ReportVerdict::kRefused) << c.what;
    EXPECT_EQ(scene.last_events.empty(), c.verdict != ReportVerdict::kAccepted) << c.what;
  }
}

TEST(Report, RepeatedAfterTheAttemptsEndIsAcknowledgedAgain) {
  for (const bool restarted : {false, true}) {
    Scene scene;
    const SweepId sweep = scene.Submit("a");
    SceneWorker worker(scene, "w", 1);
    const RunId run = Lease(worker).run;
    Report rows = worker.NextReport(run);
    scene.Do(rows);
    Report end = worker.NextReport(run);
    end.end = Report::End{AttemptEnd::kFinished, "", 1, RunResult{"grokked", "budget", 1, "{}"}, {}};
    scene.Do(end);
    if (restarted) scene.Restart();
    for (const Report& repeated : {rows, end}) {
      const auto answer = scene.Ask<ReportAnswer>(repeated);
      EXPECT_EQ(answer.verdict, ReportVerdict::kDuplicate);
      EXPECT_EQ(answer.acknowledged_sequence, 2);
    }
    Report more = rows;
    more.sequence = 3;
    EXPECT_EQ(scene.Ask<ReportAnswer>(more).verdict, ReportVerdict::kRefused);
    EXPECT_EQ(scene.Counts(sweep), "q0 r0 f1 x0 c0") << "finished once";
  }
}

TEST(Report, ANewAttemptCountsFromOneAndTheOldFenceIsStale) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  const Report old_report = worker.NextReport(run);
  scene.Do(old_report);
  worker.End(run, AttemptEnd::kPreempted);
  worker.Synchronize();
  EXPECT_EQ(worker.held.at(run).attempt, 2);
  EXPECT_EQ(scene.Ask<ReportAnswer>(old_report).verdict, ReportVerdict::kRefused);
  const ReportAnswer first = worker.SendRows(run);
  EXPECT_EQ(first.verdict, ReportVerdict::kAccepted);
  EXPECT_EQ(first.acknowledged_sequence, 1);
}

TEST(Report, MistakesAreErrors) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  Report good = worker.NextReport(Lease(worker).run);
  Report no_sequence = good;
  no_sequence.sequence = 0;
  Report no_result = good;
  no_result.end = Report::End{AttemptEnd::kFinished, "", 1, std::nullopt, {}};
  Report result_of_a_crash = good;
  result_of_a_crash.end = Report::End{AttemptEnd::kCrashed, "", 1, RunResult{}, {}};
  Report cancelled = good;
  cancelled.end = Report::End{AttemptEnd::kCancelled, "", 1, std::nullopt, {}};
  for (const Report& report : {no_sequence, no_result, result_of_a_crash, cancelled}) {
    EXPECT_EQ(scene.Fails(report).code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Report, ThatCannotBeReadFailsItsAttemptAndSaysWhy) {
  struct Case {
    const char* what;
    void (*change)(Report&);
    const char* state;
  };
  for (const Case& c : {Case{"the next one", [](Report&) {}, "failed"},
                        Case{"one from far ahead", [](Report& r) { r.sequence = 9; }, "failed"},
                        Case{"one that was acknowledged", [](Report& r) { r.sequence = 1; }, "failed"},
                        Case{"one without a sequence", [](Report& r) { r.sequence = 0; }, "failed"},
                        Case{"another worker's", [](Report& r) { r.worker = WorkerId("x"); }, "running"},
                        Case{"an older fence's", [](Report& r) { r.lease.fence = Fence(99); }, "running"}}) {
    Scene scene;
    scene.Submit("a");
    SceneWorker worker(scene, "w", 1);
    const RunId run = Lease(worker).run;
    worker.SendRows(run);
    Report report = worker.NextReport(run);
    report.malformed = true;
    report.end = Report::End{AttemptEnd::kFailed, "a metric without a name", 1, {}, {}};
    c.change(report);
    const auto answer = scene.Ask<ReportAnswer>(report);
    EXPECT_EQ(answer.verdict, ReportVerdict::kRefused) << c.what;
    EXPECT_EQ(scene.StateOfRun(run), c.state) << c.what;
    if (std::string(c.state) == "running") continue;
    EXPECT_EQ(answer.reason, "a metric without a name") << c.what;
    const auto* ended = std::get_if<AttemptEnded>(&scene.last_events.back());
    ASSERT_NE(ended, nullptr) << c.what;
    EXPECT_EQ(ended->end, AttemptEnd::kFailed) << c.what;
    EXPECT_EQ(ended->reason, "a metric without a name") << c.what;
    EXPECT_EQ(worker.entry().counted_ends_in_a_row.size(), 0u) << c.what;
    EXPECT_EQ(worker.SendRows(run).verdict, ReportVerdict::kRefused) << c.what;
  }
}

TEST(Ends, WhatEachLeadsTo) {
  struct Case {
    AttemptEnd end;
    int retries;
    int times;  // in a row, each in a new attempt
    std::string state;
    int counted_ends;
    int failed_ends;
  };
  const std::vector<Case> table = {
      {AttemptEnd::kFinished, 0, 1, "finished", 0, 0},  {AttemptEnd::kCrashed, 0, 1, "queued", 1, 0},
      {AttemptEnd::kCrashed, 0, 2, "queued", 2, 0},     {AttemptEnd::kCrashed, 0, 3, "failed", 3, 0},
      {AttemptEnd::kStalled, 0, 3, "failed", 3, 0},     {AttemptEnd::kLost, 0, 3, "failed", 3, 0},
      {AttemptEnd::kCrashed, 9, 3, "failed", 3, 0},     {AttemptEnd::kFailed, 0, 1, "failed", 0, 1},
      {AttemptEnd::kFailed, 2, 2, "queued", 0, 2},      {AttemptEnd::kFailed, 2, 3, "failed", 0, 3},
      {AttemptEnd::kTimedOut, 0, 1, "failed", 0, 1},    {AttemptEnd::kTimedOut, 1, 1, "queued", 0, 1},
      {AttemptEnd::kOutOfMemory, 0, 1, "failed", 0, 1}, {AttemptEnd::kOutOfMemory, 1, 1, "queued", 0, 1},
      {AttemptEnd::kPreempted, 0, 20, "queued", 0, 0},
  };
  for (const Case& c : table) {
    Scene scene;
    const SweepId sweep = scene.Submit("a", Grid(1, c.retries));
    for (int i = 0; i < c.times; ++i) {
      SceneWorker worker(scene, "w" + std::to_string(i), 1);
      worker.End(Lease(worker).run, c.end);
    }
    const core::Run& run = scene.RunAt(sweep, 0, 0);
    const std::string what = std::string(Name(c.end)) + " x" + std::to_string(c.times);
    EXPECT_EQ(scene.StateOfRun(run.id), c.state) << what;
    EXPECT_EQ(run.counted_ends, c.counted_ends) << what;
    EXPECT_EQ(run.failed_ends, c.failed_ends) << what;
    EXPECT_EQ(run.attempts, c.times) << what;
    EXPECT_EQ(run.last_end, c.end) << what;
  }
}

// Each run's end on one worker with one slot; "f" finished, "x" crashed, "p" preempted, "F" failed, "s" the same run
// crashes again.
std::string StateAfter(const std::string& ends) {
  Scene scene;
  scene.Submit("a", Grid(8));
  SceneWorker worker(scene, "w", 1);
  for (const char end : ends) {
    const RunId run = Lease(worker).run;
    if (end == 'f') worker.Finish(run);
    if (end == 'x') worker.End(run, AttemptEnd::kCrashed);
    if (end == 'F') worker.End(run, AttemptEnd::kFailed);
    if (end == 'p') worker.End(run, AttemptEnd::kPreempted);
    // Out of the way, so that the next one is a different run.
    if (end == 'x' || end == 'p') scene.Do(CancelRuns{SweepId(1), {run}});
    if (end == 's') worker.End(run, AttemptEnd::kStalled);
  }
  return Name(worker.entry().state);
}

TEST(Quarantine, AfterThreeCountedEndsOfDifferentRunsInARow) {
  struct Case {
    std::string ends;
    std::string state;
  };
  for (const Case& c : {Case{"xx", "active"}, Case{"xxx", "quarantined"}, Case{"xxfx", "active"},
                        Case{"xxfxxx", "quarantined"}, Case{"xFpxx", "quarantined"}, Case{"FFFF", "active"},
                        Case{"ss", "active"}, Case{"sssxx", "quarantined"}, Case{"sssx", "active"}}) {
    EXPECT_EQ(StateAfter(c.ends), c.state) << c.ends;
  }
}

TEST(Quarantine, GetsNothingKeepsWhatItHoldsAndEndsByHand) {
  Scene scene;
  scene.Submit("a", Grid(8));
  SceneWorker worker(scene, "w", 4);
  worker.Synchronize();
  for (int i = 0; i < 3; ++i) worker.End(worker.held.begin()->first, AttemptEnd::kStalled);
  ASSERT_EQ(worker.entry().state, WorkerState::kQuarantined);
  bool said_why = false;
  for (const Event& event : scene.last_events) {
    const auto* changed = std::get_if<WorkerStateChanged>(&event);
    if (changed == nullptr) continue;
    said_why = true;
    EXPECT_THAT(changed->reason, HasSubstr("3 different runs in a row"));
  }
  EXPECT_TRUE(said_why);
  const SynchronizeAnswer answer = worker.Synchronize();
  EXPECT_EQ(answer.state, WorkerState::kQuarantined);
  EXPECT_TRUE(answer.start.empty());
  EXPECT_TRUE(answer.stop.empty());
  EXPECT_EQ(worker.Finish(worker.held.begin()->first).verdict, ReportVerdict::kAccepted);
  EXPECT_TRUE(worker.Synchronize().start.empty());
  scene.Do(ResumeWorker{worker.id});
  EXPECT_EQ(worker.Synchronize().start.size(), 4u);
  worker.End(worker.held.begin()->first, AttemptEnd::kStalled);
  EXPECT_EQ(worker.entry().state, WorkerState::kActive) << "the count began anew";
}

TEST(Quarantine, LeasesThatAWorkerForgetsCountTogether) {
  Scene scene;
  scene.Submit("a", Grid(6));
  SceneWorker worker(scene, "w", 3);
  worker.Synchronize();
  worker.Synchronize();
  worker.held.clear();
  const SynchronizeAnswer answer = worker.Synchronize();
  EXPECT_EQ(answer.state, WorkerState::kQuarantined);
  EXPECT_TRUE(answer.start.empty());
}

TEST(Quarantine, BeingCutOffIsNoReasonForIt) {
  Scene scene;
  scene.Submit("a", Grid(4));
  SceneWorker worker(scene, "w", 4);
  worker.Synchronize();
  scene.Pass(absl::Seconds(30));
  const SynchronizeAnswer answer = worker.Synchronize();
  EXPECT_EQ(answer.state, WorkerState::kActive);
  EXPECT_EQ(answer.restored.size(), 4u);
}

}  // namespace
}  // namespace seedbed::core
