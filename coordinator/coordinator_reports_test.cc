// Reports: gathered, committed, answered, whatever happens to the disk or the coordinator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/coordinator.h"
#include "coordinator/coordinator_fixture.h"
#include "coordinator/metric_names.h"

namespace seedbed::coordinator_test {
namespace {

using ::testing::HasSubstr;

TEST_F(CoordinatorTest, ReportsWaitForEachOtherUntilARunEnds) {
  options_.loop.metric_delay = absl::Hours(1);
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 2)).ok());
  const SynchronizeReply granted = Synchronize(CallOf("w", 1, 2));
  ASSERT_EQ(granted.start.size(), 2u);
  const core::LeaseKey one = granted.start[0].lease.lease;
  const core::LeaseKey two = granted.start[1].lease.lease;
  Pending<core::ReportAnswer> first, second, other;
  Report(&first, ReportOf("w", one, 1, 9), RowsOf(one.run, 0, 10));
  Report(&other, ReportOf("w", two, 1, 4), RowsOf(two.run, 0, 5));
  LetTurnsPass(5);
  EXPECT_FALSE(first.IsThere());
  EXPECT_EQ(RowsInDatabase(one.run), 0);
  core::Report end = ReportOf("w", one, 2, 19);
  end.end = Finished(19);
  Report(&second, end, RowsOf(one.run, 10, 10));
  EXPECT_EQ(first.Get()->verdict, core::ReportVerdict::kAccepted);
  EXPECT_EQ(second.Get()->acknowledged_sequence, 2);
  EXPECT_EQ(RowsInDatabase(one.run), 20);
  LetTurnsPass(2);
  EXPECT_FALSE(other.IsThere());  // its run goes on
  // Enough bytes send all.
  Pending<core::ReportAnswer> large;
  Report(&large, ReportOf("w", two, 2, 9), RowsOf(two.run, 5, 5), options_.loop.metric_bytes);
  EXPECT_TRUE(other.Get().ok());
  EXPECT_EQ(large.Get()->acknowledged_sequence, 2);
  // Sent again, it is acknowledged again, although the attempt is over.
  EXPECT_EQ(ReportAndWait(end, RowsOf(one.run, 10, 10)).verdict, core::ReportVerdict::kDuplicate);
}

TEST_F(CoordinatorTest, ALeavingWorkersReportsAreNotLost) {
  options_.loop.metric_delay = absl::Hours(1);
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  Pending<core::ReportAnswer> report;
  Report(&report, ReportOf("w", lease, 1, 9), RowsOf(lease.run, 0, 10));
  core::Synchronize goodbye = CallOf("w", ++number_, 0);
  goodbye.goodbye = true;
  EXPECT_EQ(Synchronize(goodbye).answer.state, core::WorkerState::kGone);
  EXPECT_EQ(report.Get()->verdict, core::ReportVerdict::kAccepted);
}

