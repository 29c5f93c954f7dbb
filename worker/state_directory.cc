#include "worker/state_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "worker/process/attempt_directory.h"

namespace seedbed {
namespace {

namespace fs = std::filesystem;

absl::Status MakePrivate(const std::string& path) {
  std::error_code error;
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty()) fs::create_directories(parent, error);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::FailedPreconditionError(absl::StrCat("cannot make the worker's directory ", path, ": ",
                                                      strerror(errno), "; give another with --directory"));
  }
  if (chmod(path.c_str(), 0700) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make ", path, " private: ", strerror(errno), "; give another with --directory"));
  }
  return absl::OkStatus();
}

// Whoever may write the parent could put anything in the place of what workers keep there, and the temporary directory,
// which is everybody's, is where others may have made one of that name before.
absl::Status CheckParentIsOurs(const std::string& path) {
  const auto refused = [&path](const std::string& what) {
    return absl::FailedPreconditionError(absl::StrCat("the directory of this user's workers, ", path, ", ", what,
                                                      "; remove it, or give another directory with --directory"));
  };
  struct stat name {};
  struct stat found {};
  if (lstat(path.c_str(), &name) != 0 || stat(path.c_str(), &found) != 0) {
    return refused(absl::StrCat("cannot be looked at: ", strerror(errno)));
  }
  if (!S_ISDIR(found.st_mode)) return refused("is no directory");
  const uid_t us = geteuid();
  if (name.st_uid != us) {
    return refused(absl::StrCat(S_ISLNK(name.st_mode) ? "is a symbolic link of" : "belongs to", " another user (",
                                name.st_uid, ")"));
  }
  if (found.st_uid != us) return refused(absl::StrCat("leads to a directory of another user (", found.st_uid, ")"));
  return absl::OkStatus();
}

// The lock of a directory that no living worker has; none if one has it, or there is nothing to lock.
UniqueFd TakeLock(const std::string& directory, int flags) {
  UniqueFd lock(open((directory + "/lock").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600));
  if (lock && flock(lock.get(), LOCK_EX | LOCK_NB) != 0) lock.reset();
  return lock;
}

// Directories of workers that were killed. A young one may belong to a worker that has not locked it yet.
void SweepDead(const std::string& parent) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, error)) {
    std::error_code ignored;
    if (!absl::StartsWith(entry.path().filename().string(), "worker-") || !entry.is_directory(ignored)) continue;
    const auto written = entry.last_write_time(ignored);
    if (ignored || fs::file_time_type::clock::now() - written < std::chrono::minutes(1)) continue;
    const UniqueFd lock = TakeLock(entry.path().string(), 0);
    if (lock) fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateDirectory>> StateDirectory::Open(const std::string& path, absl::Duration patience) {
  std::error_code error;
  const std::string absolute = fs::absolute(path, error).lexically_normal().string();
  SEEDBED_RETURN_IF_ERROR(MakePrivate(absolute));
  UniqueFd lock = TakeLock(absolute, O_CREAT);
  const absl::Time deadline = absl::Now() + patience;
  while (!lock && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(100));
    lock = TakeLock(absolute, O_CREAT);
  }
  if (!lock) {
    return absl::FailedPreconditionError(absl::StrCat("another worker uses the directory ", absolute,
                                                      " (or it cannot be written); give another with --directory"));
  }
  fs::remove_all(absolute + "/attempts", error);
  return std::unique_ptr<StateDirectory>(new StateDirectory(absolute, std::move(lock)));
}

absl::StatusOr<std::unique_ptr<StateDirectory>> StateDirectory::OpenOwn(const std::string& parent,
                                                                        const std::string& id) {
  std::error_code error;
  fs::create_directories(fs::path(parent).parent_path(), error);
  if (mkdir(parent.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::FailedPreconditionError(absl::StrCat("cannot make the directory of this user's workers, ", parent,
                                                      ": ", strerror(errno), "; give another with --directory"));
  }
  SEEDBED_RETURN_IF_ERROR(CheckParentIsOurs(parent));
  SEEDBED_RETURN_IF_ERROR(MakePrivate(parent));
  SweepDead(parent);
  SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<StateDirectory> own, Open(absl::StrCat(parent, "/worker-", id)));
  own->remove_at_end_ = true;
  return own;
}

std::string StateDirectory::DefaultParent() {
  const auto absolute = [](const char* path) { return path != nullptr && path[0] == '/'; };
  const char* state = std::getenv("XDG_STATE_HOME");
  if (absolute(state)) return absl::StrCat(state, "/seedbed");
  const char* home = std::getenv("HOME");
  if (absolute(home) && access(home, W_OK) == 0) return absl::StrCat(home, "/.local/state/seedbed");
  const char* temporary = std::getenv("TMPDIR");
  return absl::StrCat(absolute(temporary) ? temporary : "/tmp", "/seedbed-", getuid());
}

StateDirectory::~StateDirectory() {
  std::error_code ignored;
  if (remove_at_end_) fs::remove_all(path_, ignored);
}

absl::StatusOr<std::string> StateDirectory::Create(RunId run, int attempt) {
  return CreateAttemptDirectory(path_, absl::StrCat(run.value(), "-", attempt, "-", ++made_));
}

void StateDirectory::RemoveFile(const std::string& path) {
  // Of ours only, whatever an engine may have said.
  if (absl::StartsWith(path, path_ + "/")) unlink(path.c_str());
}

void StateDirectory::Remove(const std::string& directory) {
  RemoveAttemptDirectory(directory).IgnoreError();  // what stays is removed at the next start
}

}  // namespace seedbed
