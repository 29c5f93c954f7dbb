// The laws of leases, one test each.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/agent/testing/agent_world.h"

namespace seedbed::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Leases, StartOnFreeSlotsAndWaitBeyondThem) {
  World world(2);
  world.EngineReady(0);
  world.EngineReady(1);
  SynchronizeAnswer answer = world.Desired();
  answer.start = {Granted(Key(1)), Granted(Key(2)), Granted(Key(3))};
  world.CallAndAnswer(answer);
  EXPECT_EQ(world.Started().engine, 0);
  const AttemptStart second = world.Started();
  EXPECT_EQ(second.engine, 1);
  EXPECT_EQ(second.directory, "/attempts/2-1-2");
  EXPECT_EQ(second.specification["trainer"], "modular");
  EXPECT_EQ(second.resume, std::nullopt);
  EXPECT_TRUE(world.pool.starts.empty());
  world.Settle();
  EXPECT_EQ(Listed(world.CallAndAnswer()), "1/1#1 training -1, 2/1#1 training -1, 3/1#1 idle -1");
  // The place that becomes free is taken at once, without asking anybody.
  world.Ended(2, AttemptEnd::kFinished, 10);
  EXPECT_EQ(world.Started().engine, 1);
  world.Settle();
  EXPECT_EQ(Listed(world.Call()), "1/1#1 training -1, 2/1#1 idle 10, 3/1#1 training -1");
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "2/1#1 :1 end finished");
}

TEST(Leases, OfTrainersThatAreNotAllowedHereAreRefusedWhoeverGrantsThem) {
  AgentOptions options;
  options.trainers = {"command"};
  World world(1, options);
  world.EngineReady(0, 1, {"modular", "command"});
  SynchronizeAnswer answer = world.Desired();
  answer.start = {Granted(Key(1))};  // its trainer is modular
  world.CallAndAnswer(answer);
  world.Settle();
  EXPECT_TRUE(world.pool.starts.empty());
  EXPECT_EQ(Listed(world.CallAndAnswer()), "1/1#1 idle -1") << "until its end is acknowledged";
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 end failed");
}

TEST(Leases, ARepeatedGrantChangesNothing) {
  World world(2);
  world.Train({Granted(Key(1))});
  world.Started();
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer again = world.Desired();
  again.start = {Granted(Key(1))};
  world.CallAndAnswer(again);
  world.Settle();
  EXPECT_EQ(world.agent->lease_count(), 1u);
  EXPECT_TRUE(world.pool.starts.empty()) << "it trains already, though there is a free engine";
}

TEST(Leases, AreListedWithTheLastStepKnown) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  world.agent->OnEngineEvent(AttemptAlive{AttemptId(1), 41}, world.clock.Now());
  world.Pass(absl::Seconds(5));
  EXPECT_EQ(Listed(world.CallAndAnswer()), "1/1#1 training 41");
}

TEST(Leases, OneIsPrefetchedWhileRunsAreShortAndNoneWhileTheyAreLong) {
  struct Case {
    absl::Duration run_takes;
    int free_slots;
  };
  for (const Case& c : {Case{absl::Milliseconds(100), 2}, Case{absl::Seconds(9), 2}, Case{absl::Seconds(11), 1}}) {
    World world;
    world.EngineReady();
    SynchronizeAnswer answer = world.Desired();
    answer.start = {Granted(Key(1))};
    EXPECT_EQ(world.CallAndAnswer(answer).free_slots, 1) << "nothing is known of the runs yet";
    world.Started();
    for (absl::Duration left = c.run_takes; left > absl::ZeroDuration(); left -= absl::Milliseconds(100)) {
      world.Pass(absl::Milliseconds(100));
      while (!world.link.calls.empty()) EXPECT_EQ(world.CallAndAnswer().free_slots, 0);
    }
    world.Ended(1, AttemptEnd::kFinished, 10);
    EXPECT_EQ(world.Call().free_slots, c.free_slots) << c.run_takes;
    world.StreamOpened();
    world.Reported();
  }
}

