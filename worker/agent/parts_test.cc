#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/agent/agent_loop.h"
#include "worker/agent/backoff.h"
#include "worker/agent/engine_slots.h"
#include "worker/agent/testing/agent_world.h"
#include "worker/agent/valid_text.h"

namespace seedbed::agent {
namespace {

TEST(BackoffTest, DoublesUpToItsMostTimesAFactorOfAHalfToOne) {
  double draw = 0;
  Backoff backoff(absl::Seconds(1), absl::Seconds(5), [&draw] { return draw; });
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(500));
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(1000));
  draw = 0.5;
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(3000));
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(3750));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(backoff.Next(), absl::Milliseconds(3750));
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(750));
}

TEST(ValidTextTest, ReplacesEachBadByte) {
  struct Case {
    std::string text;
    std::string valid;
  };
  for (const Case& c : {Case{"", ""}, Case{"plain", "plain"}, Case{"λ é", "λ é"}, Case{"a\xff", "a?"},
                        Case{"\xff\xfe"
                             "b",
                             "??b"},
                        Case{"cut \xce", "cut ?"}, Case{"\xc0\x80", "??"}}) {
    EXPECT_EQ(ValidText(c.text), c.valid);
  }
}

TEST(LastLineTest, IsTheLastThatIsNotBlank) {
  struct Case {
    std::string log;
    std::string line;
  };
  for (const Case& c : {Case{"", ""}, Case{" \n\n", ""}, Case{"one", "one"}, Case{"one\ntwo\n", "two"},
                        Case{"one\r\ntwo \r\n \n", "two"}, Case{std::string(400, 'x'), std::string(300, 'x')}}) {
    EXPECT_EQ(LastLine(c.log), c.line);
  }
}

TEST(EngineSlotsTest, AnEngineWithCompanyIsChosenElseTheEmptiest) {
  const absl::Duration now = absl::Seconds(10);
  EngineSlots engines(3, 6, {});
  const PackNeeds alike{};
  EXPECT_EQ(engines.Choose(now, alike), std::nullopt);
  EngineReady info;
  info.trainers = {"modular"};
  info.capacity = 2;
  engines.BecameReady(0, info);
  info.capacity = 3;
  engines.BecameReady(2, info);
  EXPECT_EQ(engines.capacity(), 5);
  EXPECT_EQ(engines.Choose(now, alike), 2);
  engines.Take(2, AttemptId(1), alike);
  engines.Take(2, AttemptId(2), alike);
  EXPECT_EQ(engines.Choose(now, alike), 2) << "it has company there";
  engines.Avoid(2, now + absl::Seconds(1));
  EXPECT_EQ(engines.Choose(now, alike), 0);
  EXPECT_EQ(engines.AvoidedUntil(now), now + absl::Seconds(1));
  EXPECT_EQ(engines.Choose(now + absl::Seconds(1), alike), 2);
  engines.WentDown(2);
  EXPECT_EQ(engines.Choose(now + absl::Seconds(1), alike), 0);
  EXPECT_EQ(engines.taken(), 2) << "the ends of its attempts are still to come";
  engines.Release(AttemptId(1));
  engines.Release(AttemptId(2));
  EXPECT_EQ(engines.taken(), 0);
}

TEST(EngineSlotsTest, NeverMoreThanTheSlots) {
  EngineSlots engines(1, 2, {});
  EngineReady info;
  info.trainers = {"modular"};
  info.capacity = 8;
  engines.BecameReady(0, info);
  EXPECT_EQ(engines.capacity(), 2);
  engines.Take(0, AttemptId(1), {});
  engines.Take(0, AttemptId(2), {});
  EXPECT_EQ(engines.Choose(absl::ZeroDuration(), {}), std::nullopt);
}

// The loop is the one place with a thread: what is posted reaches the agent, and the loop ends with it.
TEST(AgentLoopTest, FeedsTheAgentUntilItIsDone) {
  World world;
  SystemClock clock;
  AgentLoop loop(&clock);
  std::thread thread([&] { loop.Run(world.agent.get()); });
  loop.Post(ShutdownRequested{});
  loop.Post(EngineEvent(PoolStopped{}));
  thread.join();
  EXPECT_TRUE(world.agent->done());
  EXPECT_TRUE(world.agent->failure().ok());
  EXPECT_EQ(world.Commanded(), "shutdown");
}

std::string Shown(const std::vector<EngineRoom>& rooms) {
  std::string text;
  for (const EngineRoom& room : rooms) {
    text += std::to_string(room.occupied) + room.pack_key + "+" + std::to_string(room.free_slots) + " ";
  }
  return text;
}

TEST(EngineSlotsTest, APackTakesRunsOfItsKeyWithinTheirLimits) {
  const absl::Duration now = absl::Seconds(10);
  EngineSlots engines(2, 8, {});
  EngineReady info;
  info.trainers = {"modular"};
  info.capacity = 4;
  engines.BecameReady(0, info);
  engines.BecameReady(1, info);
  EXPECT_TRUE(engines.packs());
  EXPECT_EQ(Shown(engines.Rooms({})), "0+4 0+4 ");
  engines.Take(0, AttemptId(1), {"a", 0});
  EXPECT_EQ(engines.Choose(now, {"a", 0}), 0);
  EXPECT_EQ(engines.Choose(now, {"a", 1}), 1) << "it is to be alone";
  EXPECT_EQ(engines.Choose(now, {"b", 0}), 1);
  EXPECT_EQ(Shown(engines.Rooms({{"a", 0}, {"b", 2}})), "2a+2 1b+1 ");
  engines.Take(0, AttemptId(2), {"a", 2});
  EXPECT_EQ(engines.Choose(now, {"a", 0}), 1) << "the second allows two";
  engines.Take(1, AttemptId(3), {"b", 0});
  EXPECT_EQ(engines.Choose(now, {"a", 0}), std::nullopt);
  EXPECT_EQ(Shown(engines.Rooms({{"c", 0}})), "") << "nothing new until the one that waits has a place";
  engines.Release(AttemptId(3));
  EXPECT_EQ(Shown(engines.Rooms({{"c", 0}})), "2a+0 1c+3 ");
}

}  // namespace
}  // namespace seedbed::agent
