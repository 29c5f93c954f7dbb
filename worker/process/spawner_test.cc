#include "worker/process/spawner.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <future>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "common/base/testing/temporary_directory.h"
extern "C" void __tsan_init() __attribute__((weak));  // null where the program is not instrumented

namespace seedbed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kDeadlineMilliseconds = 20'000;

struct Pipe {
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) abort();
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }
  UniqueFd read_end, write_end;
};

// All that comes until every holder of the other end is gone; "timeout" at the end if some holder lives on.
std::string ReadToEnd(int fd) {
  std::string text;
  while (true) {
    pollfd ready{fd, POLLIN, 0};
    if (poll(&ready, 1, kDeadlineMilliseconds) <= 0) return text + "timeout";
    char buffer[4096];
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got <= 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

std::string ReadLine(int fd) {
  std::string line;
  for (char character; line.size() < 1000;) {
    pollfd ready{fd, POLLIN, 0};
    if (poll(&ready, 1, kDeadlineMilliseconds) <= 0 || read(fd, &character, 1) != 1) return line + "timeout";
    if (character == '\n') return line;
    line += character;
  }
  return line;
}

SpawnRequest Shell(const std::string& script, std::vector<int> descriptors = {}) {
  SpawnRequest request;
  request.argv = {"/bin/sh", "-c", script};
  request.environment = {"PATH=/usr/bin:/bin", "GREETING=hello"};
  request.file_descriptors = std::move(descriptors);
  return request;
}

// The next event of a kind; others are dropped. Fails the test at the deadline.
template <typename T>
T Await(Spawner* spawner) {
  while (true) {
    pollfd ready{spawner->event_fd(), POLLIN, 0};
    if (poll(&ready, 1, kDeadlineMilliseconds) <= 0) break;
    absl::StatusOr<std::vector<ProcessEvent>> events = spawner->ReadEvents();
    if (!events.ok()) break;
    for (const ProcessEvent& event : *events) {
      if (const T* value = std::get_if<T>(&event)) return *value;
    }
  }
  ADD_FAILURE() << "the event did not come";
  return T();
}

// With and without control groups (where they may be made at all).
class SpawnerTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<Spawner>> started = StartSpawner(SpawnerOptions{GetParam()});
    ASSERT_TRUE(started.ok()) << started.status();
    spawner_ = *std::move(started);
  }

  std::unique_ptr<Spawner> spawner_;
};

TEST_P(SpawnerTest, PassesArgumentsEnvironmentDirectoryAndDescriptors) {
  TemporaryDirectory directory;
  Pipe out, extra;
  SpawnRequest request =
      Shell("echo $GREETING; pwd; cat; echo third >&3; exit 7", {-1, out.write_end.get(), -1, extra.write_end.get()});
  request.working_directory = directory.path();
  const absl::StatusOr<ProcessId> process = spawner_->Spawn(request);
  ASSERT_TRUE(process.ok()) << process.status();
  out.write_end.reset();
  extra.write_end.reset();
  EXPECT_EQ(ReadToEnd(out.read_end.get()), "hello\n" + directory.path() + "\n");
  EXPECT_EQ(ReadToEnd(extra.read_end.get()), "third\n");
  const auto exited = Await<ProcessExited>(spawner_.get());
  EXPECT_EQ(exited.process, *process);
  EXPECT_EQ(exited.exit_status, 7);
  EXPECT_EQ(exited.signal, 0);
  EXPECT_GT(exited.peak_memory_bytes, 0);
  EXPECT_EQ(DescribeExit(exited), "exited with status 7");
}

TEST_P(SpawnerTest, AChildHasNoOtherDescriptors) {
  const UniqueFd leaky(open("/dev/null", O_RDONLY));  // not close-on-exec, on purpose
  Pipe out;
  // The directory that ls itself opens is one more.
  ASSERT_TRUE(spawner_->Spawn(Shell("exec ls /proc/self/fd", {-1, out.write_end.get()})).ok());
  out.write_end.reset();
  EXPECT_EQ(ReadToEnd(out.read_end.get()), "0\n1\n2\n3\n");
}

