// The pool with real processes: fake engines that behave and misbehave.
#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "worker/process/testing/pool_harness.h"

namespace seedbed {
namespace {

using ::testing::HasSubstr;
using testing::PoolHarness;
using ::testing::StartsWith;

constexpr char kProgram[] = FAKE_ENGINE_PATH;

// Steps of `rows` are 0 … last, each once.
void ExpectWholeRows(const std::map<int64_t, std::vector<MetricColumn>>& rows, int64_t last) {
  ASSERT_EQ(rows.size(), static_cast<size_t>(last + 1));
  EXPECT_EQ(rows.begin()->first, 0);
  EXPECT_EQ(rows.rbegin()->first, last);
}

TEST(EnginePoolTest, TrainsRunsOneAfterAnotherInAWarmEngine) {
  PoolHarness harness(kProgram, {{}});
  int readies = 0;
  harness.SetHook([&](const EngineEvent& event) { readies += std::holds_alternative<EngineBecameReady>(event); });
  harness.Start();
  const EngineBecameReady ready = harness.AwaitReady(0);
  EXPECT_EQ(ready.info.capacity, 1);
  EXPECT_EQ(CanonicalJson(ready.info.numerics), R"({"implementation":"fake"})");
  for (const int64_t attempt : {1, 2}) {
    harness.StartRun(attempt, 0, 1200);
    const AttemptEnded ended = harness.AwaitEnd(attempt);
    EXPECT_EQ(ended.end, AttemptEnd::kFinished) << ended.reason;
    EXPECT_EQ(ended.outcome, "grokked");
    EXPECT_EQ(ended.reason, "budget");
    EXPECT_EQ(ended.last_step, 1200);
    EXPECT_THAT(ended.log_tail, StartsWith("run " + std::to_string(attempt) + " starts"));
    ExpectWholeRows(harness.metrics()[attempt], 1200);
  }
  harness.pool().Shutdown();
  EXPECT_EQ(harness.AwaitDown(0).restarts_in, std::nullopt);
  harness.AwaitStopped();
  EXPECT_EQ(readies, 1);
}

struct Misbehaviour {
  const char* behaviour;
  AttemptEnd end;
  const char* reason;
  bool engine_dies;
};

class MisbehaviourTest : public ::testing::TestWithParam<Misbehaviour> {};

// The bad run ends as it should; its neighbour does not notice; the engine (again) trains the next run.
TEST_P(MisbehaviourTest, CostsItsRunAndNothingElse) {
  const Misbehaviour& expected = GetParam();
  TemporaryDirectory directory;
  EngineLimits limits;
  // Others may take as long as they need, however slow the machine is.
  limits.stall_after = expected.end == AttemptEnd::kStalled ? absl::Seconds(4) : absl::Seconds(60);
  PoolHarness harness(kProgram,
                      {{{"SEEDBED_FAKE_BEHAVIOUR", expected.behaviour},
                        {"SEEDBED_FAKE_AT_STEP", "50"},
                        {"SEEDBED_FAKE_ONCE", directory.path() + "/once"}},
                       {{"SEEDBED_FAKE_STEP_MILLISECONDS", "1"}}},
                      limits);
  harness.Start();
  harness.AwaitReady(0);
  harness.StartRun(1, 0, 1200);
  const AttemptEnded bad = harness.AwaitEnd(1);
  EXPECT_EQ(bad.end, expected.end) << AttemptEndName(bad.end);
  EXPECT_THAT(bad.reason, HasSubstr(expected.reason));
  const auto rows = harness.metrics()[1];
  EXPECT_GE(rows.size(), 50u) << "what it said before counts";
  if (expected.engine_dies) {
    EXPECT_EQ(harness.AwaitDown(0).restarts_in, absl::ZeroDuration());
    harness.AwaitReady(0);
  }
  harness.StartRun(2, 0, 1200);
  EXPECT_EQ(harness.AwaitEnd(2).end, AttemptEnd::kFinished);
  ExpectWholeRows(harness.metrics()[2], 1200);
}

INSTANTIATE_TEST_SUITE_P(
    All, MisbehaviourTest,
    ::testing::Values(Misbehaviour{"crash", AttemptEnd::kCrashed, "signal 11", true},
                      Misbehaviour{"kill", AttemptEnd::kCrashed, "signal 9", true},
                      Misbehaviour{"exit", AttemptEnd::kCrashed, "status 3", true},
                      Misbehaviour{"exit_0", AttemptEnd::kCrashed, "status 0", true},
                      Misbehaviour{"hang", AttemptEnd::kStalled, "said nothing", true},
                      Misbehaviour{"garbage", AttemptEnd::kCrashed, "not valid JSON", true},
                      Misbehaviour{"huge_line", AttemptEnd::kCrashed, "a line of more than", true},
                      Misbehaviour{"unknown_run", AttemptEnd::kCrashed, "which this engine does not train", true},
                      Misbehaviour{"repeated_step", AttemptEnd::kCrashed, "came after step 50", true},
                      Misbehaviour{"fail", AttemptEnd::kFailed, "as the test wished", false},
                      Misbehaviour{"out_of_memory", AttemptEnd::kOutOfMemory, "as the test wished", false},
                      Misbehaviour{"grandchild", AttemptEnd::kFinished, "budget", false},
                      Misbehaviour{"flood", AttemptEnd::kFinished, "budget", false},
                      Misbehaviour{"log_flood", AttemptEnd::kFinished, "budget", false}),
    [](const auto& info) { return std::string(info.param.behaviour); });

TEST(EnginePoolTest, ACrashDoesNotTouchTheNeighbour) {
  PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_BEHAVIOUR", "crash"}, {"SEEDBED_FAKE_AT_STEP", "5"}},
                                 {{"SEEDBED_FAKE_STEP_MILLISECONDS", "1"}}});
  harness.Start();
  harness.AwaitReady(1);
  harness.StartRun(2, 1, 300);
  for (int64_t attempt = 10; attempt < 13; ++attempt) {
    AttemptEnded ended;
    do {
      // Not ready yet again: nothing was tried.
      harness.StartRun(attempt, 0, 10);
      ended = harness.AwaitEnd(attempt);
    } while (ended.end == AttemptEnd::kNotStarted);
    EXPECT_EQ(ended.end, AttemptEnd::kCrashed);
  }
  EXPECT_EQ(harness.AwaitEnd(2).end, AttemptEnd::kFinished);
  ExpectWholeRows(harness.metrics()[2], 300);
}

