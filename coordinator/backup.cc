#include "coordinator/backup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "common/base/sync_directory.h"
#include "coordinator/storage/backup_file.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/storage/reader.h"

namespace seedbed {
namespace {

namespace fs = std::filesystem;

constexpr char kFolder[] = "checkpoints";
constexpr char kPins[] = "pinned-";  // and a process id
constexpr absl::Duration kListLimit = absl::Minutes(5);
// A checkpoint that comes and goes while the database is copied is met again with luck only; twice is much.
constexpr int kMostTries = 5;

absl::Status CheckThatThereIsADatabase(const std::string& data_directory) {
  struct stat found;
  if (stat(DatabasePath(data_directory).c_str(), &found) == 0) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("there is no results database ", DatabasePath(data_directory),
                                          "; name its directory with --data DIR"));
}

absl::Status SyncNames(const std::string& directory) {
  const int error = SyncDirectory(directory);
  return error == 0 ? absl::OkStatus() : CannotWriteBackup(directory, error);
}

int64_t SizeOf(const std::string& path) {
  struct stat found;
  return stat(path.c_str(), &found) == 0 ? static_cast<int64_t>(found.st_size) : 0;
}

// Links to all checkpoints that are there now, in a folder that goes with this.
class Pins {
 public:
  explicit Pins(const std::string& data_directory)
      : source_(absl::StrCat(data_directory, "/", kFolder)),
        path_(absl::StrCat(data_directory, "/", kPins, getpid(), "-", Number())) {
    // Where this cannot be made, nobody can change the directory either.
    if (mkdir(path_.c_str(), 0700) != 0) return;
    std::error_code error;
    for (fs::directory_iterator each(source_, error), end; !error && each != end; each.increment(error)) {
      (void)!link(each->path().c_str(), absl::StrCat(path_, "/", each->path().filename().string()).c_str());
    }
  }
  ~Pins() { RemovePins(path_); }
  Pins(const Pins&) = delete;
  Pins& operator=(const Pins&) = delete;

  // The file by this name of the folder of checkpoints, pinned or still there; -1 if it is gone.
  int Open(const std::string& name) const {
    const int pinned = open(absl::StrCat(path_, "/", name).c_str(), O_RDONLY | O_CLOEXEC);
    return pinned >= 0 ? pinned : open(absl::StrCat(source_, "/", name).c_str(), O_RDONLY | O_CLOEXEC);
  }

 private:
  static int Number() {
    static std::atomic<int> last{0};
    return ++last;
  }

  const std::string source_;
  const std::string path_;
};

// Copies and syncs; the bytes' sum.
absl::StatusOr<std::string> CopyInto(int from, const std::string& path, int64_t* bytes) {
  const int to = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (to < 0) return CannotWriteBackup(path, errno);
  Sha256 sum;
  std::string piece(1 << 20, '\0');
  absl::Status status;
  while (status.ok()) {
    const ssize_t count = read(from, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) status = absl::UnavailableError(absl::StrCat("reading for ", path, ": ", std::strerror(errno)));
    if (count <= 0) break;
    std::string_view rest = std::string_view(piece).substr(0, static_cast<size_t>(count));
    sum.Update(rest);
    *bytes += count;
    while (status.ok() && !rest.empty()) {
      const ssize_t written = write(to, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) status = CannotWriteBackup(path, written < 0 ? errno : EIO);
      if (written > 0) rest.remove_prefix(static_cast<size_t>(written));
    }
  }
  if (status.ok() && fsync(to) != 0) status = CannotWriteBackup(path, errno);
  close(to);
  if (!status.ok()) return status;
  return HexOf(sum.Finish());
}

struct NamedFile {
  std::string path;  // below the data directory
  std::string sha256;
};

absl::StatusOr<std::vector<NamedFile>> FilesNamedBy(const std::string& database_path) {
  SEEDBED_ASSIGN_OR_RETURN(const std::unique_ptr<Reader> reader, Reader::Open(database_path));
  std::vector<NamedFile> files;
  SEEDBED_RETURN_IF_ERROR(reader->Stream(
      "SELECT path, sha256 FROM checkpoints ORDER BY run_id, step", kListLimit, [](const std::vector<std::string>&) {},
      [&files](const std::vector<Value>& row) {
        const auto* path = std::get_if<std::string>(&row[0]);
        const auto* sum = std::get_if<std::string>(&row[1]);
        if (path != nullptr && sum != nullptr) files.push_back({*path, *sum});
        return true;
      }));
  return files;
}

// Fills the new directory `part`. NOT_FOUND: a file went while the database was copied; once more from the start.
absl::StatusOr<BackupSize> Fill(const std::string& data_directory, const std::string& part) {
  const Pins pins(data_directory);
  BackupSize size;
  SEEDBED_RETURN_IF_ERROR(BackupDatabase(DatabasePath(data_directory), DatabasePath(part)));
  size.bytes = SizeOf(DatabasePath(part));
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<NamedFile> files, FilesNamedBy(DatabasePath(part)));
  const std::string folder = absl::StrCat(part, "/", kFolder);
  if (!files.empty() && mkdir(folder.c_str(), 0700) != 0) return CannotWriteBackup(folder, errno);
  for (const NamedFile& file : files) {
    const std::vector<std::string> names = absl::StrSplit(file.path, '/');
    if (names.size() != 2 || names[0] != kFolder || names[1] == "..") {
      return absl::DataLossError(absl::StrCat("the database names the checkpoint ", file.path,
                                              ", which lies elsewhere; `seedbed doctor` examines the rest"));
    }
    const int from = pins.Open(names[1]);
    if (from < 0) {
      return absl::NotFoundError(absl::StrCat("the checkpoint ", file.path,
                                              " is missing; `seedbed doctor` says which "
                                              "others are"));
    }
    const absl::StatusOr<std::string> sum = CopyInto(from, absl::StrCat(part, "/", file.path), &size.bytes);
    close(from);
    SEEDBED_RETURN_IF_ERROR(sum.status());
    if (*sum != file.sha256) {
      return absl::DataLossError(
          absl::StrCat("the checkpoint ", file.path,
                       " is damaged; `seedbed doctor` says what that means, and a backup without "
                       "checkpoints can be taken"));
    }
    ++size.checkpoints;
  }
  if (!files.empty()) SEEDBED_RETURN_IF_ERROR(SyncNames(folder));
  SEEDBED_RETURN_IF_ERROR(SyncNames(part));
  return size;
}

}  // namespace

