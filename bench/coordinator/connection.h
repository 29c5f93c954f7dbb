#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "bench/coordinator/coordinator_process.h"
#include "seedbed/v1/sweep_service.grpc.pb.h"
#include "seedbed/v1/worker_service.grpc.pb.h"

namespace seedbed::bench {

// A TCP connection of its own to a coordinator, with its token.
class Connection {
 public:
  explicit Connection(const CoordinatorProcess& coordinator);

  v1::SweepService::Stub& sweeps() { return *sweeps_; }
  v1::WorkerService::Stub& workers() { return *workers_; }
  // Gives a call's context what every call of this connection needs.
  void Prepare(grpc::ClientContext* context) const;

 private:
  std::string token_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::SweepService::Stub> sweeps_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;
};

void Check(const grpc::Status& status, const std::string& what);

// What a call costs that does nothing: the floor of any answer.
struct CallFloor {
  double median_seconds = 0;    // one call after the other
  double calls_per_second = 0;  // with 64 under way
};
CallFloor MeasureCallFloor(Connection* connection, double seconds);

// The text of a sweep of `configurations` × `seeds` runs. `configurations` of more than 1000 must be a multiple of it.
std::string SweepText(const std::string& name, int64_t configurations, int64_t seeds);
v1::SubmitSweepResponse Submit(Connection* connection, const std::string& text);
v1::ListSweepsResponse ListSweeps(Connection* connection);

// The facts of a worker that has nothing yet.
v1::SynchronizeRequest FactsOf(const std::string& worker, int slots);

// A Synchronize under way. Deletes itself after `on_answer`, which is called on one of gRPC's threads, with null if the
// call failed.
class SynchronizeCall {
 public:
  using OnAnswer = std::function<void(const v1::SynchronizeResponse*)>;
  static void Start(Connection* connection, v1::SynchronizeRequest request, OnAnswer on_answer);

 private:
  grpc::ClientContext context_;
  v1::SynchronizeRequest request_;
  v1::SynchronizeResponse response_;
  OnAnswer on_answer_;
};

// A worker's stream of reports. Thread-safe.
class ReportStream final : public grpc::ClientBidiReactor<v1::ReportRequest, v1::ReportResponse> {
 public:
  using OnAnswer = std::function<void(const v1::ReportResponse&)>;
  // `on_answer` is called on gRPC's threads, never twice at a time. None: answers are never read.
  ReportStream(Connection* connection, OnAnswer on_answer);
  // Ends the call and waits for its end.
  ~ReportStream() override;

  // Queued without a bound.
  void Send(v1::ReportRequest report);

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  void WriteNext();  // mutex_ is held

  const OnAnswer on_answer_;
  grpc::ClientContext context_;
  v1::ReportRequest written_;
  v1::ReportResponse read_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<v1::ReportRequest> waiting_;  // guarded by mutex_, as all below
  bool writing_ = false;
  bool broken_ = false;
  bool done_ = false;
};

}  // namespace seedbed::bench
