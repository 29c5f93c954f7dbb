#include "cli/client.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "cli/unreachable.h"
#include "seedbed/v1/sweep_service.grpc.pb.h"

namespace seedbed::cli {
namespace {

using Service = v1::SweepService;

// Long enough for a submission or a deletion of millions of runs.
constexpr absl::Duration kCallLimit = absl::Minutes(10);
// One message: ListRuns and ListConfigurations of large sweeps exceed gRPC's default of 4 MiB.
constexpr int kMostMessageBytes = 512 << 20;

absl::Status Unavailable(const Peer& peer, const std::string& message) {
  if (peer.where.empty()) return absl::UnavailableError(message);  // of the files here: it says what to do about them
  absl::Status status =
      absl::UnavailableError(absl::StrCat("the coordinator at ", peer.where, " is not available: ", message,
                                          "\nIs seedbed-coordinator running there? Check --server (or SEEDBED_SERVER).",
                                          peer.advice.empty() ? "" : " ", peer.advice, peer.advice.empty() ? "" : "."));
  status.SetPayload(kNobodyAnswers, absl::Cord());
  return status;
}

absl::Status ToStatus(const grpc::Status& status, const Peer& peer) {
  if (status.ok()) return absl::OkStatus();
  const absl::StatusCode code = static_cast<absl::StatusCode>(status.error_code());
  const std::string& message = status.error_message();
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return Unavailable(peer, message);
    case grpc::StatusCode::UNAUTHENTICATED:
      return absl::Status(code, absl::StrCat("the coordinator at ", peer.where, " refuses the call: ", message));
    case grpc::StatusCode::UNIMPLEMENTED:
      return absl::Status(code, absl::StrCat("the coordinator at ", peer.where, " does not know this call: ", message,
                                             "\nIt is probably another version; compare `seedbed version`."));
    default:
      return absl::Status(code, message.empty()
                                    ? absl::StrCat("the coordinator at ", peer.where, " answered with error ",
                                                   static_cast<int>(status.error_code()))
                                    : message);
  }
}

void Prepare(const std::string& token, grpc::ClientContext* context) {
  if (!token.empty()) context->AddMetadata("authorization", "Bearer " + token);
}

template <typename Request, typename Response>
absl::StatusOr<Response> Unary(Service::Stub& stub,
                               grpc::Status (Service::Stub::*call)(grpc::ClientContext*, const Request&, Response*),
                               const Request& request, const Peer& peer, const std::string& token) {
  grpc::ClientContext context;
  Prepare(token, &context);
  context.set_deadline(absl::ToChronoTime(absl::Now() + kCallLimit));
  Response response;
  const grpc::Status status = (stub.*call)(&context, request, &response);
  if (!status.ok()) return ToStatus(status, peer);
  return response;
}

template <typename Request, typename Response>
absl::Status Stream(Service::Stub& stub,
                    std::unique_ptr<grpc::ClientReader<Response>> (Service::Stub::*call)(grpc::ClientContext*,
                                                                                         const Request&),
                    const Request& request, const Peer& peer, grpc::ClientContext* context,
                    const std::function<bool(const Response&)>& on_message) {
  std::unique_ptr<grpc::ClientReader<Response>> reader = (stub.*call)(context, request);
  Response response;
  bool stopped = false;
  while (reader->Read(&response)) {
    if (on_message(response)) continue;
    stopped = true;
    context->TryCancel();
    break;
  }
  while (stopped && reader->Read(&response)) {
  }
  const grpc::Status status = reader->Finish();
  return stopped ? absl::OkStatus() : ToStatus(status, peer);
}

}  // namespace

struct Client::Stub {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<Service::Stub> service;
};

void Canceller::Cancel() {
  std::lock_guard<std::mutex> lock(mutex_);
  cancelled_ = true;
  if (context_ != nullptr) context_->TryCancel();
}

Client::Client(std::shared_ptr<grpc::Channel> channel, std::string where, std::string token, std::string advice)
    : stub_(std::make_unique<Stub>()), peer_{std::move(where), std::move(advice)}, token_(std::move(token)) {
  stub_->service = Service::NewStub(channel);
  stub_->channel = std::move(channel);
}

Client::~Client() = default;

std::unique_ptr<Client> Client::ForAddress(const std::string& address, const std::string& token, const TlsPems& tls) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMostMessageBytes);
  arguments.SetMaxSendMessageSize(kMostMessageBytes);
  // A restarted coordinator is found within half a second; gRPC's default backs off to two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10000);  // what one attempt may take, over a slow link too
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // http_proxy is for the web, not for a coordinator in the cluster.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const bool is_unix = address.rfind("unix:", 0) == 0;
  if (tls.empty() || is_unix) {
    return std::make_unique<Client>(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments),
                                    address, token, is_unix ? "" : TlsAdvice(TlsPems()));
  }
  grpc::SslCredentialsOptions credentials;
  credentials.pem_root_certs = tls.ca;
  credentials.pem_cert_chain = tls.certificate;
  credentials.pem_private_key = tls.key;
  return std::make_unique<Client>(grpc::CreateCustomChannel(address, grpc::SslCredentials(credentials), arguments),
                                  address + " (TLS)", token, TlsAdvice(tls));
}

