#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/agent/testing/agent_world.h"

namespace seedbed::agent {
namespace {

void PoolStops(World& world) {
  world.agent->OnEngineEvent(PoolStopped{}, world.clock.Now());
}

TEST(Shutdown, HandsBackSaysGoodbyeAndTakesTheEnginesDown) {
  World world;
  world.Train({Granted(Key(1)), Granted(Key(2))});
  world.Started();
  world.agent->BeginShutdown(world.clock.Now());
  EXPECT_EQ(world.Commanded(), "stop with checkpoint 1");
  EXPECT_EQ(world.Commanded(), "nothing");
  world.Metrics(1, {0});
  world.Ended(1, AttemptEnd::kStopped, 0);
  EXPECT_TRUE(world.pool.starts.empty()) << "what waits is not started any more";
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 rows 0");
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :2 end preempted");
  EXPECT_EQ(world.CallAndAnswer().free_slots, 0);
  EXPECT_FALSE(world.agent->done());
  world.Acknowledge(Key(1), 2);
  const SynchronizeRequest goodbye = world.Call();
  EXPECT_TRUE(goodbye.goodbye);
  EXPECT_EQ(Listed(goodbye), "2/1#1 idle -1") << "handed back by being listed";
  EXPECT_EQ(world.Commanded(), "nothing");
  world.Answer(goodbye.number, world.Desired());
  EXPECT_EQ(world.Commanded(), "shutdown");
  EXPECT_FALSE(world.agent->done());
  PoolStops(world);
  EXPECT_TRUE(world.agent->done());
  EXPECT_TRUE(world.agent->failure().ok());
}

TEST(Shutdown, WhatIsGrantedMeanwhileIsHandedBack) {
  World world;
  world.EngineReady();
  const SynchronizeRequest held = world.Call();
  world.Answer(held.number, world.Desired());
  world.Settle();
  const SynchronizeRequest crossing = world.Call();
  world.agent->BeginShutdown(world.clock.Now());
  const SynchronizeRequest goodbye = world.Call();
  EXPECT_TRUE(goodbye.goodbye);
  SynchronizeAnswer answer = world.Desired();
  answer.start = {Granted(Key(1))};
  world.Answer(crossing.number, answer);
  EXPECT_TRUE(world.pool.starts.empty());
  EXPECT_EQ(world.Commanded(), "nothing") << "only the answer to the goodbye counts";
  world.Answer(goodbye.number, world.Desired());
  EXPECT_EQ(world.Commanded(), "shutdown");
  PoolStops(world);
}

TEST(Shutdown, ARunThatFinishesMeanwhileHasFinished) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  world.agent->BeginShutdown(world.clock.Now());
  world.Commanded();
  world.Ended(1, AttemptEnd::kFinished, 10);
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 end finished");
  world.CallAndAnswer();
  world.Acknowledge(Key(1), 1);
  world.CallAndAnswer();
  EXPECT_EQ(world.Commanded(), "shutdown");
}

TEST(Shutdown, EndsInBoundedTimeWhenTheCoordinatorIsAway) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  world.agent->BeginShutdown(world.clock.Now());
  world.Commanded();
  world.Ended(1, AttemptEnd::kStopped, 0);
  world.Pass(absl::Milliseconds(7999));  // 5 s for the acknowledgement, 3 s for the goodbye
  EXPECT_EQ(world.Commanded(), "nothing");
  world.Pass(absl::Milliseconds(1));
  EXPECT_EQ(world.Commanded(), "shutdown");
  world.Pass(absl::Seconds(15));
  EXPECT_TRUE(world.agent->done()) << "even if the pool says nothing";
  world.link.calls.clear();
  world.link.streams.clear();
  world.link.reports.clear();
}

TEST(Shutdown, AnErrorAnswersTheGoodbyeToo) {
  World world;
  world.Train({});
  world.agent->BeginShutdown(world.clock.Now());
  world.Answer(world.Call().number, absl::UnavailableError("gone already"));
  EXPECT_EQ(world.Commanded(), "shutdown");
}

TEST(Shutdown, OfAWorkerThatNeverRegisteredAsksNobody) {
  World world;
  world.agent->BeginShutdown(world.clock.Now());
  EXPECT_EQ(world.Commanded(), "shutdown");
  PoolStops(world);
  EXPECT_TRUE(world.agent->done());
}

TEST(Shutdown, AbortTakesTheEnginesDownAtOnce) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  world.agent->BeginShutdown(world.clock.Now());
  world.Commanded();
  world.agent->Abort(world.clock.Now());
  EXPECT_EQ(world.Commanded(), "shutdown");
  world.Ended(1, AttemptEnd::kStopped);
  PoolStops(world);
  EXPECT_TRUE(world.agent->done());
  EXPECT_TRUE(world.agent->failure().ok());
}

TEST(Shutdown, APoolThatStopsByItselfIsAFailure) {
  World world;
  world.Train({});
  PoolStops(world);
  EXPECT_TRUE(world.agent->done());
  EXPECT_EQ(world.agent->failure().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace seedbed::agent
