#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/base/json.h"
#include "coordinator/coordinator_test_support.h"
#include "coordinator/rpc/server.h"
#include "seedbed/v1/sweep_service.grpc.pb.h"
#include "seedbed/v1/worker_service.grpc.pb.h"

// Real messages through a real server: in the process, over TCP and over a Unix socket.
namespace seedbed {
namespace {

using coordinator_test::SweepText;
using coordinator_test::TemporaryDirectory;
using ::testing::HasSubstr;

void SetDeadline(grpc::ClientContext* context) {
  context->set_deadline(std::chrono::system_clock::now() + coordinator_test::kPatience);
}

ListenAddress AddressOf(const std::string& text) {
  return *ParseListenAddress(text);
}

class RpcTest : public ::testing::Test {
 protected:
  void SetUp() override {
    CoordinatorOptions options;
    options.directory = directory_.path() + "/data";
    options.synchronous = StoreOptions::Synchronous::kOff;
    options.loop.tick_every = absl::Milliseconds(20);
    options.loop.metric_delay = absl::Milliseconds(1);
    options.free_bytes = [] { return absl::StatusOr<int64_t>(int64_t{1} << 40); };
    auto opened = Coordinator::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    coordinator_ = *std::move(opened);
    Start({});
  }
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

using ReportClient = grpc::ClientReaderWriter<v1::ReportRequest, v1::ReportResponse>;

v1::ReportResponse Exchange(ReportClient* stream, const v1::ReportRequest& report) {
  v1::ReportResponse response;
  EXPECT_TRUE(stream->Write(report));
  EXPECT_TRUE(stream->Read(&response));
  return response;
}

TEST_F(RpcTest, AWorkerRunsASweepToItsEnd) {
  const std::vector<v1::LeaseToStart> leases = LeaseAll(2);
  const Json specification = Json::parse(leases[0].specification_json());
  EXPECT_EQ(specification["trainer"], "modular");
  EXPECT_EQ(leases[0].sweep(), "s");

  grpc::ClientContext watch_context;
  SetDeadline(&watch_context);
  v1::WatchProgressRequest watch_request;
  watch_request.set_sweep("s");
  watch_request.set_until_done(true);
  watch_request.set_interval_milliseconds(100);
  const auto watch = sweeps_->WatchProgress(&watch_context, watch_request);
  v1::ProgressResponse progress;
  ASSERT_TRUE(watch->Read(&progress));
  EXPECT_EQ(progress.sweeps(0).runs().running(), 2);
  EXPECT_FALSE(progress.done());

  grpc::ClientContext context;
  SetDeadline(&context);
  const auto stream = workers_->Report(&context);
  for (const v1::LeaseToStart& start : leases) {
    const v1::LeaseKey& lease = start.lease();
    v1::ReportRequest log;
    log.set_worker_id("w");
    *log.mutable_lease() = lease;
    log.set_log("hello from " + std::to_string(lease.run_id()) + "\n");
    ASSERT_TRUE(stream->Write(log));
    v1::ReportResponse answer = Exchange(stream.get(), ReportOf(lease, 1, 0, 4));
    EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_ACKNOWLEDGED);
    EXPECT_EQ(answer.sequence(), 1);
    answer = Exchange(stream.get(), ReportOf(lease, 1, 0, 4));  // sent again
    EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_ACKNOWLEDGED);
    answer = Exchange(stream.get(), ReportOf(lease, 4, 8, 2));  // two are missing
    EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_GAP);
    EXPECT_EQ(answer.sequence(), 1);
    v1::ReportRequest end = ReportOf(lease, 2, 4, 2);
    Finish(&end, 5);
    answer = Exchange(stream.get(), end);
    EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_ACKNOWLEDGED);
    EXPECT_EQ(answer.sequence(), 2);
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());

  int ended = 0;
  while (watch->Read(&progress)) {
    for (const v1::FinishedRun& run : progress.ended()) {
      EXPECT_EQ(run.outcome(), "grokked");
      EXPECT_EQ(run.last_step(), 5);
      ++ended;
    }
  }
  EXPECT_TRUE(watch->Finish().ok());
  EXPECT_TRUE(progress.done());
  EXPECT_EQ(ended, 2);

  grpc::ClientContext list_context;
  SetDeadline(&list_context);
  v1::ListRunsRequest list_request;
  list_request.set_sweep("last");
  list_request.add_states(v1::RUN_STATE_FINISHED);
  (*list_request.mutable_parameters())["optimizer.weight_decay"] = "1e-4";
  v1::ListRunsResponse list;
  const grpc::Status listed = sweeps_->ListRuns(&list_context, list_request, &list);
  ASSERT_TRUE(listed.ok()) << listed.error_message();
  ASSERT_EQ(list.runs_size(), 2);
  EXPECT_EQ(list.runs(0).outcome(), "grokked");
  EXPECT_EQ(list.runs(0).last_step(), 5);
  EXPECT_EQ(list.runs(0).worker(), "name-of-w");
  EXPECT_FALSE(list.more());

  grpc::ClientContext configurations_context;
  SetDeadline(&configurations_context);
  v1::ListConfigurationsRequest configurations_request;
  configurations_request.set_sweep("s");
  v1::ListConfigurationsResponse configurations;
  ASSERT_TRUE(sweeps_->ListConfigurations(&configurations_context, configurations_request, &configurations).ok());
  ASSERT_EQ(configurations.configurations_size(), 1);
  EXPECT_EQ(configurations.configurations(0).outcomes().at("grokked"), 2);
  EXPECT_EQ(configurations.configurations(0).runs().finished(), 2);
  EXPECT_EQ(configurations.configurations(0).median_t_test(), 3);

  grpc::ClientContext query_context;
  SetDeadline(&query_context);
  v1::QueryRequest query;
  query.set_sql("SELECT step, train_loss, test_accuracy FROM steps WHERE run_id = " +
                std::to_string(leases[0].lease().run_id()) + " ORDER BY step");
  const auto rows = sweeps_->Query(&query_context, query);
  v1::QueryResponse answer;
  ASSERT_TRUE(rows->Read(&answer));
  EXPECT_THAT(answer.columns(), ::testing::ElementsAre("step", "train_loss", "test_accuracy"));
  ASSERT_EQ(answer.rows_size(), 6);
  EXPECT_EQ(answer.rows(3).values(1).real(), 1.5);
  EXPECT_TRUE(answer.rows(3).values(2).is_null());
  EXPECT_EQ(answer.rows(4).values(2).real(), 0.25);
  EXPECT_FALSE(rows->Read(&answer));
  EXPECT_TRUE(rows->Finish().ok());

  grpc::ClientContext log_context;
  SetDeadline(&log_context);
  v1::ReadLogRequest log_request;
  log_request.set_run_id(leases[0].lease().run_id());
  log_request.set_follow(true);  // ends by itself: the attempt has ended
  const auto log = sweeps_->ReadLog(&log_context, log_request);
  v1::ReadLogResponse text;
  ASSERT_TRUE(log->Read(&text));
  EXPECT_EQ(text.text(), "hello from " + std::to_string(leases[0].lease().run_id()) + "\n");
  EXPECT_FALSE(log->Read(&text));
  EXPECT_TRUE(log->Finish().ok());
}

