#include "worker/process/engine_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/testing/temporary_directory.h"

namespace seedbed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Writes down what the session wants, and what it told.
class RecordingHost : public EngineSession::Host {
 public:
  void Send(const std::string& line) override { sent.push_back(line); }
  void Kill() override { ++kills; }
  void Emit(EngineEvent event) override { events.push_back(std::move(event)); }
  void DrainLog() override {
    if (session != nullptr && !waiting_log.empty()) session->OnLog(std::exchange(waiting_log, ""));
  }

  template <typename T>
  std::vector<T> Take() {
    std::vector<T> found;
    for (const EngineEvent& event : events) {
      if (const T* value = std::get_if<T>(&event)) found.push_back(*value);
    }
    return found;
  }

  EngineSession* session = nullptr;
  std::string waiting_log;
  std::vector<std::string> sent;
  std::vector<EngineEvent> events;
  int kills = 0;
};

class EngineSessionTest : public ::testing::Test {
 protected:
  EngineSessionTest() : session_(0, EngineLimits(), &host_, clock_.Now()) { host_.session = &session_; }

  void Say(const std::string& line) { session_.OnLine(line, clock_.Now()); }
  void BecomeReady(int capacity = 1) {
    Say(R"({"type":"ready","protocol":1,"engine":"e","trainers":["modular"],"capacity":)" + std::to_string(capacity) +
        R"(,"device":"cpu","memory_bytes":0,"numerics":{},"pack_parameters":[]})");
  }
  void Start(int64_t attempt) {
    AttemptStart start;
    start.attempt = AttemptId(attempt);
    start.specification = Json::object();
    start.directory = directory_.path();
    start.time_limit = time_limit_;
    session_.Start(start, clock_.Now());
  }
  void Metrics(int64_t attempt, int64_t step) {
    Say(R"({"type":"metrics","run":)" + std::to_string(attempt) + R"(,"steps":[)" + std::to_string(step) +
        R"(],"values":{"loss":[1]}})");
  }
  void Advance(absl::Duration by) {
    clock_.Advance(by);
    session_.Tick(clock_.Now());
  }
  void Exit(int status, int signal = 0, bool memory_kills_rose = false) {
    ProcessExited exit;
    exit.exit_status = status;
    exit.signal = signal;
    session_.OnExit(exit, memory_kills_rose);
  }
  std::vector<AttemptEnded> Ends() { return host_.Take<AttemptEnded>(); }
  // The one end that there must be.
  AttemptEnded End() {
    const std::vector<AttemptEnded> ends = Ends();
    EXPECT_EQ(ends.size(), 1u);
    return ends.empty() ? AttemptEnded() : ends[0];
  }

  TemporaryDirectory directory_;
  FakeClock clock_;
  RecordingHost host_;
  EngineSession session_;
  std::optional<absl::Duration> time_limit_;
};

TEST_F(EngineSessionTest, ARunFromStartToFinish) {
  BecomeReady();
  ASSERT_EQ(host_.Take<EngineBecameReady>().size(), 1u);
  Start(5);
  ASSERT_EQ(host_.sent.size(), 1u);
  EXPECT_THAT(host_.sent[0], HasSubstr("\"run\":5"));
  Metrics(5, 0);
  Metrics(5, 10);
  host_.waiting_log = "written before the end\n";
  Say(R"({"type":"finished","run":5,"outcome":"grokked","reason":"budget","last_step":10,"summary":{"delay":3}})");
  EXPECT_EQ(host_.Take<AttemptMetrics>().size(), 2u);
  const AttemptEnded end = End();
  EXPECT_EQ(end.end, AttemptEnd::kFinished);
  EXPECT_EQ(end.outcome, "grokked");
  EXPECT_EQ(end.last_step, 10);
  EXPECT_EQ(end.log_tail, "written before the end\n");
  EXPECT_FALSE(session_.holds(AttemptId(5)));
  EXPECT_EQ(host_.kills, 0);
  Start(6);  // the place is free again
  EXPECT_TRUE(session_.holds(AttemptId(6)));
}

