#include "bench/coordinator/connection.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace seedbed::bench {
namespace {

constexpr int64_t kMostValuesOfAnAxis = 1000;

// "[0.001, 0.002, …]", `count` of them.
std::string Values(int64_t count) {
  std::string text = "[";
  for (int64_t i = 1; i <= count; ++i) absl::StrAppend(&text, i > 1 ? ", " : "", i, "e-3");
  return text + "]";
}

// Keeps 64 calls under way until told to stop.
class Caller {
 public:
  explicit Caller(Connection* connection) : connection_(connection) {}

  void Run(double seconds) {
    for (int i = 0; i < 64; ++i) Call();
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    std::unique_lock<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.wait(lock, [this] { return under_way_ == 0; });
  }
  int64_t answered() const { return answered_; }

 private:
  struct OneCall {
    grpc::ClientContext context;
    v1::GetServerInfoRequest request;
    v1::GetServerInfoResponse response;
  };
  void Call() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return;
      ++under_way_;
    }
    auto* call = new OneCall();
    connection_->Prepare(&call->context);
    connection_->sweeps().async()->GetServerInfo(&call->context, &call->request, &call->response,
                                                 [this, call](const grpc::Status& status) {
                                                   Check(status, "ask the coordinator about itself");
                                                   delete call;
                                                   ++answered_;
                                                   Call();
                                                   const std::lock_guard<std::mutex> lock(mutex_);
                                                   --under_way_;
                                                   changed_.notify_all();
                                                 });
  }

  Connection* const connection_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int under_way_ = 0;
  bool stopping_ = false;
  std::atomic<int64_t> answered_{0};
};

}  // namespace

Connection::Connection(const CoordinatorProcess& coordinator) : token_(coordinator.token()) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // otherwise channels of one target share a connection
  arguments.SetMaxReceiveMessageSize(-1);
  channel_ = grpc::CreateCustomChannel(coordinator.address(), grpc::InsecureChannelCredentials(), arguments);
  sweeps_ = v1::SweepService::NewStub(channel_);
  workers_ = v1::WorkerService::NewStub(channel_);
}

void Connection::Prepare(grpc::ClientContext* context) const {
  context->AddMetadata("authorization", "Bearer " + token_);
  context->set_wait_for_ready(true);
}

void Check(const grpc::Status& status, const std::string& what) {
  if (status.ok()) return;
  Check(absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message()), what);
}

CallFloor MeasureCallFloor(Connection* connection, double seconds) {
  std::vector<double> times;
  for (int i = 0; i < 201; ++i) {
    grpc::ClientContext context;
    connection->Prepare(&context);
    v1::GetServerInfoResponse response;
    const double start = Seconds();
    Check(connection->sweeps().GetServerInfo(&context, {}, &response), "ask the coordinator about itself");
    times.push_back(Seconds() - start);
  }
  CallFloor floor;
  floor.median_seconds = Percentile(std::move(times), 0.5);
  Caller caller(connection);
  const double start = Seconds();
  caller.Run(seconds);
  floor.calls_per_second = static_cast<double>(caller.answered()) / (Seconds() - start);
  return floor;
}

std::string SweepText(const std::string& name, int64_t configurations, int64_t seeds) {
  const int64_t first = configurations > kMostValuesOfAnAxis ? kMostValuesOfAnAxis : configurations;
  if (configurations % first != 0) Check(absl::InvalidArgumentError(absl::StrCat(configurations)), "make a sweep of");
  return absl::StrCat("name: ", name, "\ntrainer: modular\nseeds: ", seeds,
                      "\nparameters:\n  optimizer.weight_decay: {values: ", Values(configurations / first),
                      "}\n  optimizer.learning_rate: {values: ", Values(first), "}\nbudget: {steps: 1000000000}\n");
}

v1::SubmitSweepResponse Submit(Connection* connection, const std::string& text) {
  static std::atomic<int> number{0};
  v1::SubmitSweepRequest request;
  request.set_submission_id(absl::StrCat("bench-", getpid(), "-", ++number));
  request.set_text(text);
  request.set_file_name("bench.yaml");
  grpc::ClientContext context;
  connection->Prepare(&context);
  v1::SubmitSweepResponse response;
  Check(connection->sweeps().SubmitSweep(&context, request, &response), "submit a sweep");
  return response;
}

v1::ListSweepsResponse ListSweeps(Connection* connection) {
  grpc::ClientContext context;
  connection->Prepare(&context);
  v1::ListSweepsResponse response;
  Check(connection->sweeps().ListSweeps(&context, {}, &response), "list sweeps");
  return response;
}

v1::SynchronizeRequest FactsOf(const std::string& worker, int slots) {
  v1::SynchronizeRequest request;
  request.set_worker_id(worker);
  request.set_name(worker);
  request.set_host("bench");
  request.set_device("cpu");
  request.set_version("bench");
  request.set_slots(slots);
  v1::TrainerOffer* offer = request.add_trainers();
  offer->set_trainer("modular");
  offer->set_numerics_json(R"({"blas":"none"})");
  return request;
}

void SynchronizeCall::Start(Connection* connection, v1::SynchronizeRequest request, OnAnswer on_answer) {
  auto* call = new SynchronizeCall();
  connection->Prepare(&call->context_);
  call->context_.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
  call->request_ = std::move(request);
  call->on_answer_ = std::move(on_answer);
  connection->workers().async()->Synchronize(&call->context_, &call->request_, &call->response_,
                                             [call](const grpc::Status& status) {
                                               std::optional<v1::SynchronizeResponse> response;
                                               if (status.ok()) response = std::move(call->response_);
                                               const OnAnswer on_answer = std::move(call->on_answer_);
                                               // First, so that the connection's last user is never one of gRPC's own
                                               // threads: it would wait for itself.
                                               delete call;
                                               on_answer(response ? &*response : nullptr);
                                             });
}

ReportStream::ReportStream(Connection* connection, OnAnswer on_answer) : on_answer_(std::move(on_answer)) {
  connection->Prepare(&context_);
  connection->workers().async()->Report(&context_, this);
  // Writes begin in Send, outside of the reactor's callbacks.
  AddHold();
  if (on_answer_) StartRead(&read_);
  StartCall();
}

ReportStream::~ReportStream() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    broken_ = true;
    waiting_.clear();
  }
  context_.TryCancel();
  RemoveHold();
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return done_; });
}

void ReportStream::Send(v1::ReportRequest report) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (broken_) return;
  waiting_.push_back(std::move(report));
  if (!writing_) WriteNext();
}

void ReportStream::WriteNext() {
  if (waiting_.empty() || broken_) return;
  written_ = std::move(waiting_.front());
  waiting_.pop_front();
  writing_ = true;
  // With more to come at once, the transport may wait for it and send both together.
  grpc::WriteOptions options;
  if (!waiting_.empty()) options.set_buffer_hint();
  StartWrite(&written_, options);
}

void ReportStream::OnWriteDone(bool ok) {
  const std::lock_guard<std::mutex> lock(mutex_);
  writing_ = false;
  if (ok) WriteNext();
}

void ReportStream::OnReadDone(bool ok) {
  if (!ok) return;
  on_answer_(read_);
  StartRead(&read_);
}

void ReportStream::OnDone(const grpc::Status&) {
  const std::lock_guard<std::mutex> lock(mutex_);
  done_ = true;
  changed_.notify_all();
}

}  // namespace seedbed::bench
