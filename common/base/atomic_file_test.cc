#include "common/base/atomic_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "gtest/gtest.h"

namespace seedbed {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public testing::Test {
 protected:
  AtomicFileTest()
      : directory_(fs::path(testing::TempDir()) / ("atomic_file_" + std::to_string(getpid()) +
                                                   testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::create_directories(directory_);
  }
  ~AtomicFileTest() override { fs::remove_all(directory_); }

  std::string Path(const std::string& name) const { return (directory_ / name).string(); }
  static std::string Content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  int64_t Files() const { return std::distance(fs::directory_iterator(directory_), fs::directory_iterator()); }

  const fs::path directory_;
};

TEST_F(AtomicFileTest, AppearsWhenItIsWholeInPlaceOfWhatWasThere) {
  std::ofstream(Path("out")) << "old";
  const auto file = AtomicFile::Create(Path("out"), 0600).value();
  ASSERT_TRUE(file->Write("new ").ok());
  EXPECT_EQ(Content(Path("out")), "old");
  EXPECT_EQ(Content(file->partial_path()), "new ");
  ASSERT_TRUE(file->Write("content").ok());
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(Content(Path("out")), "new content");
  struct stat about {};
  ASSERT_EQ(stat(Path("out").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  EXPECT_EQ(Files(), 1);
}

TEST_F(AtomicFileTest, WithoutCommitNothingStays) {
  ASSERT_TRUE(AtomicFile::Create(Path("out")).value()->Write("half").ok());
  EXPECT_EQ(Files(), 0);
}

TEST_F(AtomicFileTest, WhatIsNoRegularFileIsNotReplaced) {
  fs::create_directory(Path("directory"));
  fs::create_symlink("/dev/null", Path("link"));
  for (const std::string& path : {std::string("/dev/null"), Path("directory"), Path("link")}) {
    const absl::Status refused = AtomicFile::Create(path).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << path;
    EXPECT_NE(refused.message().find("cannot write " + path), absl::string_view::npos) << refused;
  }
  EXPECT_EQ(Files(), 2);
}

TEST_F(AtomicFileTest, ErrorsNameTheFile) {
  const absl::Status missing = AtomicFile::Create(Path("nowhere/out")).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(missing.message().find(Path("nowhere/out")), absl::string_view::npos) << missing;
  // What has come to stand at the name meanwhile is not replaced either, if it cannot be.
  const auto file = AtomicFile::Create(Path("out")).value();
  fs::create_directory(Path("out"));
  EXPECT_FALSE(file->Commit().ok());
  EXPECT_EQ(Files(), 1);
}

}  // namespace
}  // namespace seedbed
