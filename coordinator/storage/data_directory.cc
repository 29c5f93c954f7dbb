#include "coordinator/storage/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "common/base/sync_directory.h"

namespace seedbed {
namespace {

std::string LockPath(const std::string& directory) {
  return directory + "/lock";
}

std::string SystemMessage() {
  return std::strerror(errno);
}

// All that is synced within a new directory is worth nothing after a power cut if its own name was not.
absl::Status SyncParent(const std::string& path) {
  const std::string parent = DirectoryOf(path);
  const int error = SyncDirectory(parent);
  // EACCES: where this user may pass but not read, there is no way to ask for it. EINVAL: a file system that has no
  // fsync for directories.
  if (error == 0 || error == EACCES || error == EINVAL) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot sync ", parent, ", in which the data directory was made: ",
                                             std::strerror(error), "; try again, or choose another one with --data"));
}

absl::Status MakeDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return SyncParent(path);
  const int error = errno;
  struct stat found;
  if (error == EEXIST && ::stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode)) return absl::OkStatus();
  const std::string what = absl::StrCat("cannot create the data directory ", path, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(what + "; free some disk space");
  return absl::FailedPreconditionError(what + "; choose another one with --data, or correct the permissions");
}

int64_t ReadProcessId(int descriptor) {
  char text[32] = {};
  if (::pread(descriptor, text, sizeof(text) - 1, 0) <= 0) return 0;
  return std::strtoll(text, nullptr, 10);
}

}  // namespace

std::string DatabasePath(const std::string& directory) {
  return directory + "/results.db";
}

absl::Status EnsureDataDirectory(const std::string& directory) {
  if (directory.empty()) return absl::InvalidArgumentError("the data directory's name is empty");
  for (size_t slash = directory.find('/', 1); slash != std::string::npos; slash = directory.find('/', slash + 1)) {
    struct stat found;
    const std::string parent = directory.substr(0, slash);
    if (::stat(parent.c_str(), &found) != 0) SEEDBED_RETURN_IF_ERROR(MakeDirectory(parent));
  }
  return MakeDirectory(directory);
}

absl::StatusOr<std::unique_ptr<DataLock>> DataLock::Take(const std::string& directory) {
  const std::string path = LockPath(directory);
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return absl::FailedPreconditionError(absl::StrCat("cannot open ", path, ": ", SystemMessage(),
                                                      "; check that this user may write the data directory"));
  }
  std::unique_ptr<DataLock> lock(new DataLock(descriptor));
  // A few tries: DataLockHolder holds the lock for an instant, and a process that is being killed for a little longer.
  for (int tries = 1; ::flock(descriptor, LOCK_EX | LOCK_NB) != 0; ++tries) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK && tries < 20) {
      absl::SleepFor(absl::Milliseconds(5));
      continue;
    }
    if (errno != EWOULDBLOCK) {
      return absl::FailedPreconditionError(absl::StrCat("cannot lock ", path, ": ", SystemMessage(),
                                                        "; put the data directory on a file system that has flock"));
    }
    const int64_t holder = ReadProcessId(descriptor);
    return absl::FailedPreconditionError(
        absl::StrCat("the data directory ", directory, " is in use by ",
                     holder > 0 ? absl::StrCat("process ", holder) : "another process", " (it holds ", path,
                     "); stop that process, or reach it with --server instead of --data"));
  }
  const std::string text = absl::StrCat(static_cast<int64_t>(::getpid()), "\n");
  // The number only serves the message above, so a full disk does not stand in the way.
  if (::ftruncate(descriptor, 0) == 0) (void)!::pwrite(descriptor, text.data(), text.size(), 0);
  return lock;
}

DataLock::~DataLock() {
  ::close(descriptor_);
}

int64_t DataLockHolder(const std::string& directory) {
  const int descriptor = ::open(LockPath(directory).c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return 0;
  int64_t holder = 0;
  // A shared lock does not disturb another process that looks at the same moment.
  if (::flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) holder = ReadProcessId(descriptor);
  ::close(descriptor);
  return holder;
}

std::string NetworkFileSystemName(uint64_t type) {
  // linux/magic.h and the file systems' own headers. FUSE is left out: most of it is local.
  switch (type & 0xffffffff) {
    case 0x6969:
      return "nfs";
    case 0x517B:
      return "smb";
    case 0xFE534D42:
      return "smb2";
    case 0xFF534D42:
      return "cifs";
    case 0x01021997:
      return "9p";
    case 0x5346414F:
    case 0x6B414653:
      return "afs";
    case 0x73757245:
      return "coda";
    case 0x00C36400:
      return "ceph";
    case 0x0BD00BD0:
      return "lustre";
    case 0x47504653:
      return "gpfs";
    case 0x19830326:
      return "beegfs";
    case 0xAAD7AAEA:
      return "panfs";
    case 0x7461636F:
      return "ocfs2";
    case 0x01161970:
      return "gfs2";
    default:
      return "";
  }
}

absl::Status CheckLocalFileSystem(const std::string& directory) {
  struct statfs found;
  if (::statfs(directory.c_str(), &found) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot look at the file system of ", directory, ": ", SystemMessage()));
  }
  const std::string name = NetworkFileSystemName(static_cast<uint64_t>(found.f_type));
  if (name.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(directory, " lies on a network file system (", name,
                                                    "), where SQLite's write-ahead log can lose data; choose a local "
                                                    "directory with --data, or accept slower commits with "
                                                    "--journal=delete"));
}

absl::StatusOr<int64_t> FreeBytes(const std::string& directory) {
  struct statvfs found;
  if (::statvfs(directory.c_str(), &found) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot ask for the free space of ", directory, ": ", SystemMessage()));
  }
  return static_cast<int64_t>(found.f_bavail) * static_cast<int64_t>(found.f_frsize);
}

int64_t WriteAheadLogBytes(const std::string& database_path) {
  struct stat found;
  return ::stat((database_path + "-wal").c_str(), &found) == 0 ? static_cast<int64_t>(found.st_size) : 0;
}

bool IsCheckpointPath(const std::string& path) {
  return absl::StartsWith(path, "checkpoints/") && !absl::StrContains(path, "..");
}

}  // namespace seedbed
