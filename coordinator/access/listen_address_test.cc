#include "coordinator/access/listen_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "common/secrets/private_file.h"
#include "coordinator/access/authentication.h"
#include "coordinator/coordinator_test_support.h"

namespace seedbed {
namespace {

using coordinator_test::TemporaryDirectory;
using ::testing::HasSubstr;

TEST(ListenAddress, ReadsWhatPeopleType) {
  struct Row {
    std::string text;
    std::string shown;  // empty: wrong
    bool loopback;
  };
  const std::vector<Row> rows = {
      {"127.0.0.1:7070", "127.0.0.1:7070", true},
      {"127.8.0.1:0", "127.8.0.1:0", true},
      {"localhost:1", "localhost:1", true},
      {"[::1]:65535", "[::1]:65535", true},
      {"0.0.0.0:80", "0.0.0.0:80", false},
      {"[::]:80", "[::]:80", false},
      {"node-1.example:9", "node-1.example:9", false},
      {"127.example.org:9", "127.example.org:9", false},
      {"127.1:9", "127.1:9", false},
      {"unix:/tmp/x/s", "unix:/tmp/x/s", false},
      {"unix:///tmp/s", "unix:/tmp/s", false},
      {"unix:", "", false},
      {"7070", "", false},
      {":7070", "", false},
      {"host:", "", false},
      {"host:65536", "", false},
      {"host:-1", "", false},
      {"::1:80", "", false},
      {"[]:80", "", false},
      {"", "", false},
  };
  for (const Row& row : rows) {
    const auto address = ParseListenAddress(row.text);
    if (row.shown.empty()) {
      EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument) << row.text;
      continue;
    }
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->ToString(), row.shown);
    EXPECT_EQ(address->is_loopback, row.loopback) << row.text;
  }
}

TEST(SocketPath, LiesInAPrivateDirectory) {
  const TemporaryDirectory directory;
  EXPECT_TRUE(CheckSocketPath(directory.path() + "/s").ok());
  ASSERT_EQ(chmod(directory.path().c_str(), 0750), 0);
  EXPECT_THAT(std::string(CheckSocketPath(directory.path() + "/s").message()), HasSubstr("chmod 700"));
  ASSERT_EQ(chmod(directory.path().c_str(), 0700), 0);
  EXPECT_EQ(CheckSocketPath(directory.path() + "/nowhere/s").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(CheckSocketPath(directory.path() + "/" + std::string(108, 'x')).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Token, IsMadeOnceAndKeptPrivate) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/token";
  EXPECT_EQ(LoadToken(path, /*create=*/false).status().code(), absl::StatusCode::kFailedPrecondition);
  const auto made = LoadToken(path, /*create=*/true);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->size(), 64u);
  EXPECT_EQ(*LoadToken(path, true), *made);
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  EXPECT_THAT(std::string(LoadToken(path, true).status().message()), HasSubstr("chmod 600"));
  ASSERT_TRUE(WritePrivateFile(path, " \n").ok());
  EXPECT_EQ(LoadToken(path, true).status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(WritePrivateFile(path, std::string(31, 'x') + "\n").ok());
  EXPECT_THAT(std::string(LoadToken(path, true).status().message()), HasSubstr("31 characters, which can be guessed"));
  ASSERT_TRUE(WritePrivateFile(path, std::string(32, 'x') + "\n").ok());
  EXPECT_TRUE(LoadToken(path, true).ok());
  std::filesystem::remove(path);
  EXPECT_NE(*LoadToken(path, true), *made);
}

}  // namespace
}  // namespace seedbed
