#include "cli/connection.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/printed_command.h"
#include "common/base/status_macros.h"
#include "common/secrets/bearer_token.h"
#include "common/secrets/pem_files.h"
#include "coordinator/coordinator.h"
#include "coordinator/rpc/server.h"
#include "coordinator/server_file.h"
#include "coordinator/storage/data_directory.h"

namespace seedbed::cli {
namespace {

// The files of TLS for `address`; a Unix socket has no use for them, wherever they were given.
absl::StatusOr<TlsPems> TlsFor(const GlobalOptions& options, const std::string& address) {
  if (absl::StartsWith(address, "unix:")) return TlsPems();
  return LoadTlsPems(options.tls, TlsSide::kClient, absl::Now());
}

// The file of a token that a worker may use: `given` if it is a data directory's own, which is an admin's. A person's
// would be refused.
std::string TokenFileOfWorker(const std::string& given) {
  const std::filesystem::path path(given);
  std::error_code ignored;
  const bool of_directory =
      path.filename() == "token" && std::filesystem::exists(DatabasePath((path.parent_path() / ".").string()), ignored);
  return of_directory ? given : "WORKER.token";
}

// For `address`, with the files that reach it from here.
std::string WorkerCommand(const std::string& address, const std::string& token_file, const TlsFiles& tls) {
  const bool is_unix = absl::StartsWith(address, "unix:");
  return WithOptions("seedbed-worker", {{"--server", address},
                                        {"--token-file", is_unix ? "" : token_file},
                                        {"--tls-ca", is_unix ? "" : tls.ca},
                                        {"--tls-certificate", is_unix ? "" : tls.certificate},
                                        {"--tls-key", is_unix ? "" : tls.key}});
}

// A coordinator opened in this process; members are destroyed from the last to the first.
struct InProcess {
  std::unique_ptr<Coordinator> coordinator;
  std::unique_ptr<Server> server;
  ~InProcess() {
    if (coordinator != nullptr) coordinator->PrepareToStop();  // none if it could not be opened
  }
};

absl::StatusOr<Connection> OpenInProcess(const std::string& directory, Access access) {
  struct stat found;
  if (access != Access::kCreate && stat(DatabasePath(directory).c_str(), &found) != 0) {
    return absl::NotFoundError(absl::StrCat("there is no results database ", DatabasePath(directory),
                                            "\nName its directory with --data DIR, or a coordinator with --server "
                                            "HOST:PORT; `seedbed run FILE` makes a first one."));
  }
  const auto in_process = std::make_shared<InProcess>();
  CoordinatorOptions options = UnservedOptions(directory);
  options.read_only = access == Access::kRead;
  SEEDBED_ASSIGN_OR_RETURN(in_process->coordinator, Coordinator::Open(std::move(options)));
  SEEDBED_ASSIGN_OR_RETURN(in_process->server, Server::Start(ServerOptions(), in_process->coordinator.get()));
  Connection connection;
  connection.client = std::make_unique<Client>(in_process->server->InProcessChannel(), "", "");
  connection.server = in_process;
  connection.offline = true;
  return connection;
}

}  // namespace

absl::StatusOr<std::optional<RunningCoordinator>> FindRunningCoordinator(const std::string& data_directory) {
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<ServerFile> file, ReadServerFile(data_directory));
  if (!file.has_value() || file->addresses.empty() || DataLockHolder(data_directory) == 0) {
    return std::optional<RunningCoordinator>();
  }
  RunningCoordinator running;
  const auto socket = std::find_if(file->addresses.begin(), file->addresses.end(),
                                   [](const std::string& address) { return absl::StartsWith(address, "unix:"); });
  running.address = socket != file->addresses.end() ? *socket : file->addresses.front();
  running.pid = file->pid;
  running.tls = file->tls && socket == file->addresses.end();
  if (socket == file->addresses.end() && file->strangers) {
    return absl::FailedPreconditionError(
        absl::StrCat("the coordinator on ", data_directory,
                     " is another user's, and root sends no token to where that user's file says\nName it with --server HOST:PORT, and a token with --token-file FILE."));
  }
  if (socket == file->addresses.end() && !file->token_file.empty()) {
    running.token_file = file->token_file;
    SEEDBED_ASSIGN_OR_RETURN(running.token, GivenToken(file->token_file));
  }
  return std::optional<RunningCoordinator>(std::move(running));
}

absl::StatusOr<std::unique_ptr<Client>> ClientOf(const RunningCoordinator& running, const GlobalOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(const std::string token, GivenToken(options.token_file));
  TlsPems tls;
  if (running.tls) {
    SEEDBED_ASSIGN_OR_RETURN(tls, TlsFor(options, running.address));
  }
  if (running.tls && tls.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the coordinator at ", running.address,
                     " serves TLS, and has no Unix socket for this machine; "
                     "give the file of its authority with --tls-ca, or start it with --listen unix:/path too"));
  }
  return Client::ForAddress(running.address, token.empty() ? running.token : token, tls);
}

absl::StatusOr<Connection> Connect(const GlobalOptions& options, Access access) {
  SEEDBED_ASSIGN_OR_RETURN(const std::string token, GivenToken(options.token_file));
  Connection connection;
  if (!options.server.empty()) {
    SEEDBED_ASSIGN_OR_RETURN(const TlsPems tls, TlsFor(options, options.server));
    connection.client = Client::ForAddress(options.server, token, tls);
    connection.worker_command = WorkerCommand(options.server, TokenFileOfWorker(options.token_file), options.tls);
    return connection;
  }
  const std::string directory = DataDirectory(options);
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<RunningCoordinator> running, FindRunningCoordinator(directory));
  if (!running.has_value()) return OpenInProcess(directory, access);
  SEEDBED_ASSIGN_OR_RETURN(connection.client, ClientOf(*running, options));
  connection.worker_command =
      WorkerCommand(running->address,
                    options.token_file.empty() ? running->token_file : TokenFileOfWorker(options.token_file),
                    running->tls ? options.tls : TlsFiles());
  return connection;
}

}  // namespace seedbed::cli
