#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/secrets/pem_files.h"
#include "coordinator/access/listen_address.h"
#include "coordinator/coordinator.h"
#include "coordinator/rpc/call_limits.h"

namespace grpc {
class Channel;
}

namespace seedbed {

struct ServerOptions {
  std::vector<ListenAddress> listen;  // none: in-process calls only
  std::string token_file;             // for TCP; empty: DATA/token, made if it does not exist
  bool insecure = false;              // allows TCP without encryption beyond this machine
  // Of a server (LoadTlsPems): every TCP address speaks TLS. With `ca`, clients must show a certificate of it. Empty:
  // no TLS. Unix sockets never speak it.
  TlsPems tls;
  LogLine log;  // of refused calls and connections; none: silent
  // See TcpAcceptor::Options; 0: FirstRefusedDescriptor().
  int first_refused_descriptor = 0;
  CallLimits limits;  // for tests
};

// What can be said of the addresses before there is a data directory: to be asked before a coordinator is opened,
// since that makes or changes its database. Server::Start asks again. FAILED_PRECONDITION as there, UNAVAILABLE where
// a TCP address cannot be listened on: it is bound for an instant.
absl::Status CheckAddresses(const ServerOptions& options);

// Serves a coordinator over gRPC: SweepService, WorkerService, health checking and reflection. The latter two tell
// nothing about sweeps, and answer every token.
class Server {
 public:
  // `coordinator` outlives the server. FAILED_PRECONDITION, INVALID_ARGUMENT, UNAVAILABLE say what was wrong with an
  // address or the token file, and what to do.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options, Coordinator* coordinator);
  // Shuts down.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Where it listens, with real ports, in the order of ServerOptions::listen.
  const std::vector<std::string>& addresses() const { return addresses_; }
  // The file that holds the token for TCP; empty if no listener needs one.
  const std::string& token_file() const { return token_file_; }
  // A channel that ends here. Its calls must be over before the server is destroyed; with a TCP listener beside it they
  // need the token too.
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // Takes no new calls, cancels those that are not over after `patience`, and waits for them. Call
  // Coordinator::PrepareToStop before it, so that held calls and reports have their answers.
  void Shutdown(absl::Duration patience = absl::Milliseconds(500));

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  absl::Status Listen(const ServerOptions& options, const std::vector<ListenAddress>& tcp);

  std::unique_ptr<Parts> parts_;
  std::vector<std::string> addresses_;
  std::string token_file_;
};

}  // namespace seedbed