TEST_P(SpawnerTest, AChildLeadsASessionWithDefaultSignals) {
  Pipe out;
  ASSERT_TRUE(spawner_
                  ->Spawn(Shell("cut -d' ' -f1,5,6 /proc/$$/stat; grep -E 'Sig(Blk|Ign)' /proc/self/status",
                                {-1, out.write_end.get()}))
                  .ok());
  out.write_end.reset();
  const auto spawned = Await<ProcessSpawned>(spawner_.get());
  const std::string pid = std::to_string(spawned.pid);
  EXPECT_EQ(ReadToEnd(out.read_end.get()),
            pid + " " + pid + " " + pid + "\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_P(SpawnerTest, ALargeEnvironmentPasses) {
  Pipe out;
  SpawnRequest request = Shell("echo ${#BIG0}; echo ${#BIG19}", {-1, out.write_end.get()});
  for (int i = 0; i < 20; ++i)
    request.environment.push_back("BIG" + std::to_string(i) + "=" + std::string(50'000, 'x'));
  ASSERT_TRUE(spawner_->Spawn(request).ok());
  out.write_end.reset();
  EXPECT_EQ(ReadToEnd(out.read_end.get()), "50000\n50000\n");
}

TEST_P(SpawnerTest, SaysWhyNothingWasSpawned) {
  SpawnRequest missing;
  missing.argv = {"/no/such/program"};
  ASSERT_TRUE(spawner_->Spawn(missing).ok());
  EXPECT_EQ(Await<ProcessNotSpawned>(spawner_.get()).reason, "executing the program: No such file or directory");
  SpawnRequest nowhere = Shell("true");
  nowhere.working_directory = "/no/such/directory";
  ASSERT_TRUE(spawner_->Spawn(nowhere).ok());
  EXPECT_EQ(Await<ProcessNotSpawned>(spawner_.get()).reason,
            "entering the working directory: No such file or directory");
  EXPECT_FALSE(spawner_->Spawn(SpawnRequest()).ok());
  SpawnRequest with_nul = Shell(std::string("a\0b", 3));
  EXPECT_FALSE(spawner_->Spawn(with_nul).ok());
}

TEST_P(SpawnerTest, SignalsReachTheGroup) {
  Pipe out;
  const absl::StatusOr<ProcessId> process =
      spawner_->Spawn(Shell("trap 'echo caught; exit 5' TERM; echo up; sleep 1000 & wait", {-1, out.write_end.get()}));
  ASSERT_TRUE(process.ok());
  out.write_end.reset();
  EXPECT_EQ(ReadLine(out.read_end.get()), "up");
  ASSERT_TRUE(spawner_->Signal(*process, SIGTERM).ok());
  EXPECT_EQ(ReadToEnd(out.read_end.get()), "caught\n") << "the sleep is gone too";
  EXPECT_EQ(Await<ProcessExited>(spawner_.get()).exit_status, 5);
  EXPECT_TRUE(spawner_->Signal(*process, SIGTERM).ok()) << "a signal to the dead is no error";
}

INSTANTIATE_TEST_SUITE_P(All, SpawnerTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "ControlGroups" : "ProcessTable"; });

// Leaves three kinds of descendants: a child, a grandchild in its own session, and one that was orphaned in its own
// session.
constexpr char kFamily[] =
    "sleep 1000 & setsid sh -c 'sleep 1000 & sleep 1000' & "
    "(setsid sh -c 'sleep 1000 & echo family' &) ; wait";

TEST_P(SpawnerTest, KillTreeReachesThoseThatLeftTheSession) {
  Pipe out, other_out;
  const absl::StatusOr<ProcessId> process = spawner_->Spawn(Shell(kFamily, {-1, out.write_end.get()}));
  const absl::StatusOr<ProcessId> other = spawner_->Spawn(Shell("sleep 1000 & wait", {-1, other_out.write_end.get()}));
  ASSERT_TRUE(process.ok() && other.ok());
  out.write_end.reset();
  other_out.write_end.reset();
  EXPECT_EQ(ReadLine(out.read_end.get()), "family");
  ASSERT_TRUE(spawner_->KillTree(*process).ok());
  EXPECT_EQ(ReadToEnd(out.read_end.get()), "");
  const auto exited = Await<ProcessExited>(spawner_.get());
  EXPECT_EQ(exited.process, *process);
  EXPECT_EQ(exited.signal, SIGKILL);
  EXPECT_EQ(DescribeExit(exited), "killed by signal 9 (Killed)");
  pollfd ready{other_out.read_end.get(), POLLIN, 0};
  EXPECT_EQ(poll(&ready, 1, 0), 0) << "the other one's family lives";
  spawner_.reset();
  EXPECT_EQ(ReadToEnd(other_out.read_end.get()), "") << "until the spawner ends";
}

TEST_P(SpawnerTest, WhatADeadChildLeftIsKilled) {
  Pipe out;
  ASSERT_TRUE(
      spawner_->Spawn(Shell("(setsid sh -c 'sleep 1000' &); sleep 1000 & exit 3", {-1, out.write_end.get()})).ok());
  out.write_end.reset();
  EXPECT_EQ(Await<ProcessExited>(spawner_.get()).exit_status, 3);
  EXPECT_EQ(ReadToEnd(out.read_end.get()), "");
}

TEST_P(SpawnerTest, ItsEndIsSeenAndLeavesNoChild) {
  Pipe out;
  ASSERT_TRUE(spawner_->Spawn(Shell("echo up; exec sleep 1000", {-1, out.write_end.get()})).ok());
  out.write_end.reset();
  EXPECT_EQ(ReadLine(out.read_end.get()), "up");
  Await<ProcessSpawned>(spawner_.get());
  kill(spawner_->pid(), SIGKILL);
  EXPECT_EQ(ReadToEnd(out.read_end.get()), "");
  pollfd ready{spawner_->event_fd(), POLLIN, 0};
  ASSERT_EQ(poll(&ready, 1, kDeadlineMilliseconds), 1);
  EXPECT_EQ(spawner_->ReadEvents().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(spawner_->Spawn(Shell("true")).status().code(), absl::StatusCode::kUnavailable);
}

TEST_P(SpawnerTest, TheTerminalsSignalsDoNotEndIt) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP}) kill(spawner_->pid(), signal);
  ASSERT_TRUE(spawner_->Spawn(Shell("exit 4")).ok());
  EXPECT_EQ(Await<ProcessExited>(spawner_.get()).exit_status, 4);
  EXPECT_NE(getpgid(spawner_->pid()), getpgid(0));
}

