#include "coordinator/checkpoint_files.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "coordinator/storage/power_cut.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

class CheckpointFilesTest : public ::testing::Test {
 protected:
  CheckpointFilesTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "seedbed-files-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
  }
  ~CheckpointFilesTest() override { std::filesystem::remove_all(directory_); }

  // How many files there are, whole or in parts.
  int Count() const {
    int count = 0;
    std::error_code none;
    for (const auto& each : std::filesystem::directory_iterator(directory_ + "/checkpoints", none)) {
      count += each.is_regular_file() ? 1 : 0;
    }
    return count;
  }
  std::string Read(const std::string& path) const {
    std::ifstream file(directory_ + "/" + path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Begin(const CheckpointFiles& files, const std::string& content) {
    return files.Write(RunId(7), 2, 100, static_cast<int64_t>(content.size()), Sha256Hex(content));
  }

  std::string directory_;
};

TEST(CheckpointUploadsTest, TheRoomOfTheOldestIsGivenOnce) {
  CheckpointUploads uploads;
  EXPECT_EQ(uploads.QuotaBytesOf(RunId(1), 100, 150), -50);
  auto first = uploads.Begin(RunId(1), 100, 80);
  EXPECT_EQ(uploads.quota_bytes(), 20);
  EXPECT_EQ(uploads.QuotaBytesOf(RunId(1), 100, 80), 100);
  EXPECT_EQ(uploads.QuotaBytesOf(RunId(2), 100, 80), 20);
  const auto second = uploads.Begin(RunId(1), 100, 80);
  EXPECT_EQ(uploads.quota_bytes(), 120);
  EXPECT_EQ(uploads.awaited_bytes(), 200);
  first->Wrote(60);
  EXPECT_EQ(uploads.awaited_bytes(), 140);
  first.reset();
  EXPECT_EQ(uploads.awaited_bytes(), 100);
  EXPECT_EQ(uploads.quota_bytes(), 100);
}

TEST_F(CheckpointFilesTest, AWholeFileStaysOnceItIsKept) {
  CheckpointFiles files(directory_);
  std::string path;
  {
    const auto writer = Begin(files, "one two");
    ASSERT_TRUE(writer.ok()) << writer.status();
    EXPECT_TRUE((*writer)->Append("one ").ok());
    EXPECT_TRUE((*writer)->Append("two").ok());
    ASSERT_TRUE((*writer)->Finish().ok());
    path = (*writer)->path();
    (*writer)->Keep();
  }
  EXPECT_EQ(Read(path), "one two");
  EXPECT_EQ(std::filesystem::status(directory_ + "/" + path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  files.Remove({path, "checkpoints/not-there.checkpoint"});
  files.Flush();
  EXPECT_EQ(Count(), 0);
}

TEST_F(CheckpointFilesTest, OneThatIsNotWholeOrNotKeptLeavesNothing) {
  CheckpointFiles files(directory_);
  {
    const auto cut = Begin(files, "one two");
    EXPECT_TRUE((*cut)->Append("one ").ok());
    EXPECT_EQ((*cut)->Finish().code(), absl::StatusCode::kDataLoss);
    const auto longer = Begin(files, "one");
    EXPECT_EQ((*longer)->Append("one two").code(), absl::StatusCode::kDataLoss);
    const auto longer_in_pieces = Begin(files, "one");
    EXPECT_TRUE((*longer_in_pieces)->Append("on").ok());
    EXPECT_EQ((*longer_in_pieces)->Append("on").code(), absl::StatusCode::kDataLoss) << "no room was claimed for it";
    const auto changed = Begin(files, "one two");
    EXPECT_TRUE((*changed)->Append("one 2wo").ok());
    EXPECT_EQ((*changed)->Finish().code(), absl::StatusCode::kDataLoss);
    const auto refused = Begin(files, "one");
    EXPECT_TRUE((*refused)->Append("one").ok());
    EXPECT_TRUE((*refused)->Finish().ok());
    EXPECT_EQ(Count(), 5);
  }
  EXPECT_EQ(Count(), 0);
}

// The coordinator commits a checkpoint once Finish has returned: by then no power cut may take the file, and before it
// none may leave a part of it under its name.
TEST_F(CheckpointFilesTest, APowerCutLeavesAWholeFileOrNone) {
  using storage_test::Kept;
  const std::string content(20'000, 'x');
  const std::string left = directory_ + "-left";
  CheckpointFiles files(directory_);
  storage_test::WatchedDisk disk(directory_);
  std::string path;
  int there = 0;
  const auto look = [&] {
    for (const Kept kept : {Kept::kNothing, Kept::kNames, Kept::kTorn, Kept::kEverything}) {
      disk.CutInto(left, kept, static_cast<uint64_t>(disk.syncs()));
      std::ifstream file(left + "/" + path, std::ios::binary);
      if (file) {
        ++there;
        EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}).size(), content.size());
      }
      std::filesystem::remove_all(left);
    }
  };
  const auto writer = Begin(files, content);
  ASSERT_TRUE(writer.ok()) << writer.status();
  path = (*writer)->path();
  disk.OnSync(look);
  EXPECT_TRUE((*writer)->Append(content).ok());
  look();
  EXPECT_EQ(there, 0) << "it has another name until it is whole";
  ASSERT_TRUE((*writer)->Finish().ok());
  there = 0;
  look();
  EXPECT_EQ(there, 4);
  (*writer)->Keep();
}

TEST_F(CheckpointFilesTest, TwoOfOneStepDoNotTouchEachOther) {
  CheckpointFiles files(directory_);
  const auto first = Begin(files, "one");
  const auto second = Begin(files, "one");
  EXPECT_NE((*first)->path(), (*second)->path());
}

TEST_F(CheckpointFilesTest, OrphansAreRemovedAndNothingElse) {
  CheckpointFiles files(directory_);
  const auto write = [this](const std::string& name) { std::ofstream(directory_ + "/checkpoints/" + name) << "x"; };
  std::filesystem::create_directory(directory_ + "/checkpoints");
  write("1-1-10-aa.checkpoint");
  write("1-1-20-bb.checkpoint");
  write("1-1-30-cc.checkpoint.part");
  write("notes.txt");
  EXPECT_EQ(files.RemoveOrphans({"checkpoints/1-1-10-aa.checkpoint"}), 2);
  EXPECT_EQ(Read("checkpoints/1-1-10-aa.checkpoint"), "x");
  EXPECT_EQ(Read("checkpoints/notes.txt"), "x");
  EXPECT_EQ(Count(), 2);
}

}  // namespace
}  // namespace seedbed
