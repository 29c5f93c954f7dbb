// The calls of workers: held until there is news, answered when it comes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/coordinator.h"
#include "coordinator/coordinator_fixture.h"

namespace seedbed::coordinator_test {
namespace {

using ::testing::HasSubstr;

TEST_F(CoordinatorTest, AHeldCallIsAnsweredWhenWorkComes) {
  Open();
  EXPECT_TRUE(Synchronize(CallOf("w", 1, 2)).start.empty());  // the call that registers is answered at once
  Pending<SynchronizeReply> held;
  coordinator_->Synchronize(CallOf("w", 2, 2), held.Callback());
  LetTurnsPass(3);
  EXPECT_FALSE(held.IsThere());
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 3)).ok());
  const absl::StatusOr<SynchronizeReply> reply = held.Get();
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->start.size(), 2u);
  EXPECT_EQ(reply->start[0].sweep_name, "s");
  const Json specification = Json::parse(reply->start[1].specification_json);
  EXPECT_EQ(specification["seed"], 1);
  EXPECT_EQ(specification["budget"]["steps"], 1000);
  EXPECT_EQ(specification["parameters"]["optimizer.weight_decay"], 1e-4);
}

TEST_F(CoordinatorTest, ANewerCallAnswersTheOlderAndTimeAnswersBoth) {
  Open();
  Synchronize(CallOf("w", 1, 1));
  Pending<SynchronizeReply> older;
  Pending<SynchronizeReply> newer;
  coordinator_->Synchronize(CallOf("w", 2, 1), older.Callback());
  coordinator_->Synchronize(CallOf("w", 3, 1), newer.Callback());
  EXPECT_TRUE(older.Get().ok());
  clock_.Advance(options_.settings.lease_duration / 3 - absl::Milliseconds(1));
  LetTurnsPass(3);
  EXPECT_FALSE(newer.IsThere());
  clock_.Advance(absl::Milliseconds(1));
  const absl::StatusOr<SynchronizeReply> reply = newer.Get();
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->answer.next_call_after, absl::ZeroDuration());

  Pending<SynchronizeReply> released;
  coordinator_->Synchronize(CallOf("w", 4, 1), released.Callback());
  coordinator_->ReleaseHeld(WorkerId("w"), 3);  // another call's
  LetTurnsPass(2);
  EXPECT_FALSE(released.IsThere());
  coordinator_->ReleaseHeld(WorkerId("w"), 4);
  EXPECT_TRUE(released.Get().ok());
}

TEST_F(CoordinatorTest, ACancelledRunWakesItsWorker) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  core::Synchronize call = CallOf("w", ++number_, 1);
  call.leases.push_back({lease, 0, true});
  Pending<SynchronizeReply> held;
  coordinator_->Synchronize(call, held.Callback());
  LetTurnsPass(2);
  EXPECT_FALSE(held.IsThere());
  const auto cancelled = ControlSweeps(coordinator_.get(), "s", {}, CancelAction{});
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->changed, 1);
  const absl::StatusOr<SynchronizeReply> reply = held.Get();
  ASSERT_TRUE(reply.ok());
  ASSERT_EQ(reply->answer.stop.size(), 1u);
  EXPECT_EQ(reply->answer.stop[0].lease.run, lease.run);
  EXPECT_EQ(ReportAndWait(ReportOf("w", lease, 1), std::nullopt).verdict, core::ReportVerdict::kRefused);
}

TEST_F(CoordinatorTest, PausingNowWakesAndDrainingTells) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  core::Synchronize call = CallOf("w", ++number_, 1);
  call.leases.push_back({lease, 0, true});
  Pending<SynchronizeReply> held;
  coordinator_->Synchronize(call, held.Callback());
  ASSERT_TRUE(ControlSweeps(coordinator_.get(), "last", {}, PauseAction{true}).ok());
  const absl::StatusOr<SynchronizeReply> reply = held.Get();
  ASSERT_TRUE(reply.ok());
  ASSERT_EQ(reply->answer.stop.size(), 1u);
  EXPECT_TRUE(reply->answer.stop[0].hand_back);

  call.number = ++number_;
  call.leases.clear();
  Pending<SynchronizeReply> idle;
  coordinator_->Synchronize(call, idle.Callback());
  EXPECT_EQ(*ControlWorkers(coordinator_.get(), "w", WorkerAction::kDrain), 1);
  EXPECT_EQ(idle.Get()->answer.state, core::WorkerState::kDraining);
  EXPECT_THAT(std::string(ControlWorkers(coordinator_.get(), "x", WorkerAction::kDrain).status().message()),
              HasSubstr("no worker 'x'"));
}