absl::StatusOr<BackupSize> BackUpDatabase(const std::string& data_directory, const std::string& path) {
  SEEDBED_RETURN_IF_ERROR(CheckThatThereIsADatabase(data_directory));
  SEEDBED_RETURN_IF_ERROR(BackupDatabase(DatabasePath(data_directory), path));
  return BackupSize{SizeOf(path), 0};
}

absl::StatusOr<BackupSize> BackUpDirectory(const std::string& data_directory, const std::string& target) {
  SEEDBED_RETURN_IF_ERROR(CheckThatThereIsADatabase(data_directory));
  const fs::path path = fs::path(target).lexically_normal();
  const std::string name = path.has_filename() ? path.string() : path.parent_path().string();
  struct stat found;
  if (lstat(name.c_str(), &found) == 0) return BackupExists(name);
  std::string part;
  absl::StatusOr<BackupSize> size = absl::NotFoundError("");
  std::error_code ignored;
  for (int tries = 0; tries < kMostTries && absl::IsNotFound(size.status()); ++tries) {
    if (!part.empty()) fs::remove_all(part, ignored);
    part = PartOfBackup(name);
    if (mkdir(part.c_str(), 0700) != 0) return CannotWriteBackup(name, errno);
    size = Fill(data_directory, part);
  }
  // A file that does not come back is lost.
  if (absl::IsNotFound(size.status())) size = absl::DataLossError(size.status().message());
  const int error = size.ok() ? GiveNewName(part, name) : 0;
  if (error == EEXIST) size = BackupExists(name);
  if (error != 0 && error != EEXIST) size = CannotWriteBackup(name, error);
  if (!size.ok()) {
    fs::remove_all(part, ignored);
    return size;
  }
  SEEDBED_RETURN_IF_ERROR(SyncNames(DirectoryOf(name)));
  return size;
}

std::vector<std::string> AbandonedPins(const std::string& data_directory) {
  std::vector<std::string> paths;
  std::error_code error;
  for (fs::directory_iterator each(data_directory, error), end; !error && each != end; each.increment(error)) {
    const std::string name = each->path().filename().string();
    int process = 0;
    if (!absl::StartsWith(name, kPins) ||
        !absl::SimpleAtoi(name.substr(sizeof(kPins) - 1, name.find('-', sizeof(kPins) - 1) - (sizeof(kPins) - 1)),
                          &process)) {
      continue;
    }
    if (process > 0 && kill(process, 0) != 0 && errno == ESRCH) paths.push_back(each->path().string());
  }
  return paths;
}

bool RemovePins(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return !error;
}

}  // namespace seedbed
