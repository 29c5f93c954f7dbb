// The laws of reporting, one test each.
#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/agent/testing/agent_world.h"

namespace seedbed::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::StartsWith;

// One run in training, its start taken.
void TrainOne(World& world) {
  world.Train({Granted(Key(1))});
  world.Started();
}

// Lets time pass while the coordinator answers Synchronize.
void PassAnswered(World& world, absl::Duration by) {
  for (; by > absl::ZeroDuration(); by -= absl::Seconds(1)) {
    world.Pass(std::min(by, absl::Seconds(1)));
    while (!world.link.calls.empty()) world.CallAndAnswer();
  }
}

TEST(Reports, RowsAreGatheredAndNumberedFromOne) {
  World world;
  TrainOne(world);
  world.Metrics(1, {0, 1});
  world.Metrics(1, {2});
  world.Pass(absl::Milliseconds(99));
  EXPECT_TRUE(world.link.reports.empty());
  world.Pass(absl::Milliseconds(1));
  EXPECT_EQ(world.StreamOpened(), 1);
  const Report report = world.Reported();
  EXPECT_EQ(Shown(report), "1/1#1 :1 rows 0 1 2");
  EXPECT_EQ(report.worker, WorkerId("w1"));
  ASSERT_EQ(report.body->rows.series.size(), 1u);
  EXPECT_EQ(report.body->rows.series[0].metric, "train_loss");
  EXPECT_THAT(report.body->rows.series[0].values, ElementsAre(0, 0.25, 0.5));
  EXPECT_THAT(report.body->rows.series[0].absent, ElementsAre(false, false, false));
  world.Metrics(1, {3});
  world.Settle();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :2 rows 3");
  world.Acknowledge(Key(1), 2);
  world.Metrics(1, {4});
  world.Settle();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :3 rows 4");
}

TEST(Reports, ALeaseIsListedUntilItsEndIsAcknowledged) {
  World world;
  TrainOne(world);
  world.Metrics(1, {0, 10});
  world.Ended(1, AttemptEnd::kFinished, 10);
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 rows 0 10");
  const Report end = world.Reported();
  EXPECT_EQ(Shown(end), "1/1#1 :2 end finished");
  ASSERT_TRUE(end.body->end->result.has_value());
  EXPECT_EQ(end.body->end->result->outcome, "grokked");
  EXPECT_EQ(end.body->end->result->reason, "budget");
  EXPECT_EQ(end.body->end->result->last_step, 10);
  EXPECT_EQ(end.body->end->result->summary_json, R"({"t_train_99":7})");
  EXPECT_EQ(end.body->end->pack, 1);
  world.Acknowledge(Key(1), 1);
  world.Settle();
  EXPECT_EQ(Listed(world.CallAndAnswer()), "1/1#1 idle 10");
  world.Acknowledge(Key(1), 2);
  world.Pass(absl::Seconds(5));
  EXPECT_EQ(Listed(world.CallAndAnswer()), "");
}

TEST(Reports, SayHowAnAttemptEnded) {
  struct Case {
    seedbed::AttemptEnd end;
    ReportedEnd reported;
  };
  for (const Case& c :
       {Case{AttemptEnd::kFinished, ReportedEnd::kFinished}, Case{AttemptEnd::kFailed, ReportedEnd::kFailed},
        Case{AttemptEnd::kOutOfMemory, ReportedEnd::kOutOfMemory}, Case{AttemptEnd::kCrashed, ReportedEnd::kCrashed},
        Case{AttemptEnd::kStalled, ReportedEnd::kStalled}, Case{AttemptEnd::kTimedOut, ReportedEnd::kTimedOut},
        Case{AttemptEnd::kStopped, ReportedEnd::kPreempted}}) {
    World world;
    TrainOne(world);
    AttemptEnded event;
    event.attempt = AttemptId(1);
    event.end = c.end;
    event.reason = "why";
    event.companions = 3;
    event.log_tail = "first\nsecond \xff\n\n";
    world.agent->OnEngineEvent(event, world.clock.Now());
    world.StreamOpened();
    const Report report = world.Reported();
    ASSERT_TRUE(report.body->end.has_value());
    EXPECT_EQ(report.body->end->end, c.reported) << AttemptEndName(c.end);
    EXPECT_EQ(report.body->end->pack, 4);
    EXPECT_EQ(report.body->end->result.has_value(), c.end == AttemptEnd::kFinished);
    EXPECT_EQ(report.body->end->reason, c.end == AttemptEnd::kFinished ? "why" : "why; last line of its log: second ?");
    EXPECT_TRUE(world.files.held.empty());
    world.Settle();
    world.Call();
  }
}

