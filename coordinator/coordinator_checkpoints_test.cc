// What workers may put on the coordinator's disk: checkpoints within its room, and logs of what they train.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "common/base/sha256.h"
#include "coordinator/coordinator.h"
#include "coordinator/coordinator_fixture.h"

namespace seedbed::coordinator_test {
namespace {

class WorkersFilesTest : public CoordinatorTest {
 protected:
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Begin(const std::string& worker, const core::LeaseKey& lease,
                                                          int64_t size) {
    return coordinator_->BeginCheckpoint(WorkerId(worker), lease, 10, size, Sha256Hex(std::string(size, 'x')));
  }
  absl::StatusCode CodeOf(const std::string& worker, const core::LeaseKey& lease, int64_t size) {
    return Begin(worker, lease, size).status().code();
  }
  bool LogBecomes(const core::LeaseKey& lease, const std::string& expected) {
    return Eventually([&] {
      std::ifstream file(coordinator_->LogPath(lease.run, lease.attempt));
      std::stringstream text;
      text << file.rdbuf();
      return text.str() == expected;
    });
  }
};

TEST_F(WorkersFilesTest, CheckpointsLeaveTheReserveOfTheDisk) {
  free_bytes_ = options_.least_free_bytes + 1000;
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 2)).ok());
  const core::LeaseKey one = LeaseOne("w");
  const core::LeaseKey two = LeaseOne("v");
  EXPECT_EQ(CodeOf("w", one, 1001), absl::StatusCode::kResourceExhausted);
  {
    auto writer = Begin("w", one, 600);
    ASSERT_TRUE(writer.ok()) << writer.status();
    EXPECT_EQ(CodeOf("v", two, 401), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(CodeOf("v", two, 400), absl::StatusCode::kOk);
    // What has come is on the disk, and counts there alone.
    ASSERT_TRUE((*writer)->Append(std::string(500, 'x')).ok());
    free_bytes_ = free_bytes_ - 500;
    EXPECT_EQ(CodeOf("v", two, 401), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(CodeOf("v", two, 400), absl::StatusCode::kOk);
  }
  free_bytes_ = options_.least_free_bytes + 1000;
  EXPECT_EQ(CodeOf("v", two, 1000), absl::StatusCode::kOk);
}

TEST_F(WorkersFilesTest, TheQuotaCountsWhatIsUnderWay) {
  options_.most_checkpoint_bytes = 1000;
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 2)).ok());
  const core::LeaseKey one = LeaseOne("w");
  const core::LeaseKey two = LeaseOne("v");
  {
    const auto writer = Begin("w", one, 600);
    ASSERT_TRUE(writer.ok()) << writer.status();
    EXPECT_EQ(CodeOf("v", two, 401), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(CodeOf("v", two, 402), absl::StatusCode::kResourceExhausted);
    EXPECT_TRUE(Eventually([this] { return EventsOfKind("checkpoint_quota_reached") == 1; }));
    EXPECT_EQ(CodeOf("v", two, 400), absl::StatusCode::kOk);
  }
  EXPECT_EQ(CodeOf("v", two, 1000), absl::StatusCode::kOk);
  EXPECT_TRUE(Eventually([this] { return EventsOfKind("checkpoint_quota_has_room") == 1; }));
  EXPECT_EQ(EventsOfKind("checkpoint_quota_reached"), 1) << "said once, though two were refused";
}

TEST_F(WorkersFilesTest, NoFileIsBegunWithoutALease) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  EXPECT_EQ(CodeOf("w", lease, 10), absl::StatusCode::kOk);
  EXPECT_EQ(CodeOf("v", lease, 10), absl::StatusCode::kFailedPrecondition);
  core::LeaseKey other = lease;
  other.fence = lease.fence.Next();
  EXPECT_EQ(CodeOf("w", other, 10), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(CodeOf("w", {RunId(77), 1, lease.fence}, 10), absl::StatusCode::kFailedPrecondition);
  core::Report end = ReportOf("w", lease, 1, 9);
  end.end = Finished(9);
  ReportAndWait(end, RowsOf(lease.run, 0, 10));
  EXPECT_EQ(CodeOf("w", lease, 10), absl::StatusCode::kFailedPrecondition);
}