TEST_F(CoordinatorTest, AnExpiredLeaseGoesToWhoWaits) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lost = LeaseOne("w");
  Synchronize(CallOf("idle", 1, 1));
  SynchronizeReply reply;
  for (int64_t number = 2; number < 10 && reply.start.empty(); ++number) {
    Pending<SynchronizeReply> held;
    coordinator_->Synchronize(CallOf("idle", number, 1), held.Callback());
    while (!held.IsThere()) {
      // In steps below the suspension gap, as time passes on a machine that is awake.
      clock_.Advance(absl::Seconds(1));
      LetTurnsPass(2);
    }
    reply = *held.Get();
  }
  ASSERT_EQ(reply.start.size(), 1u);
  EXPECT_EQ(reply.start[0].lease.lease.run, lost.run);
  EXPECT_EQ(reply.start[0].lease.lease.attempt, 2);
  EXPECT_EQ(ReportAndWait(ReportOf("w", lost, 1), std::nullopt).verdict, core::ReportVerdict::kRefused);
}

TEST_F(CoordinatorTest, AHeartbeatThatWaitsIsDecidedBeforeTheTickThatWouldMissIt) {
  // Less than the gap between ticks that extends leases.
  options_.settings.lease_duration = absl::Seconds(1);
  struct Gate {
    std::atomic<bool> closed{false};
    std::promise<void> reached;
    std::promise<void> opened;
  };
  const auto gate = std::make_shared<Gate>();
  options_.loop.after_batch = [gate, laws = options_.loop.after_batch](const core::State& state, Store& store) {
    laws(state, store);
    if (!gate->closed.exchange(false)) return;
    gate->reached.set_value();
    gate->opened.get_future().wait_for(kPatience);
  };
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  const auto heartbeat = [&] {
    core::Synchronize call = CallOf("w", ++number_, 0);
    call.leases.push_back({lease, 1, true});
    return call;
  };
  Synchronize(heartbeat());
  // While the loop is kept from its work, the lease's time passes and a heartbeat and the next tick fall due.
  gate->closed = true;
  ASSERT_EQ(gate->reached.get_future().wait_for(kPatience), std::future_status::ready);
  clock_.Advance(options_.settings.lease_duration + absl::Milliseconds(500));
  Pending<SynchronizeReply> reply;
  coordinator_->Synchronize(heartbeat(), reply.Callback());
  const auto due = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(2 * options_.loop.tick_every);
  while (std::chrono::steady_clock::now() < due) std::this_thread::yield();
  gate->opened.set_value();
  const absl::StatusOr<SynchronizeReply> answer = reply.Get();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->answer.restored.empty()) << "it had not expired";
  LetTurnsPass(3);
  EXPECT_EQ(ReportAndWait(ReportOf("w", lease, 1), std::nullopt).verdict, core::ReportVerdict::kAccepted);
  EXPECT_EQ(EventsOfKind("worker_state"), 0);
}

TEST_F(CoordinatorTest, WhileNoWorkerCanReachItNoLeaseEnds) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  coordinator_.reset();
  const core::Settings served = options_.settings;
  options_.settings = UnservedOptions(options_.directory).settings;
  Open();
  for (int i = 0; i < 20; ++i) {
    clock_.Advance(absl::Milliseconds(1'900));
    LetTurnsPass(3);
  }
  coordinator_.reset();
  options_.settings = served;
  Open();
  core::Synchronize call = CallOf("w", ++number_, 0);
  call.leases.push_back({lease, 7, true});
  const SynchronizeReply reply = Synchronize(call);
  EXPECT_TRUE(reply.answer.restored.empty()) << "it was never lost";
  EXPECT_TRUE(reply.answer.stop.empty());
  EXPECT_EQ(EventsOfKind("worker_state"), 0);
}

TEST_F(CoordinatorTest, EmbeddedWorkersThatAreGoneLoseTheirLeasesAtOnce) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey before = LeaseOne("w");
  coordinator_.reset();
  options_.workers_are_gone = true;
  Open();
  const core::LeaseKey after = LeaseOne("w2");
  EXPECT_EQ(after.run, before.run);
  EXPECT_EQ(after.attempt, before.attempt + 1);
}

}  // namespace
}  // namespace seedbed::coordinator_test
