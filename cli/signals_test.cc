#include "cli/signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace seedbed::cli {
namespace {

std::string NewFile() {
  const std::string path = ::testing::TempDir() + "/signals_test_" + std::to_string(getpid());
  std::ofstream(path) << "a part";
  return path;
}

TEST(RemoveFileAtInterrupt, TakesTheFileAlong) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    const std::string path = NewFile();
    EXPECT_EXIT(
        {
          InstallSignals();
          RemoveFileAtInterrupt remove(path);
          raise(number);
        },
        ::testing::ExitedWithCode(128 + number), "");
    EXPECT_FALSE(std::filesystem::exists(path)) << number;
  }
}

TEST(RemoveFileAtInterrupt, LeavesItOnceItIsOver) {
  const std::string path = NewFile();
  EXPECT_EXIT(
      {
        InstallSignals();
        { RemoveFileAtInterrupt remove(path); }
        raise(SIGINT);
      },
      ::testing::ExitedWithCode(130), "");
  EXPECT_TRUE(std::filesystem::remove(path));
}

}  // namespace
}  // namespace seedbed::cli