TEST(Leases, AStopDropsAWaitingLease) {
  World world;
  world.Train({Granted(Key(1)), Granted(Key(2))});
  world.Started();
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer answer = world.Desired();
  answer.stop = {{Key(2), "cancelled", false}};
  world.CallAndAnswer(answer);
  world.Settle();
  EXPECT_EQ(Listed(world.CallAndAnswer()), "1/1#1 training -1");
  world.Ended(1, AttemptEnd::kCrashed);
  EXPECT_TRUE(world.pool.starts.empty()) << "nothing waits any more";
  world.Call();
  world.StreamOpened();
  world.Reported();
}

TEST(Leases, AStopDropsATrainingLeaseAndItsSlotIsFreeWhenTheEngineSaysSo) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer answer = world.Desired();
  answer.stop = {{Key(1), "cancelled", false}};
  answer.start = {Granted(Key(1, 2, 3))};  // the same run again: another attempt
  world.CallAndAnswer(answer);
  EXPECT_EQ(world.Commanded(), "stop 1");
  world.Settle();
  const SynchronizeRequest call = world.CallAndAnswer();
  EXPECT_EQ(Listed(call), "1/2#3 idle -1");
  EXPECT_EQ(call.free_slots, 0);
  world.Metrics(1, {0});  // crosses the stop: nobody's any more
  world.Ended(1, AttemptEnd::kStopped, 0);
  EXPECT_EQ(world.Started().attempt, AttemptId(2));
  EXPECT_THAT(world.files.held, ElementsAre("/attempts/1-2-2"));
  world.CallAndAnswer();
}

TEST(Leases, AStopForAnOlderFenceMeansNothing) {
  World world;
  world.Train({Granted(Key(1, 1, 4))});
  world.Started();
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer answer = world.Desired();
  answer.stop = {{Key(1, 1, 3), "old", false}};
  world.CallAndAnswer(answer);
  EXPECT_EQ(world.agent->lease_count(), 1u);
}

TEST(Leases, HandedBackAreStoppedWithACheckpointAndReportedPreempted) {
  World world;
  world.Train({Granted(Key(1)), Granted(Key(2))});
  world.Started();
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer answer = world.Desired();
  answer.stop = {{Key(1), "paused", true}, {Key(2), "paused", true}};
  world.CallAndAnswer(answer);
  EXPECT_EQ(world.Commanded(), "stop with checkpoint 1");
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "2/1#1 :1 end preempted");
  world.Metrics(1, {0, 1});
  world.Ended(1, AttemptEnd::kStopped, 1);
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 rows 0 1");
  const Report end = world.Reported();
  EXPECT_EQ(Shown(end), "1/1#1 :2 end preempted");
  EXPECT_EQ(end.body->end->reason, "paused");
  world.Settle();
  EXPECT_EQ(Listed(world.CallAndAnswer()), "1/1#1 idle 1, 2/1#1 idle -1") << "listed until acknowledged";
  world.Acknowledge(Key(1), 2);
  world.Acknowledge(Key(2), 1);
  EXPECT_EQ(world.agent->lease_count(), 0u);
}

TEST(Leases, NoCheckpointIsAskedOfAnEngineThatWritesNone) {
  World world;
  EngineBecameReady event;
  event.info.trainers = {"modular"};
  event.info.checkpoints = false;
  world.agent->OnEngineEvent(event, world.clock.Now());
  SynchronizeAnswer answer = world.Desired();
  answer.start = {Granted(Key(1))};
  world.CallAndAnswer(answer);
  world.Started();
  world.agent->BeginShutdown(world.clock.Now());
  EXPECT_EQ(world.Commanded(), "stop 1");
  world.Settle();
  world.Call();
}

TEST(Leases, AnEngineThatDoesNotObeyAStopIsNoFailureOfTheRun) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer answer = world.Desired();
  answer.stop = {{Key(1), "paused", true}};
  world.CallAndAnswer(answer);
  world.Commanded();
  world.Ended(1, AttemptEnd::kCrashed);
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 end preempted");
  world.Settle();
  world.CallAndAnswer();
}

TEST(Leases, AFinishThatCrossesAHandBackStands) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer answer = world.Desired();
  answer.stop = {{Key(1), "paused", true}};
  world.CallAndAnswer(answer);
  world.Commanded();
  world.Ended(1, AttemptEnd::kFinished, 10);
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 end finished");
  world.Settle();
  world.CallAndAnswer();
}

