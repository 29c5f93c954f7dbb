#include "coordinator/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/rpc/authentication.h"
#include "coordinator/rpc/sweep_service.h"
#include "coordinator/rpc/worker_service.h"

namespace seedbed {
namespace {

// A sweep file is at most 4 MiB and a worker's report about as much.
constexpr int kMostMessageBytes = 16 << 20;

absl::Status CheckAddress(const ListenAddress& address, bool insecure) {
  if (address.is_unix) return CheckSocketPath(address.path);
  if (address.is_loopback || insecure) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "listening on ", address.ToString(),
      " would send the token and all results unencrypted over the network; listen on 127.0.0.1 (with an SSH "
      "tunnel), or say --insecure where the network is trusted"));
}

void Configure(grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(kMostMessageBytes);
  builder->SetMaxSendMessageSize(-1);
  // Two coordinators on one port would share its connections between them.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A worker whose machine died without a word is noticed, and held calls of living ones may be watched over.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
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
  Parts(Coordinator* coordinator, std::string token, std::string hint)
      : authenticator(std::move(token), std::move(hint)),
        sweeps(coordinator, &authenticator, &pools),
        workers(coordinator, &authenticator, &pools) {}

  Authenticator authenticator;
  ServicePools pools;
  SweepServiceImpl sweeps;
  WorkerServiceImpl workers;
  std::unique_ptr<grpc::Server> server;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, Coordinator* coordinator) {
  bool tcp = false;
  for (const ListenAddress& address : options.listen) {
    SEEDBED_RETURN_IF_ERROR(CheckAddress(address, options.insecure));
    tcp = tcp || !address.is_unix;
  }
  std::string token;
  std::string token_file;
  if (tcp) {
    token_file = options.token_file.empty() ? coordinator->Info().directory + "/token" : options.token_file;
    SEEDBED_ASSIGN_OR_RETURN(token, LoadToken(token_file, /*create=*/options.token_file.empty()));
  }
  const std::string hint = absl::StrCat("it stands in the file ", token_file,
                                        " on the coordinator's machine: copy it, and give it by --token-file or in "
                                        "SEEDBED_TOKEN");
  auto parts = std::make_unique<Parts>(coordinator, std::move(token), hint);
  TurnPluginsOn();
  grpc::ServerBuilder builder;
  Configure(&builder);
  std::vector<int> ports(options.listen.size(), 0);
  for (size_t i = 0; i < options.listen.size(); ++i) {
    builder.AddListeningPort(options.listen[i].ToString(), grpc::InsecureServerCredentials(), &ports[i]);
  }
  builder.RegisterService(&parts->sweeps);
  builder.RegisterService(&parts->workers);
  parts->server = builder.BuildAndStart();
  std::unique_ptr<Server> server(new Server(std::move(parts)));
  server->token_file_ = token_file;
  for (size_t i = 0; i < options.listen.size(); ++i) {
    ListenAddress address = options.listen[i];
    if (!server->parts_->server || ports[i] == 0) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", address.ToString(),
                                                 ": it is in use, or not this machine's; choose another address",
                                                 address.is_unix ? "" : " (port 0 takes a free port)"));
    }
    if (!address.is_unix) address.port = ports[i];
    server->addresses_.push_back(address.ToString());
  }
  if (!server->parts_->server) return absl::InternalError("gRPC did not start its server");
  return server;
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
  if (!parts_->server) return;
  parts_->server->Shutdown(absl::ToChronoTime(absl::Now() + patience));
  parts_->pools.Stop();
  parts_->server.reset();
}

}  // namespace seedbed
