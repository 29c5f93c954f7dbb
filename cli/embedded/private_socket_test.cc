#include "cli/embedded/private_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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

// A directory as `run` makes it, with a socket on which `listening` somebody listens or nobody any more.
class Left {
 public:
  Left(const std::string& parent, const std::string& name, bool listening) : path_(parent + "/" + name) {
    std::filesystem::create_directory(path_);
    descriptor_ = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", path_.c_str());
    EXPECT_EQ(bind(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    if (listening) {
      EXPECT_EQ(listen(descriptor_, 1), 0);
    }
  }
  ~Left() { close(descriptor_); }
  void MakeOld() {
    const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    EXPECT_EQ(utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  }
  bool exists() const { return std::filesystem::exists(path_); }

 private:
  std::string path_;
  int descriptor_;
};

TEST_F(PrivateSocketTest, RemovesWhatAKilledCommandLeft) {
  setenv("XDG_RUNTIME_DIR", directory_.c_str(), 1);
  Left abandoned(directory_, "seedbed-aaaaaa", false);
  Left in_use(directory_, "seedbed-bbbbbb", true);
  Left young(directory_, "seedbed-cccccc", false);
  Left of_another_program(directory_, "seedbed-of-mine", false);
  for (Left* left : {&abandoned, &in_use, &of_another_program}) left->MakeOld();
  ASSERT_TRUE(PrivateSocket::Create().ok());
  EXPECT_FALSE(abandoned.exists());
  EXPECT_TRUE(in_use.exists());
  EXPECT_TRUE(young.exists());
  EXPECT_TRUE(of_another_program.exists());
}

}  // namespace
}  // namespace seedbed::cli
