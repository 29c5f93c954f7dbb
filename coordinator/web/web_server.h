#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/secrets/pem_files.h"
#include "coordinator/access/listen_address.h"
#include "coordinator/coordinator.h"
#include "coordinator/web/limits.h"

namespace seedbed {

struct WebOptions {
  ListenAddress listen;              // TCP
  std::vector<std::string> hosts;    // further names of this machine that browsers may ask for
  std::string token_file;            // as ServerOptions has it
  bool insecure = false;             // likewise
  TlsPems tls;                       // likewise
  LogLine log;                       // of refused requests and connections; none: silent
  int first_refused_descriptor = 0;  // see TcpAcceptor::Options; 0: FirstRefusedDescriptor()
  WebLimits limits;                  // for tests
};

// What can be said before there is a data directory, as CheckAddresses does for gRPC's: a port that is taken, too.
absl::Status CheckWebOptions(const WebOptions& options);

// Serves the dashboard, its API and the coordinator's metrics over HTTP. All of it only reads, and all of it needs a
// token that may read. Nothing here shares a thread with gRPC.
class WebServer {
 public:
  // `coordinator` outlives the server. FAILED_PRECONDITION, INVALID_ARGUMENT, UNAVAILABLE say what was wrong with the
  // address, the TLS files or the token file, and what to do.
  static absl::StatusOr<std::unique_ptr<WebServer>> Start(const WebOptions& options, Coordinator* coordinator);
  // Shuts down.
  ~WebServer();
  WebServer(const WebServer&) = delete;
  WebServer& operator=(const WebServer&) = delete;

  // "http://127.0.0.1:8080" or "https://…", with the real port.
  const std::string& url() const { return url_; }
  // The file that holds the admin's token.
  const std::string& token_file() const { return token_file_; }

  // Takes no new connections, ends all, and waits for what is being answered. Idempotent.
  void Shutdown();

 private:
  struct Parts;
  explicit WebServer(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
  std::string url_;
  std::string token_file_;
};

}  // namespace seedbed
