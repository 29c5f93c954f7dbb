#include "coordinator/run_logs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/secrets/private_file.h"
#include "coordinator/coordinator_test_support.h"
#include "coordinator/server_file.h"

namespace seedbed {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(RunLogs, AppendsByAttemptAndDeletes) {
  const coordinator_test::TemporaryDirectory directory;
  const mode_t before = umask(0);  // what others may read must not hang on it
  RunLogs logs(directory.path());
  logs.Append(RunId(3), 1, "one\n");
  logs.Append(RunId(3), 2, "two\n");
  logs.Append(RunId(3), 1, "more\n");
  logs.Flush();
  umask(before);
  EXPECT_EQ(Contents(directory.path() + "/logs/3-1.log"), "one\nmore\n");
  EXPECT_EQ(Contents(RunLogs::Path(directory.path(), RunId(3), 2)), "two\n");
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(directory.path() + "/logs").permissions(), perms::owner_all);
  EXPECT_EQ(std::filesystem::status(directory.path() + "/logs/3-1.log").permissions(),
            perms::owner_read | perms::owner_write);
  logs.Delete(RunId(3), 2);
  logs.Flush();
  EXPECT_TRUE(std::filesystem::is_empty(directory.path() + "/logs"));
}

TEST(RunLogs, OrphansAreRemovedAndNothingElse) {
  const coordinator_test::TemporaryDirectory directory;
  const std::string logs_directory = directory.path() + "/logs/";
  std::filesystem::create_directory(logs_directory);
  const std::vector<std::string> kept = {"1-1.log", "1-2.log", "notes.txt", "01-9.log", "9-1.log.bak", "9-1", "9.log"};
  for (const std::string& name : kept) std::ofstream(logs_directory + name) << "old";
  for (const char* name : {"1-3.log", "9-1.log"}) std::ofstream(logs_directory + name) << "old";
  RunLogs logs(directory.path());
  EXPECT_EQ(logs.RemoveOrphans([](RunId run) { return run == RunId(1) ? 2 : 0; }), 2u);
  logs.Append(RunId(1), 3, "new");
  logs.Flush();
  EXPECT_EQ(Contents(logs_directory + "1-3.log"), "new");
  EXPECT_FALSE(std::filesystem::exists(logs_directory + "9-1.log"));
  for (const std::string& name : kept) EXPECT_EQ(Contents(logs_directory + name), "old") << name;
}

TEST(RunLogs, AFullFileSaysSoOnce) {
  const coordinator_test::TemporaryDirectory directory;
  RunLogs::Limits limits;
  limits.most_file_bytes = 10;
  {
    RunLogs logs(directory.path(), limits);
    logs.Append(RunId(1), 1, "12345678");
    logs.Append(RunId(1), 1, "90abc");
    logs.Append(RunId(1), 1, "lost");
  }
  const std::string path = RunLogs::Path(directory.path(), RunId(1), 1);
  const std::string text = Contents(path);
  EXPECT_THAT(text, StartsWith("1234567890\n[seedbed: the log is full"));
  // Another process goes on where this one was.
  RunLogs(directory.path(), limits).Append(RunId(1), 1, "lost too");
  EXPECT_EQ(Contents(path), text);
}

TEST(RunLogs, WhatTheQueueDropsIsCounted) {
  const coordinator_test::TemporaryDirectory directory;
  RunLogs::Limits limits;
  limits.most_queued_bytes = 4;
  RunLogs logs(directory.path(), limits);
  logs.Append(RunId(1), 1, "12345");  // never fits
  logs.Lose(RunId(1), 1, 2);
  logs.Append(RunId(1), 1, "ok");
  logs.Flush();
  EXPECT_EQ(Contents(RunLogs::Path(directory.path(), RunId(1), 1)), "\n[seedbed: 7 bytes were dropped here]\nok");
}

TEST(RunLogs, WhatCannotBeWrittenIsCounted) {
  const coordinator_test::TemporaryDirectory directory;
  RunLogs logs(directory.path());
  const std::string path = RunLogs::Path(directory.path(), RunId(1), 1);
  std::filesystem::create_directories(path);  // cannot be opened as a file
  logs.Lose(RunId(1), 1, 2);
  logs.Append(RunId(1), 1, "12345");
  logs.Flush();
  std::filesystem::remove(path);
  std::filesystem::create_symlink("/dev/full", path);
  logs.Append(RunId(1), 1, "678");
  logs.Flush();
  std::filesystem::remove(path);
  logs.Append(RunId(1), 1, "ok");
  logs.Flush();
  EXPECT_EQ(Contents(path), "\n[seedbed: 10 bytes were dropped here]\nok");
}