TEST(Reports, AResultThatNoCoordinatorWouldTakeIsAFailure) {
  World world;
  TrainOne(world);
  AttemptEnded event;
  event.attempt = AttemptId(1);
  event.end = AttemptEnd::kFinished;
  event.summary = {{"text", std::string(1 << 20, 'x')}};
  world.agent->OnEngineEvent(event, world.clock.Now());
  world.StreamOpened();
  const Report report = world.Reported();
  EXPECT_EQ(Shown(report), "1/1#1 :1 end failed");
  EXPECT_EQ(report.body->end->reason, "its summary is 1048587 bytes long, and at most 1048576 are taken");
  world.Settle();
  world.Call();
}

TEST(Reports, ARepeatedEndMeansNothing) {
  World world;
  TrainOne(world);
  world.Ended(1, AttemptEnd::kFinished, 10);
  world.Ended(1, AttemptEnd::kCrashed);
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 end finished");
  world.Settle();
  world.Call();
}

TEST(Reports, WhatIsNotAcknowledgedIsSentAgainInOrderAfterAReconnect) {
  World world(2);
  world.Train({Granted(Key(1)), Granted(Key(2))});
  world.Started();
  world.Started();
  world.Metrics(1, {0});
  world.Settle();
  world.Metrics(1, {1});
  world.Metrics(2, {0});
  world.Settle();
  EXPECT_EQ(world.StreamOpened(), 1);
  for (int i = 0; i < 3; ++i) world.Reported();
  world.Acknowledge(Key(1), 1);
  world.StreamBreaks(1);
  world.Metrics(1, {2});
  world.Pass(absl::Milliseconds(149));  // 200 ms · 0.75
  EXPECT_EQ(world.StreamOpened(), 0);
  world.Pass(absl::Milliseconds(1));
  EXPECT_EQ(world.StreamOpened(), 2);
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :2 rows 1");
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :3 rows 2");
  EXPECT_EQ(Shown(world.Reported()), "2/1#1 :1 rows 0");
  world.Acknowledge(Key(1), 2, /*stream=*/1);  // of the stream that is gone: says nothing
  world.StreamBreaks(2);
  world.Pass(absl::Seconds(1));
  EXPECT_EQ(world.StreamOpened(), 3);
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :2 rows 1");
  world.link.reports.clear();
}

TEST(Reports, AStreamThatBreaksAgainAndAgainIsOpenedWithRisingDelays) {
  World world;
  TrainOne(world);
  world.Metrics(1, {0});
  world.Settle();
  for (const int64_t expected : {150, 300, 600, 1200, 2400, 3750, 3750}) {
    world.StreamBreaks(world.StreamOpened());
    world.link.reports.clear();
    world.Pass(absl::Milliseconds(expected - 1));
    while (!world.link.calls.empty()) world.CallAndAnswer();
    EXPECT_TRUE(world.link.streams.empty()) << expected;
    world.Pass(absl::Milliseconds(1));
  }
  EXPECT_EQ(world.StreamOpened(), 8);
  world.Reported();
  while (!world.link.calls.empty()) world.CallAndAnswer();
}

TEST(Reports, AGapIsFilledFromTheSequenceAfterIt) {
  World world;
  TrainOne(world);
  for (int64_t step = 0; step < 4; ++step) {
    world.Metrics(1, {step});
    world.Settle();
  }
  world.StreamOpened();
  for (int i = 0; i < 4; ++i) world.Reported();
  world.Verdict(Key(1), ReportVerdict::kGap, 1);
  world.Verdict(Key(1), ReportVerdict::kGap, 1);  // the answers to those behind the gap
  world.Verdict(Key(1), ReportVerdict::kGap, 1);
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :2 rows 1");
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :3 rows 2");
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :4 rows 3");
}

