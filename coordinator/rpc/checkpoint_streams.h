#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/ids.h"
#include "coordinator/access/authentication.h"
#include "coordinator/checkpoint_files.h"
#include "coordinator/checkpoint_reader.h"
#include "coordinator/coordinator.h"
#include "coordinator/rpc/call.h"
#include "coordinator/rpc/task_pool.h"
#include "seedbed/v1/worker_service.pb.h"

namespace seedbed {

// Pieces of a checkpoint's file are at most this long, both ways.
constexpr int64_t kCheckpointPieceBytes = 1 << 20;

// One PutCheckpoint: the bytes go to a file as they come, one message at a time, so that a slow disk slows the worker's
// upload and nothing else. The file work runs on `pool`. Keeps itself alive until gRPC is done with it.
class PutCheckpointCall final : public grpc::ServerReadReactor<v1::PutCheckpointRequest>,
                                public std::enable_shared_from_this<PutCheckpointCall> {
 public:
  // All outlive the call. `allowed` is asked at once, for every message and before the commit; a worker that sends
  // nothing for `patience` ends it with DEADLINE_EXCEEDED.
  static PutCheckpointCall* Make(Coordinator* coordinator, TaskPool* pool, absl::Duration patience,
                                 Authenticator::Again allowed, v1::PutCheckpointResponse* response);

  void OnReadDone(bool ok) override;
  void OnDone() override { self_.reset(); }

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  PutCheckpointCall(Coordinator* coordinator, TaskPool* pool, absl::Duration patience, Authenticator::Again allowed,
                    v1::PutCheckpointResponse* response)
      : coordinator_(coordinator),
        pool_(pool),
        patience_(patience),
        allowed_(std::move(allowed)),
        response_(response) {}
  void ReadNext();
  // Ends the call if nothing came for too long; else looks again when that may be so.
  void Watch();
  void WatchAfter(absl::Duration delay);
  void Take();
  absl::Status TakeMessage();
  absl::Status Begin(const v1::CheckpointHeader& header);
  // All pieces are here: names the file, and has it committed.
  void Complete();
  void Answer(const absl::StatusOr<core::Answer>& answer);

  Coordinator* const coordinator_;
  TaskPool* const pool_;
  const absl::Duration patience_;
  const Authenticator::Again allowed_;
  v1::PutCheckpointResponse* const response_;
  // Of the read that is under way, or else of the task that deals with what it brought.
  v1::PutCheckpointRequest request_;
  core::StoreCheckpoint command_;
  std::unique_ptr<CheckpointWriter> writer_;
  std::mutex mutex_;
  bool reading_ = false;      // guarded by mutex_, as all below
  bool given_up_ = false;     // while reading: the call is over
  SteadyTime reading_since_;  // while reading
  std::shared_ptr<PutCheckpointCall> self_;
};

// Opens the checkpoint's file (the newest one's without a step); `chunk` gets what stands in the first piece beside its
// bytes. DATA_LOSS only if the file is lost (checkpoint_reader.h).
absl::Status OpenCheckpoint(Coordinator* coordinator, RunId run, std::optional<int64_t> step,
                            std::unique_ptr<CheckpointReader>* reader, v1::CheckpointChunk* chunk);
// The next piece into `chunk`, as OpenCheckpoint or std::exchange left it. `end`: there is none, and all was sent.
absl::Status NextPiece(CheckpointReader* reader, const Authenticator::Again& allowed, v1::CheckpointChunk* chunk,
                       bool* end);

// Sends a checkpoint's file (the newest one's without a step), and ends the stream, at the latest when the client takes
// nothing for `patience` or `allowed`, which is asked for every piece, says no. DATA_LOSS only if the file is lost
// (checkpoint_reader.h). Blocks.
void SendCheckpoint(Coordinator* coordinator, RunId run, std::optional<int64_t> step, absl::Duration patience,
                    const Authenticator::Again& allowed, ResponseStream<v1::CheckpointChunk>* stream);

}  // namespace seedbed
