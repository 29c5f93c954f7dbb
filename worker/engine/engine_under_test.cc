#include "worker/engine/engine_under_test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "gtest/gtest.h"

namespace seedbed::engine {
namespace {

constexpr std::chrono::seconds kPatience(60);

class IgnoreBrokenPipes : public testing::Environment {
 public:
  void SetUp() override { signal(SIGPIPE, SIG_IGN); }
};
const auto* const kIgnoreBrokenPipes = testing::AddGlobalTestEnvironment(new IgnoreBrokenPipes);

}  // namespace

Engine::Engine(std::vector<std::string> arguments, const Environment& environment) {
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
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
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

Engine::~Engine() {
  if (!status_) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  EndInput();
  EndOutput();
  close(errors_);
}

void Engine::SayText(const std::string& text) {
  const std::string line = text + "\n";
  ASSERT_EQ(write(input_, line.data(), line.size()), static_cast<ssize_t>(line.size()));
}

void Engine::Signal(int number) const {
  kill(pid_, number);
}

void Engine::CloseOnce(int* fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

Json Engine::Next() {
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

Json Engine::Next(const std::string& type) {
  Json message = Next();
  while (!message.is_null() && message["type"] != type) message = Next();
  return message;
}

int Engine::Wait() {
  int status = 0;
  if (!status_) {
    waitpid(pid_, &status, 0);
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return *status_;
}

std::string Engine::Errors() {
  std::string text;
  char buffer[4096];
  ssize_t count = 0;
  while ((count = read(errors_, buffer, sizeof(buffer))) > 0) text.append(buffer, static_cast<size_t>(count));
  return text;
}

Json SmallParameters() {
  return {{"task.modulus", 11}, {"model.width", 16}, {"model.depth", 1}, {"task.train_fraction", 0.5}};
}

Json Specification(int64_t steps, int64_t log_every) {
  return {{"trainer", "modular"},
          {"parameters", SmallParameters()},
          {"seed", 3},
          {"budget", {{"steps", steps}, {"seconds", nullptr}}},
          {"stop", Json::array()},
          {"metrics", {{"log_every", log_every}, {"evaluate_every", 50}}}};
}

Json Start(int64_t run, Json specification, const std::string& directory, Json resume) {
  return {{"type", "start"},
          {"run", run},
          {"specification", std::move(specification)},
          {"directory", directory},
          {"resume", std::move(resume)}};
}

void Note(const Json& message, std::map<int64_t, Record>* records) {
  Record& record = (*records)[message["run"].get<int64_t>()];
  EXPECT_TRUE(record.last.is_null()) << "after its last message: " << message;
  if (message["type"] == "metrics") {
    for (const auto& [name, values] : message["values"].items()) {
      for (size_t i = 0; i < values.size(); ++i) record.values[name][message["steps"][i].get<int64_t>()] = values[i];
    }
  } else if (message["type"] == "checkpoint") {
    record.checkpoints.push_back(message);
  } else if (message["type"] != "alive" && message["type"] != "busy") {
    record.last = message;
  }
}

Record ReadRun(Engine* engine, int64_t run) {
  std::map<int64_t, Record> records;
  while (records[run].last.is_null()) {
    const Json message = engine->Next();
    if (message.is_null()) break;
    EXPECT_EQ(message["run"], run);
    Note(message, &records);
  }
  return records[run];
}

}  // namespace seedbed::engine