TEST(Reports, ALeaseWhoseAcknowledgedReportsWereForgottenIsDropped) {
  World world;
  TrainOne(world);
  world.Metrics(1, {0});
  world.Settle();
  world.StreamOpened();
  world.Reported();
  world.Acknowledge(Key(1), 1);
  world.Verdict(Key(1), ReportVerdict::kGap, 0);
  EXPECT_EQ(world.Commanded(), "stop 1");
  world.Settle();
  EXPECT_EQ(Listed(world.CallAndAnswer()), "");
}

TEST(Reports, ARefusalDropsJustItsLease) {
  World world(2);
  world.Train({Granted(Key(1)), Granted(Key(2))});
  world.Started();
  world.Started();
  world.Metrics(1, {0});
  world.Settle();
  world.StreamOpened();
  world.Reported();
  world.Verdict(Key(1), ReportVerdict::kRefused);
  EXPECT_EQ(world.Commanded(), "stop 1");
  world.Settle();
  EXPECT_EQ(Listed(world.CallAndAnswer()), "2/1#1 training -1");
  world.Metrics(2, {0});
  world.Settle();
  EXPECT_EQ(Shown(world.Reported()), "2/1#1 :1 rows 0");
  world.Verdict(Key(7), ReportVerdict::kRefused);  // never held
}

TEST(Reports, NoAcknowledgementForAWhileAndTheyAreSentAgain) {
  World world;
  TrainOne(world);
  world.Metrics(1, {0});
  world.Settle();
  world.StreamOpened();
  world.Reported();
  for (const int seconds : {10, 20, 40, 60, 60}) {
    PassAnswered(world, absl::Seconds(seconds - 1));
    EXPECT_TRUE(world.link.reports.empty()) << seconds;
    PassAnswered(world, absl::Seconds(1));
    EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 rows 0") << seconds;
  }
  world.Acknowledge(Key(1), 1);
  PassAnswered(world, absl::Minutes(5));
}

TEST(Reports, WhatWaitsForItsTurnOnTheStreamIsNotSentAgain) {
  World world;
  TrainOne(world);
  world.Metrics(1, {0});
  world.Settle();
  world.StreamOpened();
  world.Reported();
  world.link.bytes_waiting = 2 << 20;
  PassAnswered(world, absl::Minutes(30));
  EXPECT_TRUE(world.link.reports.empty());
  world.link.bytes_waiting = 0;
  PassAnswered(world, absl::Seconds(10));
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 rows 0");
  world.Acknowledge(Key(1), 1);
}

TEST(Reports, ByDefaultFourMebibytesOfARunMayBeUnacknowledged) {
  EXPECT_EQ(AgentOptions().most_unacknowledged_bytes, 4'194'304);
}

