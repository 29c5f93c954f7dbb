#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "common/base/ids.h"
#include "coordinator/checkpoint_files.h"
#include "coordinator/coordinator.h"
#include "coordinator/rpc/call.h"
#include "coordinator/rpc/task_pool.h"
#include "seedbed/v1/worker_service.pb.h"

namespace seedbed {

// Pieces of a checkpoint's file are at most this long, both ways.
constexpr int64_t kCheckpointPieceBytes = 1 << 20;

// One PutCheckpoint: the bytes go to a file as they come, one message at a time, so that a slow disk slows the worker's
// upload and nothing else. The file work runs on `pool`. Deletes itself at the end.
class PutCheckpointCall final : public grpc::ServerReadReactor<v1::PutCheckpointRequest> {
 public:
  // All outlive the call. A `refusal` that is not OK ends it at once.
  PutCheckpointCall(Coordinator* coordinator, TaskPool* pool, const absl::Status& refusal,
                    v1::PutCheckpointResponse* response);

  void OnReadDone(bool ok) override;
  void OnDone() override { delete this; }

 private:
  void Take();
  absl::Status TakeMessage();
  absl::Status Begin(const v1::CheckpointHeader& header);
  // All pieces are here: names the file, and has it committed.
  void Complete();
  void Answer(const absl::StatusOr<core::Answer>& answer);

  Coordinator* const coordinator_;
  TaskPool* const pool_;
  v1::PutCheckpointResponse* const response_;
  v1::PutCheckpointRequest request_;
  core::StoreCheckpoint command_;
  std::unique_ptr<CheckpointWriter> writer_;
};

// Sends a checkpoint's file (the newest one's without a step), and ends the stream. Blocks.
void SendCheckpoint(Coordinator* coordinator, RunId run, std::optional<int64_t> step,
                    ResponseStream<v1::CheckpointChunk>* stream);

}  // namespace seedbed
