#include "coordinator/storage/data_directory.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/storage_test_support.h"
#include "coordinator/storage/store.h"
#include "gmock/gmock.h"

namespace {

// What every file system is said to be in this program; 0: what it is.
decltype(statfs::f_type) pretended_type = 0;

}  // namespace

extern "C" int statfs(const char* path, struct statfs* found) noexcept {
  const auto result = static_cast<int>(syscall(SYS_statfs, path, found));
  if (result == 0 && pretended_type != 0) found->f_type = pretended_type;
  return result;
}

namespace seedbed {
namespace {

using ::seedbed::storage_test::TemporaryDirectory;
using ::testing::HasSubstr;

TEST(DataDirectoryTest, IsCreatedForThisUserOnlyWithItsParents) {
  const TemporaryDirectory parent;
  const std::string path = parent.path() + "/a/b";
  SEEDBED_ASSERT_OK(EnsureDataDirectory(path));
  SEEDBED_ASSERT_OK(EnsureDataDirectory(path));
  struct stat found;
  ASSERT_EQ(::stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700u);
}

TEST(DataDirectoryTest, TheDisksReserveAndTheLogsSizeAreThePublishedOnes) {
  EXPECT_EQ(LeastFreeBytes(), 2'147'483'648) << "2 GiB, below which metrics wait";
  EXPECT_EQ(MostLogBytes(), 1'073'741'824) << "1 GiB, beyond which the write-ahead log is an event";
}

TEST(DataDirectoryTest, AFileInTheWayIsRefused) {
  const TemporaryDirectory parent;
  std::ofstream(parent.path() + "/file") << "x";
  EXPECT_EQ(EnsureDataDirectory(parent.path() + "/file").code(), absl::StatusCode::kFailedPrecondition);
}

TEST(DataDirectoryTest, TheLockNamesItsHolder) {
  const TemporaryDirectory directory;
  EXPECT_EQ(DataLockHolder(directory.path()), 0);
  {
    const std::unique_ptr<DataLock> lock = *DataLock::Take(directory.path());
    EXPECT_EQ(DataLockHolder(directory.path()), ::getpid());
    const absl::Status second = DataLock::Take(directory.path()).status();
    EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(second.message()), HasSubstr(absl::StrCat("process ", ::getpid())));
  }
  EXPECT_EQ(DataLockHolder(directory.path()), 0);
  EXPECT_TRUE(DataLock::Take(directory.path()).ok());
}

TEST(DataDirectoryTest, TheLockGoesWithItsProcess) {
  const TemporaryDirectory directory;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const absl::StatusOr<std::unique_ptr<DataLock>> lock = DataLock::Take(directory.path());
    const char byte = lock.ok() ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_EQ(DataLockHolder(directory.path()), child);
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(DataLock::Take(directory.path()).ok());
  ::close(ready[0]);
  ::close(ready[1]);
}

// The magic numbers of statfs(2)'s manual page.
TEST(DataDirectoryTest, NetworkFileSystemsAreKnownByTheirNumbers) {
  EXPECT_EQ(NetworkFileSystemName(0x6969), "nfs");
  EXPECT_EQ(NetworkFileSystemName(0xff534d42), "cifs");
  EXPECT_EQ(NetworkFileSystemName(0xffffffffff534d42), "cifs") << "f_type is signed on some machines";
  EXPECT_EQ(NetworkFileSystemName(0x0bd00bd0), "lustre");
  for (const uint64_t local : {0xef53u, 0x58465342u, 0x9123683eu, 0x01021994u, 0x794c7630u, 0x2fc12fc1u}) {
    EXPECT_EQ(NetworkFileSystemName(local), "") << std::hex << local;
  }
}

TEST(DataDirectoryTest, OneOnTheNetworkIsRefusedUnlessItsJournalIsSafeThere) {
  const TemporaryDirectory directory;
  StoreOptions options = storage_test::FastOptions(directory.path() + "/data");
  pretended_type = 0x6969;
  const absl::Status refused = Store::Open(options, Moment()).status();
  options.journal = StoreOptions::Journal::kDelete;
  const absl::Status taken = Store::Open(options, Moment()).status();
  pretended_type = 0;
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("(nfs)"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("--journal=delete"));
  SEEDBED_EXPECT_OK(taken);
}

TEST(DataDirectoryTest, SpaceIsCounted) {
  const TemporaryDirectory directory;
  EXPECT_GT(*FreeBytes(directory.path()), 0);
  EXPECT_FALSE(FreeBytes(directory.path() + "/none").ok());
  std::ofstream(directory.path() + "/results.db-wal") << "12345";
  EXPECT_EQ(WriteAheadLogBytes(DatabasePath(directory.path())), 5);
  EXPECT_EQ(WriteAheadLogBytes(directory.path() + "/other.db"), 0);
}

}  // namespace
}  // namespace seedbed
