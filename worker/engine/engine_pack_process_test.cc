// Packs, checkpoints and resuming through the real protocol.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/base/sha256.h"
#include "gtest/gtest.h"
#include "worker/engine/engine_under_test.h"
#include "worker/engine/test_directory.h"

namespace seedbed::engine {
namespace {

// A directory of its own for each test's runs.
std::string NewDirectory() {
  std::string path = TestPath("engineXXXXXX");
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Json PackSpecification(int64_t run) {
  Json specification = Specification(100 + 60 * run);
  specification["seed"] = run;
  specification["parameters"]["optimizer.learning_rate"] = 0.01 * static_cast<double>(run);
  if (run % 2 == 0) specification["parameters"]["model.width"] = 24;
  return specification;
}

TEST(EnginePackTest, ARunInAPackOfFiveWithRefillsHasTheBitsThatItHasAlone) {
  constexpr int64_t kRuns = 13;
  std::map<int64_t, Record> packed;
  Engine pack({}, {{"SEEDBED_ENGINE_CAPACITY", "5"}});
  EXPECT_EQ(pack.Next()["capacity"], 5);
  int64_t started = 0;
  int64_t ended = 0;
  while (ended < kRuns) {
    while (started < kRuns && started - ended < 5) {
      ++started;
      Json specification = PackSpecification(started);
      if (started == 4) specification["parameters"]["optimizer.learning_rate"] = 1e9;  // diverges
      if (started == 6) specification["parameters"]["model.depth"] = "deep";           // fails
      pack.Say(Start(started, specification));
    }
    const Json message = pack.Next();
    ASSERT_FALSE(message.is_null());
    Note(message, &packed);
    if (!packed[message["run"].get<int64_t>()].last.is_null()) ++ended;
  }
  EXPECT_EQ(packed[4].last["outcome"], "diverged");
  EXPECT_EQ(packed[6].last["type"], "failed");

  Engine alone;
  alone.Next("ready");
  for (int64_t run = kRuns; run >= 1; --run) {
    if (run == 4 || run == 6) continue;
    alone.Say(Start(run, PackSpecification(run)));
    Record record = ReadRun(&alone, run);
    for (Record* either : {&record, &packed[run]}) {
      for (const char* time : {"wall_seconds", "cpu_seconds"}) either->last["summary"].erase(time);
    }
    EXPECT_EQ(packed[run].last, record.last) << run;
    EXPECT_EQ(packed[run].values, record.values) << run;
    EXPECT_EQ(record.values["train_loss"].size(), 11u + 6u * static_cast<size_t>(run)) << run;
  }
}

TEST(EnginePackTest, ASixthRunIsRefusedAndAStoppedOneMakesRoom) {
  Engine engine({}, {{"SEEDBED_ENGINE_CAPACITY", "2"}});
  engine.Next("ready");
  for (const int64_t run : {1, 2, 3}) engine.Say(Start(run, Specification(1'000'000'000)));
  EXPECT_EQ(engine.Next("failed")["run"], 3);
  engine.Say({{"type", "stop"}, {"run", 1}, {"checkpoint", false}});
  EXPECT_EQ(engine.Next("stopped")["run"], 1);
  engine.Say(Start(4, Specification(50)));
  EXPECT_EQ(engine.Next("finished")["run"], 4);
  engine.Say({{"type", "shutdown"}});
  EXPECT_EQ(engine.Next("stopped")["run"], 2);
  EXPECT_EQ(engine.Wait(), 0);
}

// One stacked model, as on a GPU; here on the CPU.
TEST(EnginePackTest, AStackedPackSaysSoAndItsRunsHaveTheBitsThatTheyHaveAloneInOne) {
  const Engine::Environment environment = {{"SEEDBED_ENGINE_CAPACITY", "3"}, {"SEEDBED_ENGINE_PACK", "stacked"}};
  const auto specification = [](int64_t run) {
    Json specification = PackSpecification(run);
    specification["parameters"]["model.width"] = 16;
    specification["budget"]["steps"] = 40 + 30 * (run % 3);
    return specification;
  };
  Engine engine({}, environment);
  const Json ready = engine.Next("ready");
  EXPECT_EQ(ready["capacity"], 3);
  EXPECT_EQ(ready["numerics"]["pack"], "stacked");
  EXPECT_EQ(ready["numerics"]["pack_capacity"], 3);
  std::map<int64_t, Record> packed;
  int64_t started = 0;
  int64_t ended = 0;
  while (ended < 7) {
    while (started < 7 && started - ended < 3) {
      ++started;
      engine.Say(Start(started, specification(started)));
    }
    const Json message = engine.Next();
    ASSERT_FALSE(message.is_null());
    Note(message, &packed);
    if (!packed[message["run"].get<int64_t>()].last.is_null()) ++ended;
  }
  Engine alone({}, environment);
  alone.Next("ready");
  for (int64_t run = 7; run >= 1; --run) {
    alone.Say(Start(run, specification(run)));
    const Record record = ReadRun(&alone, run);
    EXPECT_EQ(record.last["type"], "finished");
    EXPECT_EQ(packed[run].values, record.values) << run;
    EXPECT_FALSE(record.values.empty());
  }
}

// Rows up to the first checkpoint's step from the first engine, the others from a second: those of one that was never
// stopped.
TEST(EngineCheckpointTest, AnotherEngineGoesOnWithTheSameBits) {
  const std::string directory = NewDirectory();
  const Json specification = Specification(60000);
  std::map<int64_t, Record> first;
  Json checkpoint;
  {
    Engine engine({}, {{"SEEDBED_ENGINE_CAPACITY", "2"}});
    engine.Next("ready");
    engine.Say(Start(1, specification, directory));
    engine.Say(Start(2, Specification(1'000'000'000), directory));  // a neighbour
    while (first[1].values["train_loss"].empty()) Note(engine.Next(), &first);
    engine.Say({{"type", "checkpoint"}, {"run", 1}});
    while (first[1].checkpoints.empty()) Note(engine.Next(), &first);
    checkpoint = first[1].checkpoints[0];
    engine.Signal(SIGKILL);
    EXPECT_EQ(engine.Wait(), 128 + SIGKILL);
  }
  const auto step = checkpoint["step"].get<int64_t>();
  EXPECT_GT(step, 0);
  ASSERT_LT(step, 60000);
  const auto path = checkpoint["path"].get<std::string>();
  EXPECT_EQ(path.rfind(directory + "/", 0), 0u);
  EXPECT_EQ(Sha256Hex(Contents(path)), checkpoint["sha256"]);
  EXPECT_TRUE(checkpoint["numerics"].contains("blas_kernel"));

  Engine engine;
  EXPECT_EQ(engine.Next("ready")["numerics"], checkpoint["numerics"]);
  engine.Say(Start(8, specification, NewDirectory(), path));
  Record resumed = ReadRun(&engine, 8);
  EXPECT_EQ(resumed.last["type"], "finished");
  engine.Say(Start(9, specification));
  const Record undisturbed = ReadRun(&engine, 9);
  for (auto& [name, by_step] : resumed.values) {
    EXPECT_GT(by_step.begin()->first, step) << "a row of the first attempt was sent again";
    for (const auto& [s, value] : first[1].values[name]) {
      if (s <= step) by_step.emplace(s, value);
    }
  }
  EXPECT_EQ(resumed.values, undisturbed.values);
}

TEST(EngineCheckpointTest, AStopWithACheckpointIsAnsweredByBoth) {
  const std::string directory = NewDirectory();
  Engine engine;
  engine.Next("ready");
  engine.Say(Start(1, Specification(1'000'000'000), directory));
  engine.Next("metrics");
  engine.Say({{"type", "stop"}, {"run", 1}, {"checkpoint", true}});
  const Json checkpoint = engine.Next("checkpoint");
  const Json stopped = engine.Next();
  EXPECT_EQ(stopped["type"], "stopped");
  EXPECT_EQ(stopped["last_step"], checkpoint["step"]);
  engine.Say(Start(2, Specification(1'000'000'000), directory, checkpoint["path"]));
  engine.Say({{"type", "stop"}, {"run", 2}, {"checkpoint", false}});
  EXPECT_GE(engine.Next("stopped")["last_step"], checkpoint["step"]);
}

TEST(EngineCheckpointTest, ADamagedOneFailsTheRunAndNotTheEngine) {
  const std::string directory = NewDirectory();
  Engine engine;
  engine.Next("ready");
  engine.Say(Start(1, Specification(1'000'000'000), directory));
  engine.Next("metrics");
  engine.Say({{"type", "stop"}, {"run", 1}, {"checkpoint", true}});
  const auto path = engine.Next("checkpoint")["path"].get<std::string>();
  const std::string bytes = Contents(path);
  int64_t run = 1;
  for (const std::string& damaged : {bytes.substr(0, bytes.size() / 2), std::string(), "x" + bytes.substr(1)}) {
    const std::string other = directory + "/damaged";
    std::ofstream(other, std::ios::binary | std::ios::trunc) << damaged;
    engine.Say(Start(++run, Specification(1'000'000'000), directory, other));
    const Json failed = engine.Next("failed");
    EXPECT_EQ(failed["kind"], "error");
    EXPECT_EQ(failed["reason"].get<std::string>().rfind("checkpoint ", 0), 0u) << failed;
  }
  engine.Say(Start(++run, Specification(20), directory, path));  // of another budget
  EXPECT_NE(engine.Next("failed")["reason"].get<std::string>().find("budget.steps"), std::string::npos);
  engine.Say(Start(++run, Specification(20)));
  EXPECT_EQ(engine.Next("finished")["run"], run);
}

TEST(EngineProgramTest, SettingsThatMeanNothingEndItAtOnce) {
  for (const auto& [name, value] : {std::pair<std::string, std::string>{"SEEDBED_ENGINE_CAPACITY", "many"},
                                    {"SEEDBED_ENGINE_DEVICE", "tpu"},
                                    {"SEEDBED_ENGINE_PACK", "heap"}}) {
    Engine engine({}, {{name, value}});
    EXPECT_EQ(engine.Wait(), 2);
    EXPECT_NE(engine.Errors().find(name), std::string::npos);
  }
}

TEST(EngineProgramTest, TrainTakesASpecificationAndResumes) {
  const std::string directory = NewDirectory();
  const std::string file = directory + "/run.json";
  Json specification = Specification(1'000'000'000);
  std::ofstream(file) << specification;
  const std::string checkpoint = directory + "/run.sbc";
  Engine interrupted({"train", "--specification", file, "--checkpoint", checkpoint});
  interrupted.Next("metrics");
  interrupted.Signal(SIGINT);
  const Json saved = interrupted.Next("checkpoint");
  EXPECT_EQ(saved["path"], checkpoint);
  EXPECT_EQ(interrupted.Wait(), 130);
  Engine resumed({"train", "--specification=" + file, "--resume", checkpoint});
  EXPECT_GT(resumed.Next("metrics")["steps"][0], saved["step"]);

  specification["budget"]["steps"] = 20;
  std::ofstream(file) << specification;
  Engine finished({"train", "--specification", file, "--checkpoint", checkpoint, "--checkpoint-every", "0.001"});
  EXPECT_EQ(finished.Wait(), 0);
  Engine other({"train", "--specification", file, "--resume", directory + "/none.sbc"});
  EXPECT_NE(other.Next("failed")["reason"].get<std::string>().find("none.sbc"), std::string::npos);
  EXPECT_EQ(other.Wait(), 1);
  Engine fed({"train", "--specification", directory + "/none.json"});
  EXPECT_EQ(fed.Wait(), 2);
}

}  // namespace
}  // namespace seedbed::engine
