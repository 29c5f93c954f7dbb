#include "coordinator/checkpoint_reader.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "common/base/testing/no_descriptors.h"
#include "common/base/testing/temporary_directory.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

using ::testing::HasSubstr;

class CheckpointReaderTest : public ::testing::Test {
 protected:
  CheckpointReaderTest() {
    row_ = {10, 1, directory_.path() + "/file", Sha256Hex("content"), 7};
    Write("content");
  }

  void Write(const std::string& content) const { std::ofstream(row_.path, std::ios::binary) << content; }
  absl::StatusOr<std::string> Read(int64_t most = 3) const {
    const absl::StatusOr<std::unique_ptr<CheckpointReader>> reader = CheckpointReader::Open(row_);
    if (!reader.ok()) return reader.status();
    std::string content;
    while (true) {
      const absl::StatusOr<std::string> piece = (*reader)->Next(most);
      if (!piece.ok()) return piece.status();
      if (piece->empty()) return content;
      content += *piece;
    }
  }

  TemporaryDirectory directory_;
  CheckpointRow row_;
};

TEST_F(CheckpointReaderTest, GivesTheBytesThatTheRowPromises) {
  EXPECT_EQ(*Read(), "content");
  EXPECT_EQ(*Read(100), "content");
  row_.bytes = 0;
  row_.sha256 = Sha256Hex("");
  Write("");
  EXPECT_EQ(*Read(), "");
}

TEST_F(CheckpointReaderTest, WhatIsLostIsSaidToBe) {
  for (const char* content : {"contend", "conten", "content and more"}) {
    Write(content);
    EXPECT_TRUE(absl::IsDataLoss(Read().status())) << content << ": " << Read().status();
  }
  std::filesystem::remove(row_.path);
  EXPECT_TRUE(absl::IsDataLoss(Read().status())) << Read().status();
  std::filesystem::create_directory(row_.path);
  EXPECT_TRUE(absl::IsDataLoss(Read().status())) << Read().status();
  row_.path += "/file/below";
  EXPECT_TRUE(absl::IsDataLoss(Read().status())) << Read().status();
}

TEST_F(CheckpointReaderTest, WhatCannotBeReadForTheMomentIsNotLost) {
  absl::Status status;
  {
    const NoDescriptors none;
    status = Read().status();
  }
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("Too many open files"));
  EXPECT_EQ(*Read(), "content");
}

}  // namespace
}  // namespace seedbed
