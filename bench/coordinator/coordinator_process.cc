#include "bench/coordinator/coordinator_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

extern char** environ;

namespace seedbed::bench {
namespace {

// Descriptors in the child, beyond any that this process has open when it starts one.
constexpr int kReady = 200;
constexpr int kLifeline = 201;

void Pipe(int ends[2]) {
  if (pipe2(ends, O_CLOEXEC) != 0) Check(absl::UnavailableError(std::strerror(errno)), "make a pipe");
}

std::string ReadAll(int descriptor) {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t count = read(descriptor, buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer, static_cast<size_t>(count));
  }
}

}  // namespace

std::unique_ptr<CoordinatorProcess> CoordinatorProcess::Start(const std::string& program, const std::string& data,
                                                              const std::vector<std::string>& arguments) {
  int ready[2];
  int lifeline[2];
  Pipe(ready);
  Pipe(lifeline);
  std::vector<std::string> words = {program,
                                    "--data",
                                    data,
                                    "--listen",
                                    "127.0.0.1:0",
                                    "--log-level",
                                    "error",
                                    absl::StrCat("--ready-fd=", kReady),
                                    absl::StrCat("--exit-with-parent=", kLifeline)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ready[1], kReady);
  posix_spawn_file_actions_adddup2(&actions, lifeline[0], kLifeline);
  // What it says to people is not ours to print: --json promises one object.
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  std::unique_ptr<CoordinatorProcess> coordinator(new CoordinatorProcess());
  const double start = Seconds();
  const int failed = posix_spawn(&coordinator->process_, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ready[1]);
  close(lifeline[0]);
  coordinator->lifeline_ = lifeline[1];
  if (failed != 0) Check(absl::NotFoundError(std::strerror(failed)), "start " + program);
  const std::string line = ReadAll(ready[0]);
  close(ready[0]);
  coordinator->seconds_to_serve_ = Seconds() - start;
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) Check(absl::UnavailableError("it ended before it served"), "start " + program);
  coordinator->address_ = json["addresses"][0].get<std::string>();
  std::ifstream token(json["token_file"].get<std::string>());
  coordinator->token_ = std::string(std::istreambuf_iterator<char>(token), std::istreambuf_iterator<char>());
  absl::StripAsciiWhitespace(&coordinator->token_);
  return coordinator;
}

CoordinatorProcess::~CoordinatorProcess() {
  if (process_ > 0) Kill();
  close(lifeline_);
}

void CoordinatorProcess::Stop() {
  End(SIGTERM);
}

void CoordinatorProcess::Kill() {
  End(SIGKILL);
}

void CoordinatorProcess::End(int signal) {
  kill(process_, signal);
  int status = 0;
  while (waitpid(process_, &status, 0) < 0 && errno == EINTR) {
  }
  process_ = -1;
}

ProcessFigures CoordinatorProcess::Figures() const {
  return Check(FiguresOf(process_), "look at the coordinator");
}

std::string SiblingProgram(const std::string& name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? name : (self.parent_path() / name).string();
}

}  // namespace seedbed::bench