TEST(Leases, OfAnotherDatabaseAreDropped) {
  World world(2);
  world.Train({Granted(Key(1)), Granted(Key(2))});
  world.Started();
  world.Started();
  world.Ended(2, AttemptEnd::kFinished, 10);  // not acknowledged
  world.StreamOpened();
  world.Reported();
  world.Call();
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer answer = world.Desired();
  answer.database_id = "db2";
  answer.start = {Granted(Key(1, 1, 1))};  // the other database's run 1
  world.Answer(3, answer);
  EXPECT_EQ(world.Commanded(), "stop 1");
  const AttemptStart started = world.Started();
  EXPECT_EQ(started.attempt, AttemptId(3)) << "on the engine that is free";
  world.Settle();
  const SynchronizeRequest call = world.CallAndAnswer(answer);
  EXPECT_EQ(call.database_id, "db2");
  EXPECT_EQ(Listed(call), "1/1#1 training -1");
  world.Ended(1, AttemptEnd::kStopped, 3);
  EXPECT_THAT(world.files.held, ElementsAre(started.directory)) << "the former run 1's alone is gone";
  world.Settle();
  EXPECT_EQ(Listed(world.CallAndAnswer(answer)), "1/1#1 training -1");
}

TEST(Leases, AnAnswerToAReportOfAnotherDatabaseIsNotTakenForOneToTheirs) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  world.Metrics(1, {0});
  world.Settle();
  EXPECT_EQ(world.StreamOpened(), 1);
  world.Reported();
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer answer = world.Desired();
  answer.database_id = "db2";
  answer.start = {Granted(Key(1))};
  world.CallAndAnswer(answer);
  EXPECT_EQ(world.Commanded(), "stop 1");
  world.Ended(1, AttemptEnd::kStopped, 0);
  world.Started();
  world.Metrics(2, {0});
  world.Acknowledge(Key(1), 1, /*stream=*/1);
  world.Settle();
  EXPECT_EQ(world.StreamOpened(), 2);
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 rows 0");
  world.Acknowledge(Key(1), 1, /*stream=*/1);
  world.Verdict(Key(1), ReportVerdict::kRefused, 0, /*stream=*/1);
  EXPECT_EQ(world.agent->lease_count(), 1u);
  world.Pass(absl::Seconds(11));
  while (!world.link.calls.empty()) world.CallAndAnswer(answer);
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 rows 0") << "nobody has acknowledged it";
}

TEST(Leases, WithoutAUsableSpecificationFail) {
  struct Case {
    const char* specification;
    const char* reason;
  };
  for (const Case& c :
       {Case{"{", "not valid JSON"}, Case{"[]", "not a JSON object"}, Case{"{}", "does not offer trainer null"},
        Case{R"({"trainer":"command"})", "does not offer trainer \"command\""}}) {
    World world;
    world.EngineReady();
    SynchronizeAnswer answer = world.Desired();
    answer.start = {Granted(Key(1), c.specification)};
    world.CallAndAnswer(answer);
    world.StreamOpened();
    const Report report = world.Reported();
    EXPECT_EQ(Shown(report), "1/1#1 :1 end failed");
    EXPECT_THAT(report.body->end->reason, HasSubstr(c.reason));
    world.Settle();
    world.CallAndAnswer();
  }
}

TEST(Leases, ABudgetOfTimeGetsAFenceAroundIt) {
  struct Case {
    const char* seconds;
    std::optional<absl::Duration> limit;
  };
  for (const Case& c : {Case{"null", std::nullopt}, Case{"30", absl::Seconds(90)}, Case{"3600", absl::Seconds(3960)}}) {
    World world;
    std::string specification = kSpecification;
    specification.replace(specification.find("null"), 4, c.seconds);
    world.Train({Granted(Key(1), specification)});
    EXPECT_EQ(world.Started().time_limit, c.limit) << c.seconds;
  }
}

TEST(Leases, WithoutADirectoryEndAsCrashedSoThatTheWorkerIsSoonQuarantined) {
  World world;
  world.files.failure = absl::ResourceExhaustedError("disk full");
  world.Train({Granted(Key(1))});
  world.StreamOpened();
  const Report report = world.Reported();
  EXPECT_EQ(Shown(report), "1/1#1 :1 end crashed");
  EXPECT_THAT(report.body->end->reason, HasSubstr("disk full"));
}

}  // namespace
}  // namespace seedbed::agent