TEST(Reports, ARunWithTooMuchUnacknowledgedWaits) {
  AgentOptions options;
  options.most_unacknowledged_bytes = 10'000;
  World world(1, options);
  TrainOne(world);
  int64_t step = 0;
  while (world.pool.commands.empty()) {
    world.Metrics(1, {step++});
    world.Settle();
    ASSERT_LT(step, 1000);
  }
  // A row takes 17 bytes, its metric's name 10, the series and the report 64 each.
  EXPECT_EQ(step, 10'000 / (17 + 10 + 64 + 64) + 1);
  EXPECT_EQ(world.Commanded(), "pause 1");
  world.Metrics(1, {step});  // what the pool had read already
  while (!world.link.calls.empty()) world.CallAndAnswer();
  world.Acknowledge(Key(1), step / 2 - 2);
  EXPECT_TRUE(world.pool.commands.empty()) << "more than half is left";
  world.Acknowledge(Key(1), step / 2 + 3);
  EXPECT_EQ(world.Commanded(), "resume 1");
  world.StreamOpened();
  world.link.reports.clear();
}

TEST(Reports, RowsOfOneMessageAreSplitWhenTheyAreMany) {
  World world;
  TrainOne(world);
  std::vector<int64_t> steps(50'000);
  for (size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<int64_t>(i);
  world.Metrics(1, steps);
  world.Settle();
  world.StreamOpened();
  std::vector<int64_t> seen;
  int64_t sequence = 0;
  while (!world.link.reports.empty()) {
    const Report report = world.Reported();
    EXPECT_EQ(report.body->sequence, ++sequence);
    EXPECT_LE(report.body->bytes, 2 * ReportQueue::kReportBytes);
    seen.insert(seen.end(), report.body->rows.steps.begin(), report.body->rows.steps.end());
    EXPECT_EQ(report.body->rows.series[0].values.size(), report.body->rows.steps.size());
  }
  EXPECT_GT(sequence, 2);
  EXPECT_EQ(seen, steps);
}

TEST(Reports, AReasonOfAnyLengthMakesNoLongReport) {
  for (const seedbed::AttemptEnd how : {AttemptEnd::kFailed, AttemptEnd::kFinished}) {
    World world;
    TrainOne(world);
    AttemptEnded ended;
    ended.attempt = AttemptId(1);
    ended.end = how;
    ended.reason = "why: " + std::string(9 << 20, 'x');
    ended.outcome = how == AttemptEnd::kFinished ? "grokked" : "";
    ended.log_tail = "the last words";
    world.agent->OnEngineEvent(ended, world.clock.Now());
    world.Settle();
    world.Call();
    world.StreamOpened();
    const Report report = world.Reported();
    const EndOfAttempt& end = *report.body->end;
    EXPECT_LT(end.reason.size() + (end.result ? end.result->reason.size() : 0), size_t{1} << 20);
    EXPECT_THAT(end.reason, StartsWith("why: xxx"));
    EXPECT_THAT(end.reason, EndsWith(end.result ? "x [...]" : "; last line of its log: the last words"));
  }
}

TEST(Reports, MetricsThatComeAndGoLeaveGaps) {
  World world;
  TrainOne(world);
  world.Metrics(1, {0}, "a");
  world.Metrics(1, {1}, "b");
  world.Metrics(1, {2}, "a");
  world.Settle();
  world.StreamOpened();
  const Report report = world.Reported();
  ASSERT_EQ(report.body->rows.series.size(), 2u);
  EXPECT_THAT(report.body->rows.series[0].absent, ElementsAre(false, true, false));
  EXPECT_THAT(report.body->rows.series[0].values, ElementsAre(0, 0, 0.5));
  EXPECT_THAT(report.body->rows.series[1].absent, ElementsAre(true, false, true));
  EXPECT_THAT(report.body->rows.series[1].values, ElementsAre(0, 0.25, 0));
}

TEST(Reports, ValuesThatAreNotFiniteAreAbsentAndTheFirstStepIsTold) {
  World world;
  TrainOne(world);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  AttemptMetrics event;
  event.attempt = AttemptId(1);
  event.steps = {0, 1, 2, 3};
  event.columns = {{"a", {1.0, std::nullopt, 2.0, nan}}, {"b", {1.0, 1.0, -infinity, infinity}}};
  world.agent->OnEngineEvent(event, world.clock.Now());
  world.Settle();
  event.steps = {4};
  event.columns = {{"a", {nan}}};
  world.agent->OnEngineEvent(event, world.clock.Now());
  world.Settle();
  world.StreamOpened();
  const Report first = world.Reported();
  EXPECT_EQ(first.body->rows.first_nonfinite_step, 2);
  EXPECT_THAT(first.body->rows.series[0].absent, ElementsAre(false, true, false, true));
  EXPECT_THAT(first.body->rows.series[1].absent, ElementsAre(false, false, true, true));
  for (const MetricSeries& series : first.body->rows.series) {
    for (const double value : series.values) EXPECT_TRUE(std::isfinite(value));
  }
  EXPECT_EQ(world.Reported().body->rows.first_nonfinite_step, std::nullopt) << "told once";
}

}  // namespace
}  // namespace seedbed::agent
