#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "seedbed/v1/worker_service.grpc.pb.h"
#include "worker/agent/messages.h"

namespace seedbed::client {

absl::Status StatusOf(const grpc::Status& status, const std::string& server);

// One Report call. The callbacks are called on gRPC's threads, never two at a time; `on_done` comes exactly once, last,
// and has to delete the stream. Thread-safe.
class ReportStream final : public grpc::ClientBidiReactor<v1::ReportRequest, v1::ReportResponse> {
 public:
  using OnAnswer = std::function<void(const v1::ReportResponse&)>;
  using OnDoneCallback = std::function<void(const grpc::Status&)>;

  ReportStream(const std::string& token, OnAnswer on_answer, OnDoneCallback on_done);

  // Begins the call; to be called once, before anything else.
  void Start(v1::WorkerService::Stub* stub);
  void Send(agent::Report report);
  // Of what was given to Send and is not written yet.
  int64_t bytes_waiting() const;
  // on_done follows soon.
  void Cancel() { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  void WriteNext();  // mutex_ is held

  const OnAnswer on_answer_;
  OnDoneCallback on_done_;
  grpc::ClientContext context_;
  v1::ReportResponse read_;
  v1::ReportRequest written_;  // in use while writing_

  mutable std::mutex mutex_;
  std::deque<agent::Report> waiting_;  // guarded by mutex_, as all below
  int64_t bytes_waiting_ = 0;          // with what is being written
  int64_t bytes_written_ = 0;          // of what is being written
  bool writing_ = false;
  bool broken_ = false;
};

}  // namespace seedbed::client