TEST_F(RpcTest, ARefusalNamesOneLeaseAndTheStreamGoesOn) {
  const v1::LeaseKey lease = LeaseAll(1)[0].lease();
  v1::LeaseKey stale = lease;
  stale.set_fence(lease.fence() + 1);
  grpc::ClientContext context;
  SetDeadline(&context);
  const auto stream = workers_->Report(&context);
  v1::ReportResponse answer = Exchange(stream.get(), ReportOf(stale, 1, 0, 1));
  EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_REFUSED);
  EXPECT_EQ(answer.lease().fence(), stale.fence());
  EXPECT_FALSE(answer.reason().empty());

  v1::ReportRequest uneven = ReportOf(lease, 1, 0, 2);
  uneven.mutable_rows()->mutable_series(0)->add_values(1);
  v1::ReportRequest falling = ReportOf(lease, 1, 0, 2);
  falling.mutable_rows()->set_steps(1, 0);
  v1::ReportRequest reserved = ReportOf(lease, 1, 0, 1);
  reserved.mutable_rows()->mutable_series(0)->set_metric("Step");
  v1::ReportRequest cancelled = ReportOf(lease, 1, 0, 1);
  cancelled.mutable_ended()->set_end(v1::ATTEMPT_END_CANCELLED);
  v1::ReportRequest without_result = ReportOf(lease, 1, 0, 1);
  without_result.mutable_ended()->set_end(v1::ATTEMPT_END_FINISHED);
  for (const v1::ReportRequest& wrong : {uneven, falling, reserved, cancelled, without_result}) {
    answer = Exchange(stream.get(), wrong);
    EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_REFUSED) << wrong.ShortDebugString();
  }
  answer = Exchange(stream.get(), ReportOf(lease, 1, 0, 1));
  EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_ACKNOWLEDGED);

  // A message that names no lease at all ends it.
  ASSERT_TRUE(stream->Write(v1::ReportRequest()));
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(RpcTest, BadMessagesAreInvalid) {
  struct Row {
    std::string field;
    std::function<void(v1::SynchronizeRequest*)> spoil;
  };
  const std::vector<Row> rows = {
      {"worker_id", [](auto* r) { r->clear_worker_id(); }},
      {"worker_id", [](auto* r) { r->set_worker_id("a b"); }},
      {"name", [](auto* r) { r->set_name(std::string(200, 'x')); }},
      {"host", [](auto* r) { r->set_host(std::string(5000, 'x')); }},
      {"slots", [](auto* r) { r->set_slots(-1); }},
      {"free_slots", [](auto* r) { r->set_free_slots(1 << 30); }},
      {"number", [](auto* r) { r->set_number(0); }},
      {"trainers", [](auto* r) { r->mutable_trainers(0)->set_trainer(""); }},
      {"numerics_json", [](auto* r) { r->mutable_trainers(0)->set_numerics_json("[1]"); }},
      {"numerics_json", [](auto* r) { r->mutable_trainers(0)->set_numerics_json("{"); }},
      {"lease", [](auto* r) { r->add_leases(); }},
      {"pack_key", [](auto* r) { r->add_engines()->set_pack_key("xyz"); }},
  };
  for (const Row& row : rows) {
    v1::SynchronizeRequest request = CallOf("w", 1, 1);
    row.spoil(&request);
    v1::SynchronizeResponse response;
    const grpc::Status status = Synchronize(request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << row.field;
    EXPECT_THAT(status.error_message(), HasSubstr(row.field));
  }
  v1::SubmitSweepResponse submitted;
  EXPECT_EQ(Submit("", SweepText("s", 1, 1), &submitted).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const grpc::Status mistake = Submit("a", "name: s\ntrainr: modular\n", &submitted);
  EXPECT_EQ(mistake.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(mistake.error_message(), HasSubstr("test.yaml:2:1"));
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::ControlSweepRequest control;
  control.set_sweep("s");
  v1::ControlSweepResponse controlled;
  EXPECT_EQ(sweeps_->ControlSweep(&context, control, &controlled).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  grpc::ClientContext unknown_context;
  SetDeadline(&unknown_context);
  control.mutable_pause();
  EXPECT_EQ(sweeps_->ControlSweep(&unknown_context, control, &controlled).error_code(), grpc::StatusCode::NOT_FOUND);
  grpc::ClientContext query_context;
  SetDeadline(&query_context);
  v1::QueryRequest query;
  query.set_sql("DELETE FROM runs");
  const auto rows_of_query = sweeps_->Query(&query_context, query);
  v1::QueryResponse nothing;
  EXPECT_FALSE(rows_of_query->Read(&nothing));
  EXPECT_FALSE(rows_of_query->Finish().ok());
}

TEST_F(RpcTest, AHeldCallWaitsForWorkAndLetsGo) {
  v1::SynchronizeResponse registered;
  ASSERT_TRUE(Synchronize(CallOf("w", 1, 1), &registered).ok());
  EXPECT_FALSE(registered.database_id().empty());
  EXPECT_GT(registered.lease_milliseconds(), 0);
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
    v1::SynchronizeResponse response;
    EXPECT_EQ(workers_->Synchronize(&context, CallOf("w", 2, 1), &response).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  v1::SynchronizeResponse granted;
  std::thread waiting([&] { EXPECT_TRUE(Synchronize(CallOf("w", 3, 1), &granted).ok()); });
  v1::SubmitSweepResponse submitted;
  EXPECT_TRUE(Submit("id", SweepText("s", 1, 1), &submitted).ok());
  waiting.join();
  EXPECT_EQ(granted.start_size(), 1);
  // Leases of another database are as good as not listed.
  v1::SynchronizeRequest foreign = CallOf("w", 4, 0);
  foreign.set_database_id("another");
  *foreign.add_leases()->mutable_lease() = granted.start(0).lease();
  v1::SynchronizeResponse answer;
  ASSERT_TRUE(Synchronize(foreign, &answer).ok());
  EXPECT_EQ(answer.start_size(), 1);  // the grant is repeated until it is listed
}

TEST_F(RpcTest, TcpWantsTheToken) {
  ServerOptions options;
  options.listen.push_back(AddressOf("127.0.0.1:0"));
  Start(options);
  ASSERT_EQ(server_->addresses().size(), 1u);
  std::ifstream file(server_->token_file());
  std::string token;
  file >> token;
  ASSERT_EQ(token.size(), 64u);
  const auto channel = grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials());
  const auto stub = v1::SweepService::NewStub(channel);
  const auto workers = v1::WorkerService::NewStub(channel);
  const auto ask = [&](const std::string& authorization) {
    grpc::ClientContext context;
    SetDeadline(&context);
    if (!authorization.empty()) context.AddMetadata("authorization", authorization);
    v1::GetServerInfoResponse info;
    return stub->GetServerInfo(&context, v1::GetServerInfoRequest(), &info);
  };
  EXPECT_EQ(ask("").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(ask("").error_message(), HasSubstr(server_->token_file()));
  EXPECT_EQ(ask("Bearer " + std::string(64, '0')).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(ask(token).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(ask("Bearer " + token).ok()) << ask("Bearer " + token).error_message();
  {
    grpc::ClientContext context;
    SetDeadline(&context);
    const auto stream = workers->Report(&context);
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  }
  {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::SynchronizeResponse response;
    EXPECT_EQ(workers->Synchronize(&context, CallOf("w", 1, 1), &response).error_code(),
              grpc::StatusCode::UNAUTHENTICATED);
  }
  grpc::ClientContext context;
  SetDeadline(&context);
  const auto watch = stub->WatchProgress(&context, v1::WatchProgressRequest());
  v1::ProgressResponse progress;
  EXPECT_FALSE(watch->Read(&progress));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);

  // The port is taken now.
  options.listen = {AddressOf(server_->addresses()[0])};
  EXPECT_EQ(Server::Start(options, coordinator_.get()).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(RpcTest, UnixSocketsNeedNoTokenAndOtherMachinesEncryption) {
  ServerOptions options;
  options.listen.push_back(AddressOf("unix:" + directory_.path() + "/s"));
  Start(options);
  EXPECT_TRUE(server_->token_file().empty());
  const auto stub =
      v1::SweepService::NewStub(grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::GetServerInfoResponse info;
  const grpc::Status status = stub->GetServerInfo(&context, v1::GetServerInfoRequest(), &info);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(info.epoch(), 1);

  options.listen = {AddressOf("0.0.0.0:0")};
  EXPECT_THAT(std::string(Server::Start(options, coordinator_.get()).status().message()), HasSubstr("--insecure"));
  options.insecure = true;
  EXPECT_TRUE(Server::Start(options, coordinator_.get()).ok());
}

// One message there and one back, as bytes.
grpc::Status CallByName(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                        const std::string& request, std::string* response) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  SetDeadline(&context);
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

TEST_F(RpcTest, HealthAndReflectionAreOn) {
  ServerOptions options;
  options.listen.push_back(AddressOf("unix:" + directory_.path() + "/s"));
  Start(options);
  const auto channel = grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials());
  std::string response;
  ASSERT_TRUE(CallByName(channel, "/grpc.health.v1.Health/Check", "", &response).ok());
  EXPECT_EQ(response, "\x08\x01");  // status: SERVING
  // list_services: ""
  const grpc::Status whole = CallByName(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                        std::string("\x3a\x00", 2), &response);
  ASSERT_TRUE(whole.ok()) << whole.error_message();
  EXPECT_THAT(response, HasSubstr("seedbed.v1.SweepService"));
  EXPECT_THAT(response, HasSubstr("seedbed.v1.WorkerService"));
}

TEST_F(RpcTest, AStopEndsWatchersAndStreams) {
  LeaseAll(1);
  grpc::ClientContext watch_context;
  SetDeadline(&watch_context);
  const auto watch = sweeps_->WatchProgress(&watch_context, v1::WatchProgressRequest());
  v1::ProgressResponse progress;
  ASSERT_TRUE(watch->Read(&progress));
  grpc::ClientContext report_context;
  SetDeadline(&report_context);
  const auto stream = workers_->Report(&report_context);
  const auto begin = std::chrono::steady_clock::now();
  coordinator_->PrepareToStop();
  server_->Shutdown(absl::Milliseconds(100));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, coordinator_test::kPatience);
  while (watch->Read(&progress)) {
  }
  EXPECT_FALSE(watch->Finish().ok());
  EXPECT_FALSE(stream->Finish().ok());
}

}  // namespace
}  // namespace seedbed
