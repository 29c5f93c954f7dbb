#include "worker/host.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <limits>
#include <mutex>
#include <thread>

#include "common/base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/signal_watch.h"
#include "worker/state_directory.h"
#include "worker/worker_options.h"

namespace seedbed {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char name[] = "/tmp/seedbed-host-XXXXXX";
    EXPECT_NE(mkdtemp(name), nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void Write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path) << text;
}

TEST(CgroupCpuQuotaTest, IsTheSmallestOnTheWayToTheRoot) {
  constexpr double kNone = std::numeric_limits<double>::infinity();
  struct Case {
    const char* what;
    std::vector<std::pair<std::string, std::string>> files;
    const char* proc_cgroup;
    double quota;
  };
  const std::vector<Case> cases = {
      {"nothing", {}, "0::/\n", kNone},
      {"version 2, none", {{"a/cpu.max", "max 100000\n"}}, "0::/a\n", kNone},
      {"version 2, own", {{"a/b/cpu.max", "250000 100000\n"}}, "0::/a/b\n", 2.5},
      {"version 2, parent", {{"a/cpu.max", "100000 100000\n"}, {"a/b/cpu.max", "400000 100000\n"}}, "0::/a/b\n", 1},
      {"version 2, in a container", {{"cpu.max", "150000 100000\n"}}, "0::/\n", 1.5},
      {"version 1",
       {{"cpu/a/cpu.cfs_quota_us", "300000\n"}, {"cpu/a/cpu.cfs_period_us", "100000\n"}},
       "5:cpuset:/z\n4:cpuacct,cpu:/a\n",
       3},
      {"version 1, none",
       {{"cpu/a/cpu.cfs_quota_us", "-1\n"}, {"cpu/a/cpu.cfs_period_us", "100000\n"}},
       "4:cpu:/a\n",
       kNone},
      {"another group's", {{"other/cpu.max", "100000 100000\n"}}, "0::/a\n", kNone},
      {"nonsense", {{"a/cpu.max", "hello"}}, "what is this\n0::/a\n", kNone},
  };
  for (const Case& c : cases) {
    const TemporaryDirectory root;
    for (const auto& [path, text] : c.files) Write(root / path, text);
    EXPECT_EQ(CgroupCpuQuota(c.proc_cgroup, root.path()), c.quota) << c.what;
  }
}

TEST(HostTest, KnowsItself) {
  EXPECT_GE(AvailableCpus(), 1);
  EXPECT_TRUE(IsPlainName(HostName())) << HostName();
  EXPECT_EQ(RandomId().size(), 32u);
  EXPECT_NE(RandomId(), RandomId());
  EXPECT_TRUE(fs::is_directory(ProgramDirectory()));
}