TEST(EnginePoolTest, RowsAreTheSameAloneInAPackAndAfterACrash) {
  const auto alone = [] {  // gone before the other is there: a spawner is forked where no pool has its thread
    PoolHarness harness(kProgram, {{}});
    harness.Start();
    harness.AwaitReady(0);
    harness.StartRun(3, 0, 500);
    harness.AwaitEnd(3);
    return harness.metrics();
  }();
  PoolHarness pack(kProgram, {{{"SEEDBED_FAKE_CAPACITY", "4"}}});
  pack.Start();
  EXPECT_EQ(pack.AwaitReady(0).info.capacity, 4);
  for (const int64_t attempt : {1, 2, 3, 4}) pack.StartRun(attempt, 0, 500);
  for (const int64_t attempt : {1, 2, 3, 4}) EXPECT_EQ(pack.AwaitEnd(attempt).end, AttemptEnd::kFinished);
  const auto expected = alone.at(3), got = pack.metrics()[3];
  ASSERT_EQ(expected.size(), got.size());
  for (const auto& [step, columns] : expected) {
    const auto& other = got.at(step);
    ASSERT_EQ(columns.size(), other.size());
    for (size_t i = 0; i < columns.size(); ++i) {
      EXPECT_EQ(columns[i].name, other[i].name);
      EXPECT_EQ(columns[i].values, other[i].values);
    }
  }
}