int CountDescriptors(const std::string& process) {
  int count = 0;
  DIR* directory = opendir(("/proc/" + process + "/fd").c_str());
  if (directory == nullptr) return -1;
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

TEST_P(SpawnerTest, NoDescriptorLeaksOnEitherSide) {
  const auto round = [&] {
    Pipe out;
    ASSERT_TRUE(spawner_->Spawn(Shell("exit 0", {-1, out.write_end.get()})).ok());
    Await<ProcessExited>(spawner_.get());
    SpawnRequest missing;
    missing.argv = {"/no/such/program"};
    ASSERT_TRUE(spawner_->Spawn(missing).ok());
    Await<ProcessNotSpawned>(spawner_.get());
  };
  round();
  const int ours = CountDescriptors("self");
  const int theirs = CountDescriptors(std::to_string(spawner_->pid()));
  for (int i = 0; i < 20; ++i) round();
  EXPECT_EQ(CountDescriptors("self"), ours);
  EXPECT_EQ(CountDescriptors(std::to_string(spawner_->pid())), theirs);
}

// Runs `body` in a forked process that the test can kill; `body` must not return.
pid_t ForkParent(const std::function<void()>& body) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  body();
  _exit(0);
}

void ExpectKilledParentLeavesNobody(const SpawnerOptions& options, const std::function<void()>& prepare) {
  Pipe out, up;
  const pid_t parent = ForkParent([&] {
    out.read_end.reset();
    prepare();
    absl::StatusOr<std::unique_ptr<Spawner>> spawner = StartSpawner(options);
    if (!spawner.ok()) _exit(1);
    // The thread that asked ends at once: nothing may hang on it, as PR_SET_PDEATHSIG would.
    std::thread([&] {
      if (!(*spawner)->Spawn(Shell(kFamily, {-1, out.write_end.get()})).ok()) _exit(1);
    }).join();
    if (!(*spawner)->Spawn(Shell("echo second; exec sleep 1000", {-1, out.write_end.get()})).ok()) _exit(1);
    while (true) pause();
  });
  out.write_end.reset();
  const std::set<std::string> lines = {ReadLine(out.read_end.get()), ReadLine(out.read_end.get())};
  EXPECT_EQ(lines, (std::set<std::string>{"family", "second"}));
  // All of the family are alive: nothing has reached the end of the pipe.
  pollfd ready{out.read_end.get(), POLLIN, 0};
  EXPECT_EQ(poll(&ready, 1, 0), 0);
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  EXPECT_EQ(ReadToEnd(out.read_end.get()), "") << "no holder of the pipe is left";
}

