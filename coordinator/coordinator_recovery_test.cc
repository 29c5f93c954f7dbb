// What becomes of things when commits fail, or would.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "coordinator/coordinator.h"
#include "coordinator/coordinator_fixture.h"
#include "coordinator/storage/storage_test_support.h"

namespace seedbed::coordinator_test {
namespace {

using ::testing::HasSubstr;

class RecoveryTest : public CoordinatorTest {
 protected:
  // A commit of more than the database may have pages for, under the lease of a run.
  void LetACommitFail(const core::LeaseKey& lease) {
    constexpr int64_t kTooMany = 400'000;  // rows, for 500 pages
    Pending<core::ReportAnswer> lost;
    Report(&lost, ReportOf("w", lease, 1, kTooMany - 1), RowsOf(lease.run, 0, kTooMany));
    EXPECT_EQ(lost.Get().status().code(), absl::StatusCode::kUnavailable);
  }
};

TEST_F(RecoveryTest, ADatabaseThatCannotBeLoadedIsSaid) {
  options_.most_pages = 500;
  options_.loop.first_retry = absl::Milliseconds(5);
  options_.loop.last_retry = absl::Milliseconds(50);
  options_.loop.after_batch = nullptr;  // the law that memory and database agree is broken on purpose
  std::atomic<int> said{0};
  options_.log = [&said](LogLevel level, const std::string& line) {
    if (level == LogLevel::kError && line.find("cannot be loaded") != std::string::npos) ++said;
  };
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  const std::unique_ptr<Database> other = storage_test::OpenRaw(coordinator_->Info().database_path);
  other->SetBusyTimeout(absl::Seconds(30));
  SEEDBED_ASSERT_OK(other->Execute("UPDATE runs SET state = 'sleeping'"));
  LetACommitFail(lease);
  ASSERT_TRUE(Eventually([&] {
    return coordinator_->Info().degraded_reason.find("the database cannot be loaded") != std::string::npos;
  })) << coordinator_->Info().degraded_reason;
  EXPECT_THAT(coordinator_->Info().degraded_reason, HasSubstr("no known state"));
  EXPECT_EQ(said, 1);
  // Meanwhile it is tried some times more: each try commits twice, which changes what another connection sees here.
  for (int change = 0; change < 6; ++change) {
    const auto version = [&other] { return **other->QueryInt("PRAGMA data_version"); };
    const int64_t before = version();
    ASSERT_TRUE(Eventually([&] { return version() != before; }));
  }
  SEEDBED_ASSERT_OK(other->Execute("UPDATE runs SET state = 'running'"));
  EXPECT_TRUE(Eventually([&] { return !coordinator_->Info().degraded; }));
  EXPECT_EQ(said, 1) << "however often it was tried";
  coordinator_.reset();  // it logs to this scope
}

TEST_F(RecoveryTest, ADeletionThatAFailedCommitCutsGoesOn) {
  options_.most_pages = 500;
  options_.loop.first_retry = absl::Milliseconds(5);
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  const auto gone = Submit(coordinator_.get(), "b", SweepText("gone", 2, 3));
  ASSERT_TRUE(gone.ok());
  core::DeleteSweep first_chunk;
  first_chunk.sweep = gone->sweep;
  first_chunk.most = 2;
  ASSERT_TRUE(coordinator_->ExecuteAndWait(first_chunk).ok());
  LetACommitFail(lease);
  EXPECT_TRUE(Eventually([&] {
    bool there = true;
    const absl::Status looked =
        coordinator_->Inspect([&](LiveView view) { there = view.state.FindSweep(gone->sweep) != nullptr; });
    return looked.ok() && !there;
  }));
}

TEST_F(RecoveryTest, EventsOfAFailedCommitAndOfTheTimeUntilTheNextAreKept) {
  options_.most_pages = 500;
  options_.loop.first_retry = absl::Milliseconds(200);
  std::atomic<bool> fails{false};
  options_.log = [&](LogLevel, const std::string& line) {
    if (line.find("a commit failed") != std::string::npos) fails = true;
  };
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  // Held up, so that the note comes into the batch that fails.
  free_bytes_ = options_.least_free_bytes - 1;
  ASSERT_TRUE(Eventually([this] { return EventsOfKind("disk_nearly_full") == 1; }));
  Pending<core::ReportAnswer> lost;
  Report(&lost, ReportOf("w", lease, 1, 399'999), RowsOf(lease.run, 0, 400'000));
  free_bytes_ = options_.least_free_bytes;
  EXPECT_EQ(lost.Get().status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(fails);
  free_bytes_ = options_.least_free_bytes - 1;
  // The housekeeper's flags: what it said while nothing could be written is said for good.
  ASSERT_TRUE(Eventually([this] { return coordinator_->Info().metrics_held; }));
  ASSERT_TRUE(Eventually([this] { return EventsOfKind("commits_resumed") == 1; }));
  EXPECT_TRUE(Eventually([this] { return EventsOfKind("disk_nearly_full") == 2; }));
  EXPECT_EQ(EventsOfKind("disk_has_room"), 1);
  coordinator_.reset();  // it logs to this scope
}

TEST_F(RecoveryTest, WhatFailsAgainAtOnceIsTriedLessAndLessOften) {
  options_.most_pages = 200;
  options_.loop.first_retry = absl::Milliseconds(100);
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  const auto begun = std::chrono::steady_clock::now();
  constexpr int64_t kTooMany = 160'000;  // rows, for 200 pages
  for (int failure = 0; failure < 4; ++failure) {
    ASSERT_TRUE(Eventually([this] { return !coordinator_->Info().degraded; }));
    Pending<core::ReportAnswer> lost;
    Report(&lost, ReportOf("w", lease, 1, kTooMany - 1), RowsOf(lease.run, 0, kTooMany));
    ASSERT_EQ(lost.Get().status().code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(100 + 200 + 400));
}

TEST_F(RecoveryTest, AConfigurationThatCannotBeReadFailsItsRunAndNobodyElses) {
  KeptLog log;
  options_.log = log.Writer();
  options_.settings.quarantine_after = 1;
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 3, 1)).ok());
  const std::unique_ptr<Database> other = storage_test::OpenRaw(coordinator_->Info().database_path);
  other->SetBusyTimeout(absl::Seconds(30));
  SEEDBED_ASSERT_OK(other->Execute("UPDATE configurations SET parameters = '{\"cut\": ' WHERE configuration_id = 2"));
  const SynchronizeReply reply = Synchronize(CallOf("w", 1, 3));
  ASSERT_EQ(reply.start.size(), 2u);
  EXPECT_EQ(reply.start[0].lease.configuration, ConfigurationId(1));
  EXPECT_EQ(reply.start[1].lease.configuration, ConfigurationId(3));
  // It is tried as often as any run that fails, and then it has failed.
  int64_t number = 1;
  EXPECT_TRUE(Eventually([&] {
    core::Synchronize call = CallOf("w", ++number, 1);
    for (const GrantedLease& granted : reply.start) call.leases.push_back({granted.lease.lease, 1, true});
    Pending<SynchronizeReply> answer;
    coordinator_->Synchronize(call, answer.Callback());
    coordinator_->ReleaseHeld(WorkerId("w"), number);
    const absl::StatusOr<SynchronizeReply> said = answer.Get();
    EXPECT_TRUE(said.ok()) << said.status();
    EXPECT_TRUE(said.ok() && said->answer.state == core::WorkerState::kActive) << "it did nothing wrong";
    return **other->QueryInt("SELECT count(*) FROM runs WHERE configuration_id = 2 AND state = 'failed'") == 1;
  }));
  const absl::StatusOr<RunDetail> failed = coordinator_->reader().GetRun(RunId(2));
  ASSERT_TRUE(failed.ok()) << failed.status();
  EXPECT_THAT(failed->attempts.back().reason, HasSubstr("the parameters of configuration 2 are no JSON"));
  EXPECT_THAT(log.text(), HasSubstr("run 2 cannot be handed out"));
  coordinator_.reset();  // it logs to this scope
}

TEST_F(RecoveryTest, WithoutALogQueriesEndBeforeCommitsGiveUp) {
  options_.journal = StoreOptions::Journal::kDelete;
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  std::future<absl::StatusOr<SubmissionResult>> submission;
  const absl::Status read = coordinator_->reader().Stream(
      "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n CROSS JOIN runs",
      absl::Seconds(60), [](const auto&) {},
      [&](const auto&) {
        if (submission.valid()) return true;
        submission =
            std::async(std::launch::async, [this] { return Submit(coordinator_.get(), "b", SweepText("t", 1, 1)); });
        return true;
      });
  EXPECT_EQ(read.code(), absl::StatusCode::kDeadlineExceeded) << read;
  ASSERT_TRUE(submission.valid());
  const absl::StatusOr<SubmissionResult> submitted = submission.get();
  EXPECT_TRUE(submitted.ok()) << submitted.status();
  EXPECT_EQ(coordinator_->reader().StreamLimit(absl::Seconds(10)), absl::Seconds(3)) << "less than a commit waits";
}

}  // namespace
}  // namespace seedbed::coordinator_test