TEST_F(EngineSessionTest, StartsNothingBeforeReadyNorBeyondCapacity) {
  Start(1);
  EXPECT_EQ(End().end, AttemptEnd::kNotStarted);
  BecomeReady();
  Start(2);
  Start(3);
  ASSERT_EQ(Ends().size(), 2u);
  EXPECT_EQ(Ends()[1].attempt, AttemptId(3));
  EXPECT_EQ(Ends()[1].end, AttemptEnd::kNotStarted);
  EXPECT_EQ(host_.sent.size(), 1u);
}

TEST_F(EngineSessionTest, BreakingTheProtocolKillsTheEngine) {
  struct {
    const char* line;
    const char* reason;
  } const cases[] = {
      {"garbage", "not valid JSON"},
      {R"({"type":"alive","run":9,"step":1})", "which this engine does not train"},
      {R"({"type":"metrics","run":1,"steps":[10],"values":{}})", "step 10 of run 1 came after step 10"},
      {R"({"type":"metrics","run":1,"steps":[9],"values":{}})", "step 9 of run 1 came after step 10"},
      {R"({"type":"stopped","run":1,"last_step":10})", "was not asked to stop"},
      {R"({"type":"finished","run":1,"outcome":"x","reason":"b","last_step":9,"summary":{}})", "lies before"},
      {R"({"type":"ready","protocol":1,"engine":"e","trainers":["m"],"capacity":1,"device":"c","numerics":{},)"
       R"("pack_parameters":[]})",
       "a second \"ready\" of another"},
  };
  for (const auto& each : cases) {
    RecordingHost host;
    EngineSession session(0, EngineLimits(), &host, clock_.Now());
    session.OnLine(R"({"type":"ready","protocol":1,"engine":"e","trainers":["m"],"capacity":1,"device":"cpu",)"
                   R"("numerics":{},"pack_parameters":[]})",
                   clock_.Now());
    AttemptStart start;
    start.attempt = AttemptId(1);
    start.directory = directory_.path();
    session.Start(start, clock_.Now());
    session.OnLine(R"({"type":"metrics","run":1,"steps":[10],"values":{}})", clock_.Now());
    session.OnLine(each.line, clock_.Now());
    EXPECT_EQ(host.kills, 1) << each.line;
    EXPECT_THAT(host.Take<AttemptEnded>(), IsEmpty()) << "the end is told once the process is gone";
    session.OnLine(R"({"type":"alive","run":1,"step":10})", clock_.Now());  // no longer listened to
    EXPECT_THAT(host.Take<AttemptAlive>(), IsEmpty());
    ProcessExited exit;
    exit.signal = SIGKILL;
    session.OnExit(exit, false);
    const std::vector<AttemptEnded> ends = host.Take<AttemptEnded>();
    ASSERT_EQ(ends.size(), 1u) << each.line;
    EXPECT_EQ(ends[0].end, AttemptEnd::kCrashed);
    EXPECT_EQ(ends[0].last_step, 10);
    EXPECT_THAT(ends[0].reason, HasSubstr(each.reason));
  }
}

TEST_F(EngineSessionTest, TheFirstMessageIsReady) {
  Say(R"({"type":"alive","run":1,"step":1})");
  EXPECT_EQ(host_.kills, 1);
  Exit(0, SIGKILL);
  EXPECT_THAT(session_.end_reason(), HasSubstr("first message was not \"ready\""));
}

TEST_F(EngineSessionTest, CheckpointsLieInTheRunsDirectory) {
  const std::string own = directory_.path();
  const struct {
    std::string path;
    int kills;
  } cases[] = {{own + "/c", 0}, {own + "/../c", 1},  {own + "-of-another/c", 1},
               {own, 1},        {"/elsewhere/c", 1}, {"c", 1}};
  for (const auto& each : cases) {
    RecordingHost host;
    EngineSession session(0, EngineLimits(), &host, clock_.Now());
    session.OnLine(R"({"type":"ready","protocol":1,"engine":"e","trainers":["m"],"capacity":1,"device":"cpu",)"
                   R"("numerics":{},"pack_parameters":[]})",
                   clock_.Now());
    AttemptStart start;
    start.attempt = AttemptId(1);
    start.directory = own;
    session.Start(start, clock_.Now());
    session.OnLine(R"({"type":"checkpoint","run":1,"step":3,"path":")" + each.path + R"(","sha256":")" +
                       std::string(64, '0') + "\"}",
                   clock_.Now());
    EXPECT_EQ(host.kills, each.kills) << each.path;
    EXPECT_EQ(host.Take<AttemptCheckpoint>().size(), each.kills == 0 ? 1u : 0u) << each.path;
  }
}

