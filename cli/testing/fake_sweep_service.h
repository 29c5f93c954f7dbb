#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/client.h"
#include "seedbed/v1/sweep_service.pb.h"

namespace seedbed::cli {

// A coordinator out of a test's hands: answers what the test put in, and keeps what it was asked. Served in-process.
// Set the answers before a call and read the requests after it.
class FakeSweepService {
 public:
  FakeSweepService();
  ~FakeSweepService();
  std::unique_ptr<Client> MakeClient();

  absl::Status error;  // every unary call fails with it, if it is one

  v1::GetServerInfoResponse info;
  v1::SubmitSweepResponse submitted;
  v1::ListSweepsResponse sweeps;
  v1::ListConfigurationsResponse configurations;
  std::vector<v1::RunSummary> runs;  // ListRuns pages through them; GetRun finds them
  v1::ListWorkersResponse workers;
  v1::ControlSweepResponse controlled;
  v1::ControlWorkerResponse controlled_worker;
  std::vector<v1::ProgressResponse> progress;
  std::vector<std::string> log;
  std::function<std::vector<v1::QueryResponse>(const v1::QueryRequest&)> query;

  std::vector<v1::SubmitSweepRequest> submit_requests;
  std::vector<std::string> selectors;  // of ListSweeps and ListConfigurations
  std::vector<v1::ListRunsRequest> list_runs_requests;
  std::vector<v1::ControlSweepRequest> control_requests;
  std::vector<v1::ControlWorkerRequest> worker_requests;
  std::vector<v1::QueryRequest> query_requests;
  std::vector<v1::ReadLogRequest> log_requests;

 private:
  class Service;
  struct Server;
  std::unique_ptr<Service> service_;
  std::unique_ptr<Server> server_;
};

}  // namespace seedbed::cli
