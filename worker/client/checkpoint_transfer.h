#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <string>

#include "common/base/sha256.h"
#include "seedbed/v1/worker_service.grpc.pb.h"
#include "worker/agent/coordinator_link.h"
#include "worker/process/unique_fd.h"

namespace seedbed::client {

// A checkpoint under way. `on_done` comes exactly once, last, on one of gRPC's threads, and has to delete the transfer.
// One piece of the file is in memory at a time.
class CheckpointTransfer {
 public:
  virtual ~CheckpointTransfer() = default;
  // Begins the call; to be called once, before anything else.
  virtual void Start(v1::WorkerService::Stub* stub) = 0;
  // on_done follows soon. Thread-safe.
  void Cancel() { context_.TryCancel(); }

 protected:
  explicit CheckpointTransfer(const std::string& token);
  grpc::ClientContext context_;
};

class CheckpointPutCall final : public CheckpointTransfer, private grpc::ClientWriteReactor<v1::PutCheckpointRequest> {
 public:
  using OnDoneCallback = std::function<void(agent::CheckpointPut)>;
  CheckpointPutCall(const std::string& token, const std::string& server, agent::CheckpointUpload upload,
                    OnDoneCallback on_done);
  void Start(v1::WorkerService::Stub* stub) override;

 private:
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  agent::CheckpointFate FateOf(const grpc::Status& status) const;

  const std::string server_;
  const agent::CheckpointUpload upload_;
  OnDoneCallback on_done_;
  UniqueFd file_;
  int64_t size_ = 0;
  std::string problem_;   // with the file
  bool is_lost_ = false;  // and to try again would be no use
  v1::PutCheckpointRequest request_;
  v1::PutCheckpointResponse response_;
};

class CheckpointGetCall final : public CheckpointTransfer, private grpc::ClientReadReactor<v1::CheckpointChunk> {
 public:
  using OnDoneCallback = std::function<void(agent::CheckpointGot)>;
  CheckpointGetCall(const std::string& token, const std::string& server, agent::CheckpointDownload download,
                    OnDoneCallback on_done);
  void Start(v1::WorkerService::Stub* stub) override;

 private:
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  absl::Status Take();
  absl::Status Check() const;

  const std::string server_;
  const agent::CheckpointDownload download_;
  OnDoneCallback on_done_;
  v1::GetCheckpointRequest request_;
  v1::CheckpointChunk chunk_;
  UniqueFd file_;
  absl::Status problem_;  // with what came, or with writing it
  bool begun_ = false;
  int64_t size_ = 0;
  int64_t taken_ = 0;
  std::string sha256_;
  Sha256 sum_;
};

}  // namespace seedbed::client
