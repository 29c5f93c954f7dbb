#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/base/sha256.h"
#include "coordinator/checkpoint_uploads.h"

namespace seedbed {

// Where a checkpoint's bytes are on their way to a file of DATA/checkpoints. Not thread-safe. Unless Keep was called,
// the destructor removes the file.
class CheckpointWriter {
 public:
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // DATA_LOSS beyond the announced size; RESOURCE_EXHAUSTED for a full disk; UNAVAILABLE for other errors of the disk.
  absl::Status Append(std::string_view bytes);
  // Checks size and sum (DATA_LOSS), then syncs the file, gives it its name and syncs the directory.
  absl::Status Finish();
  // After Finish: the path below the data directory.
  const std::string& path() const { return path_; }
  // The file is in the database now, and counted there; or it may be, which the orphans' sweep at the next start finds
  // out.
  void Keep() {
    kept_ = true;
    upload_.reset();
  }

 private:
  friend class CheckpointFiles;
  CheckpointWriter(std::string data_directory, std::string path, int64_t size, std::string sha256)
      : data_directory_(std::move(data_directory)), path_(std::move(path)), size_(size), sha256_(std::move(sha256)) {}
  absl::Status Open();
  std::string FinalPath() const { return data_directory_ + "/" + path_; }
  std::string PartPath() const { return FinalPath() + ".part"; }

  const std::string data_directory_;
  const std::string path_;
  const int64_t size_;
  const std::string sha256_;
  std::unique_ptr<CheckpointUploads::Upload> upload_;  // none: nobody counts
  int descriptor_ = -1;
  int64_t written_ = 0;
  Sha256 sum_;
  bool named_ = false;
  bool kept_ = false;
};

// The files of DATA/checkpoints, mode 0600. Thread-safe; a thread of its own removes, so that nothing waits for it.
class CheckpointFiles {
 public:
  explicit CheckpointFiles(const std::string& data_directory);
  // Removes what is to be removed first.
  ~CheckpointFiles();
  CheckpointFiles(const CheckpointFiles&) = delete;
  CheckpointFiles& operator=(const CheckpointFiles&) = delete;

  // Begins a file under a name never used before. `size` and `sha256` are what the bytes will be; `upload` counts them.
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Write(
      RunId run, int attempt, int64_t step, int64_t size, const std::string& sha256,
      std::unique_ptr<CheckpointUploads::Upload> upload = nullptr) const;

  // Removes files, by their paths below the data directory. Those that are not there are no error.
  void Remove(std::vector<std::string> paths);
  // Removes every file that is none of `referenced`: what a crash left between a file and its commit. Before any Write.
  // Returns how many.
  int RemoveOrphans(const absl::flat_hash_set<std::string>& referenced) const;
  // Waits until all that was asked so far is removed. For tests.
  void Flush();

 private:
  void Work();

  const std::string data_directory_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> queue_;  // guarded by mutex_, as all below
  bool working_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace seedbed
