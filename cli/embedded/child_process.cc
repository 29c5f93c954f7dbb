#include "cli/embedded/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace seedbed::cli {
namespace {

// After fork in a process with threads only async-signal-safe calls are allowed, up to exec. Never returns. On failure
// errno goes through `report_end`.
[[noreturn]] void BecomeChild(char* const* arguments, int log, int null, int lifeline, int report_end, pid_t parent) {
  setsid();
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD}) sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // A belt to the lifeline's braces. If the parent is gone already, the signal would never come.
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  // Out of the way of 0 to 4 first: any of these descriptors may be one of those numbers.
  const int report = fcntl(report_end, F_DUPFD_CLOEXEC, 10);
  const int log_copy = fcntl(log, F_DUPFD, 10);
  const int null_copy = fcntl(null, F_DUPFD, 10);
  const int lifeline_copy = fcntl(lifeline, F_DUPFD, 10);
  bool ok = report >= 0 && log_copy >= 0 && null_copy >= 0 && lifeline_copy >= 0;
  ok = ok && dup2(null_copy, 0) >= 0 && dup2(log_copy, 1) >= 0 && dup2(log_copy, 2) >= 0;
  ok = ok && dup2(lifeline_copy, Lifeline::kDescriptor) >= 0 && dup2(report, 4) >= 0;
  if (ok) {
    fcntl(4, F_SETFD, FD_CLOEXEC);
    syscall(SYS_close_range, 5U, ~0U, 0U);
    execv(arguments[0], arguments);
  }
  const int error = errno;
  const ssize_t ignored = write(ok ? 4 : report_end, &error, sizeof(error));
  (void)ignored;
  _exit(127);
}

}  // namespace

absl::StatusOr<Lifeline> Lifeline::Create() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::InternalError(absl::StrCat("cannot make a pipe: ", strerror(errno)));
  return Lifeline(ends[0], ends[1]);
}

Lifeline::Lifeline(Lifeline&& other) noexcept
    : reading_end_(std::exchange(other.reading_end_, -1)), writing_end_(std::exchange(other.writing_end_, -1)) {}

Lifeline::~Lifeline() {
  if (reading_end_ >= 0) close(reading_end_);
  if (writing_end_ >= 0) close(writing_end_);
}

std::optional<absl::Time> RestartPolicy::AfterDeath(absl::Time started, absl::Time now) {
  // One that lived for a minute has earned a new count.
  if (now - started > absl::Minutes(1)) deaths_ = 0;
  if (++deaths_ > kMostDeaths) return std::nullopt;
  return now + absl::Milliseconds(250) * (1 << (deaths_ - 1));
}

absl::StatusOr<pid_t> Spawn(const ChildCommand& command, const Lifeline& lifeline) {
  const auto problem = [&](const char* doing, int error) {
    return absl::FailedPreconditionError(absl::StrCat("cannot start the ", command.name, " (", command.arguments[0],
                                                      "): ", doing, ": ", strerror(error)));
  };
  const int log = open(command.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) return problem(command.log_path.c_str(), errno);
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  int report[2] = {-1, -1};
  if (null < 0 || pipe2(report, O_CLOEXEC) != 0) {
    const int error = errno;
    close(log);
    if (null >= 0) close(null);
    return problem("no more descriptors", error);
  }
  std::vector<char*> arguments;
  for (const std::string& word : command.arguments) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) BecomeChild(arguments.data(), log, null, lifeline.reading_end(), report[1], parent);
  const int fork_error = errno;
  close(log);
  close(null);
  close(report[1]);
  int error = 0;
  ssize_t got = 0;
  // End of file: exec has succeeded and closed the other end.
  if (child > 0) {
    do {
      got = read(report[0], &error, sizeof(error));
    } while (got < 0 && errno == EINTR);
  }
  close(report[0]);
  if (child < 0) return problem("fork", fork_error);
  if (got > 0) {
    waitpid(child, nullptr, 0);
    return problem("exec", error);
  }
  return child;
}

std::string DescribeExit(int wait_status) {
  if (WIFSIGNALED(wait_status)) return absl::StrCat("was killed by signal ", WTERMSIG(wait_status));
  return absl::StrCat("left with status ", WEXITSTATUS(wait_status));
}

std::string TailOfFile(const std::string& path, int lines) {
  constexpr std::streamoff kMostBytes = 8192;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  const std::streamoff size = file.tellg();
  const std::streamoff start = size > kMostBytes ? size - kMostBytes : 0;
  file.seekg(start);
  std::string text(static_cast<size_t>(size - start), '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  std::vector<std::string> all = absl::StrSplit(text, '\n', absl::SkipEmpty());
  if (static_cast<int>(all.size()) > lines) all.erase(all.begin(), all.end() - lines);
  return absl::StrJoin(all, "\n");
}

}  // namespace seedbed::cli