TEST_F(EngineSessionTest, SilenceIsAStall) {
  BecomeReady();
  Start(1);
  Advance(absl::Seconds(29));
  Metrics(1, 0);
  Advance(absl::Seconds(29));
  EXPECT_EQ(host_.kills, 0);
  Advance(absl::Seconds(1));
  EXPECT_EQ(host_.kills, 1);
  Exit(0, SIGKILL);
  EXPECT_EQ(End().end, AttemptEnd::kStalled);
}

TEST_F(EngineSessionTest, AnIdleEngineMayBeSilent) {
  BecomeReady();
  Advance(absl::Hours(10));
  EXPECT_EQ(host_.kills, 0);
}

TEST_F(EngineSessionTest, BusyGivesTimeAndNoMore) {
  BecomeReady();
  Start(1);
  Say(R"({"type":"busy","run":1,"seconds":100})");
  Advance(absl::Seconds(129));
  EXPECT_EQ(host_.kills, 0);
  Advance(absl::Seconds(1));
  EXPECT_EQ(host_.kills, 1);
}

TEST_F(EngineSessionTest, AWaitingEngineIsNotStalled) {
  BecomeReady();
  Start(1);
  session_.SetPaused(AttemptId(1), true, clock_.Now());
  Advance(absl::Hours(1));
  EXPECT_EQ(host_.kills, 0);
  session_.SetPaused(AttemptId(1), false, clock_.Now());
  Advance(absl::Seconds(29));
  EXPECT_EQ(host_.kills, 0);
  Advance(absl::Seconds(1));
  EXPECT_EQ(host_.kills, 1);
}

TEST_F(EngineSessionTest, AStopEndsThePauseSoThatItsAnswerIsRead) {
  BecomeReady();
  Start(1);
  session_.SetPaused(AttemptId(1), true, clock_.Now());
  EXPECT_TRUE(session_.paused());
  session_.Stop(AttemptId(1), false, clock_.Now());
  EXPECT_FALSE(session_.paused());
  session_.SetPaused(AttemptId(1), true, clock_.Now());
  EXPECT_FALSE(session_.paused());
}

TEST_F(EngineSessionTest, AStopIsReadThoughItsNeighbourWaits) {
  BecomeReady(2);
  Start(1);
  Start(2);
  session_.SetPaused(AttemptId(1), true, clock_.Now());
  session_.SetPaused(AttemptId(2), true, clock_.Now());
  Advance(absl::Hours(1));
  session_.Stop(AttemptId(1), false, clock_.Now());
  EXPECT_FALSE(session_.paused());
  Advance(absl::Seconds(20));
  EXPECT_EQ(host_.kills, 0) << "nobody was read for an hour";
  Say(R"({"type":"stopped","run":1,"last_step":4})");
  EXPECT_EQ(End().end, AttemptEnd::kStopped);
  EXPECT_TRUE(session_.paused()) << "for the neighbour, which is bounded still";
  Advance(absl::Hours(1));
  EXPECT_EQ(host_.kills, 0);
  session_.SetPaused(AttemptId(2), false, clock_.Now());
  Advance(absl::Seconds(29));
  EXPECT_EQ(host_.kills, 0);
}

