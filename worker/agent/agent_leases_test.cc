// The laws of synchronizing and of leases, one test each.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/agent/testing/agent_world.h"

namespace seedbed::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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
  EXPECT_EQ(second.directory, "/attempts/2-1");
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

TEST(Leases, ARepeatedGrantChangesNothing) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer again = world.Desired();
  again.start = {Granted(Key(1))};
  world.CallAndAnswer(again);
  EXPECT_EQ(world.agent->lease_count(), 1u);
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
  EXPECT_THAT(world.files.held, ElementsAre(std::make_pair(RunId(1), 2)));
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
  EXPECT_EQ(world.Started().attempt, AttemptId(3)) << "on the engine that is free";
  world.Settle();
  const SynchronizeRequest call = world.CallAndAnswer(answer);
  EXPECT_EQ(call.database_id, "db2");
  EXPECT_EQ(Listed(call), "1/1#1 training -1");
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

}  // namespace
}  // namespace seedbed::agent
