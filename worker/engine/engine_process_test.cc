// Drives the real seedbed-engine through its protocol, as a worker does.
#include <signal.h>

#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "worker/engine/engine_under_test.h"

namespace seedbed::engine {
namespace {

TEST(EngineProcessTest, IntroducesItselfAndLeavesWhenTold) {
  Engine engine;
  const Json ready = engine.Next();
  EXPECT_EQ(ready["type"], "ready");
  EXPECT_EQ(ready["protocol"], 1);
  EXPECT_EQ(ready["trainers"], Json::array({"modular"}));
  EXPECT_EQ(ready["capacity"], 1);
  EXPECT_EQ(ready["device"], "cpu");
  EXPECT_EQ(ready["checkpoints"], true);
  EXPECT_EQ(ready["numerics"]["threads"], 1);
#if defined(__x86_64__)
  EXPECT_EQ(ready["numerics"]["flush_to_zero"], true);
#endif
  engine.Say({{"type", "shutdown"}});
  EXPECT_EQ(engine.Next(), nullptr);
  EXPECT_EQ(engine.Wait(), 0);
}

TEST(EngineProcessTest, RunsOneAfterAnotherAndAloneHaveTheSameBits) {
  Engine engine;
  EXPECT_EQ(engine.Next()["type"], "ready");
  std::vector<Record> records;
  for (const int64_t run : {1, 2, 3}) {
    Json specification = Specification(300);
    if (run == 2) specification["parameters"]["model.width"] = 24;
    engine.Say(Start(run, specification));
    records.push_back(ReadRun(&engine, run));
    EXPECT_EQ(records.back().last["type"], "finished") << records.back().last;
    EXPECT_EQ(records.back().last["reason"], "budget");
    EXPECT_EQ(records.back().last["last_step"], 300);
    EXPECT_TRUE(records.back().last["summary"].contains("t_train_99"));
  }
  EXPECT_EQ(records[0].values.size(), 9u);
  EXPECT_EQ(records[0].values["train_loss"].size(), 31u);
  EXPECT_EQ(records[0].values, records[2].values);
  EXPECT_NE(records[0].values, records[1].values);

  std::vector<std::string> arguments = {"train", "--seed",           "3", "--steps=300", "--log-every",
                                        "10",    "--evaluate-every", "50"};
  const Json parameters = SmallParameters();
  for (const auto& [name, value] : parameters.items()) {
    arguments.insert(arguments.end(), {"--set", name + "=" + value.dump()});
  }
  Engine alone(arguments);
  EXPECT_EQ(ReadRun(&alone, 1).values, records[0].values);
  EXPECT_EQ(alone.Wait(), 0);
}

TEST(EngineProcessTest, StopsAtTheNextStepAndStaysWarm) {
  Engine engine;
  engine.Next("ready");
  engine.Say(Start(7, Specification(1'000'000'000)));
  EXPECT_EQ(engine.Next("alive")["run"], 7);
  engine.Say(Start(8, Specification(10)));
  const Json refused = engine.Next("failed");
  EXPECT_EQ(refused["run"], 8);
  EXPECT_NE(refused["reason"].get<std::string>().find("no free place"), std::string::npos);
  engine.Say({{"type", "stop"}, {"run", 99}, {"checkpoint", false}});  // of nobody: ignored
  engine.Say({{"type", "stop"}, {"run", 7}, {"checkpoint", false}});
  const Json stopped = engine.Next("stopped");
  EXPECT_EQ(stopped["run"], 7);
  EXPECT_GT(stopped["last_step"], 0);
  engine.Say(Start(9, Specification(10)));
  EXPECT_EQ(engine.Next("finished")["run"], 9);
}

TEST(EngineProcessTest, AFailedRunLeavesTheEngineUsable) {
  Engine engine;
  engine.Next("ready");
  Json wrong = Specification(10);
  wrong["parameters"]["model.widht"] = 3;
  engine.Say(Start(1, wrong));
  EXPECT_NE(engine.Next("failed")["reason"].get<std::string>().find("model.width"), std::string::npos);
  engine.Say(Start(2, Json{{"trainer", "modular"}}));
  EXPECT_EQ(engine.Next("failed")["run"], 2);
  engine.Say(Start(3, Specification(10), "/nowhere", "/some/checkpoint"));
  EXPECT_EQ(engine.Next("failed")["reason"].get<std::string>().rfind("cannot read checkpoint ", 0), 0u);
  engine.Say(Start(5, Specification(10), "/nowhere", 17));
  EXPECT_NE(engine.Next("failed")["reason"].get<std::string>().find("'resume'"), std::string::npos);
  engine.Say(Start(4, Specification(10)));
  EXPECT_EQ(engine.Next("finished")["run"], 4);
}

TEST(EngineProcessTest, LeavesAtTheEndOfItsInput) {
  Engine engine;
  engine.Next("ready");
  engine.Say(Start(1, Specification(1'000'000'000)));
  engine.Next("metrics");
  engine.EndInput();
  EXPECT_EQ(engine.Next("stopped")["run"], 1);
  EXPECT_EQ(engine.Wait(), 0);
}

TEST(EngineProcessTest, LeavesWhenNobodyReads) {
  Engine engine;
  engine.Next("ready");
  engine.Say(Start(1, Specification(1'000'000'000, 1)));
  engine.Next("metrics");
  engine.EndOutput();
  EXPECT_EQ(engine.Wait(), 0);
}

TEST(EngineProcessTest, LeavesAtSigterm) {
  Engine engine;
  engine.Next("ready");
  engine.Say(Start(1, Specification(1'000'000'000)));
  engine.Next("metrics");
  engine.Signal(SIGTERM);
  EXPECT_EQ(engine.Wait(), 0);
}

TEST(EngineProcessTest, EndsItselfOverWhatIsNotTheProtocol) {
  for (const char* line : {"{not json", "{\"type\": \"strat\", \"run\": 1}"}) {
    Engine engine;
    engine.Next("ready");
    engine.SayText(line);
    EXPECT_EQ(engine.Wait(), 2) << line;
    EXPECT_NE(engine.Errors().find("protocol"), std::string::npos) << line;
  }
}

TEST(EngineProcessTest, ARunThatIsStoppedAtOnceIsAnswered) {
  Engine engine;
  engine.Next("ready");
  engine.Say(Start(1, Specification(1'000'000'000, 1)));
  engine.Say({{"type", "stop"}, {"run", 1}, {"checkpoint", false}});
  engine.Say({{"type", "shutdown"}});
  EXPECT_EQ(engine.Next("stopped")["run"], 1);
  EXPECT_EQ(engine.Wait(), 0);
}

// `seedbed verify` trains by hand, and passes over what another fingerprint made. So where nobody names the BLAS kernel
// an engine takes the same one under a worker and without: the library's own, or SkylakeX in the place of one without
// AVX-512. With "none" it is always the library's own.
TEST(EngineProcessTest, UnderAWorkerTheNumericsAreThoseByHand) {
  const char* const inherited = std::getenv("OPENBLAS_CORETYPE");
  const std::string saved = inherited == nullptr ? "" : inherited;
  unsetenv("OPENBLAS_CORETYPE");
  Engine by_worker;
  Engine by_hand({"version"});
  Engine as_the_library_likes({"version"}, {{"SEEDBED_ENGINE_BLAS_KERNEL", "none"}});
  Engine named({"version"}, {{"OPENBLAS_CORETYPE", "Haswell"}});
  if (inherited != nullptr) setenv("OPENBLAS_CORETYPE", saved.c_str(), 1);
  const Json numerics = by_worker.Next("ready")["numerics"];
  EXPECT_EQ(numerics, by_hand.Next()["numerics"]);
  const Json own = as_the_library_likes.Next()["numerics"]["blas_kernel"];
  const bool is_openblas = own.get<std::string>().rfind("of ", 0) != 0;
  const bool knows_avx512 = own == "SkylakeX" || own == "Cooperlake" || own == "SapphireRapids";
  if (!is_openblas || knows_avx512) {
    EXPECT_EQ(numerics["blas_kernel"], own);
  } else if (numerics["blas_kernel"] != own) {
    EXPECT_EQ(numerics["blas_kernel"], "SkylakeX");
  }
  if (is_openblas) {
    EXPECT_EQ(named.Next()["numerics"]["blas_kernel"], "Haswell");
  }
}

TEST(EngineProgramTest, AnUnknownCommandIsNamed) {
  Engine engine({"trian"});
  EXPECT_EQ(engine.Wait(), 2);
  EXPECT_NE(engine.Errors().find("no command 'trian'"), std::string::npos);
}

TEST(EngineProgramTest, TrainEndsQuietlyWithItsReaderAndCleanlyAtSigint) {
  Engine unread({"train", "--steps", "1000000000", "--log-every", "1", "--set", "model.width=8"});
  unread.Next("metrics");
  unread.EndOutput();
  EXPECT_EQ(unread.Wait(), 0);
  EXPECT_EQ(unread.Errors(), "");
  Engine interrupted({"train", "--steps", "1000000000", "--set", "model.width=8"});
  interrupted.Next("metrics");
  interrupted.Signal(SIGINT);
  EXPECT_EQ(interrupted.Next("stopped")["type"], "stopped");
  EXPECT_EQ(interrupted.Wait(), 130);
}

TEST(EngineProgramTest, DescriptorsThatAreNotOpenAreNamed) {
  setenv("SEEDBED_ENGINE_INPUT_FD", "77", 1);
  setenv("SEEDBED_ENGINE_OUTPUT_FD", "78", 1);
  Engine engine({"serve"});
  unsetenv("SEEDBED_ENGINE_INPUT_FD");
  unsetenv("SEEDBED_ENGINE_OUTPUT_FD");
  EXPECT_EQ(engine.Wait(), 2);
  EXPECT_NE(engine.Errors().find("SEEDBED_ENGINE_INPUT_FD"), std::string::npos);
}

// BLAS must not start threads of its own, whatever the environment says.
TEST(EngineProgramTest, VersionNamesTheNumerics) {
  setenv("OPENBLAS_NUM_THREADS", "2", 1);
  unsetenv("OMP_NUM_THREADS");
  Engine engine({"version"});
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  setenv("OMP_NUM_THREADS", "1", 1);
  const Json version = engine.Next();
  EXPECT_EQ(version["engine"].get<std::string>().rfind("seedbed-engine ", 0), 0u);
  EXPECT_TRUE(version["numerics"].contains("libtorch"));
  EXPECT_EQ(version["numerics"]["threads"], 1);
  EXPECT_EQ(engine.Wait(), 0);
}

std::set<std::string> KeysOf(const Json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

// All that bits may depend on, and nothing that they do not: a key too few mixes what differs, one too many (a host's
// name, say) keeps every run from being gone on with elsewhere.
TEST(NumericsTest, TheFingerprintHasTheseKeys) {
  std::set<std::string> keys = {"engine",      "libtorch",      "blas",    "blas_kernel", "cpu_capability",
                                "elementwise", "flush_to_zero", "threads", "device"};
  Engine alone({"version"});
  EXPECT_EQ(KeysOf(alone.Next()["numerics"]), keys);
  Engine stacked({}, {{"SEEDBED_ENGINE_PACK", "stacked"}, {"SEEDBED_ENGINE_CAPACITY", "3"}});
  const Json numerics = stacked.Next("ready")["numerics"];
  keys.insert({"pack", "pack_capacity"});
  EXPECT_EQ(KeysOf(numerics), keys);
  EXPECT_EQ(numerics["pack_capacity"], 3);
}

#if defined(__x86_64__)
// The libraries' kernels, which these variables choose, decide bits.
TEST(NumericsTest, OtherKernelsMakeAnotherFingerprint) {
  const Engine::Environment usual = {{"OPENBLAS_CORETYPE", "Haswell"}, {"ATEN_CPU_CAPABILITY", "avx2"}};
  Engine first({"version"}, usual);
  Engine again({"version"}, usual);
  Engine of_blas({"version"}, {{"OPENBLAS_CORETYPE", "Sandybridge"}, {"ATEN_CPU_CAPABILITY", "avx2"}});
  Engine of_torch({"version"}, {{"OPENBLAS_CORETYPE", "Haswell"}, {"ATEN_CPU_CAPABILITY", "default"}});
  const Json numerics = first.Next()["numerics"];
  EXPECT_EQ(again.Next()["numerics"], numerics);
  const Json capability = of_torch.Next()["numerics"];
  if (numerics["cpu_capability"] != "DEFAULT" &&
      numerics["cpu_capability"] != "NO AVX") {  // nor has this CPU any other
    EXPECT_NE(capability["cpu_capability"], numerics["cpu_capability"]);
    EXPECT_NE(capability, numerics);
  }
  const Json kernel = of_blas.Next()["numerics"];
  if (numerics["blas_kernel"].get<std::string>().rfind("of ", 0) != 0) {  // of an OpenBLAS
    EXPECT_EQ(numerics["blas_kernel"], "Haswell");
    EXPECT_EQ(kernel["blas_kernel"], "Sandybridge");
    EXPECT_NE(kernel, numerics);
  }
}
#endif

}  // namespace
}  // namespace seedbed::engine
