#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "coordinator/checkpoint_files.h"
#include "coordinator/checkpoint_uploads.h"
#include "coordinator/commit_loop.h"
#include "coordinator/core/command.h"
#include "coordinator/housekeeper.h"
#include "coordinator/run_logs.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/storage/reader.h"
#include "coordinator/storage/store.h"

namespace seedbed {

struct CoordinatorOptions {
  std::string directory;   // DATA
  bool read_only = false;  // look at a database that may be another's: no lock is taken and nothing can be changed
  core::Settings settings;
  StoreOptions::Synchronous synchronous = StoreOptions::Synchronous::kFull;
  StoreOptions::Journal journal = StoreOptions::Journal::kWriteAheadLog;
  // Every worker that the database knows is dead (embedded mode, which starts its own): their leases end at once.
  bool workers_are_gone = false;
  int64_t least_free_bytes = LeastFreeBytes();  // of disk; below it metric rows wait
  int64_t most_checkpoint_bytes = 0;            // of all files; beyond it new ones are refused. 0: no limit
  LogLine log;                                  // none: silent

  // For tests.
  CommitLoopOptions loop;                               // its settings and log are taken from above
  const Clock* clock = nullptr;                         // outlives the coordinator; none: the system's
  std::function<absl::StatusOr<int64_t>()> free_bytes;  // none: the file system's
  absl::Duration housekeeping_every = absl::Seconds(1);
  std::optional<int64_t> most_pages;        // StoreOptions::most_pages
  int64_t most_log_bytes = MostLogBytes();  // of the write-ahead log, before it is worth an event
};

// For a coordinator that no worker can reach: while it is open no lease ends, as nobody's silence means anything.
CoordinatorOptions UnservedOptions(std::string directory);

struct CoordinatorInfo {
  std::string version;
  std::string database_id;
  int64_t epoch = 0;
  std::string directory;
  std::string database_path;
  int64_t started_at = 0;  // UTC microseconds
  bool read_only = false;
  bool degraded = false;  // the last commit failed: reads only
  std::string degraded_reason;
  bool metrics_held = false;  // the disk is nearly full
  int64_t commits = 0;        // of this process
  int64_t write_ahead_log_bytes = 0;
};

// The coordinator of one data directory, without any network: what the RPC handlers, the dashboard and the CLI's
// offline commands call. Thread-safe.
class Coordinator {
 public:
  // Errors are Store::Open's and Reader::Open's; each says what to do next.
  static absl::StatusOr<std::unique_ptr<Coordinator>> Open(CoordinatorOptions options);
  ~Coordinator();
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  // Writes what waits and answers held calls; whatever comes later is refused. First step of a clean stop: then the
  // servers, whose calls are all answered by now or soon, then the destructor.
  void PrepareToStop();

  CoordinatorInfo Info() const;
  const core::Settings& settings() const { return options_.settings; }
  Reader& reader() { return *reader_; }
  std::string LogPath(RunId run, int attempt) const;

  // See CommitLoop. In a read-only coordinator all of these answer FAILED_PRECONDITION.
  void Execute(core::Command command, CommandDone done);
  void Synchronize(core::Synchronize command, SynchronizeDone done);
  void ReleaseHeld(const WorkerId& worker, int64_t number);
  void Report(core::Report report, std::optional<MetricRows> rows, int64_t bytes, ReportDone done);
  void AppendLog(const WorkerId& worker, const core::LeaseKey& lease, std::string text);
  // FAILED_PRECONDITION unless the lease is live and the worker's own. Blocks.
  absl::Status CheckLease(const WorkerId& worker, const core::LeaseKey& lease);

  // The file of a checkpoint that comes in; once it is finished, a core::StoreCheckpoint makes it count. Blocks.
  // FAILED_PRECONDITION as CheckLease; RESOURCE_EXHAUSTED if it and all that are under way would go beyond the quota,
  // or take of the disk what is to stay free.
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> BeginCheckpoint(const WorkerId& worker, const core::LeaseKey& lease,
                                                                    int64_t step, int64_t size,
                                                                    const std::string& sha256);
  // One that is stored, its path absolute; the newest without a step. NOT_FOUND if there is none.
  absl::StatusOr<CheckpointRow> FindCheckpoint(RunId run, std::optional<int64_t> step);

  // Block the calling thread until the commit; never from a callback of the above.
  absl::StatusOr<core::Answer> ExecuteAndWait(core::Command command);
  // Repeats a chunked command until nothing is left to do; returns the sum of `changed`. CANCELLED between two chunks
  // once `is_wanted`, if given, says no.
  absl::StatusOr<int64_t> ExecuteInChunks(core::Command command, const std::function<bool()>& is_wanted = nullptr);
  // Calls `look` on the loop's thread, between two batches; it must be quick. UNAVAILABLE while there is no state.
  absl::Status Inspect(const std::function<void(LiveView)>& look);

 private:
  explicit Coordinator(CoordinatorOptions options);
  absl::Status OpenStore();
  Progress LoadProgress();
  absl::Status VoidOldLeases(Store* store, core::State* state);
  void WatchDeletions();
  void FinishDeletions();
  absl::StatusOr<std::unique_ptr<CheckpointUploads::Upload>> ClaimRoom(const WorkerId& worker,
                                                                       const core::LeaseKey& lease, int64_t size);
  absl::Status CheckQuota(int64_t bytes);

  CoordinatorOptions options_;
  SystemClock system_clock_;
  const Clock* clock_ = nullptr;
  int64_t started_at_ = 0;
  std::string database_id_;
  int64_t epoch_ = 0;
  std::unique_ptr<Reader> reader_;
  std::unique_ptr<Reader> loop_reader_;  // the commit loop's own: it never waits for other readers
  std::unique_ptr<RunLogs> logs_;
  std::unique_ptr<CheckpointFiles> files_;  // none if read-only
  CheckpointUploads uploads_;
  std::mutex claiming_;               // so that no two uploads take the same room
  bool quota_reached_ = false;        // guarded by claiming_
  std::unique_ptr<CommitLoop> loop_;  // none if read-only
  std::unique_ptr<Housekeeper> housekeeper_;
  // Takes up deletions that an earlier process, or a failed commit, left unfinished.
  std::thread deletions_;
  std::mutex deletions_mutex_;
  std::condition_variable deletions_wake_;
  bool deletions_may_be_left_ = true;  // guarded by deletions_mutex_, as the next
  bool stopping_ = false;
};

}  // namespace seedbed