TEST(EnginePoolTest, LogsAreBoundedAndDelayNoMetric) {
  TemporaryDirectory directory;
  PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_BEHAVIOUR", "log_flood"}, {"SEEDBED_FAKE_AT_STEP", "5"}}});
  harness.Start();
  harness.AwaitReady(0);
  harness.StartRun(1, 0, 20);
  const AttemptEnded ended = harness.AwaitEnd(1);
  EXPECT_EQ(ended.end, AttemptEnd::kFinished);
  ExpectWholeRows(harness.metrics()[1], 20);
  std::ifstream file(ended.log_path);
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_LT(text.str().size(), 1'400'000u);
  EXPECT_THAT(text.str(), StartsWith("run 1 starts"));
  EXPECT_THAT(text.str(), HasSubstr("bytes of this log were dropped here]"));
  EXPECT_EQ(ended.log_tail.size(), 4096u);
}

TEST(EnginePoolTest, APausedEngineWaitsAndIsNotStalled) {
  EngineLimits limits;
  limits.stall_after = absl::Seconds(1);
  // The second engine's run takes longer than a stall: it is the clock.
  PoolHarness harness(kProgram, {{}, {{"SEEDBED_FAKE_STEP_MILLISECONDS", "10"}}}, limits);
  bool paused = false;
  harness.SetHook([&](const EngineEvent& event) {
    const auto* metrics = std::get_if<AttemptMetrics>(&event);
    if (metrics == nullptr || metrics->attempt != AttemptId(1) || paused) return;
    paused = true;
    harness.pool().PauseReading(AttemptId(1));
  });
  harness.Start();
  harness.AwaitReady(0);
  harness.StartRun(1, 0, 20'000);
  harness.Await([](const EngineEvent& event) { return std::holds_alternative<AttemptMetrics>(event); }, "metrics");
  AttemptEnded clock_run;
  do {
    harness.StartRun(2, 1, 200);
    clock_run = harness.AwaitEnd(2);
  } while (clock_run.end == AttemptEnd::kNotStarted);
  EXPECT_EQ(clock_run.end, AttemptEnd::kFinished);
  const size_t before = harness.metrics()[1].size();
  // One read of 256 KiB and what waited in the buffer; a row is about 300 bytes.
  EXPECT_LT(before, 10'000u);
  harness.pool().ResumeReading(AttemptId(1));
  EXPECT_EQ(harness.AwaitEnd(1).end, AttemptEnd::kFinished);
  ExpectWholeRows(harness.metrics()[1], 20'000);
}

TEST(EnginePoolTest, WhatAPausedEngineSaidBeforeItsEndCounts) {
  PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_BEHAVIOUR", "crash"}, {"SEEDBED_FAKE_AT_STEP", "50"}}});
  harness.Start();
  harness.AwaitReady(0);
  harness.StartRun(1, 0, 1200);
  harness.pool().PauseReading(AttemptId(1));
  const AttemptEnded ended = harness.AwaitEnd(1);
  EXPECT_EQ(ended.end, AttemptEnd::kCrashed);
  EXPECT_EQ(ended.last_step, 49);
  ExpectWholeRows(harness.metrics()[1], 49);
}

TEST(EnginePoolTest, AStopOfAPausedRunIsAnswered) {
  PoolHarness harness(kProgram, {{}});
  harness.Start();
  harness.AwaitReady(0);
  harness.StartRun(1, 0, 1'000'000'000);
  harness.pool().PauseReading(AttemptId(1));
  harness.pool().StopRun(AttemptId(1), false);
  EXPECT_EQ(harness.AwaitEnd(1).end, AttemptEnd::kStopped);
}

// An engine that reads while it writes does not block whatever the worker does; one that does not would, for ever.
TEST(EnginePoolTest, FloodsInBothDirectionsDoNotBlockEachOther) {
  for (const char* behaviour : {"flood", "deaf_flood"}) {
    SCOPED_TRACE(behaviour);
    PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_BEHAVIOUR", behaviour}, {"SEEDBED_FAKE_AT_STEP", "0"}}});
    harness.Start();
    harness.AwaitReady(0);
    AttemptStart start = harness.MakeStart(1, 0, 2000);
    start.specification["note"] = std::string(4 << 20, 'x');  // far more than a pipe holds
    harness.pool().StartRun(start);
    for (int i = 0; i < 8'000; ++i) harness.pool().Checkpoint(AttemptId(1));  // more than a pipe and a read
    EXPECT_EQ(harness.AwaitEnd(1).end, AttemptEnd::kFinished);
    ExpectWholeRows(harness.metrics()[1], 2000);
  }
}

TEST(EnginePoolTest, StopsWithACheckpointAndResumesFromIt) {
  PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_STEP_MILLISECONDS", "1"}}});
  harness.Start();
  harness.AwaitReady(0);
  harness.StartRun(1, 0, 400);
  harness.Await([](const EngineEvent& event) { return std::holds_alternative<AttemptMetrics>(event); }, "metrics");
  harness.pool().StopRun(AttemptId(1), true);
  const EngineEvent event = harness.Await(
      [](const EngineEvent& event) { return std::holds_alternative<AttemptCheckpoint>(event); }, "checkpoint");
  const auto checkpoint = std::get<AttemptCheckpoint>(event);
  const AttemptEnded stopped = harness.AwaitEnd(1);
  EXPECT_EQ(stopped.end, AttemptEnd::kStopped);
  EXPECT_EQ(stopped.last_step, checkpoint.step);
  EXPECT_TRUE(std::filesystem::exists(checkpoint.path));
  harness.StartRun(2, 0, 400, checkpoint.path);
  EXPECT_EQ(harness.AwaitEnd(2).end, AttemptEnd::kFinished);
  EXPECT_EQ(harness.metrics()[1].rbegin()->first, checkpoint.step);
  EXPECT_EQ(harness.metrics()[2].begin()->first, checkpoint.step + 1);
}

TEST(EnginePoolTest, AnEngineThatIgnoresAStopIsKilled) {
  EngineLimits limits;
  limits.stop_grace = absl::Milliseconds(300);
  PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_BEHAVIOUR", "ignore_stop"}, {"SEEDBED_FAKE_STEP_MILLISECONDS", "5"}}},
                      limits);
  harness.Start();
  harness.AwaitReady(0);
  harness.StartRun(1, 0, 1'000'000);
  harness.pool().StopRun(AttemptId(1), false);
  const AttemptEnded ended = harness.AwaitEnd(1);
  EXPECT_EQ(ended.end, AttemptEnd::kCrashed);
  EXPECT_THAT(ended.reason, HasSubstr("did not stop within 300ms"));
  harness.AwaitReady(0);
}

TEST(EnginePoolTest, AnEngineThatClosesItsOutputIsKilled) {
  EngineLimits limits;
  limits.shutdown_grace = absl::Milliseconds(300);
  PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_BEHAVIOUR", "close_output"}}}, limits);
  harness.Start();
  harness.AwaitReady(0);
  harness.StartRun(1, 0, 10);
  EXPECT_THAT(harness.AwaitEnd(1).reason, HasSubstr("closed its output"));
}

TEST(EnginePoolTest, AnEngineThatCannotStartIsTriedAgainLaterAndLater) {
  PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_BEHAVIOUR", "exit_at_start"}}});
  harness.Start();
  for (const int seconds : {0, 1, 2}) {
    const EngineWentDown down = harness.AwaitDown(0);
    EXPECT_EQ(down.restarts_in, absl::Seconds(seconds));
    EXPECT_EQ(down.reason, "exited with status 3; its last words: fake_engine: cannot find libfake.so");
    EXPECT_FALSE(down.refused);
  }
}

TEST(EnginePoolTest, AnEngineThatRefusesItsSettingsIsToldFromOneThatFails) {
  PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_BEHAVIOUR", "refuse"}}});
  harness.Start();
  const EngineWentDown down = harness.AwaitDown(0);
  EXPECT_TRUE(down.refused);
  EXPECT_THAT(down.reason, HasSubstr("there is no such device"));
}

TEST(EnginePoolTest, SaysThatAProgramIsMissing) {
  PoolHarness harness("/no/such/engine", {{}});
  harness.Start();
  EXPECT_THAT(harness.AwaitDown(0).reason, HasSubstr("/no/such/engine: executing the program: No such file"));
}

TEST(EnginePoolTest, AnEngineThatNeverGetsReadyIsKilled) {
  EngineLimits limits;
  limits.ready_timeout = absl::Milliseconds(300);
  PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_BEHAVIOUR", "never_ready"}}}, limits);
  harness.Start();
  EXPECT_THAT(harness.AwaitDown(0).reason, HasSubstr("was not ready within 300ms"));
}

TEST(EnginePoolTest, ShutdownKillsWhoDoesNotLeave) {
  EngineLimits limits;
  limits.shutdown_grace = absl::Milliseconds(300);
  PoolHarness harness(kProgram,
                      {{{"SEEDBED_FAKE_BEHAVIOUR", "ignore_shutdown"}},
                       {{"SEEDBED_FAKE_STEP_MILLISECONDS", "5"}},
                       {{"SEEDBED_FAKE_BEHAVIOUR", "never_ready"}}},
                      limits);
  harness.Start();
  harness.AwaitReady(0);
  harness.StartRun(1, 0, 1'000'000);
  harness.Await([](const EngineEvent& event) { return std::holds_alternative<AttemptMetrics>(event); }, "metrics");
  harness.pool().Shutdown();
  EXPECT_EQ(harness.AwaitEnd(1).end, AttemptEnd::kStopped);
  harness.AwaitStopped();
}

TEST(EnginePoolTest, NoEnginesIsAPoolToo) {
  PoolHarness harness(kProgram, {});
  harness.Start();
  harness.pool().StartRun(harness.MakeStart(1, 0, 10));
  EXPECT_EQ(harness.AwaitEnd(1).reason, "there is no engine 0");
  harness.pool().Shutdown();
  harness.AwaitStopped();
}

TEST(EnginePoolTest, DestroyedWithoutShutdownItLeavesNoProcess) {
  PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_BEHAVIOUR", "grandchild"}}, {{"SEEDBED_FAKE_BEHAVIOUR", "hang"}}});
  harness.Start();
  harness.AwaitReady(0);
  harness.StartRun(1, 0, 10);
  EXPECT_EQ(harness.AwaitEnd(1).end, AttemptEnd::kFinished);
  EXPECT_EQ(harness.Close(), 0);
}

TEST(EnginePoolTest, ALostSpawnerEndsThePool) {
  PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_STEP_MILLISECONDS", "5"}}});
  harness.Start();
  harness.AwaitReady(0);
  harness.StartRun(1, 0, 1'000'000);
  harness.Await([](const EngineEvent& event) { return std::holds_alternative<AttemptMetrics>(event); }, "metrics");
  kill(harness.spawner().pid(), SIGKILL);
  EXPECT_EQ(harness.AwaitEnd(1).end, AttemptEnd::kCrashed);
  EXPECT_EQ(harness.AwaitDown(0).restarts_in, std::nullopt);
  harness.AwaitStopped();
  // Nobody is left who could wait for the last of them.
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (harness.CountProcesses() > 0 && absl::Now() < deadline) sched_yield();
}

int CountDescriptors() {
  int count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (directory != nullptr && readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

TEST(EnginePoolTest, RestartsLeakNoDescriptor) {
  PoolHarness harness(kProgram, {{{"SEEDBED_FAKE_BEHAVIOUR", "crash"}, {"SEEDBED_FAKE_AT_STEP", "5"}}});
  harness.Start();
  harness.AwaitReady(0);
  int first = 0;
  for (int64_t attempt = 1; attempt <= 10; ++attempt) {
    harness.StartRun(attempt, 0, 10);
    EXPECT_EQ(harness.AwaitEnd(attempt).end, AttemptEnd::kCrashed);
    harness.AwaitReady(0);
    if (attempt == 1) first = CountDescriptors();
  }
  EXPECT_EQ(CountDescriptors(), first);
}

TEST(EnginePoolTest, CommandsMayComeFromTheHandler) {
  PoolHarness harness(kProgram, {{}});
  AttemptStart second = harness.MakeStart(2, 0, 20);
  harness.SetHook([&](const EngineEvent& event) {
    const auto* ended = std::get_if<AttemptEnded>(&event);
    if (ended != nullptr && ended->attempt == AttemptId(1)) harness.pool().StartRun(second);
  });
  harness.Start();
  harness.AwaitReady(0);
  harness.StartRun(1, 0, 20);
  EXPECT_EQ(harness.AwaitEnd(2).end, AttemptEnd::kFinished);
}

}  // namespace
}  // namespace seedbed
