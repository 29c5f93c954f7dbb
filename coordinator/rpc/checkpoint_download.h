#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/base/ids.h"
#include "coordinator/access/authentication.h"
#include "coordinator/checkpoint_reader.h"
#include "coordinator/coordinator.h"
#include "coordinator/rpc/call.h"
#include "coordinator/rpc/task_pool.h"
#include "seedbed/v1/worker_service.pb.h"

namespace seedbed {

// Whose turn it is to fetch a checkpoint: a download under way has a file open and pieces in memory, and one worker
// that takes its own slowly must leave room for others'. In the order of asking, but that nobody waits behind a worker
// that has as many as it may. Thread-safe.
class DownloadTurns {
 public:
  DownloadTurns(int most, int most_of_worker) : most_(most), most_of_worker_(most_of_worker) {}
  // Calls `start` now, or from the Done that makes room for it, unless it is `gone` by then. Neither may block.
  void Ask(const WorkerId& worker, std::function<void()> start, std::function<bool()> gone);
  // What was started for the worker has ended.
  void Done(const WorkerId& worker);

 private:
  struct Waiting {
    WorkerId worker;
    std::function<void()> start;
    std::function<bool()> gone;
  };
  bool TakeLocked(const WorkerId& worker);

  const int most_;
  const int most_of_worker_;
  std::mutex mutex_;
  int under_way_ = 0;                             // guarded by mutex_, as all below
  absl::flat_hash_map<WorkerId, int> of_worker_;  // those that have some
  std::deque<Waiting> waiting_;
};

// One GetCheckpoint: reads the next piece when the worker has taken the last ones, so that no thread waits for it.
class CheckpointDownload final : public std::enable_shared_from_this<CheckpointDownload> {
 public:
  using Stream = ResponseStream<v1::CheckpointChunk>;
  struct Request {
    WorkerId worker;
    core::LeaseKey lease;
    int64_t step = 0;
  };
  // Once it is its turn it runs on `pool`, and ends the stream. `allowed` is asked for every piece. All outlive it.
  static void Start(Coordinator* coordinator, DownloadTurns* turns, TaskPool* pool, Request request,
                    Authenticator::Again allowed, std::shared_ptr<Stream> stream);
  ~CheckpointDownload() { turns_->Done(request_.worker); }

 private:
  CheckpointDownload(Coordinator* coordinator, DownloadTurns* turns, TaskPool* pool, Request request,
                     Authenticator::Again allowed, std::shared_ptr<Stream> stream)
      : coordinator_(coordinator),
        turns_(turns),
        pool_(pool),
        request_(std::move(request)),
        allowed_(std::move(allowed)),
        stream_(std::move(stream)) {}
  void Begin();
  void SendNext();

  Coordinator* const coordinator_;
  DownloadTurns* const turns_;
  TaskPool* const pool_;
  const Request request_;
  const Authenticator::Again allowed_;
  const std::shared_ptr<Stream> stream_;
  std::unique_ptr<CheckpointReader> reader_;
  v1::CheckpointChunk chunk_;  // the next one, without its bytes
};

}  // namespace seedbed
