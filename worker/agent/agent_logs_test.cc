// What becomes of what runs print: bounded, without numbers, and nothing vanishes without a word.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/agent/testing/agent_world.h"

namespace seedbed::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// One run in training, its start taken.
void TrainOne(World& world) {
  world.Train({Granted(Key(1))});
  world.Started();
}

std::string Twice(int bytes) {
  return absl::StrCat("\n[seedbed: the connection to the coordinator broke: the next ", bytes,
                      " bytes may be here twice]\n");
}

TEST(Logs, TextHasNoNumberAndIsBounded) {
  World world;
  TrainOne(world);
  world.Log(1, "hello\n");
  EXPECT_EQ(world.StreamOpened(), 1);
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :0 log hello\n");
  world.Log(1, std::string(60'000, 'x'));
  world.Log(1, std::string(60'000, 'y'));
  EXPECT_THAT(world.link.reports, IsEmpty()) << "not more often than every half second";
  world.Pass(absl::Milliseconds(500));
  const Report report = world.Reported();
  EXPECT_EQ(report.body->sequence, 0);
  EXPECT_THAT(report.body->log, HasSubstr("[54464 bytes of log left out]"));
  EXPECT_LT(report.body->log.size(), 66'000u);
  world.Log(1, "last words");
  world.Ended(1, AttemptEnd::kCrashed);
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :0 log last words") << "before the end";
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 end crashed");
  world.Acknowledge(Key(1), 1);
  world.Settle();
  world.CallAndAnswer();
}

TEST(Logs, TextWaitsWhereItIsCountedWhileTheStreamIsBehind) {
  World world;
  TrainOne(world);
  world.link.bytes_waiting = 2 << 20;
  for (int i = 0; i < 2; ++i) {
    world.Log(1, std::string(60'000, 'x'));
    world.Pass(absl::Seconds(1));
  }
  EXPECT_EQ(world.StreamOpened(), 1);
  EXPECT_THAT(world.link.reports, IsEmpty());
  world.link.bytes_waiting = 0;
  world.Pass(absl::Milliseconds(500));
  EXPECT_THAT(world.Reported().body->log, HasSubstr("[54464 bytes of log left out]"));
  world.link.bytes_waiting = 2 << 20;
  world.Log(1, "last words");
  world.Ended(1, AttemptEnd::kCrashed);
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :0 log last words") << "nothing is kept beyond the end's acknowledgement";
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 end crashed");
  world.Acknowledge(Key(1), 1);
  world.Settle();
  world.CallAndAnswer();
}

TEST(Logs, LastWordsOnAStreamThatBreaksComeAgainBeforeTheEnd) {
  World world;
  TrainOne(world);
  world.Log(1, "Traceback");
  world.Ended(1, AttemptEnd::kCrashed);
  EXPECT_EQ(world.StreamOpened(), 1);
  EXPECT_THAT(world.link.reports, SizeIs(2));
  world.link.reports.clear();
  world.StreamBreaks(1);
  world.Pass(absl::Seconds(3));
  EXPECT_EQ(world.StreamOpened(), 2);
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :0 log " + Twice(9) + "Traceback");
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 end crashed");
  world.Acknowledge(Key(1), 1, 2);
  world.Settle();
  world.CallAndAnswer();
}

TEST(Logs, WhatALaterReportsAcknowledgementCoversDoesNotComeAgain) {
  World world;
  TrainOne(world);
  world.Log(1, "arrived");
  world.Metrics(1, {0});
  world.Settle();
  world.Log(1, "perhaps");
  world.Pass(absl::Milliseconds(500));
  EXPECT_EQ(world.StreamOpened(), 1);
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :0 log arrived");
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 rows 0");
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :0 log perhaps");
  world.Acknowledge(Key(1), 1);
  world.Log(1, "and more");
  world.StreamBreaks(1);
  world.Pass(absl::Seconds(3));
  EXPECT_EQ(world.StreamOpened(), 2);
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :0 log " + Twice(7) + "perhapsand more");
}

}  // namespace
}  // namespace seedbed::agent
