#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include "coordinator/access/authentication.h"
#include "coordinator/coordinator.h"
#include "seedbed/v1/worker_service.pb.h"

namespace seedbed {

// One worker's stream of reports. Reads on while fewer than kWindowBytes of it are unanswered and fewer than
// kMostQueued answers are untaken, so that a coordinator that cannot write, or a worker that does not read, fills no
// memory. Keeps itself alive until gRPC is done with it and every report is answered.
class ReportStream final : public grpc::ServerBidiReactor<v1::ReportRequest, v1::ReportResponse>,
                           public std::enable_shared_from_this<ReportStream> {
 public:
  // `allowed` is asked now and before each report: its refusal ends the stream. `coordinator` outlives every stream.
  static ReportStream* Make(Coordinator* coordinator, Authenticator::Again allowed);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  static constexpr int64_t kWindowBytes = 4 << 20;
  static constexpr size_t kMostQueued = 16384;
  ReportStream(Coordinator* coordinator, Authenticator::Again allowed)
      : coordinator_(coordinator), allowed_(std::move(allowed)) {}

  // Takes in request_; a problem that is not one lease's alone ends the stream.
  absl::Status Take();
  void Answer(const v1::LeaseKey& lease, int64_t bytes, const absl::StatusOr<core::ReportAnswer>& answer);
  void Refuse(const v1::LeaseKey& lease, int64_t sequence, const absl::Status& why);
  void Queue(v1::ReportResponse response);
  void End(const absl::Status& status);
  // Does what the state calls for: the next read, the next write, or Finish.
  void Continue();

  Coordinator* const coordinator_;
  const Authenticator::Again allowed_;
  v1::ReportRequest request_;
  v1::ReportResponse writing_response_;
  std::mutex mutex_;
  std::deque<v1::ReportResponse> queue_;
  int64_t unanswered_ = 0;  // reports
  int64_t unanswered_bytes_ = 0;
  bool reading_ = false;
  bool read_all_ = false;  // the worker has said its last word
  bool writing_ = false;
  bool ending_ = false;    // no more is read or queued
  bool finished_ = false;  // Finish is called, and nothing else any more
  absl::Status status_;
  std::shared_ptr<ReportStream> self_;
};

}  // namespace seedbed
