#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/coordinator_test_support.h"
#include "coordinator/rpc/server.h"
#include "gtest/gtest.h"
#include "seedbed/v1/sweep_service.grpc.pb.h"
#include "seedbed/v1/worker_service.grpc.pb.h"

// Real messages through a real server: in the process, over TCP and over a Unix socket.
namespace seedbed::rpc_test {

using coordinator_test::SweepText;
using coordinator_test::TemporaryDirectory;

inline void SetDeadline(grpc::ClientContext* context) {
  context->set_deadline(std::chrono::system_clock::now() + coordinator_test::kPatience);
}

inline ListenAddress AddressOf(const std::string& text) {
  return *ParseListenAddress(text);
}

class RpcTest : public ::testing::Test {
 protected:
  void SetUp() override {
    CoordinatorOptions options = coordinator_test::ServedOptions(directory_.path() + "/data");
    Configure(&options);
    auto opened = Coordinator::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    coordinator_ = *std::move(opened);
    Start({});
  }
  virtual void Configure(CoordinatorOptions*) {}
  void TearDown() override {
    sweeps_.reset();
    workers_.reset();
    if (coordinator_) coordinator_->PrepareToStop();
    server_.reset();
    coordinator_.reset();
  }
  void Start(const ServerOptions& options) {
    auto server = Server::Start(options, coordinator_.get());
    ASSERT_TRUE(server.ok()) << server.status();
    sweeps_.reset();
    workers_.reset();
    server_ = *std::move(server);
    sweeps_ = v1::SweepService::NewStub(server_->InProcessChannel());
    workers_ = v1::WorkerService::NewStub(server_->InProcessChannel());
  }
  grpc::Status Submit(const std::string& id, const std::string& text, v1::SubmitSweepResponse* response) {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::SubmitSweepRequest request;
    request.set_submission_id(id);
    request.set_text(text);
    request.set_file_name("test.yaml");
    return sweeps_->SubmitSweep(&context, request, response);
  }
  static v1::SynchronizeRequest CallOf(const std::string& worker, int64_t number, int free_slots) {
    v1::SynchronizeRequest request;
    request.set_worker_id(worker);
    request.set_name("name-of-" + worker);
    request.set_host("host");
    request.set_device("cpu");
    request.set_version("0");
    request.set_slots(4);
    request.set_free_slots(free_slots);
    request.set_number(number);
    v1::TrainerOffer* offer = request.add_trainers();
    offer->set_trainer("modular");
    offer->set_numerics_json("{\"blas\": \"x\"}");
    return request;
  }
  grpc::Status Synchronize(const v1::SynchronizeRequest& request, v1::SynchronizeResponse* response) {
    grpc::ClientContext context;
    SetDeadline(&context);
    return workers_->Synchronize(&context, request, response);
  }
  // A sweep `s` of `runs` runs, all leased to worker w.
  std::vector<v1::LeaseToStart> LeaseAll(int runs) {
    v1::SubmitSweepResponse submitted;
    EXPECT_TRUE(Submit("id", SweepText("s", 1, runs), &submitted).ok());
    v1::SynchronizeResponse granted;
    const grpc::Status status = Synchronize(CallOf("w", 1, runs), &granted);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(granted.start_size(), runs);
    return {granted.start().begin(), granted.start().end()};
  }
  static v1::ReportRequest ReportOf(const v1::LeaseKey& lease, int64_t sequence, int64_t first_step, int64_t count) {
    v1::ReportRequest report;
    report.set_worker_id("w");
    *report.mutable_lease() = lease;
    report.set_sequence(sequence);
    if (count == 0) return report;
    v1::MetricSeries* loss = report.mutable_rows()->add_series();
    loss->set_metric("train_loss");
    v1::MetricSeries* test = report.mutable_rows()->add_series();
    test->set_metric("test_accuracy");
    for (int64_t step = first_step; step < first_step + count; ++step) {
      report.mutable_rows()->add_steps(step);
      loss->add_values(0.5 * static_cast<double>(step));
      test->add_values(0.25);
      test->add_absent(step % 2 == 1);
    }
    return report;
  }
  static void Finish(v1::ReportRequest* report, int64_t last_step) {
    report->mutable_ended()->set_end(v1::ATTEMPT_END_FINISHED);
    v1::RunResult* result = report->mutable_ended()->mutable_result();
    result->set_outcome("grokked");
    result->set_reason("budget");
    result->set_last_step(last_step);
    result->set_summary_json(R"({"t_train_99": 1, "t_test_99": 3, "final_test_accuracy": 0.995})");
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::SweepService::Stub> sweeps_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;
};

// One message there and one back, as bytes.
inline grpc::Status CallByName(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                               const std::string& request, std::string* response, const std::string& token = "") {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  SetDeadline(&context);
  if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
  const grpc::Slice slice(request);
  const grpc::ByteBuffer sent(&slice, 1);
  grpc::ByteBuffer received;
  std::promise<grpc::Status> promise;
  stub.UnaryCall(&context, method, grpc::StubOptions(), &sent, &received,
                 [&promise](grpc::Status status) { promise.set_value(std::move(status)); });
  const grpc::Status status = promise.get_future().get();
  grpc::Slice whole;
  if (status.ok() && received.DumpToSingleSlice(&whole).ok()) {
    response->assign(reinterpret_cast<const char*>(whole.begin()), whole.size());
  }
  return status;
}

using ReportClient = grpc::ClientReaderWriter<v1::ReportRequest, v1::ReportResponse>;

inline v1::ReportResponse Exchange(ReportClient* stream, const v1::ReportRequest& report) {
  v1::ReportResponse response;
  EXPECT_TRUE(stream->Write(report));
  EXPECT_TRUE(stream->Read(&response));
  return response;
}

}  // namespace seedbed::rpc_test