TEST_F(EngineSessionTest, StopIsAnsweredOrKilled) {
  BecomeReady(2);
  Start(1);
  Start(2);
  session_.Stop(AttemptId(1), true, clock_.Now());
  EXPECT_EQ(host_.sent.back(), StopLine(AttemptId(1), true));
  Say(R"({"type":"stopped","run":1,"last_step":4})");
  EXPECT_EQ(End().end, AttemptEnd::kStopped);
  EXPECT_EQ(End().last_step, 4);
  session_.Stop(AttemptId(2), false, clock_.Now());
  Advance(absl::Seconds(20));
  session_.Stop(AttemptId(2), false, clock_.Now());  // asking again does not give more time
  Say(R"({"type":"alive","run":2,"step":1})");
  Advance(absl::Seconds(9));
  EXPECT_EQ(host_.kills, 0);
  Advance(absl::Seconds(1));
  EXPECT_EQ(host_.kills, 1);
  Exit(0, SIGKILL);
  EXPECT_EQ(Ends()[1].end, AttemptEnd::kCrashed);
  EXPECT_THAT(Ends()[1].reason, HasSubstr("did not stop within 30s"));
}

TEST_F(EngineSessionTest, TheTimeLimitStopsFirst) {
  time_limit_ = absl::Seconds(20);
  BecomeReady();
  Start(1);
  Advance(absl::Seconds(20));
  EXPECT_EQ(host_.sent.back(), StopLine(AttemptId(1), false));
  Say(R"({"type":"stopped","run":1,"last_step":4})");
  EXPECT_EQ(End().end, AttemptEnd::kTimedOut);
  EXPECT_EQ(host_.kills, 0);
}

TEST_F(EngineSessionTest, HowAProcessEndsSaysHowItsRunsEnded) {
  struct {
    int status, signal;
    bool memory_kills_rose;
    AttemptEnd end;
    const char* reason;
  } const cases[] = {
      {0, 0, false, AttemptEnd::kCrashed, "exited with status 0"},
      {3, 0, true, AttemptEnd::kCrashed, "exited with status 3"},
      {0, SIGSEGV, true, AttemptEnd::kCrashed, "killed by signal 11 (Segmentation fault)"},
      {0, SIGKILL, false, AttemptEnd::kCrashed, "killed by signal 9"},
      {0, SIGKILL, true, AttemptEnd::kOutOfMemory, "for memory"},
  };
  for (const auto& each : cases) {
    RecordingHost host;
    EngineSession session(0, EngineLimits(), &host, clock_.Now());
    session.OnLine(R"({"type":"ready","protocol":1,"engine":"e","trainers":["m"],"capacity":2,"device":"cpu",)"
                   R"("numerics":{},"pack_parameters":[]})",
                   clock_.Now());
    for (const int64_t id : {1, 2}) {
      AttemptStart start;
      start.attempt = AttemptId(id);
      start.directory = directory_.path();
      session.Start(start, clock_.Now());
    }
    ProcessExited exit;
    exit.exit_status = each.status;
    exit.signal = each.signal;
    session.OnExit(exit, each.memory_kills_rose);
    const std::vector<AttemptEnded> ends = host.Take<AttemptEnded>();
    ASSERT_EQ(ends.size(), 2u);
    for (const AttemptEnded& end : ends) {
      EXPECT_EQ(end.end, each.end) << each.reason;
      EXPECT_EQ(end.companions, 1);
      EXPECT_THAT(end.reason, HasSubstr(each.reason));
    }
  }
}

TEST_F(EngineSessionTest, ACulpritIsToldFromItsCompanions) {
  BecomeReady(3);
  for (const int64_t id : {1, 2, 3}) Start(id);
  Advance(absl::Seconds(15));
  Metrics(1, 0);
  Metrics(3, 0);
  Advance(absl::Seconds(15));
  Exit(0, SIGKILL);
  ASSERT_EQ(Ends().size(), 3u);
  EXPECT_EQ(Ends()[0].attempt, AttemptId(2));
  EXPECT_EQ(Ends()[0].end, AttemptEnd::kStalled);
  for (const AttemptEnded& end : Ends()) EXPECT_EQ(end.companions, 2);
  EXPECT_EQ(Ends()[1].end, AttemptEnd::kCrashed);
  EXPECT_THAT(Ends()[1].reason, HasSubstr("run 2 beside this"));
}