TEST(RunLogs, ALossIsToldWithoutAnyTextAfterIt) {
  const coordinator_test::TemporaryDirectory directory;
  const auto contents = [&](int64_t run) { return Contents(RunLogs::Path(directory.path(), RunId(run), 1)); };
  RunLogs logs(directory.path());
  logs.Append(RunId(1), 1, "text");
  for (int64_t run = 1; run <= 3; ++run) logs.Lose(RunId(run), 1, run);
  logs.TellLoss(RunId(1), 1);
  logs.TellLoss(RunId(1), 1);
  logs.Flush();
  EXPECT_EQ(contents(1), "text\n[seedbed: 1 bytes were dropped here]\n");
  EXPECT_EQ(contents(2), "");
  const std::string path = RunLogs::Path(directory.path(), RunId(2), 1);
  std::filesystem::create_symlink("/dev/full", path);
  const auto attempts_of = [](RunId run) { return run == RunId(3) ? 0 : 1; };
  logs.TellLosses(attempts_of);
  logs.Flush();
  std::filesystem::remove(path);
  logs.TellLosses(attempts_of);
  logs.Append(RunId(3), 1, "no loss of a run that there was not");
  logs.Flush();
  EXPECT_EQ(contents(2), "\n[seedbed: 2 bytes were dropped here]\n") << "told when there was room";
  EXPECT_EQ(contents(3), "no loss of a run that there was not");
}

TEST(RunLogs, AtTheEndEveryLossIsTold) {
  const coordinator_test::TemporaryDirectory directory;
  RunLogs::Limits limits;
  limits.most_queued_bytes = 4;
  {
    RunLogs logs(directory.path(), limits);
    logs.Append(RunId(1), 1, "12345");
    logs.Lose(RunId(2), 1, 1);
    std::filesystem::create_directories(RunLogs::Path(directory.path(), RunId(2), 1));  // and cannot be told
  }
  EXPECT_EQ(Contents(RunLogs::Path(directory.path(), RunId(1), 1)), "\n[seedbed: 5 bytes were dropped here]\n");
}

TEST(RunLogs, WhatIsWrittenInPartIsCountedForTheRest) {
  const coordinator_test::TemporaryDirectory directory;
  const std::string path = RunLogs::Path(directory.path(), RunId(1), 1);
  RunLogs logs(directory.path());
  logs.Append(RunId(1), 1, "12");
  logs.Flush();
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit limit = before;
  limit.rlim_cur = 5;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  logs.Append(RunId(1), 1, "345678");
  logs.Flush();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  logs.Append(RunId(1), 1, "ok");
  logs.Flush();
  EXPECT_EQ(Contents(path), "12345\n[seedbed: 3 bytes were dropped here]\nok");
}

TEST(ServerFile, IsWrittenReadAndRemoved) {
  const coordinator_test::TemporaryDirectory directory;
  EXPECT_FALSE(ReadServerFile(directory.path())->has_value());
  ServerFile file;
  file.addresses = {"unix:/a/b", "127.0.0.1:4000"};
  file.pid = 42;
  file.version = "1.2.3";
  file.database_id = "abc";
  file.token_file = "/a/token";
  ASSERT_TRUE(WriteServerFile(directory.path(), file).ok());
  const auto read = ReadServerFile(directory.path());
  ASSERT_TRUE(read.ok() && read->has_value()) << read.status();
  EXPECT_EQ((*read)->addresses, file.addresses);
  EXPECT_EQ((*read)->pid, 42);
  EXPECT_EQ((*read)->token_file, "/a/token");
  const auto permissions = std::filesystem::status(directory.path() + "/coordinator.json").permissions();
  EXPECT_EQ(permissions & std::filesystem::perms::mask,
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  RemoveServerFile(directory.path());
  EXPECT_FALSE(ReadServerFile(directory.path())->has_value());
  ASSERT_TRUE(WritePrivateFile(directory.path() + "/coordinator.json", "[]").ok());
  EXPECT_THAT(std::string(ReadServerFile(directory.path()).status().message()), HasSubstr("remove it"));
}

TEST(ServerFile, AnothersIsNotBelieved) {
  const coordinator_test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/coordinator.json";
  ASSERT_TRUE(WriteServerFile(directory.path(), ServerFile()).ok());
  ASSERT_EQ(chmod(path.c_str(), 0622), 0);
  EXPECT_EQ(ReadServerFile(directory.path()).status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  const auto own = ReadServerFile(directory.path());
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_FALSE((*own)->strangers);
  if (chown(path.c_str(), 65534, 65534) != 0) GTEST_SKIP() << "only root can give a file away";
  const auto given_away = ReadServerFile(directory.path());
  ASSERT_TRUE(given_away.ok()) << given_away.status();
  EXPECT_TRUE((*given_away)->strangers);
}

}  // namespace
}  // namespace seedbed