TEST_F(CoordinatorTest, AFailedCommitAnswersUnavailableAndTheStateComesBack) {
  options_.most_pages = 500;
  options_.loop.first_retry = absl::Milliseconds(300);
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  Pending<SynchronizeReply> held;
  Synchronize(CallOf("idle", 1, 1));
  coordinator_->Synchronize(CallOf("idle", 2, 1), held.Callback());

  constexpr int64_t kTooMany = 400'000;  // rows, for 500 pages
  Pending<core::ReportAnswer> lost;
  Report(&lost, ReportOf("w", lease, 1, kTooMany - 1), RowsOf(lease.run, 0, kTooMany));
  EXPECT_EQ(lost.Get().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(held.Get().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(coordinator_->ExecuteAndWait(core::PauseSweep{SweepId(1), false}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(coordinator_->Inspect([](LiveView) {}).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(coordinator_->Info().degraded);
  EXPECT_TRUE(coordinator_->reader().ListSweeps().ok());  // reading goes on
  clock_.Advance(absl::Hours(1));                         // nothing expires meanwhile
  ASSERT_TRUE(Eventually([&] { return !coordinator_->Info().degraded; }));
  LetTurnsPass(3);
  EXPECT_EQ(RowsInDatabase(lease.run), 0);
  const core::ReportAnswer answer = ReportAndWait(ReportOf("w", lease, 1, 9), RowsOf(lease.run, 0, 10));
  EXPECT_EQ(answer.verdict, core::ReportVerdict::kAccepted);
  EXPECT_EQ(RowsInDatabase(lease.run), 10);
  EXPECT_EQ(EventsOfKind("commits_resumed"), 1);
}

TEST_F(CoordinatorTest, AfterAFailedCommitNothingIsDecidedUntilAProbeCommits) {
  options_.most_pages = 500;
  options_.loop.first_retry = options_.loop.last_retry = absl::ZeroDuration();
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  // Of a size that leaves less room than the probe needs where the last of them does not fit.
  constexpr int64_t kRows = 5'000;
  absl::Status reported;
  for (int64_t sequence = 1; reported.ok() && sequence < 10'000; ++sequence) {
    Pending<core::ReportAnswer> answer;
    Report(&answer, ReportOf("w", lease, sequence, sequence * kRows - 1),
           RowsOf(lease.run, (sequence - 1) * kRows, kRows));
    reported = answer.Get().status();
  }
  EXPECT_EQ(reported.code(), absl::StatusCode::kUnavailable);
  // It is tried again before each of these is answered.
  for (int i = 0; i < 5; ++i) EXPECT_EQ(coordinator_->Inspect([](LiveView) {}).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(coordinator_->Info().degraded);
}

TEST_F(CoordinatorTest, ByDefaultMetricsWaitAsLongAndForAsMuchRoomAsPublished) {
  const CoordinatorOptions options;
  EXPECT_EQ(options.loop.metric_delay, absl::Milliseconds(250)) << "for others, to be committed with them";
  EXPECT_EQ(options.loop.metric_bytes, 8'388'608) << "8 MiB, which wait no longer";
  EXPECT_EQ(options.least_free_bytes, 2'147'483'648) << "2 GiB of disk, below which they wait";
  EXPECT_EQ(options.most_log_bytes, 1'073'741'824) << "1 GiB of write-ahead log, beyond which there is an event";
}

TEST_F(CoordinatorTest, WithAFullDiskMetricsWaitAndControlGoesOn) {
  free_bytes_ = options_.least_free_bytes - 1;
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  EXPECT_TRUE(coordinator_->Info().metrics_held);
  Pending<core::ReportAnswer> report;
  core::Report end = ReportOf("w", lease, 1, 9);
  end.end = Finished(9);
  Report(&report, end, RowsOf(lease.run, 0, 10));
  LetTurnsPass(10);
  EXPECT_FALSE(report.IsThere());
  EXPECT_TRUE(ControlSweeps(coordinator_.get(), "s", {}, PauseAction{}).ok());
  EXPECT_FALSE(report.IsThere());
  EXPECT_EQ(EventsOfKind("disk_nearly_full"), 1);
  EXPECT_EQ(EventsOfKind("disk_has_room"), 0);
  free_bytes_ = options_.least_free_bytes;
  EXPECT_EQ(report.Get()->verdict, core::ReportVerdict::kAccepted);
  EXPECT_EQ(RowsInDatabase(lease.run), 10);
  EXPECT_TRUE(Eventually([this] { return EventsOfKind("disk_has_room") == 1; }));
}

TEST_F(CoordinatorTest, AReaderThatHoldsTheLogIsAnEvent) {
  options_.most_log_bytes = 16 << 20;
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  constexpr int64_t kRows = 100'000;
  int64_t sequence = 0;
  const auto write_until = [&](const std::function<bool()>& condition) {
    return Eventually([&] {
      if (condition()) return true;
      ReportAndWait(ReportOf("w", lease, sequence + 1, (sequence + 1) * kRows - 1),
                    RowsOf(lease.run, sequence * kRows, kRows));
      ++sequence;
      return false;
    });
  };
  const std::string path = coordinator_->Info().database_path;
  bool reading = false;
  const absl::Status read = coordinator_->reader().Stream(
      "SELECT run_id FROM runs", absl::Seconds(60), [](const auto&) {},
      [&](const auto&) {
        reading = true;
        EXPECT_TRUE(write_until([&] { return WriteAheadLogBytes(path) > options_.most_log_bytes; }));
        EXPECT_TRUE(Eventually([this] { return EventsOfKind("write_ahead_log_too_large") > 0; }));
        LetTurnsPass(20);
        EXPECT_EQ(EventsOfKind("write_ahead_log_too_large"), 1) << "said once, as long as it lasts";
        return false;
      });
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_TRUE(reading);
  EXPECT_TRUE(Eventually([&] { return WriteAheadLogBytes(path) == 0; })) << "nobody is in the way any more";
}

TEST_F(CoordinatorTest, AStopCommitsWhatWaitsAndAnswersAll) {
  options_.loop.metric_delay = absl::Hours(1);
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  Synchronize(CallOf("idle", 1, 1));
  Pending<SynchronizeReply> held;
  coordinator_->Synchronize(CallOf("idle", 2, 1), held.Callback());
  Pending<core::ReportAnswer> report;
  Report(&report, ReportOf("w", lease, 1, 9), RowsOf(lease.run, 0, 10));
  coordinator_->PrepareToStop();
  EXPECT_EQ(report.Get()->verdict, core::ReportVerdict::kAccepted);
  EXPECT_TRUE(held.Get().ok());
  EXPECT_EQ(coordinator_->ExecuteAndWait(core::PauseSweep{SweepId(1), false}).status().code(),
            absl::StatusCode::kUnavailable);
  coordinator_.reset();
  EXPECT_FALSE(std::filesystem::exists(DatabasePath(options_.directory) + "-wal"));  // one file to copy or open
  Open();
  EXPECT_EQ(RowsInDatabase(lease.run), 10);
  // The lease is still good, and its reports go on where they were.
  core::Report end = ReportOf("w", lease, 2, 11);
  end.end = Finished(11);  // which is not kept waiting
  EXPECT_EQ(ReportAndWait(end, RowsOf(lease.run, 10, 2)).verdict, core::ReportVerdict::kAccepted);
  EXPECT_EQ(RowsInDatabase(lease.run), 12);
}

TEST_F(CoordinatorTest, MoreMetricNamesThanAreTakenFailTheAttempt) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  MetricRows rows;
  rows.run = lease.run;
  rows.steps = {0};
  for (size_t i = 0; i <= MetricNames::kMost; ++i) rows.series.push_back({"m" + std::to_string(i), {1.0}});
  const core::ReportAnswer answer = ReportAndWait(ReportOf("w", lease, 1, 0), std::move(rows));
  EXPECT_EQ(answer.verdict, core::ReportVerdict::kRefused);
  EXPECT_THAT(answer.reason, HasSubstr("different metric names"));
  ASSERT_TRUE(coordinator_
                  ->Inspect([&](LiveView view) {
                    EXPECT_EQ(core::StateOf(*view.state.FindRun(lease.run)), core::RunState::kFailed);
                  })
                  .ok());
  EXPECT_EQ(RowsInDatabase(lease.run), 0);
}

// Rows of one step with `count` metrics that are named after `prefix`.
MetricRows NamesOf(RunId run, int64_t step, const std::string& prefix, size_t count) {
  MetricRows rows;
  rows.run = run;
  rows.steps = {step};
  for (size_t i = 0; i < count; ++i) rows.series.push_back({prefix + std::to_string(i), {1.0}});
  return rows;
}

TEST_F(CoordinatorTest, RefusedReportsTakeNoMetricNames) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  core::LeaseKey stale = lease;
  stale.fence = lease.fence.Next();
  const size_t part = MetricNames::kMostNewOfRun;
  for (size_t i = 0; i < MetricNames::kMost / part; ++i) {
    const MetricRows rows = NamesOf(RunId(1000 + static_cast<int64_t>(i)), 0, "x" + std::to_string(i) + "_", part);
    core::LeaseKey unknown = lease;
    unknown.run = rows.run;
    EXPECT_EQ(ReportAndWait(ReportOf("w", unknown, 1, 0), rows).verdict, core::ReportVerdict::kRefused);
    EXPECT_EQ(ReportAndWait(ReportOf("w", stale, 1, 0), rows).verdict, core::ReportVerdict::kRefused);
  }
  const core::ReportAnswer answer = ReportAndWait(ReportOf("w", lease, 1, 0), NamesOf(lease.run, 0, "mine", part));
  EXPECT_EQ(answer.verdict, core::ReportVerdict::kAccepted) << answer.reason;
}

TEST_F(CoordinatorTest, OneRunDoesNotUseUpTheMetricNamesOfAll) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 2)).ok());
  const core::LeaseKey greedy = LeaseOne("w");
  const core::LeaseKey modest = LeaseOne("v");
  const size_t part = MetricNames::kMostNewOfRun / 2;
  for (int64_t step = 0; step < 2; ++step) {
    const core::Report report = ReportOf("w", greedy, step + 1, step);
    const MetricRows rows = NamesOf(greedy.run, step, "at" + std::to_string(step) + "_", part);
    EXPECT_EQ(ReportAndWait(report, rows).verdict, core::ReportVerdict::kAccepted);
  }
  const core::ReportAnswer refused = ReportAndWait(ReportOf("w", greedy, 3, 2), NamesOf(greedy.run, 2, "more", 1));
  EXPECT_EQ(refused.verdict, core::ReportVerdict::kRefused);
  EXPECT_THAT(refused.reason, HasSubstr("that no run had before"));
  // Others may name what they like, and what was named already counts for nobody.
  MetricRows rows = NamesOf(modest.run, 0, "at0_", part);
  rows.series.push_back({"mine", {1.0}});
  EXPECT_EQ(ReportAndWait(ReportOf("v", modest, 1, 0), std::move(rows)).verdict, core::ReportVerdict::kAccepted);
}

}  // namespace
}  // namespace seedbed::coordinator_test
