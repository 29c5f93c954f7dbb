#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "seedbed/v1/worker_service.grpc.pb.h"

namespace seedbed::client {

constexpr std::chrono::seconds kPatience(20);

// Answers Synchronize with one lease and acknowledges every report; remembers what it was told.
class FakeCoordinator final : public v1::WorkerService::Service {
 public:
  grpc::Status Synchronize(grpc::ServerContext* context, const v1::SynchronizeRequest* request,
                           v1::SynchronizeResponse* response) override {
    std::unique_lock<std::mutex> lock(mutex_);
    Remember(context);
    synchronized_.push_back(*request);
    changed_.notify_all();
    if (!refusal.ok()) return refusal;
    changed_.wait(lock, [this] { return !hold_; });
    v1::LeaseToStart* start = response->add_start();
    start->mutable_lease()->set_run_id(7);
    start->mutable_lease()->set_attempt(2);
    start->mutable_lease()->set_fence(9);
    start->set_sweep("sweep");
    start->set_specification_json("{}");
    response->set_next_call_milliseconds(1500);
    response->set_lease_milliseconds(15000);
    response->set_database_id("db1");
    response->set_state(v1::WORKER_STATE_DRAINING);
    return grpc::Status::OK;
  }

  grpc::Status Report(grpc::ServerContext* context,
                      grpc::ServerReaderWriter<v1::ReportResponse, v1::ReportRequest>* stream) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      Remember(context);
      ++streams_;
    }
    v1::ReportRequest request;
    while (stream->Read(&request)) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return !hold_; });
      reported_.push_back(request);
      changed_.notify_all();
      if (end_stream_after_ > 0 && --end_stream_after_ == 0) return grpc::Status::OK;
      if (request.sequence() == 0) continue;
      v1::ReportResponse response;
      *response.mutable_lease() = request.lease();
      response.set_verdict(v1::ReportResponse::VERDICT_ACKNOWLEDGED);
      response.set_sequence(request.sequence());
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  // Ends every upload at its header.
  grpc::Status PutCheckpoint(grpc::ServerContext*, grpc::ServerReader<v1::PutCheckpointRequest>* reader,
                             v1::PutCheckpointResponse*) override {
    v1::PutCheckpointRequest header;
    reader->Read(&header);
    return upload_refusal;
  }

  // Sends `checkpoint`, and ends well.
  grpc::Status GetCheckpoint(grpc::ServerContext*, const v1::GetCheckpointRequest*,
                             grpc::ServerWriter<v1::CheckpointChunk>* writer) override {
    writer->Write(checkpoint);
    return grpc::Status::OK;
  }

  void Hold(bool hold) {
    std::lock_guard<std::mutex> lock(mutex_);
    hold_ = hold;
    changed_.notify_all();
  }
  void EndStreamAfter(int reports) {
    std::lock_guard<std::mutex> lock(mutex_);
    end_stream_after_ = reports;
  }
  std::vector<v1::ReportRequest> WaitForReports(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return reported_.size() >= count; })) << reported_.size();
    return reported_;
  }
  std::vector<v1::SynchronizeRequest> WaitForCalls(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return synchronized_.size() >= count; }));
    return synchronized_;
  }
  std::set<std::string> tokens() {
    std::lock_guard<std::mutex> lock(mutex_);
    return tokens_;
  }

  grpc::Status refusal;  // set before the server starts, as the others
  grpc::Status upload_refusal;
  v1::CheckpointChunk checkpoint;

 private:
  void Remember(grpc::ServerContext* context) {
    const auto found = context->client_metadata().find("authorization");
    tokens_.insert(found == context->client_metadata().end() ? "none"
                                                             : std::string(found->second.data(), found->second.size()));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool hold_ = false;
  int end_stream_after_ = 0;
  int streams_ = 0;
  std::vector<v1::SynchronizeRequest> synchronized_;
  std::vector<v1::ReportRequest> reported_;
  std::set<std::string> tokens_;
};

}  // namespace seedbed::client
