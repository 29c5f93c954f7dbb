#include "coordinator/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/access/authentication.h"
#include "coordinator/access/tcp_acceptor.h"
#include "coordinator/rpc/admission.h"
#include "coordinator/rpc/sweep_service.h"
#include "coordinator/rpc/worker_service.h"

namespace seedbed {
namespace {

// A sweep file is at most 4 MiB and a worker's report about as much.
constexpr int kMostMessageBytes = 8 << 20;
// Calls under way on one connection; a worker has three or four.
constexpr int kMostStreams = 128;
// From here on gRPC ends calls whose messages come in; gRPC 1.51 is slow to do so, and lets through several times as
// much. Calls without a token do not get so far (admission.h).
constexpr size_t kMostBytesOfAllMessages = 512 << 20;

void Configure(grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(kMostMessageBytes);
  builder->SetMaxSendMessageSize(-1);
  builder->SetResourceQuota(grpc::ResourceQuota("seedbed").Resize(kMostBytesOfAllMessages));
  // Two coordinators on one port would share its connections between them.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A worker whose machine died without a word is noticed, and held calls of living ones may be watched over.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Who connects and says nothing is not kept waiting for; who asks for much has to take turns.
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 20'000);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMostStreams);
  // Only reflection uses gRPC's synchronous threads.
  builder->SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder->SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder->SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
}

void TurnPluginsOn() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

}  // namespace

struct Server::Parts {
  Parts(Coordinator* coordinator, Authenticator::Options options, const CallLimits& limits)
      : authenticator(std::move(options)),
        untaken(limits),
        sweeps(coordinator, &authenticator, &pools, &untaken, limits),
        workers(coordinator, &authenticator, &pools, &untaken, limits) {}

  Authenticator authenticator;
  UntakenAnswers untaken;
  ServicePools pools;
  SweepServiceImpl sweeps;
  WorkerServiceImpl workers;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections;  // into the server, from the acceptor
  std::unique_ptr<TcpAcceptor> acceptor;                                        // none without a TCP address
};

absl::Status CheckAddresses(const ServerOptions& options) {
  std::vector<ListenAddress> tcp;
  for (const ListenAddress& address : options.listen) {
    std::error_code none;
    // A socket may lie in the data directory, which the coordinator makes.
    const auto directory = std::filesystem::path(address.path).parent_path();
    if (address.is_unix && !std::filesystem::exists(directory, none)) continue;
    SEEDBED_RETURN_IF_ERROR(CheckAddress(address, !options.tls.empty(), options.insecure));
    if (!address.is_unix) tcp.push_back(address);
  }
  return TcpAcceptor::Listen(tcp, TcpAcceptor::Options()).status();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, Coordinator* coordinator) {
  std::vector<ListenAddress> tcp;
  for (const ListenAddress& address : options.listen) {
    SEEDBED_RETURN_IF_ERROR(CheckAddress(address, !options.tls.empty(), options.insecure));
    if (!address.is_unix) tcp.push_back(address);
  }
  const std::string data = coordinator->Info().directory;
  Authenticator::Options access;
  if (tcp.empty()) {
    access.data_directory = data;
    access.log = options.log;
  } else {
    SEEDBED_ASSIGN_OR_RETURN(access, Authenticator::OptionsForTcp(data, options.token_file, options.log));
  }
  std::unique_ptr<Server> server(new Server(std::make_unique<Parts>(coordinator, std::move(access), options.limits)));
  if (!tcp.empty()) server->token_file_ = TokenPath(data, options.token_file);
  SEEDBED_RETURN_IF_ERROR(server->Listen(options, tcp));
  return server;
}

absl::Status Server::Listen(const ServerOptions& options, const std::vector<ListenAddress>& tcp) {
  TurnPluginsOn();
  grpc::ServerBuilder builder;
  Configure(&builder);
  if (!tcp.empty()) {
    TcpAcceptor::Options acceptor;
    acceptor.first_refused_descriptor =
        options.first_refused_descriptor > 0 ? options.first_refused_descriptor : FirstRefusedDescriptor();
    acceptor.log = options.log;
    SEEDBED_ASSIGN_OR_RETURN(parts_->acceptor, TcpAcceptor::Listen(tcp, std::move(acceptor)));
    parts_->connections = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        AdmittingCredentials(options.tls, &parts_->authenticator));
  }
  std::vector<int> bound(options.listen.size(), 0);
  for (size_t i = 0; i < options.listen.size(); ++i) {
    if (!options.listen[i].is_unix) continue;
    builder.AddListeningPort(options.listen[i].ToString(), grpc::InsecureServerCredentials(), &bound[i]);
  }
  builder.RegisterService(&parts_->sweeps);
  builder.RegisterService(&parts_->workers);
  parts_->server = builder.BuildAndStart();
  size_t next_port = 0;
  for (size_t i = 0; i < options.listen.size(); ++i) {
    ListenAddress address = options.listen[i];
    if (address.is_unix && (!parts_->server || bound[i] == 0)) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", address.ToString(), ": it is in use; choose another address"));
    }
    if (!address.is_unix) address.port = parts_->acceptor->ports()[next_port++];
    addresses_.push_back(address.ToString());
  }
  if (!parts_->server) {
    return absl::InternalError("gRPC did not start its server; look at the TLS files if there are any");
  }
  if (parts_->acceptor != nullptr) {
    parts_->acceptor->Start([connections = parts_->connections.get()](int descriptor) {
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
      parameters.fd = descriptor;
      connections->HandleNewConnection(&parameters);
    });
  }
  return absl::OkStatus();
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() {
  Shutdown();
}

std::shared_ptr<grpc::Channel> Server::InProcessChannel() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  return parts_->server->InProcessChannel(arguments);
}

void Server::Shutdown(absl::Duration patience) {
  if (parts_->acceptor) parts_->acceptor->Stop();
  if (!parts_->server) return;
  parts_->server->Shutdown(absl::ToChronoTime(absl::Now() + patience));
  parts_->pools.Stop();
  parts_->server.reset();
}

}  // namespace seedbed