// What another thread holds locked at the fork, the allocator's lock say, is locked in the spawner for ever.
TEST(StartSpawnerTest, IsRefusedWhereThereIsAnotherThread) {
  if (&__tsan_init != nullptr) GTEST_SKIP() << "ThreadSanitizer has a thread of its own";
  std::promise<void> end;
  std::thread other([ended = end.get_future()]() mutable { ended.wait(); });
  const absl::StatusOr<std::unique_ptr<Spawner>> refused = StartSpawner();
  end.set_value();
  other.join();
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("before any thread"));
  EXPECT_TRUE(StartSpawner().ok());
}

TEST(KilledWorkerTest, LeavesNoDescendant) {
  ExpectKilledParentLeavesNobody(SpawnerOptions{/*use_control_groups=*/false}, [] {});
}

// Gives this process a view of the control groups in which it may make some; false where that is not allowed.
bool MountControlGroups(const std::string& mount_point) {
  const std::string probe = mount_point + "/seedbed-probe";
  return unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("none", mount_point.c_str(), "cgroup2", 0, nullptr) == 0 && mkdir(probe.c_str(), 0755) == 0 &&
         rmdir(probe.c_str()) == 0;
}

int StatusOf(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class ControlGroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (StatusOf(ForkParent([&] { _exit(MountControlGroups(mount_point_.path()) ? 0 : 1); })) != 0) {
      GTEST_SKIP() << "no control groups may be made here; by /proc the same is reached but for one case";
    }
  }
  TemporaryDirectory mount_point_;
};

TEST_F(ControlGroupTest, AKilledWorkerLeavesNoDescendant) {
  ExpectKilledParentLeavesNobody(SpawnerOptions(), [&] {
    if (!MountControlGroups(mount_point_.path())) _exit(1);
  });
}

// The one case that /proc cannot tell: an orphan with neither the session nor the environment of its parent.
TEST_F(ControlGroupTest, WhatADeadChildLeftIsKilledHoweverItHides) {
  const pid_t parent = ForkParent([&] {
    if (!MountControlGroups(mount_point_.path())) _exit(1);
    absl::StatusOr<std::unique_ptr<Spawner>> spawner = StartSpawner();
    Pipe out;
    const char script[] = "(setsid env -i /bin/sh -c 'echo up; exec sleep 1000' &); read line; exit 3";
    Pipe in;
    if (!(*spawner)->Spawn(Shell(script, {in.read_end.get(), out.write_end.get()})).ok()) _exit(2);
    out.write_end.reset();
    if (ReadLine(out.read_end.get()) != "up") _exit(3);
    in.write_end.reset();
    if (Await<ProcessExited>(spawner->get()).exit_status != 3) _exit(4);
    if (ReadToEnd(out.read_end.get()) != "") _exit(5);
    _exit(0);
  });
  EXPECT_EQ(StatusOf(parent), 0);
}

}  // namespace
}  // namespace seedbed