absl::StatusOr<v1::GetServerInfoResponse> Client::WaitUntilServing(absl::Duration most) {
  grpc::ClientContext context;
  Prepare(token_, &context);
  context.set_deadline(absl::ToChronoTime(absl::Now() + most));
  context.set_wait_for_ready(true);
  v1::GetServerInfoResponse response;
  const grpc::Status status = stub_->service->GetServerInfo(&context, {}, &response);
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return ToStatus(
        grpc::Status(grpc::StatusCode::UNAVAILABLE, absl::StrCat("no answer within ", absl::FormatDuration(most))),
        peer_);
  }
  if (!status.ok()) return ToStatus(status, peer_);
  return response;
}

absl::StatusOr<v1::GetServerInfoResponse> Client::GetServerInfo() {
  return Unary(*stub_->service, &Service::Stub::GetServerInfo, v1::GetServerInfoRequest(), peer_, token_);
}
absl::StatusOr<v1::SubmitSweepResponse> Client::SubmitSweep(const v1::SubmitSweepRequest& request) {
  return Unary(*stub_->service, &Service::Stub::SubmitSweep, request, peer_, token_);
}
absl::StatusOr<v1::ListSweepsResponse> Client::ListSweeps(const std::string& selector) {
  v1::ListSweepsRequest request;
  request.set_selector(selector);
  return Unary(*stub_->service, &Service::Stub::ListSweeps, request, peer_, token_);
}
absl::StatusOr<v1::ListConfigurationsResponse> Client::ListConfigurations(const std::string& selector) {
  v1::ListConfigurationsRequest request;
  request.set_sweep(selector);
  return Unary(*stub_->service, &Service::Stub::ListConfigurations, request, peer_, token_);
}
absl::StatusOr<v1::ListRunsResponse> Client::ListRuns(const v1::ListRunsRequest& request) {
  return Unary(*stub_->service, &Service::Stub::ListRuns, request, peer_, token_);
}
absl::StatusOr<v1::GetRunResponse> Client::GetRun(int64_t run_id) {
  v1::GetRunRequest request;
  request.set_run_id(run_id);
  return Unary(*stub_->service, &Service::Stub::GetRun, request, peer_, token_);
}
absl::StatusOr<v1::ListWorkersResponse> Client::ListWorkers(bool include_gone) {
  v1::ListWorkersRequest request;
  request.set_include_gone(include_gone);
  return Unary(*stub_->service, &Service::Stub::ListWorkers, request, peer_, token_);
}
absl::StatusOr<v1::ControlSweepResponse> Client::ControlSweep(const v1::ControlSweepRequest& request) {
  return Unary(*stub_->service, &Service::Stub::ControlSweep, request, peer_, token_);
}
absl::StatusOr<v1::ControlWorkerResponse> Client::ControlWorker(const v1::ControlWorkerRequest& request) {
  return Unary(*stub_->service, &Service::Stub::ControlWorker, request, peer_, token_);
}

absl::Status Client::Query(const v1::QueryRequest& request,
                           const std::function<bool(const v1::QueryResponse&)>& on_message) {
  grpc::ClientContext context;
  Prepare(token_, &context);
  return Stream(*stub_->service, &Service::Stub::Query, request, peer_, &context, on_message);
}

absl::Status Client::ReadCheckpoint(const v1::ReadCheckpointRequest& request,
                                    const std::function<bool(const v1::CheckpointChunk&)>& on_message) {
  grpc::ClientContext context;
  Prepare(token_, &context);
  return Stream(*stub_->service, &Service::Stub::ReadCheckpoint, request, peer_, &context, on_message);
}

absl::Status Client::ReadLog(const v1::ReadLogRequest& request,
                             const std::function<bool(const v1::ReadLogResponse&)>& on_message) {
  grpc::ClientContext context;
  Prepare(token_, &context);
  return Stream(*stub_->service, &Service::Stub::ReadLog, request, peer_, &context, on_message);
}

absl::Status Client::WatchProgress(const v1::WatchProgressRequest& request,
                                   const std::function<bool(const v1::ProgressResponse&)>& on_message,
                                   Canceller* canceller) {
  grpc::ClientContext context;
  Prepare(token_, &context);
  if (canceller != nullptr) {
    std::lock_guard<std::mutex> lock(canceller->mutex_);
    if (canceller->cancelled_) return absl::CancelledError("cancelled");
    canceller->context_ = &context;
  }
  const absl::Status status =
      Stream(*stub_->service, &Service::Stub::WatchProgress, request, peer_, &context, on_message);
  if (canceller != nullptr) {
    std::lock_guard<std::mutex> lock(canceller->mutex_);
    canceller->context_ = nullptr;
  }
  return status;
}

}  // namespace seedbed::cli
