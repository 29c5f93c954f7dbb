// When the agent calls Synchronize, what it says, and which answers count.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/agent/testing/agent_world.h"

namespace seedbed::agent {
namespace {

TEST(Synchronizing, SaysNothingUntilAnEngineIsReady) {
  World world;
  world.Pass(absl::Minutes(1));
  EXPECT_TRUE(world.link.calls.empty());
  world.EngineReady();
  EXPECT_EQ(world.Call().number, 1);
}

TEST(Synchronizing, StatesTheFacts) {
  World world(2);
  world.EngineReady(1);
  const SynchronizeRequest call = world.Call();
  EXPECT_EQ(call.worker, WorkerId("w1"));
  EXPECT_EQ(call.name, "node-1");
  EXPECT_EQ(call.host, "node");
  EXPECT_EQ(call.version, "1.2.3");
  EXPECT_EQ(call.device, "cpu");
  EXPECT_EQ(call.slots, 2);
  EXPECT_EQ(call.free_slots, 1) << "the other engine is not ready";
  EXPECT_EQ(call.database_id, "");
  EXPECT_FALSE(call.goodbye);
  ASSERT_EQ(call.trainers.size(), 1u);
  EXPECT_EQ(call.trainers[0].trainer, "modular");
  EXPECT_EQ(call.trainers[0].numerics_json, R"({"blas":"none"})");
  EXPECT_EQ(world.observer.registrations, 0);
  world.Answer(call.number, world.Desired());
  EXPECT_EQ(world.observer.registrations, 1);
  world.Settle();
  EXPECT_EQ(world.CallAndAnswer().database_id, "db1");
  EXPECT_EQ(world.observer.registrations, 1);
}

TEST(Synchronizing, OffersOnlyTheTrainersThatAreAllowed) {
  AgentOptions options;
  options.trainers = {"command"};
  World world(1, options);
  world.EngineReady(0, 1, {"modular", "command"});
  const SynchronizeRequest call = world.Call();
  ASSERT_EQ(call.trainers.size(), 1u);
  EXPECT_EQ(call.trainers[0].trainer, "command");
}

TEST(Synchronizing, CallsAgainAtOnceAfterRegisteringAndThenWhenTold) {
  World world;
  world.EngineReady();
  world.CallAndAnswer();
  world.Settle();
  world.CallAndAnswer();
  world.Pass(absl::Milliseconds(4999));
  EXPECT_TRUE(world.link.calls.empty());
  world.Pass(absl::Milliseconds(1));
  EXPECT_EQ(world.Call().number, 3);
}

TEST(Synchronizing, ASecondCallIsMadeOnlyForNewsAndNeverAThird) {
  World world(3);
  world.EngineReady(0);
  EXPECT_EQ(world.Call().number, 1);  // held open
  world.Pass(absl::Seconds(5));
  EXPECT_TRUE(world.link.calls.empty());
  world.EngineReady(1);
  EXPECT_EQ(world.Call().free_slots, 2);
  world.EngineReady(2);
  world.Pass(absl::Seconds(5));
  EXPECT_TRUE(world.link.calls.empty());
  world.Answer(1, world.Desired());  // the newer call answers the older
  EXPECT_EQ(world.Call().free_slots, 3);
}

TEST(Synchronizing, AnAnswerOlderThanOneSeenMeansNothing) {
  World world(2);
  world.EngineReady(0);
  world.Call();
  world.EngineReady(1);
  world.Settle();
  world.Call();
  world.Answer(2, world.Desired());
  SynchronizeAnswer late = world.Desired();
  late.start = {Granted(Key(1))};
  world.Answer(1, late);
  EXPECT_EQ(world.agent->lease_count(), 0u);
  world.Settle();
  world.Call();  // the one after registering
}

TEST(Synchronizing, ARepeatedAnswerMeansNothing) {
  World world;
  world.EngineReady();
  SynchronizeAnswer answer = world.Desired();
  answer.start = {Granted(Key(1))};
  const SynchronizeRequest call = world.CallAndAnswer(answer);
  world.Started();
  answer.start = {Granted(Key(2))};
  world.Answer(call.number, answer);
  EXPECT_EQ(world.agent->lease_count(), 1u);
  world.Settle();
  world.Call();
}

TEST(Synchronizing, ErrorsAreFollowedByRisingDelaysWhileTrainingGoesOn) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  world.Pass(absl::Seconds(5));
  // Delay n is 200 ms · 2^(n-1), at most 5 s, times 0.75 for a draw of 0.5.
  for (const int expected : {150, 300, 600, 1200, 2400, 3750, 3750}) {
    world.Answer(world.Call().number, absl::UnavailableError("no coordinator"));
    world.Pass(absl::Milliseconds(expected - 1));
    EXPECT_TRUE(world.link.calls.empty()) << "before " << expected << " ms";
    world.Pass(absl::Milliseconds(1));
    EXPECT_EQ(world.link.calls.size(), 1u) << "after " << expected << " ms";
  }
  EXPECT_EQ(Listed(world.CallAndAnswer()), "1/1#1 training -1");
}

TEST(Synchronizing, AnAnswerEndsTheDelays) {
  World world;
  world.Train({});
  world.Pass(absl::Seconds(5));
  for (int i = 0; i < 5; ++i) {
    world.Answer(world.Call().number, absl::UnavailableError("no coordinator"));
    world.Pass(absl::Seconds(5));
  }
  world.CallAndAnswer();
  world.Pass(absl::Seconds(5));
  world.Answer(world.Call().number, absl::UnavailableError("no coordinator"));
  world.Pass(absl::Milliseconds(150));
  world.Call();
}

TEST(Synchronizing, AnErrorOfAnOlderCallMeansNothing) {
  World world(3);
  world.EngineReady(0);
  const int64_t older = world.Call().number;
  world.EngineReady(1);
  world.Settle();
  world.Call();
  world.Answer(older, absl::UnavailableError("lost"));
  world.EngineReady(2);
  EXPECT_EQ(world.Call().free_slots, 3) << "at once";
}

TEST(Synchronizing, AnErrorThatTryingAgainDoesNotMendEndsAWorkerThatNeverRegistered) {
  World world;
  world.EngineReady();
  world.Answer(world.Call().number, absl::UnauthenticatedError("wrong token"));
  EXPECT_EQ(world.Commanded(), "shutdown");
  world.agent->OnEngineEvent(PoolStopped{}, world.clock.Now());
  EXPECT_TRUE(world.agent->done());
  EXPECT_EQ(world.agent->failure().code(), absl::StatusCode::kUnauthenticated);
}

TEST(Synchronizing, SuchAnErrorLaterIsTriedAgain) {
  World world;
  world.Train({});
  world.Pass(absl::Seconds(5));
  world.Answer(world.Call().number, absl::UnauthenticatedError("the token was changed"));
  EXPECT_FALSE(world.agent->done());
  world.Pass(absl::Seconds(1));
  world.CallAndAnswer();
}

TEST(Synchronizing, ATroubleThatLastsIsSaidAgainAfterLongerAndLongerPausesAndWhenItIsOver) {
  World world;
  world.Train({});
  world.Pass(absl::Seconds(5));
  std::vector<int64_t> seconds;  // since the first error, of each warning
  const absl::Duration begun = world.clock.Now().monotonic;
  while (world.clock.Now().monotonic - begun < absl::Hours(1)) {
    const size_t before = world.observer.warnings.size();
    world.Answer(world.Call().number, absl::UnauthenticatedError("the token is not known"));
    if (world.observer.warnings.size() > before) {
      seconds.push_back(absl::ToInt64Seconds(world.clock.Now().monotonic - begun));
    }
    world.Pass(absl::Milliseconds(3750));  // the longest delay
  }
  ASSERT_EQ(seconds.size(), 7u) << "at 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 minutes";
  EXPECT_EQ(seconds[0], 0);
  EXPECT_THAT(seconds[1], testing::AllOf(testing::Ge(30), testing::Le(34)));
  EXPECT_GE(seconds[6] - seconds[5], 2 * (seconds[5] - seconds[4]) - 8);
  const std::vector<std::string>& warnings = world.observer.warnings;
  EXPECT_THAT(warnings[0], testing::StartsWith("synchronizing failed: UNAUTHENTICATED: the token is not known. "));
  EXPECT_THAT(warnings[1], testing::StartsWith("synchronizing failed for 3"));
  for (const std::string& warning : warnings) EXPECT_THAT(warning, testing::HasSubstr("start the worker again"));
  world.observer.infos.clear();
  world.CallAndAnswer();
  ASSERT_EQ(world.observer.infos.size(), 1u);
  EXPECT_THAT(world.observer.infos[0], testing::StartsWith("the coordinator answers again, after 1h"));
  world.Pass(absl::Seconds(5));
  world.CallAndAnswer();
  EXPECT_EQ(world.observer.infos.size(), 1u);
  world.Pass(absl::Seconds(5));
  world.Answer(world.Call().number, absl::UnavailableError("no coordinator"));
  EXPECT_EQ(warnings.size(), 8u) << "another trouble is said at once";
  EXPECT_EQ(warnings.back(), "synchronizing failed: UNAVAILABLE: no coordinator");
  world.Pass(absl::Seconds(1));
  world.Call();
}

}  // namespace
}  // namespace seedbed::agent
