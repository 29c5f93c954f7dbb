#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>

#include "common/base/testing/until_it_waits.h"
#include "coordinator/coordinator_fixture.h"

// What goes on while a batch is written.
namespace seedbed::coordinator_test {
namespace {

// Another program that holds the write lock of a database with a write-ahead log: commits wait for it.
class WriteLock {
 public:
  explicit WriteLock(const std::string& database) : shared_memory_(::open((database + "-shm").c_str(), O_RDWR)) {}
  // To be destroyed after the coordinator: a closed descriptor takes all of the process's locks with it.
  ~WriteLock() { ::close(shared_memory_); }
  bool Take() const { return Set(F_WRLCK); }
  bool Release() const { return Set(F_UNLCK); }

 private:
  bool Set(short type) const {
    constexpr off_t kWriteLockByte = 120;  // of SQLite's file format
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = kWriteLockByte;
    lock.l_len = 1;
    return ::fcntl(shared_memory_, F_OFD_SETLK, &lock) == 0;
  }
  const int shared_memory_;
};

class WritingTest : public CoordinatorTest {
 protected:
  // A coordinator with one run, leased and listed.
  void Begin() {
    Open();
    ASSERT_TRUE(Submit(coordinator_.get(), "submission", SweepText("s", 1, 2)).ok());
    lease_ = LeaseOne("w");
    Synchronize(Heartbeat());
    lock_ = std::make_unique<WriteLock>(coordinator_->Info().database_path);
  }
  ~WritingTest() override { coordinator_.reset(); }
  core::Synchronize Heartbeat() {
    core::Synchronize call = CallOf("w", ++number_, 0);
    call.leases.push_back({lease_, 7, true});
    return call;
  }
  core::LeaseKey lease_;
  std::unique_ptr<WriteLock> lock_;
};

TEST_F(WritingTest, AQuietHeartbeatIsAnsweredWhileACommitWaits) {
  Begin();
  ASSERT_TRUE(lock_->Take());
  Pending<core::Answer> pause;
  coordinator_->Execute(core::PauseSweep{SweepId(1), false}, pause.Callback());
  for (int i = 0; i < 3; ++i) {
    const SynchronizeReply reply = Synchronize(Heartbeat());
    EXPECT_TRUE(reply.answer.stop.empty());
  }
  EXPECT_FALSE(pause.IsThere());
  ASSERT_TRUE(lock_->Release());
  EXPECT_TRUE(pause.Get().ok());
}

TEST_F(WritingTest, NewsWaitForTheCommitThatTheyComeFrom) {
  Begin();
  Synchronize(CallOf("v", 1, 0));
  ASSERT_TRUE(lock_->Take());
  Pending<core::Answer> halt;
  coordinator_->Execute(core::PauseSweep{SweepId(1), true}, halt.Callback());
  Pending<SynchronizeReply> told;
  coordinator_->Synchronize(Heartbeat(), told.Callback());
  Synchronize(CallOf("v", 2, 0));  // was decided after it, and has no news
  EXPECT_FALSE(told.IsThere()) << "its lease is asked back by what is not durable yet";
  ASSERT_TRUE(lock_->Release());
  EXPECT_TRUE(halt.Get().ok());
  const absl::StatusOr<SynchronizeReply> reply = told.Get();
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->answer.stop.size(), 1u);
}

TEST_F(WritingTest, WhoLooksSeesOnlyWhatIsDurable) {
  Begin();
  ASSERT_TRUE(lock_->Take());
  Pending<core::Answer> pause;
  coordinator_->Execute(core::PauseSweep{SweepId(1), false}, pause.Callback());
  std::future<core::SweepState> seen = UntilItWaits<core::SweepState>([this] {
    core::SweepState state = core::SweepState::kSubmitting;
    EXPECT_TRUE(coordinator_->Inspect([&](LiveView view) { state = view.state.FindSweep(SweepId(1))->state; }).ok());
    return state;
  });
  EXPECT_EQ(seen.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  ASSERT_TRUE(lock_->Release());
  EXPECT_EQ(seen.get(), core::SweepState::kPaused);
  EXPECT_TRUE(pause.Get().ok());
}

TEST_F(WritingTest, NothingExpiresWhileACommitWaits) {
  // Less than the gap between ticks that extends leases.
  options_.settings.lease_duration = absl::Seconds(1);
  Begin();
  ASSERT_TRUE(lock_->Take());
  Pending<core::Answer> pause;
  coordinator_->Execute(core::PauseSweep{SweepId(1), false}, pause.Callback());
  Synchronize(Heartbeat());
  Synchronize(Heartbeat());  // decided in another turn than the first, so the pause is with the writer
  clock_.Advance(options_.settings.lease_duration + absl::Milliseconds(500));
  const auto due = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(4 * options_.loop.tick_every);
  while (std::chrono::steady_clock::now() < due) std::this_thread::yield();
  Pending<SynchronizeReply> reply;
  coordinator_->Synchronize(Heartbeat(), reply.Callback());
  ASSERT_TRUE(lock_->Release());
  const absl::StatusOr<SynchronizeReply> answer = reply.Get();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->answer.restored.empty()) << "who waits for a commit loses no lease for it";
  EXPECT_TRUE(pause.Get().ok());
  EXPECT_EQ(EventsOfKind("worker_state"), 0);
}

TEST_F(WritingTest, SilenceDuringSlowCommitsIsSilence) {
  Begin();
  Synchronize(CallOf("v", 1, 0));
  LetTurnsPass(10);  // ticks: both have been answered before the last one
  int64_t number = 1;
  for (int write = 0; write < 3; ++write) {
    ASSERT_TRUE(Eventually([this] { return lock_->Take(); })) << "a tick's own commit does not take long";
    Pending<core::Answer> change;
    coordinator_->Execute(write % 2 == 0 ? core::Command(core::PauseSweep{SweepId(1), false})
                                         : core::Command(core::ResumeSweep{SweepId(1)}),
                          change.Callback());
    for (int i = 0; i < 4; ++i) {
      Synchronize(CallOf("v", ++number, 0));  // what comes is heard all the time
      clock_.Advance(absl::Milliseconds(1'900));
    }
    ASSERT_TRUE(lock_->Release());
    ASSERT_TRUE(change.Get().ok());
  }
  EXPECT_TRUE(Eventually([this] { return EventsOfKind("worker_state") == 1; })) << "w was silent for 22 s";
  EXPECT_TRUE(Synchronize(CallOf("v", ++number, 0)).answer.state == core::WorkerState::kActive);
}

// Somebody watches all the time, so that nothing is decided while a commit waits.
TEST_F(WritingTest, SilenceWhileSomebodyWaitsToSeeASlowCommitIsSilence) {
  Begin();
  int64_t number = 1;
  Synchronize(CallOf("v", number, 0));
  LetTurnsPass(10);
  for (int write = 0; write < 3; ++write) {
    ASSERT_TRUE(Eventually([this] { return lock_->Take(); }));
    // While the loop is kept by one look, the change and another look arrive: one turn takes both.
    std::promise<void> go_on;
    std::future<bool> first =
        UntilItWaits<bool>([&] { return coordinator_->Inspect([&](LiveView) { go_on.get_future().wait(); }).ok(); });
    Pending<core::Answer> change;
    coordinator_->Execute(write % 2 == 0 ? core::Command(core::PauseSweep{SweepId(1), false})
                                         : core::Command(core::ResumeSweep{SweepId(1)}),
                          change.Callback());
    std::future<bool> look = UntilItWaits<bool>([this] { return coordinator_->Inspect([](LiveView) {}).ok(); });
    go_on.set_value();
    Pending<SynchronizeReply> alive;
    coordinator_->Synchronize(CallOf("v", ++number, 0), alive.Callback());
    for (int i = 0; i < 4; ++i) {
      clock_.Advance(absl::Milliseconds(1'900));
      // The loop has looked at the clock some times by then.
      const auto looked = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(20 * options_.loop.tick_every);
      while (std::chrono::steady_clock::now() < looked) std::this_thread::yield();
    }
    ASSERT_TRUE(lock_->Release());
    ASSERT_TRUE(change.Get().ok());
    EXPECT_TRUE(first.get() && look.get());
    ASSERT_TRUE(alive.Get().ok());
  }
  EXPECT_TRUE(Eventually([this] { return EventsOfKind("worker_state") == 1; })) << "w was silent for 22 s";
  EXPECT_TRUE(Synchronize(CallOf("v", ++number, 0)).answer.state == core::WorkerState::kActive);
}

TEST_F(WritingTest, WhoseCallWaitsForASlowCommitLosesNothing) {
  Begin();
  Synchronize(CallOf("v", 1, 0));
  ASSERT_TRUE(lock_->Take());
  Pending<core::Answer> halt;
  coordinator_->Execute(core::PauseSweep{SweepId(1), true}, halt.Callback());
  Pending<SynchronizeReply> told;
  coordinator_->Synchronize(Heartbeat(), told.Callback());
  for (int i = 0; i < 20; ++i) {
    Synchronize(CallOf("v", 2 + i, 0));
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_FALSE(told.IsThere());
  ASSERT_TRUE(lock_->Release());
  ASSERT_TRUE(halt.Get().ok());
  const absl::StatusOr<SynchronizeReply> reply = told.Get();
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->answer.stop.size(), 1u);
  LetTurnsPass(10);
  EXPECT_EQ(EventsOfKind("worker_state"), 0) << "it could not call before it was answered";
}

TEST_F(WritingTest, AFailedCommitTakesAlongWhatWasDecidedUponIt) {
  Begin();
  ASSERT_TRUE(lock_->Take());
  Pending<core::Answer> pause;
  coordinator_->Execute(core::PauseSweep{SweepId(1), false}, pause.Callback());
  // Its own batch: the first is with the writer, since a heartbeat that came after it was answered.
  Synchronize(Heartbeat());
  Pending<core::Answer> resume;
  coordinator_->Execute(core::ResumeSweep{SweepId(1)}, resume.Callback());
  EXPECT_EQ(pause.Get().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(resume.Get().status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(lock_->Release());
  ASSERT_TRUE(Eventually([this] { return !coordinator_->Info().degraded; }));
  core::SweepState state = core::SweepState::kPaused;
  ASSERT_TRUE(coordinator_->Inspect([&](LiveView view) { state = view.state.FindSweep(SweepId(1))->state; }).ok());
  EXPECT_EQ(state, core::SweepState::kActive);
}

TEST_F(WritingTest, StoppingWritesWhatWasDecidedMeanwhile) {
  Begin();
  ASSERT_TRUE(lock_->Take());
  Pending<core::Answer> pause;
  coordinator_->Execute(core::PauseSweep{SweepId(1), false}, pause.Callback());
  Synchronize(Heartbeat());
  Pending<core::ReportAnswer> report;
  Report(&report, ReportOf("w", lease_, 1, 9), RowsOf(lease_.run, 0, 10));
  std::future<void> stopped = UntilItWaits<void>([this] { coordinator_->PrepareToStop(); });
  ASSERT_TRUE(lock_->Release());
  stopped.get();
  EXPECT_TRUE(pause.Get().ok());
  EXPECT_TRUE(report.Get().ok());
  EXPECT_EQ(RowsInDatabase(lease_.run), 10);
}

}  // namespace
}  // namespace seedbed::coordinator_test
