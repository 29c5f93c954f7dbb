#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/commit_loop.h"
#include "coordinator/storage/checkpointer.h"

namespace seedbed {

struct HousekeeperOptions {
  std::string directory;         // DATA
  int64_t least_free_bytes = 0;  // below it metric rows wait
  int64_t most_log_bytes = 0;    // of the write-ahead log, before it is worth an event
  absl::Duration every = absl::Seconds(1);
  std::function<absl::StatusOr<int64_t>()> free_bytes;  // of the file system; never null
  LogLine log;                                          // never null
};

// Beside the commit loop, on a thread of its own: moves the write-ahead log into the database, and holds metric rows
// while the disk is nearly full.
class Housekeeper {
 public:
  // `loop` outlives this. Looks at the disk once before it returns.
  Housekeeper(HousekeeperOptions options, CommitLoop* loop);
  ~Housekeeper();
  Housekeeper(const Housekeeper&) = delete;
  Housekeeper& operator=(const Housekeeper&) = delete;

 private:
  void Work();
  void WatchDisk();
  void MoveLog();

  const HousekeeperOptions options_;
  CommitLoop* const loop_;
  std::optional<Checkpointer> checkpointer_;
  absl::Duration since_moved_ = absl::ZeroDuration();
  bool log_is_large_ = false;
  bool disk_is_full_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace seedbed
