#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/testing/temporary_directory.h"
#include "worker/process/attempt_directory.h"
#include "worker/process/bounded_log.h"
#include "worker/process/cgroup.h"
#include "worker/process/engine_environment.h"
#include "worker/process/engine_runner.h"
#include "worker/process/line_io.h"
#include "worker/process/memory_kills.h"
#include "worker/process/process_table.h"

namespace seedbed {
namespace {

using ::testing::ElementsAre;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(BoundedLogTest, KeepsAllThatFits) {
  TemporaryDirectory directory;
  BoundedLog log(directory.path() + "/log.txt", {10, 10});
  EXPECT_EQ(log.Append("0123456"), "0123456");
  EXPECT_EQ(log.Append("789abc"), "789");
  EXPECT_EQ(log.Append("def"), "");
  EXPECT_EQ(ReadFile(log.path()), "0123456789");
  EXPECT_EQ(log.Tail(4), "cdef");
  EXPECT_EQ(log.Close(), "abcdef");
  EXPECT_EQ(ReadFile(log.path()), "0123456789abcdef");
  struct stat info;
  ASSERT_EQ(stat(log.path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(BoundedLogTest, SaysHowMuchIsMissing) {
  TemporaryDirectory directory;
  BoundedLog log(directory.path() + "/log.txt", {20, 20});
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    const std::string line = "line " + std::to_string(1000 + i) + "\n";
    all += line;
    log.Append(line);
  }
  log.Close();
  // 10,000 bytes: 20 at the start; the last 20 are two whole lines, the first of which begins after a cut line.
  EXPECT_EQ(ReadFile(log.path()),
            "line 1000\nline 1001\n\n[seedbed: 9970 bytes of this log were dropped here]\nline 1999\n");
}

TEST(BoundedLogTest, AFileThatCannotBeWrittenFailsNothing) {
  BoundedLog log("/nonexistent/directory/log.txt", {10, 10});
  log.Append("text");
  EXPECT_EQ(log.Tail(10), "text");
  log.Close();
}

struct Pipe {
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) abort();
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }
  void Write(const std::string& text) {
    ASSERT_EQ(write(write_end.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  UniqueFd read_end, write_end;
};

TEST(LineReaderTest, CutsLines) {
  Pipe pipe;
  LineReader reader(100);
  std::vector<std::string> lines;
  std::string_view line;
  for (const char* part : {"on", "e\ntwo\n\nth", "ree", "\nrest"}) {
    pipe.Write(part);
    EXPECT_EQ(reader.ReadFrom(pipe.read_end.get()), IoResult::kProgress);
    while (reader.NextLine(&line)) lines.emplace_back(line);
  }
  EXPECT_THAT(lines, ElementsAre("one", "two", "", "three"));
  EXPECT_EQ(reader.ReadFrom(pipe.read_end.get()), IoResult::kWouldBlock);
  pipe.write_end.reset();
  EXPECT_EQ(reader.ReadFrom(pipe.read_end.get()), IoResult::kEnd);
  EXPECT_FALSE(reader.NextLine(&line));
}

TEST(LineReaderTest, TheBoundIsExact) {
  for (const bool whole : {false, true}) {
    Pipe pipe;
    LineReader reader(10);
    std::string_view line;
    pipe.Write("0123456789\n0123456789" + std::string(whole ? "a\n" : ""));
    reader.ReadFrom(pipe.read_end.get());
    EXPECT_TRUE(reader.NextLine(&line));
    EXPECT_FALSE(reader.NextLine(&line));
    EXPECT_EQ(reader.too_long(), whole);
    if (whole) continue;
    pipe.Write("a");
    reader.ReadFrom(pipe.read_end.get());
    EXPECT_FALSE(reader.NextLine(&line));
    EXPECT_TRUE(reader.too_long());
  }
}

TEST(WriteQueueTest, WritesWhatIsTakenAndKeepsTheRest) {
  Pipe pipe;
  std::string sent;
  for (int i = 0; i < 50'000; ++i) sent += std::to_string(i) + "\n";
  WriteQueue queue;
  queue.Push(sent);
  std::string received;
  char buffer[4096];
  while (received.size() < sent.size()) {
    const IoResult result = queue.WriteTo(pipe.write_end.get());
    EXPECT_EQ(result, queue.empty() ? IoResult::kProgress : IoResult::kWouldBlock);
    const ssize_t got = read(pipe.read_end.get(), buffer, sizeof buffer);
    ASSERT_GT(got, 0);
    received.append(buffer, static_cast<size_t>(got));
  }
  EXPECT_EQ(received, sent);
  EXPECT_TRUE(queue.empty());
}

TEST(EngineEnvironmentTest, SetsThreadsAndDescriptors) {
  EngineLaunch launch;
  launch.removed_environment = {"TOKEN"};
  launch.environment = {{"CUDA_VISIBLE_DEVICES", "1"}};
  const std::vector<std::string> base = {"PATH=/bin", "TOKEN=secret", "OMP_NUM_THREADS=8", "EMPTY="};
  EXPECT_THAT(EngineEnvironment(base, launch), ElementsAre("CUDA_VISIBLE_DEVICES=1", "EMPTY=", "MKL_NUM_THREADS=1",
                                                           "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "PATH=/bin",
                                                           "SEEDBED_ENGINE_INPUT_FD=3", "SEEDBED_ENGINE_OUTPUT_FD=4"));
}

// "auto" leaves it to the engine: a worker does not know what the library would take by itself.
TEST(EngineEnvironmentTest, WhoChoosesTheKernel) {
  struct {
    const char* option;
    const char* inherited;
    std::vector<std::string> expected;  // all that is said of it
  } const cases[] = {
      {"auto", "", {}},
      {"auto", "Haswell", {"OPENBLAS_CORETYPE=Haswell"}},
      {"none", "", {"SEEDBED_ENGINE_BLAS_KERNEL=none"}},
      {"none", "Haswell", {"OPENBLAS_CORETYPE=Haswell", "SEEDBED_ENGINE_BLAS_KERNEL=none"}},
      {"Zen", "", {"OPENBLAS_CORETYPE=Zen"}},
      {"Zen", "Haswell", {"OPENBLAS_CORETYPE=Zen"}},
  };
  for (const auto& each : cases) {
    EngineLaunch launch;
    launch.blas_kernel = each.option;
    std::vector<std::string> base;
    if (*each.inherited != '\0') base.push_back(std::string("OPENBLAS_CORETYPE=") + each.inherited);
    std::vector<std::string> said;
    for (const std::string& entry : EngineEnvironment(base, launch)) {
      const bool is_of_kernel =
          entry.find("CORETYPE=") != std::string::npos || entry.find("KERNEL=") != std::string::npos;
      if (is_of_kernel) said.push_back(entry);
    }
    EXPECT_EQ(said, each.expected) << each.option << " over '" << each.inherited << "'";
  }
}

TEST(AttemptDirectoryTest, IsFreshAndPrivate) {
  TemporaryDirectory root;
  const absl::StatusOr<std::string> made = CreateAttemptDirectory(root.path() + "/state", "12-3-1");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(*made, root.path() + "/state/attempts/12-3-1");
  struct stat info;
  ASSERT_EQ(stat(made->c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  std::ofstream(*made + "/left") << "x";
  ASSERT_TRUE(CreateAttemptDirectory(root.path() + "/state", "12-3-1").ok());
  EXPECT_FALSE(std::filesystem::exists(*made + "/left"));
  EXPECT_TRUE(RemoveAttemptDirectory(*made).ok());
  EXPECT_FALSE(std::filesystem::exists(*made));
  EXPECT_TRUE(RemoveAttemptDirectory(*made).ok());
  std::ofstream(root.path() + "/file") << "x";
  EXPECT_FALSE(CreateAttemptDirectory(root.path() + "/file", "1-1-1").ok());
}

TEST(ProcessTableTest, ReadsNamesThatLookLikeFields) {
  const std::optional<ProcessEntry> entry = ParseProcessStat("42 (a ) Z 1 (b)) S 7 8 9 0 -1");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->state, 'S');
  EXPECT_EQ(entry->parent, 7);
  EXPECT_EQ(entry->session, 9);
  EXPECT_FALSE(ParseProcessStat("42 cut"));
}

TEST(ProcessTableTest, FindsThisProcess) {
  const auto table = ReadProcessTable();
  ASSERT_EQ(table.count(getpid()), 1u);
  EXPECT_EQ(table.at(getpid()).parent, getppid());
  EXPECT_EQ(table.at(getpid()).session, getsid(0));
  EXPECT_EQ(TopBelow(table, getppid(), getpid()), getpid());
  EXPECT_EQ(TopBelow({{5, {4, 1, 'S'}}, {4, {3, 1, 'S'}}, {3, {1, 1, 'S'}}}, 3, 5), 4);
  EXPECT_EQ(TopBelow({{5, {4, 1, 'S'}}, {4, {5, 1, 'S'}}}, 1, 5), 0) << "a loop ends";
}

TEST(CgroupTest, FindsTheOwnGroup) {
  const std::string mounts =
      "24 1 0:21 / /proc rw - proc proc rw\n"
      "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
  EXPECT_EQ(OwnCgroupDirectory(mounts, "0::/user.slice/session-3.scope\n"),
            "/sys/fs/cgroup/user.slice/session-3.scope");
  EXPECT_EQ(OwnCgroupDirectory(mounts, "9:name=systemd:/x\n0::/\n"), "/sys/fs/cgroup");
  EXPECT_EQ(OwnCgroupDirectory(mounts, "0::/../outside\n"), "");
  EXPECT_EQ(OwnCgroupDirectory("24 1 0:21 / /proc rw - proc proc rw\n", "0::/\n"), "");
}

TEST(CgroupTest, APlainDirectoryIsNoGroup) {
  TemporaryDirectory directory;
  EXPECT_FALSE(ChildCgroup::Create(directory.path(), "child"));
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/child"));
}

TEST(MemoryKillsTest, ReadsTheCount) {
  EXPECT_EQ(ParseMemoryKills("low 0\nhigh 0\noom 4\noom_kill 3\n"), 3);
  EXPECT_EQ(ParseMemoryKills("nr_free_pages 1\n"), std::nullopt);
}

TEST(RestartDelayTest, GrowsToABound) {
  const int seconds[] = {0, 0, 1, 2, 4, 8, 16, 32, 60, 60};
  for (int failures = 0; failures < 10; ++failures) {
    EXPECT_EQ(RestartDelay(failures), absl::Seconds(seconds[failures])) << failures;
  }
  EXPECT_EQ(RestartDelay(1'000'000), absl::Seconds(60));
}

}  // namespace
}  // namespace seedbed
