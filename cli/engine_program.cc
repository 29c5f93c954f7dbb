#include "cli/engine_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"

extern char** environ;

namespace seedbed::cli {
namespace {

struct Pipe {
  int ends[2] = {-1, -1};
  ~Pipe() {
    Close(0);
    Close(1);
  }
  void Close(int end) {
    if (ends[end] >= 0) close(ends[end]);
    ends[end] = -1;
  }
};

// Gives what is read to `on_line`, one line at a time; false once that has returned false.
bool TakeLines(std::string* pending, const std::function<bool(std::string_view)>& on_line) {
  size_t begin = 0;
  for (size_t end = pending->find('\n'); end != std::string::npos; end = pending->find('\n', begin)) {
    if (!on_line(std::string_view(*pending).substr(begin, end - begin))) return false;
    begin = end + 1;
  }
  pending->erase(0, begin);
  return true;
}

// Feeds the child and reads from it, neither of which may keep the other waiting. False if `on_line` has had enough.
bool Talk(Pipe* in, Pipe* out, std::string_view input, const std::function<bool(std::string_view)>& on_line) {
  fcntl(in->ends[1], F_SETFL, O_NONBLOCK);
  std::string pending;
  while (true) {
    if (input.empty()) in->Close(1);
    pollfd ready[2] = {{out->ends[0], POLLIN, 0}, {in->ends[1], POLLOUT, 0}};  // a closed end is passed over
    if (poll(ready, 2, -1) < 0 && errno != EINTR) return true;
    if (ready[1].revents != 0) {
      const ssize_t count = write(in->ends[1], input.data(), input.size());
      if (count > 0) input.remove_prefix(static_cast<size_t>(count));
      if (count < 0 && errno != EAGAIN && errno != EINTR) input = {};
    }
    if (ready[0].revents == 0) continue;
    char buffer[65536];
    const ssize_t count = read(out->ends[0], buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return true;
    pending.append(buffer, static_cast<size_t>(count));
    if (!TakeLines(&pending, on_line)) return false;
  }
}

}  // namespace

std::string EngineProgram() {
  const char* directory = std::getenv("SEEDBED_BIN");
  if (directory != nullptr && directory[0] != '\0') return absl::StrCat(directory, "/seedbed-engine");
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string("seedbed-engine") : (program.parent_path() / "seedbed-engine").string();
}

absl::Status RunEngine(const std::vector<std::string>& arguments, const std::string& input,
                       const std::function<bool(std::string_view)>& on_line) {
  const std::string program = EngineProgram();
  if (access(program.c_str(), X_OK) != 0) {
    return absl::NotFoundError(
        absl::StrCat("there is no program at ", program, "; name the folder of Seedbed's programs in SEEDBED_BIN"));
  }
  Pipe in, out;
  if (pipe2(in.ends, O_CLOEXEC) != 0 || pipe2(out.ends, O_CLOEXEC) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot make a pipe: ", std::strerror(errno)));
  }
  std::vector<std::string> words = {program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  // An engine has no business with the coordinator.
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, "SEEDBED_TOKEN=", std::strlen("SEEDBED_TOKEN=")) != 0) environment.push_back(*entry);
  }
  environment.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.ends[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out.ends[1], 1);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return absl::InternalError(absl::StrCat("cannot start ", program, ": ", std::strerror(error)));
  in.Close(0);
  out.Close(1);
  const bool whole = Talk(&in, &out, input, on_line);
  in.Close(1);
  out.Close(0);
  if (!whole) kill(pid, SIGTERM);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!whole || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) return absl::OkStatus();
  const std::string how = WIFEXITED(status) ? absl::StrCat("left with status ", WEXITSTATUS(status))
                                            : absl::StrCat("was killed by signal ", WTERMSIG(status));
  return absl::InternalError(absl::StrCat("seedbed-engine ", arguments.empty() ? "" : arguments[0], " ", how));
}

}  // namespace seedbed::cli
