#include "worker/client/grpc_link.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "seedbed/v1/worker_service.grpc.pb.h"
#include "worker/client/checkpoint_transfer.h"
#include "worker/client/convert.h"
#include "worker/client/report_stream.h"

namespace seedbed::client {
namespace {

std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const TlsPems& tls) {
  if (tls.empty()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = tls.ca;
  options.pem_cert_chain = tls.certificate;
  options.pem_private_key = tls.key;
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& server, const TlsPems& tls) {
  grpc::ChannelArguments arguments;
  // A restarted coordinator is found within a second; gRPC's default backs off to two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // How long one attempt to connect may take: a busy machine needs seconds to answer.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10'000);
  // Pings go out only when nothing was received for so long: to notice a dead network, never on a healthy link, where
  // Synchronize is answered more often.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // A grant carries whole specifications.
  arguments.SetMaxReceiveMessageSize(64 << 20);
  // http_proxy is for the web, not for a coordinator in the cluster.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(server, CredentialsOf(tls), arguments);
}

}  // namespace

// Destroyed with the link, on its owner's thread: the end of the last channel joins gRPC's threads for callbacks, so
// none of them may be the one to drop it. That is why every ClientContext, which holds its channel, is deleted before
// the destructor hears of its call's end.
struct GrpcLink::Connection {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::WorkerService::Stub> stub;
};

// Outlives the link until the last callback has returned.
struct GrpcLink::Shared : std::enable_shared_from_this<GrpcLink::Shared> {
  struct Call {
    grpc::ClientContext context;
    v1::SynchronizeRequest request;
    v1::SynchronizeResponse response;
  };

  GrpcLinkOptions options;
  std::string advice;  // where nobody answers
  std::function<void(agent::LinkEvent)> handler;

  std::mutex handler_mutex;  // one event at a time; never taken while mutex is held
  std::mutex mutex;
  std::condition_variable idle;
  bool closed = false;  // guarded by mutex, as all below
  std::set<Call*> calls;
  std::set<ReportStream*> streams;
  int streams_not_done = 0;  // those whose last event may still come
  ReportStream* open_stream = nullptr;
  int64_t open_stream_number = 0;
  std::set<CheckpointTransfer*> transfers;
  int transfers_not_done = 0;  // those whose event may still come

  void Emit(agent::LinkEvent event) {
    std::lock_guard<std::mutex> lock(handler_mutex);
    handler(std::move(event));
  }

  void Prepare(grpc::ClientContext* context) const {
    if (!options.token.empty()) context->AddMetadata("authorization", "Bearer " + options.token);
  }

  void Answer(Call* call, int64_t number, const grpc::Status& status) {
    absl::StatusOr<agent::SynchronizeAnswer> answer = FromProto(call->response);
    if (!status.ok()) answer = WithAdvice(StatusOf(status, options.server));
    Emit(agent::SynchronizeAnswered{number, std::move(answer)});
    std::lock_guard<std::mutex> lock(mutex);
    calls.erase(call);
    delete call;
    idle.notify_all();
  }

  absl::Status WithAdvice(const absl::Status& status) const {
    if (!absl::IsUnavailable(status) || advice.empty()) return status;
    return absl::UnavailableError(absl::StrCat(status.message(), ". Is seedbed-coordinator running there? ", advice));
  }

  // Deletes the transfer, whose context holds the channel, before anybody hears of its end.
  void TransferDone(CheckpointTransfer* transfer, agent::LinkEvent event) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      transfers.erase(transfer);
    }
    delete transfer;
    Emit(std::move(event));
    std::lock_guard<std::mutex> lock(mutex);
    --transfers_not_done;
    idle.notify_all();
  }

  // Takes the transfer over. False if the link is closing: then nothing comes of it.
  bool Begin(CheckpointTransfer* transfer, v1::WorkerService::Stub* stub) {
    std::lock_guard<std::mutex> lock(mutex);
    if (closed) {
      delete transfer;
      return false;
    }
    transfers.insert(transfer);
    ++transfers_not_done;
    transfer->Start(stub);
    return true;
  }

  void StreamDone(ReportStream* stream, int64_t number, const grpc::Status& status) {
    bool was_open = false;
    {
      std::lock_guard<std::mutex> lock(mutex);
      was_open = open_stream == stream;
      if (was_open) open_stream = nullptr;
      streams.erase(stream);
    }
    delete stream;
    if (was_open) {
      const absl::Status why = status.ok() ? absl::UnavailableError("the coordinator ended the report stream")
                                           : StatusOf(status, options.server);
      Emit(agent::ReportStreamBroken{number, why});
    }
    std::lock_guard<std::mutex> lock(mutex);
    --streams_not_done;
    idle.notify_all();
  }
};

