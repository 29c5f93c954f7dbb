// Drives the real seedbed-engine through its protocol, as a worker does.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "gtest/gtest.h"

namespace seedbed::engine {
namespace {

constexpr std::chrono::seconds kPatience(60);

// A child process. Standard output and error go to pipes, as do the protocol's two descriptors.
class Engine {
 public:
  explicit Engine(std::vector<std::string> arguments = {}) {
    int to_engine[2], from_engine[2], errors[2];
    EXPECT_EQ(pipe2(to_engine, O_CLOEXEC) | pipe2(from_engine, O_CLOEXEC) | pipe2(errors, O_CLOEXEC), 0);
    const bool speaks_protocol = arguments.empty();
    pid_ = fork();
    if (pid_ == 0) {
      // Out of the way first: any of these may be descriptor 3 or 4 itself.
      const int input = fcntl(to_engine[0], F_DUPFD_CLOEXEC, 100);
      const int output = fcntl(from_engine[1], F_DUPFD_CLOEXEC, 100);
      dup2(errors[1], STDERR_FILENO);
      dup2(input, 3);
      dup2(output, speaks_protocol ? 4 : STDOUT_FILENO);
      if (speaks_protocol) {
        setenv("SEEDBED_ENGINE_INPUT_FD", "3", 1);
        setenv("SEEDBED_ENGINE_OUTPUT_FD", "4", 1);
      }
      std::vector<char*> argv = {const_cast<char*>(SEEDBED_ENGINE_PATH)};
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(99);
    }
    close(to_engine[0]);
    close(from_engine[1]);
    close(errors[1]);
    input_ = to_engine[1];
    output_ = from_engine[0];
    errors_ = errors[0];
  }
  ~Engine() {
    if (!status_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    EndInput();
    EndOutput();
    close(errors_);
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void Say(const Json& message) { SayText(message.dump()); }
  void SayText(const std::string& text) {
    const std::string line = text + "\n";
    ASSERT_EQ(write(input_, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }
  void EndInput() { CloseOnce(&input_); }
  void EndOutput() { CloseOnce(&output_); }
  void Signal(int number) const { kill(pid_, number); }

  // The next message; null at the end of output or when patience ends.
  Json Next() {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (true) {
      const size_t end = unread_.find('\n');
      if (end != std::string::npos) {
        const Json message = Json::parse(unread_.substr(0, end));
        unread_.erase(0, end + 1);
        return message;
      }
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      pollfd fd{output_, POLLIN, 0};
      if (left.count() <= 0 || poll(&fd, 1, static_cast<int>(left.count())) <= 0) {
        ADD_FAILURE() << "no message in time";
        return nullptr;
      }
      char buffer[1 << 16];
      const ssize_t count = read(output_, buffer, sizeof(buffer));
      if (count <= 0) return nullptr;
      unread_.append(buffer, static_cast<size_t>(count));
    }
  }
  // The next message of this type; others before it are passed over.
  Json Next(const std::string& type) {
    Json message = Next();
    while (!message.is_null() && message["type"] != type) message = Next();
    return message;
  }
  // Exit status; 128 + number after a signal.
  int Wait() {
    int status = 0;
    if (!status_) {
      waitpid(pid_, &status, 0);
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return *status_;
  }
  std::string Errors() {
    std::string text;
    char buffer[4096];
    ssize_t count = 0;
    while ((count = read(errors_, buffer, sizeof(buffer))) > 0) text.append(buffer, static_cast<size_t>(count));
    return text;
  }

 private:
  static void CloseOnce(int* fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
  int errors_ = -1;
  std::string unread_;
  std::optional<int> status_;
};

const Json kSmallParameters = {
    {"task.modulus", 11}, {"model.width", 16}, {"model.depth", 1}, {"task.train_fraction", 0.5}};

Json Specification(int64_t steps, int64_t log_every = 10) {
  return {{"trainer", "modular"},
          {"parameters", kSmallParameters},
          {"seed", 3},
          {"budget", {{"steps", steps}, {"seconds", nullptr}}},
          {"stop", Json::array()},
          {"metrics", {{"log_every", log_every}, {"evaluate_every", 50}}}};
}

Json Start(int64_t run, Json specification) {
  return {{"type", "start"},
          {"run", run},
          {"specification", std::move(specification)},
          {"directory", "/nowhere"},
          {"resume", nullptr}};
}

// Every value of a run, by metric and step, up to its last message, which is returned too.
struct Record {
  std::map<std::string, std::map<int64_t, Json>> values;
  Json last;
};

Record ReadRun(Engine* engine, int64_t run) {
  Record record;
  while (true) {
    const Json message = engine->Next();
    if (message.is_null()) return record;
    EXPECT_EQ(message["run"], run);
    if (message["type"] == "metrics") {
      for (const auto& [name, values] : message["values"].items()) {
        for (size_t i = 0; i < values.size(); ++i) record.values[name][message["steps"][i].get<int64_t>()] = values[i];
      }
    } else if (message["type"] != "alive" && message["type"] != "busy") {
      record.last = message;
      return record;
    }
  }
}

TEST(EngineProcessTest, IntroducesItselfAndLeavesWhenTold) {
  Engine engine;
  const Json ready = engine.Next();
  EXPECT_EQ(ready["type"], "ready");
  EXPECT_EQ(ready["protocol"], 1);
  EXPECT_EQ(ready["trainers"], Json::array({"modular"}));
  EXPECT_EQ(ready["capacity"], 1);
  EXPECT_EQ(ready["device"], "cpu");
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
  EXPECT_EQ(records[0].values.size(), 8u);
  EXPECT_EQ(records[0].values["train_loss"].size(), 31u);
  EXPECT_EQ(records[0].values, records[2].values);
  EXPECT_NE(records[0].values, records[1].values);

  std::vector<std::string> arguments = {"train", "--seed",           "3", "--steps=300", "--log-every",
                                        "10",    "--evaluate-every", "50"};
  for (const auto& [name, value] : kSmallParameters.items()) {
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
  Json resumed = Start(3, Specification(10));
  resumed["resume"] = "/some/checkpoint";
  engine.Say(resumed);
  EXPECT_NE(engine.Next("failed")["reason"].get<std::string>().find("checkpoint"), std::string::npos);
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

class IgnoreBrokenPipes : public testing::Environment {
 public:
  void SetUp() override { signal(SIGPIPE, SIG_IGN); }
};
const auto* const kIgnoreBrokenPipes = testing::AddGlobalTestEnvironment(new IgnoreBrokenPipes);

}  // namespace
}  // namespace seedbed::engine
