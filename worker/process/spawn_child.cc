#include "worker/process/spawn_child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace seedbed::spawner_wire {
namespace {

// CLOSE_RANGE_CLOEXEC of linux/close_range.h (since 5.11), which older headers lack.
constexpr unsigned kCloseRangeOnExec = 1U << 2;

bool ReadStrings(int file, std::vector<std::string>* strings) {
  std::string text;
  char buffer[65536];
  for (off_t offset = 0;;) {
    const ssize_t got = pread(file, buffer, sizeof buffer, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) break;
    text.append(buffer, static_cast<size_t>(got));
    offset += got;
  }
  for (size_t start = 0; start < text.size();) {
    const size_t end = text.find('\0', start);
    if (end == std::string::npos) return false;
    strings->push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return true;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What the child needs, prepared before vfork: the child shares the parent's memory and may only make system calls.
struct Prepared {
  const char* working_directory;
  char** argv;
  char** environment;
  const int* descriptors;
  int descriptor_count;
  int cgroup_procs;
  int failure_pipe;  // closes when the program is executed; a Failure comes through it if that fails
  pid_t parent;
};

struct Failure {
  Stage stage;
  int error;
};

void WriteIgnoringErrors(int fd, const char* text, size_t length) {
  if (write(fd, text, length) < 0) return;
}

[[noreturn]] void Fail(const Prepared& prepared, Stage stage) {
  const Failure failure{stage, errno};
  WriteIgnoringErrors(prepared.failure_pipe, reinterpret_cast<const char*>(&failure), sizeof failure);
  _exit(127);
}

[[noreturn]] void RunChild(const Prepared& prepared) {
  setsid();
  // Should the spawner itself be killed: it has one thread, so this fires at its end and not before.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != prepared.parent) _exit(127);
  if (prepared.cgroup_procs >= 0) WriteIgnoringErrors(prepared.cgroup_procs, "0", 1);
  // Where memory runs out, a child goes before the worker.
  const int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0) WriteIgnoringErrors(score, "500", 3);
  for (int signal = 1; signal < 32; ++signal) {
    if (signal != SIGKILL && signal != SIGSTOP) ::signal(signal, SIG_DFL);
  }
  // Sources lie above all targets (ReadPlan), so none is overwritten before it was copied. The copies lose
  // close-on-exec.
  for (int i = 0; i < prepared.descriptor_count; ++i) {
    if (dup2(prepared.descriptors[i], i) < 0) Fail(prepared, Stage::kProcess);
  }
  // All others are close-on-exec where they are made; this is for one that a library made otherwise.
  syscall(SYS_close_range, static_cast<unsigned>(prepared.descriptor_count), ~0U, kCloseRangeOnExec);
  if (prepared.working_directory[0] != '\0' && chdir(prepared.working_directory) != 0) {
    Fail(prepared, Stage::kWorkingDirectory);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execvpe(prepared.argv[0], prepared.argv, prepared.environment);
  Fail(prepared, Stage::kProgram);
}

// Apart from StartChild so that vfork's second return finds no local variable that the child has changed.
__attribute__((noinline)) pid_t ForkChild(const Prepared& prepared) {
  const pid_t pid = vfork();
  if (pid == 0) RunChild(prepared);
  return pid;
}

}  // namespace

bool ReadPlan(const Message& request, std::vector<UniqueFd> descriptors, ChildPlan* plan) {
  if (descriptors.empty() || request.descriptor_count > kMostDescriptors) return false;
  std::vector<std::string> strings;
  if (!ReadStrings(descriptors[0].get(), &strings)) return false;
  if (request.argument_count == 0 || strings.size() != 1ULL + request.argument_count + request.environment_count) {
    return false;
  }
  plan->working_directory = strings[0];
  const auto argv_end = strings.begin() + 1 + request.argument_count;
  plan->argv.assign(strings.begin() + 1, argv_end);
  plan->environment.assign(argv_end, strings.end());
  const int count = request.descriptor_count < 3 ? 3 : static_cast<int>(request.descriptor_count);
  size_t next = 1;
  for (int i = 0; i < count; ++i) {
    const bool is_null = i >= static_cast<int>(request.descriptor_count) || (request.null_descriptors >> i & 1) != 0;
    if (!is_null && next >= descriptors.size()) return false;
    // 0 is /dev/null in the spawner.
    const int source = is_null ? 0 : descriptors[next++].get();
    plan->descriptors.emplace_back(fcntl(source, F_DUPFD_CLOEXEC, count));
    if (!plan->descriptors.back()) return false;
  }
  return true;
}

ChildStart StartChild(const ChildPlan& plan) {
  std::vector<char*> argv = Pointers(plan.argv);
  std::vector<char*> environment = Pointers(plan.environment);
  std::vector<int> descriptors;
  for (const UniqueFd& descriptor : plan.descriptors) descriptors.push_back(descriptor.get());
  ChildStart start;
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) {
    start.error = errno;
    return start;
  }
  UniqueFd failure_end(pipe_ends[0]);
  UniqueFd low_report_end(pipe_ends[1]);
  // Above all targets, as the sources are.
  UniqueFd report_end(fcntl(low_report_end.get(), F_DUPFD_CLOEXEC, static_cast<int>(descriptors.size())));
  low_report_end.reset();
  const Prepared prepared{
      plan.working_directory.c_str(),       argv.data(),       environment.data(), descriptors.data(),
      static_cast<int>(descriptors.size()), plan.cgroup_procs, report_end.get(),   getpid()};
  start.pid = ForkChild(prepared);
  start.error = start.pid < 0 ? errno : 0;
  report_end.reset();
  if (start.pid < 0) return start;
  Failure failure;
  ssize_t got;
  do {
    got = read(failure_end.get(), &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof failure)) {
    start.stage = failure.stage;
    start.error = failure.error;
    waitpid(start.pid, nullptr, 0);
  }
  return start;
}

}  // namespace seedbed::spawner_wire
