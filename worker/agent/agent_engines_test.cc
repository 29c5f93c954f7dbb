// What engines do to leases, and what the worker's state does to both.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/agent/testing/agent_world.h"

namespace seedbed::agent {
namespace {

using ::testing::HasSubstr;

TEST(Engines, OneThatDoesNotTakeARunIsLeftAloneForASecond) {
  World world;
  world.Train({Granted(Key(1))});
  for (int64_t attempt = 1; attempt <= 3; ++attempt) {
    EXPECT_EQ(world.Started().attempt, AttemptId(attempt));
    world.Ended(attempt, AttemptEnd::kNotStarted);
    world.Pass(absl::Milliseconds(999));
    EXPECT_TRUE(world.pool.starts.empty());
    while (!world.link.calls.empty()) world.CallAndAnswer();
    world.Pass(absl::Milliseconds(1));
  }
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 end preempted") << "after three times";
}

TEST(Engines, ALeaseGoesToAnotherEngineWhenItsOwnIsDown) {
  World world(2);
  world.EngineReady(0);
  world.EngineReady(1);
  world.EngineDown(0);
  world.CallAndAnswer();
  world.Settle();
  SynchronizeAnswer answer = world.Desired();
  answer.start = {Granted(Key(1)), Granted(Key(2))};
  EXPECT_EQ(world.CallAndAnswer(answer).free_slots, 1);
  EXPECT_EQ(world.Started().engine, 1);
  world.Settle();
  world.CallAndAnswer();
  world.EngineReady(0);
  EXPECT_EQ(world.Started().engine, 0);
  world.CallAndAnswer();
}

TEST(Engines, ALeaseThatFindsNoneForHalfAMinuteIsHandedBack) {
  World world;
  world.Train({Granted(Key(1)), Granted(Key(2))});
  world.Started();
  world.Ended(1, AttemptEnd::kCrashed);
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 end crashed");
  EXPECT_EQ(world.Started().attempt, AttemptId(2));
  world.Ended(2, AttemptEnd::kNotStarted);
  world.EngineDown();
  for (int second = 0; second < 30; ++second) {
    EXPECT_TRUE(world.link.reports.empty()) << second;
    world.Acknowledge(Key(1), 1);
    while (!world.link.calls.empty()) EXPECT_EQ(world.CallAndAnswer().free_slots, 0);
    world.Pass(absl::Seconds(1));
  }
  EXPECT_EQ(Shown(world.Reported()), "2/1#1 :1 end preempted");
  while (!world.link.calls.empty()) world.CallAndAnswer();
}

TEST(Engines, ThatNeverStartEndTheWorker) {
  World world(2);
  for (int life = 0; life < 3; ++life) {
    EXPECT_TRUE(world.pool.commands.empty());
    world.EngineDown(0);
    world.EngineDown(1);
  }
  EXPECT_EQ(world.Commanded(), "shutdown");
  EXPECT_THAT(std::string(world.agent->failure().message()), HasSubstr("the engine does not start: killed"));
}

TEST(Engines, OnAnotherDeviceThanTheOneAskedForEndTheWorker) {
  struct Case {
    const char* wanted;
    const char* device;
    bool fits;
  };
  for (const Case& c :
       {Case{"", "cpu", true}, Case{"", "cuda:0", true}, Case{"cpu", "cpu", true}, Case{"cuda", "cuda:1", true},
        Case{"cuda", "cpu", false}, Case{"cuda:0", "cuda:1", false}, Case{"cpu", "cuda:0", false}}) {
    AgentOptions options;
    options.required_device = c.wanted;
    World world(1, options);
    world.EngineReady_(0, 1, {"modular"}, c.device);
    EXPECT_EQ(world.agent->failure().ok(), c.fits) << c.wanted << " " << c.device;
    EXPECT_EQ(world.Commanded(), c.fits ? "nothing" : "shutdown");
    world.link.calls.clear();
  }
}

TEST(States, ADrainingOrQuarantinedWorkerFinishesWhatItHoldsAndWantsNothing) {
  for (const WorkerState state : {WorkerState::kDraining, WorkerState::kQuarantined}) {
    World world;
    world.Train({Granted(Key(1)), Granted(Key(2))});
    world.Started();
    world.Pass(absl::Seconds(5));
    SynchronizeAnswer answer = world.Desired();
    answer.state = state;
    world.CallAndAnswer(answer);
    world.Settle();
    world.CallAndAnswer(answer);
    world.Ended(1, AttemptEnd::kFinished, 10);
    world.StreamOpened();
    world.Reported();
    world.Acknowledge(Key(1), 1);
    world.Started();
    world.Settle();
    world.CallAndAnswer(answer);
    world.Ended(2, AttemptEnd::kFinished, 10);
    world.Reported();
    world.Acknowledge(Key(2), 1);
    EXPECT_EQ(world.CallAndAnswer(answer).free_slots, 0);
    world.Pass(absl::Seconds(5));
    world.CallAndAnswer();  // active again: says at once what it wants
    world.Settle();
    EXPECT_GE(world.Call().free_slots, 1);
  }
}

TEST(Engines, OneThatRefusesToStartIsNotTriedAgain) {
  AgentOptions options;
  options.required_device = "cuda";
  World world(2, options);
  world.agent->OnEngineEvent(EngineWentDown{1, "exited with status 2; no GPU", absl::ZeroDuration(), /*refused=*/true},
                             world.clock.Now());
  EXPECT_EQ(world.Commanded(), "shutdown");
  EXPECT_EQ(world.agent->failure(), absl::FailedPreconditionError("the engine refuses to start with --device cuda: it "
                                                                  "exited with status 2; no GPU"));
}

}  // namespace
}  // namespace seedbed::agent