TEST_F(WorkersFilesTest, LogsTakeOnlyTheAttemptsOwnWords) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  core::LeaseKey other = lease;
  other.fence = lease.fence.Next();
  coordinator_->AppendLog(WorkerId("v"), lease, "another worker's\n");
  coordinator_->AppendLog(WorkerId("w"), other, "another fence's\n");
  coordinator_->AppendLog(WorkerId("w"), lease, "its own\n");
  EXPECT_TRUE(LogBecomes(lease, "its own\n"));
  core::Report end = ReportOf("w", lease, 1, 9);
  end.end = Finished(9);
  ReportAndWait(end, RowsOf(lease.run, 0, 10));
  coordinator_->AppendLog(WorkerId("w"), other, "another fence's\n");
  coordinator_->AppendLog(WorkerId("v"), lease, "another worker's\n");
  coordinator_->AppendLog(WorkerId("w"), lease, "its last\n");
  EXPECT_TRUE(LogBecomes(lease, "its own\nits last\n"));
  coordinator_.reset();
  Open();
  coordinator_->AppendLog(WorkerId("v"), lease, "another worker's\n");
  coordinator_->AppendLog(WorkerId("w"), lease, "after a restart\n");
  EXPECT_TRUE(LogBecomes(lease, "its own\nits last\nafter a restart\n"));
}

TEST_F(WorkersFilesTest, LogsAreDroppedWhileTheDiskIsNearlyFull) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  free_bytes_ = options_.least_free_bytes - 1;
  ASSERT_TRUE(Eventually([&] { return coordinator_->Info().metrics_held; }));
  coordinator_->AppendLog(WorkerId("w"), lease, "lost\n");
  ASSERT_TRUE(coordinator_->Inspect([](LiveView) {}).ok());  // it was taken by then
  free_bytes_ = options_.least_free_bytes;
  ASSERT_TRUE(Eventually([&] { return !coordinator_->Info().metrics_held; }));
  coordinator_->AppendLog(WorkerId("w"), lease, "kept\n");
  EXPECT_TRUE(LogBecomes(lease, "\n[seedbed: 5 bytes were dropped here]\nkept\n"));
}

// Of a run that prints nothing any more.
class LastWordsTest : public WorkersFilesTest {
 protected:
  void LoseLastWords() {
    Open();
    ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
    lease_ = LeaseOne("w");
    free_bytes_ = options_.least_free_bytes - 1;
    ASSERT_TRUE(Eventually([&] { return coordinator_->Info().metrics_held; }));
    coordinator_->AppendLog(WorkerId("w"), lease_, "lost\n");
    ASSERT_TRUE(coordinator_->Inspect([](LiveView) {}).ok());  // it was taken by then
  }
  void FindRoom() {
    free_bytes_ = options_.least_free_bytes;
    ASSERT_TRUE(Eventually([&] { return !coordinator_->Info().metrics_held; }));
  }

  core::LeaseKey lease_;
  const std::string mark_ = "\n[seedbed: 5 bytes were dropped here]\n";
};

TEST_F(LastWordsTest, ThatAreLostAreToldAtTheEnd) {
  options_.loop.tell_losses_every = absl::Hours(1);
  LoseLastWords();
  FindRoom();
  core::Report end = ReportOf("w", lease_, 1, 9);
  end.end = Finished(9);
  ReportAndWait(end, RowsOf(lease_.run, 0, 10));
  EXPECT_TRUE(LogBecomes(lease_, mark_));
}

TEST_F(LastWordsTest, ThatAreLostAreToldWhenThereIsRoom) {
  options_.loop.tell_losses_every = absl::Milliseconds(1);
  LoseLastWords();
  LetTurnsPass(5);
  EXPECT_FALSE(std::filesystem::exists(coordinator_->LogPath(lease_.run, lease_.attempt))) << "its disk is full";
  FindRoom();
  EXPECT_TRUE(LogBecomes(lease_, mark_));
}

TEST_F(LastWordsTest, ThatAreLostAreToldWhenTheCoordinatorStops) {
  LoseLastWords();
  const std::string path = coordinator_->LogPath(lease_.run, lease_.attempt);
  coordinator_.reset();
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), mark_);
}

}  // namespace
}  // namespace seedbed::coordinator_test
