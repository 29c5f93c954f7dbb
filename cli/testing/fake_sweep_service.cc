#include "cli/testing/fake_sweep_service.h"

#include <grpcpp/grpcpp.h>

#include "seedbed/v1/sweep_service.grpc.pb.h"

namespace seedbed::cli {
namespace {

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace

class FakeSweepService::Service final : public v1::SweepService::Service {
 public:
  explicit Service(FakeSweepService& fake) : fake_(fake) {}

  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                             v1::GetServerInfoResponse* response) override {
    return Answer(fake_.info, response);
  }
  grpc::Status SubmitSweep(grpc::ServerContext*, const v1::SubmitSweepRequest* request,
                           v1::SubmitSweepResponse* response) override {
    fake_.submit_requests.push_back(*request);
    return Answer(fake_.submitted, response);
  }
  grpc::Status ListSweeps(grpc::ServerContext*, const v1::ListSweepsRequest* request,
                          v1::ListSweepsResponse* response) override {
    fake_.selectors.push_back(request->selector());
    return Answer(fake_.sweeps, response);
  }
  grpc::Status ListConfigurations(grpc::ServerContext*, const v1::ListConfigurationsRequest* request,
                                  v1::ListConfigurationsResponse* response) override {
    fake_.selectors.push_back(request->sweep());
    return Answer(fake_.configurations, response);
  }
  grpc::Status ListRuns(grpc::ServerContext*, const v1::ListRunsRequest* request,
                        v1::ListRunsResponse* response) override {
    fake_.list_runs_requests.push_back(*request);
    v1::ListRunsResponse page;
    for (const v1::RunSummary& run : fake_.runs) {
      if (run.run_id() <= request->after_run_id()) continue;
      if (request->limit() > 0 && page.runs_size() >= request->limit()) break;
      *page.add_runs() = run;
    }
    return Answer(page, response);
  }
  grpc::Status GetRun(grpc::ServerContext*, const v1::GetRunRequest* request, v1::GetRunResponse* response) override {
    for (const v1::RunSummary& run : fake_.runs) {
      if (run.run_id() == request->run_id()) {
        *response->mutable_run() = run;
        return ToGrpc(fake_.error);
      }
    }
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "there is no run " + std::to_string(request->run_id()));
  }
  grpc::Status ListWorkers(grpc::ServerContext*, const v1::ListWorkersRequest*,
                           v1::ListWorkersResponse* response) override {
    return Answer(fake_.workers, response);
  }
  grpc::Status ControlSweep(grpc::ServerContext*, const v1::ControlSweepRequest* request,
                            v1::ControlSweepResponse* response) override {
    fake_.control_requests.push_back(*request);
    return Answer(fake_.controlled, response);
  }
  grpc::Status ControlWorker(grpc::ServerContext*, const v1::ControlWorkerRequest* request,
                             v1::ControlWorkerResponse* response) override {
    fake_.worker_requests.push_back(*request);
    return Answer(fake_.controlled_worker, response);
  }
  grpc::Status Query(grpc::ServerContext*, const v1::QueryRequest* request,
                     grpc::ServerWriter<v1::QueryResponse>* writer) override {
    fake_.query_requests.push_back(*request);
    for (const v1::QueryResponse& response : fake_.query(*request)) writer->Write(response);
    return ToGrpc(fake_.error);
  }
  grpc::Status ReadLog(grpc::ServerContext*, const v1::ReadLogRequest* request,
                       grpc::ServerWriter<v1::ReadLogResponse>* writer) override {
    fake_.log_requests.push_back(*request);
    for (const std::string& text : fake_.log) {
      v1::ReadLogResponse response;
      response.set_text(text);
      writer->Write(response);
    }
    return ToGrpc(fake_.error);
  }
  grpc::Status WatchProgress(grpc::ServerContext*, const v1::WatchProgressRequest*,
                             grpc::ServerWriter<v1::ProgressResponse>* writer) override {
    for (const v1::ProgressResponse& response : fake_.progress) writer->Write(response);
    return ToGrpc(fake_.error);
  }

 private:
  template <typename Response>
  grpc::Status Answer(const Response& answer, Response* response) {
    *response = answer;
    return ToGrpc(fake_.error);
  }
  FakeSweepService& fake_;
};

struct FakeSweepService::Server {
  std::unique_ptr<grpc::Server> server;
  ~Server() { server->Shutdown(); }
};

FakeSweepService::FakeSweepService() : service_(std::make_unique<Service>(*this)), server_(std::make_unique<Server>()) {
  grpc::ServerBuilder builder;
  builder.RegisterService(service_.get());
  server_->server = builder.BuildAndStart();
}

FakeSweepService::~FakeSweepService() = default;

std::unique_ptr<Client> FakeSweepService::MakeClient() {
  return std::make_unique<Client>(server_->server->InProcessChannel({}), "the test", "");
}

}  // namespace seedbed::cli
