#include "cli/embedded/private_socket.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

namespace seedbed::cli {
namespace {

class PrivateSocketTest : public ::testing::Test {
 protected:
  PrivateSocketTest() {
    std::string pattern = "/tmp/private-socket-test-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~PrivateSocketTest() override {
    unsetenv("XDG_RUNTIME_DIR");
    std::filesystem::remove_all(directory_);
  }
  std::string directory_;
};

TEST_F(PrivateSocketTest, LiesInTheRuntimeDirectoryForItsUserOnly) {
  setenv("XDG_RUNTIME_DIR", directory_.c_str(), 1);
  std::string parent;
  {
    const auto socket = PrivateSocket::Create();
    ASSERT_TRUE(socket.ok()) << socket.status();
    EXPECT_EQ((*socket)->path().rfind(directory_ + "/seedbed-", 0), 0u);
    EXPECT_EQ((*socket)->address(), "unix:" + (*socket)->path());
    parent = std::filesystem::path((*socket)->path()).parent_path();
    struct stat found;
    ASSERT_EQ(stat(parent.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 07777, 0700u);
  }
  EXPECT_FALSE(std::filesystem::exists(parent));
}

TEST_F(PrivateSocketTest, FallsBackWhereThePathIsTooLongOrMissing) {
  for (const std::string& parent :
       {directory_ + "/" + std::string(90, 'x'), directory_ + "/missing", std::string("relative"), std::string()}) {
    if (parent.size() > 80) std::filesystem::create_directory(parent);
    setenv("XDG_RUNTIME_DIR", parent.c_str(), 1);
    const auto socket = PrivateSocket::Create();
    ASSERT_TRUE(socket.ok()) << socket.status();
    EXPECT_EQ((*socket)->path().rfind("/tmp/seedbed-", 0), 0u) << parent;
    EXPECT_LE((*socket)->path().size(), 107u);
  }
}

}  // namespace
}  // namespace seedbed::cli
