#include "coordinator/storage/backup_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/sync_directory.h"
#include "coordinator/storage/database.h"
#include "coordinator/storage/migrations.h"

namespace seedbed {
namespace {

constexpr char kAnotherPlace[] = "free some disk space, or choose another place";

absl::Status CheckSource(Database* database) {
  SEEDBED_ASSIGN_OR_RETURN(const int64_t version, CheckSchema(database, SchemaVersion()));
  if (version > 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(database->path(), " is empty: there is nothing to back up; name another directory with --data"));
}

// O_EXCL: whatever has this name is somebody else's.
absl::Status CreatePart(const std::string& part, const std::string& path) {
  const int descriptor = ::open(part.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (descriptor >= 0) {
    ::close(descriptor);
    return absl::OkStatus();
  }
  if (errno != EEXIST) return CannotWriteBackup(path, errno);
  return absl::FailedPreconditionError(absl::StrCat("cannot write the backup ", path, ": ", part,
                                                    " is in the way; remove that, or choose another name"));
}

absl::Status Mark(const std::string& part) {
  Database::Options options;
  options.access = Database::Options::Access::kReadWrite;
  SEEDBED_ASSIGN_OR_RETURN(const std::unique_ptr<Database> copy, Database::Open(part, options));
  SEEDBED_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(copy.get()));
  // The one time that comes from SQLite: it is only read by people. Microseconds since 1970.
  SEEDBED_RETURN_IF_ERROR(
      copy->Change(
              "REPLACE INTO meta (key, value) VALUES (?, CAST((julianday('now') - 2440587.5) * 86400e6 AS INTEGER))",
              kBackupTakenAt)
          .status());
  return transaction.Commit();
}

// SQLite's messages name the database that is copied, also where the copy's disk is full.
absl::Status Wrap(const absl::Status& status, const std::string& path) {
  const std::string what = absl::StrCat("cannot write the backup ", path, ": ");
  if (absl::IsResourceExhausted(status))
    return absl::ResourceExhaustedError(what + "no space is left; " + kAnotherPlace);
  return absl::Status(status.code(), absl::StrCat(what, status.message()));
}

int SyncFile(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return errno;
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  return error;
}

absl::Status Publish(const std::string& part, const std::string& path) {
  int error = SyncFile(part);
  if (error == 0) error = GiveNewName(part, path);
  if (error == EEXIST) return BackupExists(path);
  if (error != 0) return CannotWriteBackup(path, error);
  error = SyncDirectory(DirectoryOf(path));
  return error == 0 ? absl::OkStatus() : CannotWriteBackup(path, error);
}

}  // namespace

std::string PartOfBackup(const std::string& path) {
  static std::atomic<int> last{0};
  return absl::StrCat(path, ".part-", ::getpid(), "-", ++last);
}

absl::Status CannotWriteBackup(const std::string& path, int error) {
  const std::string message = absl::StrCat("cannot write the backup ", path, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return absl::ResourceExhaustedError(absl::StrCat(message, "; ", kAnotherPlace));
  }
  return absl::FailedPreconditionError(message + "; choose another place, or correct the permissions");
}

absl::Status BackupExists(const std::string& path) {
  return absl::FailedPreconditionError(absl::StrCat("cannot back up to ", path, ": it exists; choose a new name"));
}

int GiveNewNameByLink(const std::string& from, const std::string& to) {
  if (::link(from.c_str(), to.c_str()) != 0) return errno;
  // Two names of one whole file are no reason to fail.
  (void)::unlink(from.c_str());
  return 0;
}

int GiveNewName(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  struct stat found;
  // A directory has no links; its rename replaces an empty directory at most.
  if (::stat(from.c_str(), &found) == 0 && S_ISDIR(found.st_mode)) {
    return std::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
  }
  return GiveNewNameByLink(from, to);
}

absl::Status BackupDatabase(const std::string& database_path, const std::string& path) {
  struct stat found;
  if (::lstat(path.c_str(), &found) == 0) return BackupExists(path);
  SEEDBED_ASSIGN_OR_RETURN(const std::unique_ptr<Database> database, Database::Open(database_path, {}));
  SEEDBED_RETURN_IF_ERROR(CheckSource(database.get()));
  const std::string part = PartOfBackup(path);
  SEEDBED_RETURN_IF_ERROR(CreatePart(part, path));
  absl::Status status = database->Change("VACUUM INTO ?", part).status();
  if (status.ok()) status = Mark(part);
  status = status.ok() ? Publish(part, path) : Wrap(status, path);
  // Published, it has this name no more.
  if (!status.ok()) {
    ::unlink(part.c_str());
    ::unlink((part + "-journal").c_str());
  }
  return status;
}

}  // namespace seedbed