TEST_F(EngineSessionTest, AFailedRunLeavesTheEngineUsable) {
  BecomeReady();
  Start(1);
  Say(R"({"type":"failed","run":1,"reason":"no CUDA","kind":"error"})");
  EXPECT_EQ(End().end, AttemptEnd::kFailed);
  EXPECT_EQ(End().reason, "no CUDA");
  Start(2);
  Say(R"({"type":"failed","run":2,"reason":"2 GiB","kind":"out_of_memory"})");
  EXPECT_EQ(Ends()[1].end, AttemptEnd::kOutOfMemory);
  EXPECT_TRUE(session_.ready());
}

// A stacked pack takes all its runs with it: each end tells of all, however many were answered before it.
TEST_F(EngineSessionTest, TheEngineMaySayHowManyFailedTogether) {
  BecomeReady(4);
  for (const int attempt : {1, 2, 3}) Start(attempt);
  for (const char* run : {"1", "2", "3"}) {
    Say(std::string(R"({"type":"failed","kind":"out_of_memory","reason":"r","pack":4,"run":)") + run + "}");
  }
  const std::vector<AttemptEnded> ends = Ends();
  ASSERT_EQ(ends.size(), 3u);
  for (const AttemptEnded& end : ends) {
    EXPECT_EQ(end.end, AttemptEnd::kOutOfMemory);
    EXPECT_EQ(end.companions, 3);
  }
}

TEST_F(EngineSessionTest, ReadyAgainChangesTheCapacity) {
  BecomeReady(4);
  Start(1);
  BecomeReady(2);
  const std::vector<EngineBecameReady> ready = host_.Take<EngineBecameReady>();
  ASSERT_EQ(ready.size(), 2u);
  EXPECT_EQ(ready[1].info.capacity, 2);
  EXPECT_EQ(host_.kills, 0);
  EXPECT_TRUE(session_.holds(AttemptId(1)));
  Start(2);
  EXPECT_TRUE(Ends().empty());
  Start(3);
  EXPECT_EQ(End().end, AttemptEnd::kNotStarted);
}

TEST_F(EngineSessionTest, NotReadyInTimeIsKilled) {
  Advance(absl::Seconds(119));
  EXPECT_EQ(host_.kills, 0);
  Advance(absl::Seconds(1));
  EXPECT_EQ(host_.kills, 1);
}

TEST_F(EngineSessionTest, ShutdownWaitsForAGraceAndCallsNothingACrash) {
  BecomeReady();
  Start(1);
  session_.Shutdown(clock_.Now());
  EXPECT_EQ(host_.sent.back(), ShutdownLine());
  Advance(absl::Seconds(9));
  EXPECT_EQ(host_.kills, 0);
  Advance(absl::Seconds(1));
  EXPECT_EQ(host_.kills, 1);
  Exit(0, SIGKILL);
  EXPECT_EQ(End().end, AttemptEnd::kStopped);
}

TEST_F(EngineSessionTest, ASuspendedWorkerBlamesNobody) {
  BecomeReady();
  Start(1);
  session_.ExtendDeadlines(absl::Hours(1));
  Advance(absl::Hours(1) + absl::Seconds(29));
  EXPECT_EQ(host_.kills, 0);
  Advance(absl::Seconds(1));
  EXPECT_EQ(host_.kills, 1);
}

TEST_F(EngineSessionTest, LogsGoToTheRunsThatArePresent) {
  session_.OnLog("loading\n");
  BecomeReady(2);
  host_.waiting_log = "before the run\n";
  Start(1);
  session_.OnLog("one\n");
  EXPECT_EQ(host_.Take<AttemptLog>().size(), 1u);
  Exit(1);
  EXPECT_EQ(End().log_tail, "one\n");
  std::ifstream file(End().log_path);
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), "one\n");
}

TEST_F(EngineSessionTest, AnEngineThatDiesIdleTellsItsLastWords) {
  session_.OnLog("error while loading libtorch.so\n");
  Exit(127);
  EXPECT_EQ(session_.end_reason(), "exited with status 127; its last words: error while loading libtorch.so");
}

}  // namespace
}  // namespace seedbed