GrpcLink::GrpcLink(GrpcLinkOptions options, std::function<void(agent::LinkEvent)> handler)
    : connection_(std::make_unique<Connection>()), shared_(std::make_shared<Shared>()) {
  connection_->channel = OpenChannel(options.server, options.tls);
  connection_->stub = v1::WorkerService::NewStub(connection_->channel);
  // Messages say how it was tried.
  if (options.server.rfind("unix:", 0) != 0) {
    shared_->advice = TlsAdvice(options.tls);
    options.server += options.tls.empty() ? " (no TLS)" : " (TLS)";
  }
  shared_->options = std::move(options);
  shared_->handler = std::move(handler);
}

GrpcLink::~GrpcLink() {
  std::unique_lock<std::mutex> lock(shared_->mutex);
  shared_->closed = true;
  for (Shared::Call* call : shared_->calls) call->context.TryCancel();
  for (ReportStream* stream : shared_->streams) stream->Cancel();
  for (CheckpointTransfer* transfer : shared_->transfers) transfer->Cancel();
  shared_->idle.wait(lock, [this] {
    return shared_->calls.empty() && shared_->streams_not_done == 0 && shared_->transfers_not_done == 0;
  });
}

void GrpcLink::Synchronize(agent::SynchronizeRequest request, absl::Duration timeout) {
  auto* call = new Shared::Call;
  call->request = ToProto(request);
  shared_->Prepare(&call->context);
  call->context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    if (shared_->closed) {
      delete call;
      return;
    }
    shared_->calls.insert(call);
  }
  connection_->stub->async()->Synchronize(
      &call->context, &call->request, &call->response,
      [shared = shared_, call, number = request.number](grpc::Status status) { shared->Answer(call, number, status); });
}

void GrpcLink::OpenReports(int64_t stream) {
  // The callbacks need the stream's own address, which exists only after its construction.
  auto self = std::make_shared<ReportStream*>(nullptr);
  auto* opened = new ReportStream(
      shared_->options.token,
      [shared = shared_, stream](const v1::ReportResponse& response) {
        bool current = false;
        {
          std::lock_guard<std::mutex> lock(shared->mutex);
          current = shared->open_stream != nullptr && shared->open_stream_number == stream;
        }
        if (current) shared->Emit(agent::ReportAnswered{stream, FromProto(response)});
      },
      [shared = shared_, stream, self](const grpc::Status& status) { shared->StreamDone(*self, stream, status); });
  *self = opened;
  std::lock_guard<std::mutex> lock(shared_->mutex);
  if (shared_->closed) {
    delete opened;
    return;
  }
  if (shared_->open_stream != nullptr) shared_->open_stream->Cancel();
  shared_->open_stream = opened;
  shared_->open_stream_number = stream;
  shared_->streams.insert(opened);
  ++shared_->streams_not_done;
  opened->Start(connection_->stub.get());
}

void GrpcLink::PutCheckpoint(agent::CheckpointUpload upload) {
  // The callback needs the transfer's own address, which exists only after its construction.
  auto self = std::make_shared<CheckpointTransfer*>(nullptr);
  *self = new CheckpointPutCall(
      shared_->options.token, shared_->options.server, std::move(upload),
      [shared = shared_, self](agent::CheckpointPut put) { shared->TransferDone(*self, std::move(put)); });
  shared_->Begin(*self, connection_->stub.get());
}

void GrpcLink::GetCheckpoint(agent::CheckpointDownload download) {
  auto self = std::make_shared<CheckpointTransfer*>(nullptr);
  *self = new CheckpointGetCall(
      shared_->options.token, shared_->options.server, std::move(download),
      [shared = shared_, self](agent::CheckpointGot got) { shared->TransferDone(*self, std::move(got)); });
  shared_->Begin(*self, connection_->stub.get());
}

void GrpcLink::SendReport(agent::Report report) {
  std::lock_guard<std::mutex> lock(shared_->mutex);
  if (shared_->open_stream != nullptr) shared_->open_stream->Send(std::move(report));
}

int64_t GrpcLink::ReportBytesWaiting() const {
  std::lock_guard<std::mutex> lock(shared_->mutex);
  return shared_->open_stream == nullptr ? 0 : shared_->open_stream->bytes_waiting();
}

}  // namespace seedbed::client
