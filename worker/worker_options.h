#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/secrets/pem_files.h"

namespace seedbed {

// What seedbed-worker was told on its command line, with defaults filled in.
struct WorkerOptions {
  std::string server;  // "host:port" or "unix:/path"
  std::string token;
  TlsPems tls;  // empty: no TLS; always so for a Unix socket
  int slots = 1;
  std::string device = "auto";  // auto, cpu, cuda, cuda:N
  std::string name;
  std::string directory;  // empty: one of its own, removed at the end
  std::string engine;
  std::vector<std::string> engine_arguments;
  std::vector<std::string> trainers;  // empty: all that the engine offers
  std::string blas_kernel = "auto";
  int prefetch = 1;
  int pack = 1;                  // runs trained together in one engine, at most; 0: as the engine says
  double checkpoint_every = 60;  // seconds; 0: only at the end and where a run is handed back
  int exit_with_parent = -1;     // a descriptor
  std::string log_level = "info";
};

// Parses the command line. After --help and --version, which are answered on stdout, and after a mistake, which is told
// on stderr, the program is to leave with `exit_code`.
struct ParsedOptions {
  WorkerOptions options;
  bool leave = false;
  int exit_code = 0;
};
ParsedOptions ParseWorkerOptions(int argc, char** argv, int available_cpus);

// The token to send: of `token_file`, else of SEEDBED_TOKEN, else of ./seedbed-data/token when the server is on this
// machine's loopback; empty if there is none. NOT_FOUND if `token_file` cannot be read, INVALID_ARGUMENT if it holds no
// token.
absl::StatusOr<std::string> FindToken(const std::string& token_file, const std::string& server);

}  // namespace seedbed
