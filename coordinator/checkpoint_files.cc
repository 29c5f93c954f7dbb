#include "coordinator/checkpoint_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/sync_directory.h"
#include "common/secrets/random_text.h"
#include "coordinator/orphan_files.h"

namespace seedbed {
namespace {

constexpr char kFolder[] = "checkpoints";

absl::Status DiskError(const std::string& what, const std::string& path, int error) {
  const std::string message = absl::StrCat(what, " ", path, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(message + "; free some disk space");
  return absl::UnavailableError(message);
}

absl::Status SyncNames(const std::string& directory) {
  const int error = SyncDirectory(directory);
  return error == 0 ? absl::OkStatus() : DiskError("cannot sync the directory", directory, error);
}

}  // namespace

absl::Status CheckpointWriter::Open() {
  const std::string folder = absl::StrCat(data_directory_, "/", kFolder);
  if (mkdir(folder.c_str(), 0700) == 0) {
    SEEDBED_RETURN_IF_ERROR(SyncNames(data_directory_));
  } else if (errno != EEXIST) {
    return DiskError("cannot make", folder, errno);
  }
  descriptor_ = open(PartPath().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  return descriptor_ >= 0 ? absl::OkStatus() : DiskError("cannot create", PartPath(), errno);
}

CheckpointWriter::~CheckpointWriter() {
  if (descriptor_ >= 0) close(descriptor_);
  if (kept_) return;
  unlink(named_ ? FinalPath().c_str() : PartPath().c_str());
}

absl::Status CheckpointWriter::Append(std::string_view bytes) {
  if (static_cast<int64_t>(bytes.size()) > size_ - written_) {
    return absl::DataLossError(absl::StrCat("the checkpoint is longer than the ", size_, " bytes that were announced"));
  }
  sum_.Update(bytes);
  written_ += static_cast<int64_t>(bytes.size());
  while (!bytes.empty()) {
    const ssize_t count = write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return DiskError("cannot write", PartPath(), count < 0 ? errno : EIO);
    bytes.remove_prefix(static_cast<size_t>(count));
    if (upload_ != nullptr) upload_->Wrote(count);
  }
  return absl::OkStatus();
}

absl::Status CheckpointWriter::Finish() {
  const std::string sum = HexOf(sum_.Finish());
  if (written_ != size_ || sum != sha256_) {
    return absl::DataLossError(absl::StrCat("the checkpoint arrived with ", written_, " bytes and SHA-256 ", sum,
                                            " instead of ", size_, " bytes and ", sha256_));
  }
  if (fsync(descriptor_) != 0) return DiskError("cannot sync", PartPath(), errno);
  if (std::rename(PartPath().c_str(), FinalPath().c_str()) != 0) return DiskError("cannot name", FinalPath(), errno);
  named_ = true;
  return SyncNames(absl::StrCat(data_directory_, "/", kFolder));
}

CheckpointFiles::CheckpointFiles(const std::string& data_directory)
    : data_directory_(data_directory), thread_([this] { Work(); }) {}

CheckpointFiles::~CheckpointFiles() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::StatusOr<std::unique_ptr<CheckpointWriter>> CheckpointFiles::Write(
    RunId run, int attempt, int64_t step, int64_t size, const std::string& sha256,
    std::unique_ptr<CheckpointUploads::Upload> upload) const {
  // The random end: the same checkpoint may come twice, and the second must not touch the first one's file.
  std::string path = absl::StrCat(kFolder, "/", run.value(), "-", attempt, "-", step, "-", RandomHex(4), ".checkpoint");
  std::unique_ptr<CheckpointWriter> writer(new CheckpointWriter(data_directory_, std::move(path), size, sha256));
  writer->upload_ = std::move(upload);
  SEEDBED_RETURN_IF_ERROR(writer->Open());
  return writer;
}

void CheckpointFiles::Remove(std::vector<std::string> paths) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (std::string& path : paths) queue_.push_back(std::move(path));
  }
  changed_.notify_all();
}

int CheckpointFiles::RemoveOrphans(const absl::flat_hash_set<std::string>& referenced) const {
  int removed = 0;
  for (const std::string& path : OrphanCheckpoints(data_directory_, referenced)) {
    removed += unlink(path.c_str()) == 0 ? 1 : 0;
  }
  return removed;
}

void CheckpointFiles::Flush() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return queue_.empty() && !working_; });
}

void CheckpointFiles::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const std::vector<std::string> paths = std::move(queue_);
    queue_.clear();
    working_ = true;
    lock.unlock();
    for (const std::string& path : paths) unlink(absl::StrCat(data_directory_, "/", path).c_str());
    lock.lock();
    working_ = false;
    changed_.notify_all();
  }
}

}  // namespace seedbed