TEST(StateDirectoryTest, IsPrivateLockedAndCleared) {
  const TemporaryDirectory root;
  Write(root / "state/attempts/9-1/left.txt", "from an earlier worker");
  auto first = StateDirectory::Open(root / "state");
  ASSERT_TRUE(first.ok()) << first.status();
  struct stat info {};
  ASSERT_EQ(stat((*first)->path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_FALSE(fs::exists(root / "state/attempts"));
  const auto second = StateDirectory::Open(root / "state");
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("--directory"));
  std::thread leaving([&first] { first->reset(); });
  EXPECT_TRUE(StateDirectory::Open(root / "state", absl::Seconds(60)).ok()) << "it waits for one that leaves";
  leaving.join();
  EXPECT_TRUE(fs::exists(root / "state")) << "it was given: it stays";
  EXPECT_TRUE(StateDirectory::Open(root / "state").ok()) << "the lock goes with its owner";
}

TEST(StateDirectoryTest, GivesEachAttemptADirectoryOfItsOwn) {
  const TemporaryDirectory root;
  auto state = StateDirectory::Open(root / "state");
  ASSERT_TRUE(state.ok());
  const auto one = (*state)->Create(RunId(3), 1);
  const auto other = (*state)->Create(RunId(3), 1);  // the same in another database
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_NE(*one, *other);
  Write(*one + "/log.txt", "text");
  (*state)->Remove(*one);
  EXPECT_FALSE(fs::exists(*one));
  EXPECT_TRUE(fs::is_directory(*other));
  (*state)->Remove(*one);  // it is gone
}

TEST(StateDirectoryTest, AWorkersOwnGoesWithItAndThoseOfDeadOnesAreSwept) {
  const TemporaryDirectory root;
  const auto old = fs::file_time_type::clock::now() - std::chrono::hours(1);
  Write(root / "worker-dead/lock", "");
  Write(root / "worker-young/lock", "");
  Write(root / "something-else/lock", "");
  auto living = StateDirectory::OpenOwn(root.path(), "living");
  ASSERT_TRUE(living.ok()) << living.status();
  for (const char* name : {"worker-dead", "worker-living", "something-else"}) fs::last_write_time(root / name, old);
  std::string path;
  {
    auto own = StateDirectory::OpenOwn(root.path(), "own");
    ASSERT_TRUE(own.ok());
    path = (*own)->path();
    EXPECT_TRUE(fs::exists(path));
    EXPECT_FALSE(fs::exists(root / "worker-dead"));
    EXPECT_TRUE(fs::exists(root / "worker-young")) << "perhaps not locked yet";
    EXPECT_TRUE(fs::exists(root / "worker-living"));
    EXPECT_TRUE(fs::exists(root / "something-else"));
  }
  EXPECT_FALSE(fs::exists(path));
}

// Each looks at the name of a directory where workers of this user are to keep theirs.
absl::Status OpenBelow(const std::string& parent) {
  return StateDirectory::OpenOwn(parent, "own").status();
}

TEST(StateDirectoryTest, TheParentIsThisUsersAlone) {
  const TemporaryDirectory root;
  const std::string parent = root / "missing/seedbed-1";
  const auto own = StateDirectory::OpenOwn(parent, "own");
  ASSERT_TRUE(own.ok()) << own.status();
  struct stat info {};
  ASSERT_EQ(stat(parent.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  // Ours, but open to others: closed to them.
  const std::string open = root / "open";
  fs::create_directory(open);
  ASSERT_EQ(chmod(open.c_str(), 0777), 0);
  EXPECT_TRUE(OpenBelow(open).ok());
  ASSERT_EQ(stat(open.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  Write(root / "file", "");
  EXPECT_THAT(std::string(OpenBelow(root / "file").message()), HasSubstr("is no directory"));
}

TEST(StateDirectoryTest, AParentOfAnotherUserIsRefused) {
  const TemporaryDirectory root;
  constexpr uid_t kAnother = 65534;
  const bool may_give_away = geteuid() == 0;
  std::string theirs = "/usr";
  if (may_give_away) {
    theirs = root / "theirs";
    fs::create_directory(theirs);
    ASSERT_EQ(chown(theirs.c_str(), kAnother, kAnother), 0);
  }
  const absl::Status refused = OpenBelow(theirs);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("belongs to another user"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("--directory"));
  fs::create_symlink(theirs, root / "ours");
  EXPECT_THAT(std::string(OpenBelow(root / "ours").message()), HasSubstr("leads to a directory of another user"));
  if (!may_give_away) GTEST_SKIP() << "only root can make links of another user";
  fs::create_directory(root / "own");
  fs::create_symlink(root / "own", root / "link");
  ASSERT_EQ(lchown((root / "link").c_str(), kAnother, kAnother), 0);
  EXPECT_THAT(std::string(OpenBelow(root / "link").message()), HasSubstr("is a symbolic link of another user"));
}

// The command line, with /bin/true as the engine. Leaves the environment as it was.
ParsedOptions Parse(std::vector<std::string> words) {
  if (std::find(words.begin(), words.end(), "--engine") == words.end()) {
    words.insert(words.begin(), {"--engine", "/bin/true"});
  }
  words.insert(words.begin(), "seedbed-worker");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return ParseWorkerOptions(static_cast<int>(argv.size()), argv.data(), /*available_cpus=*/6);
}

TEST(WorkerOptionsTest, HaveDefaults) {
  const ParsedOptions parsed = Parse({"--server", "head:7733"});
  ASSERT_FALSE(parsed.leave);
  EXPECT_EQ(parsed.options.server, "head:7733");
  EXPECT_EQ(parsed.options.slots, 6);
  EXPECT_EQ(parsed.options.device, "auto");
  EXPECT_TRUE(IsPlainName(parsed.options.name));
  EXPECT_EQ(parsed.options.directory, "");
  EXPECT_TRUE(parsed.options.trainers.empty());
  EXPECT_EQ(parsed.options.blas_kernel, "auto");
  EXPECT_EQ(parsed.options.exit_with_parent, -1);
}

TEST(WorkerOptionsTest, AreTaken) {
  const ParsedOptions parsed = Parse({"--server",
                                      "unix:/s",
                                      "--slots",
                                      "3",
                                      "--device",
                                      "cuda:1",
                                      "--name",
                                      "n1",
                                      "--directory",
                                      "/d",
                                      "--engine-arg",
                                      "-x",
                                      "--engine-arg",
                                      "y",
                                      "--trainers",
                                      "modular,command",
                                      "--blas-kernel",
                                      "Zen",
                                      "--exit-with-parent",
                                      "5"});
  ASSERT_FALSE(parsed.leave);
  EXPECT_EQ(parsed.options.slots, 3);
  EXPECT_EQ(parsed.options.device, "cuda:1");
  EXPECT_EQ(parsed.options.name, "n1");
  EXPECT_EQ(parsed.options.directory, "/d");
  EXPECT_THAT(parsed.options.engine_arguments, ElementsAre("-x", "y"));
  EXPECT_THAT(parsed.options.trainers, ElementsAre("modular", "command"));
  EXPECT_EQ(parsed.options.blas_kernel, "Zen");
  EXPECT_EQ(parsed.options.exit_with_parent, 5);
}

TEST(WorkerOptionsTest, MistakesLeaveWithTwoAndHelpWithZero) {
  struct Case {
    std::vector<std::string> words;
    int exit_code;
  };
  for (const Case& c :
       {Case{{}, 2}, Case{{"--server", "a:1", "--slots", "0"}, 2}, Case{{"--server", "a:1", "--slots", "x"}, 2},
        Case{{"--server", "a:1", "--device", "tpu"}, 2}, Case{{"--server", "a:1", "--device", "cuda:x"}, 2},
        Case{{"--server", "a:1", "--name", "../x"}, 2}, Case{{"--server", "a:1", "--no-such"}, 2},
        Case{{"--server", "a:1", "--engine", "/no/such/engine"}, 2},
        Case{{"--server", "a:1", "--token-file", "/no/such/token"}, 2}, Case{{"--help"}, 0}, Case{{"--version"}, 0}}) {
    const ParsedOptions parsed = Parse(c.words);
    EXPECT_TRUE(parsed.leave) << ::testing::PrintToString(c.words);
    EXPECT_EQ(parsed.exit_code, c.exit_code) << ::testing::PrintToString(c.words);
  }
}

TEST(FindTokenTest, TheFileIsReadAndTheEnvironmentComesSecond) {
  const TemporaryDirectory root;
  Write(root / "token", " of-file\n");
  setenv("SEEDBED_TOKEN", "of-environment", 1);
  EXPECT_EQ(*FindToken(root / "token", "head:1"), "of-file");
  EXPECT_EQ(*FindToken("", "head:1"), "of-environment");
  unsetenv("SEEDBED_TOKEN");
  EXPECT_EQ(*FindToken("", "head:1"), "");
  EXPECT_EQ(FindToken(root / "none", "head:1").status().code(), absl::StatusCode::kNotFound);
}

TEST(FindTokenTest, TheTokenOfTheDirectoryHereGoesToThisMachineOnly) {
  const TemporaryDirectory root;
  Write(root / "seedbed-data/token", "local");
  const fs::path before = fs::current_path();
  fs::current_path(root.path());
  for (const char* here : {"127.0.0.1:7733", "localhost:7733", "[::1]:7733"}) EXPECT_EQ(*FindToken("", here), "local");
  for (const char* there : {"head:7733", "10.0.0.1:7733", "localhost.example.org:1", "127.example.org:1"})
    EXPECT_EQ(*FindToken("", there), "");
  fs::current_path(before);
}

// Counts what a SignalWatch asks for, and waits for it.
class Requests {
 public:
  void Add(const char* what) {
    std::lock_guard<std::mutex> lock(mutex_);
    seen_.emplace_back(what);
    changed_.notify_all();
  }
  // What was seen when there were `count` of them, or after `most`.
  std::vector<std::string> Wait(size_t count, std::chrono::milliseconds most = std::chrono::seconds(20)) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, most, [&] { return seen_.size() >= count; });
    return seen_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> seen_;
};

TEST(SignalWatchTest, TheParentsEndIsARequestToStopAndATerminalsInterruptIsNot) {
  SignalWatch::BlockSignals();
  int parent[2];
  ASSERT_EQ(pipe2(parent, O_CLOEXEC), 0);
  Requests requests;
  {
    SignalWatch watch(
        parent[0], [&] { requests.Add("stop"); }, [&] { requests.Add("at once"); });
    kill(getpid(), SIGINT);
    close(parent[1]);
    EXPECT_THAT(requests.Wait(1), ElementsAre("stop"));
  }
  close(parent[0]);
  EXPECT_THAT(requests.Wait(0), ElementsAre("stop"));
}

TEST(SignalWatchTest, ASecondSignalMeansAtOnceUnlessItComesWithTheFirst) {
  SignalWatch::BlockSignals();
  Requests requests;
  SignalWatch watch(
      -1, [&] { requests.Add("stop"); }, [&] { requests.Add("at once"); });
  kill(getpid(), SIGINT);
  kill(getpid(), SIGTERM);
  EXPECT_THAT(requests.Wait(1), ElementsAre("stop"));
  // Half a second is the law itself here: signals are sent until one is late enough.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  const auto begun = std::chrono::steady_clock::now();
  std::vector<std::string> seen;
  while (seen.size() < 2 && std::chrono::steady_clock::now() < deadline) {
    kill(getpid(), SIGTERM);
    seen = requests.Wait(2, std::chrono::milliseconds(20));
  }
  ASSERT_GE(seen.size(), 2u);
  EXPECT_EQ(seen[1], "at once");
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(400));
}

}  // namespace
}  // namespace seedbed
