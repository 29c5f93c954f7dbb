// Leases that may have expired, and those that come back under another fence.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/agent/testing/agent_world.h"

namespace seedbed::agent {
namespace {

// One run in training, its start taken.
void TrainOne(World& world) {
  world.Train({Granted(Key(1))});
  world.Started();
}

TEST(Restoring, AnExpiredLeaseIsNotReportedOnUntilTheCoordinatorHasSpoken) {
  World world;
  TrainOne(world);
  world.Metrics(1, {0});
  world.Settle();
  EXPECT_EQ(world.StreamOpened(), 1);
  world.Reported();
  world.StreamBreaks(1);
  // Away for longer than the lease: all calls fail, and so does each stream.
  for (int second = 0; second < 20; ++second) {
    while (!world.link.calls.empty()) world.Answer(world.Call().number, absl::UnavailableError("away"));
    world.Pass(absl::Seconds(1));
    world.link.reports.clear();
    if (const int64_t stream = world.StreamOpened()) world.StreamBreaks(stream);
  }
  world.Metrics(1, {1});
  while (!world.link.calls.empty()) world.Answer(world.Call().number, absl::UnavailableError("away"));
  world.Pass(absl::Seconds(4));
  EXPECT_EQ(world.StreamOpened(), 0) << "a refusal would end what may be restored";
  EXPECT_TRUE(world.link.reports.empty());
  SynchronizeAnswer answer = world.Desired();
  answer.restored = {Key(1, 1, 5)};
  const SynchronizeRequest call = world.CallAndAnswer(answer);
  EXPECT_EQ(Listed(call), "1/1#1 training 1");
  world.Settle();
  EXPECT_GT(world.StreamOpened(), 1);
  EXPECT_EQ(Shown(world.Reported()), "1/1#5 :1 rows 0") << "under the new fence";
  EXPECT_EQ(Shown(world.Reported()), "1/1#5 :2 rows 1");
}

TEST(Restoring, AWorkerThatWasStoppedForAWhileFirstAsks) {
  World world;
  TrainOne(world);
  world.Metrics(1, {0});
  world.Settle();
  EXPECT_EQ(world.StreamOpened(), 1);
  world.Reported();
  world.clock.Advance(absl::Seconds(20));  // SIGSTOP, SIGCONT: the stream is still there
  world.Metrics(1, {1});
  world.Log(1, "text");
  const SynchronizeRequest call = world.Call();
  world.Pass(absl::Seconds(3));
  EXPECT_TRUE(world.link.reports.empty());
  SynchronizeAnswer answer = world.Desired();
  answer.restored = {Key(1, 1, 3)};
  world.Answer(call.number, answer);
  EXPECT_EQ(Shown(world.Reported()), "1/1#3 :0 log text");
  EXPECT_EQ(Shown(world.Reported()), "1/1#3 :1 rows 0");
  EXPECT_EQ(Shown(world.Reported()), "1/1#3 :2 rows 1");
}

TEST(Restoring, RefusalsOfTheOlderFenceMeanNothing) {
  World world;
  TrainOne(world);
  world.Metrics(1, {0});
  world.Settle();
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 rows 0");
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer answer = world.Desired();
  answer.restored = {Key(1, 1, 3)};
  world.CallAndAnswer(answer);
  EXPECT_EQ(Shown(world.Reported()), "1/1#3 :1 rows 0");
  world.Verdict(Key(1, 1, 1), ReportVerdict::kRefused);
  EXPECT_EQ(world.agent->lease_count(), 1u);
  world.Verdict(Key(1, 1, 3), ReportVerdict::kRefused);
  EXPECT_EQ(world.agent->lease_count(), 0u);
  EXPECT_EQ(world.Commanded(), "stop 1");
  world.Settle();
  world.Call();
}

TEST(Restoring, AnOlderFenceRestoresNothing) {
  World world;
  world.Train({Granted(Key(1, 1, 4))});
  world.Started();
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer answer = world.Desired();
  answer.restored = {Key(1, 1, 3), Key(9, 1, 1)};
  world.CallAndAnswer(answer);
  world.Pass(absl::Seconds(5));
  EXPECT_EQ(Listed(world.CallAndAnswer()), "1/1#4 training -1");
}

}  // namespace
}  // namespace seedbed::agent
