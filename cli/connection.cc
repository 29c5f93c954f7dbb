#include "cli/connection.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "coordinator/coordinator.h"
#include "coordinator/rpc/server.h"
#include "coordinator/server_file.h"
#include "coordinator/storage/data_directory.h"

namespace seedbed::cli {
namespace {

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read the token file ", path));
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return std::string(absl::StripAsciiWhitespace(text));
}

// The token that was given, by file or environment; "" if none was.
absl::StatusOr<std::string> GivenToken(const GlobalOptions& options) {
  if (!options.token_file.empty()) return ReadToken(options.token_file);
  const char* token = std::getenv("SEEDBED_TOKEN");
  return std::string(token == nullptr ? "" : token);
}

// A coordinator opened in this process; members are destroyed from the last to the first.
struct InProcess {
  std::unique_ptr<Coordinator> coordinator;
  std::unique_ptr<Server> server;
  ~InProcess() { coordinator->PrepareToStop(); }
};

absl::StatusOr<Connection> OpenInProcess(const std::string& directory, Access access) {
  struct stat found;
  if (access != Access::kCreate && stat(DatabasePath(directory).c_str(), &found) != 0) {
    return absl::NotFoundError(absl::StrCat("there is no results database ", DatabasePath(directory),
                                            "\nName its directory with --data DIR, or a coordinator with --server "
                                            "HOST:PORT; `seedbed run FILE` makes a first one."));
  }
  const auto in_process = std::make_shared<InProcess>();
  CoordinatorOptions options;
  options.directory = directory;
  options.read_only = access == Access::kRead;
  SEEDBED_ASSIGN_OR_RETURN(in_process->coordinator, Coordinator::Open(std::move(options)));
  SEEDBED_ASSIGN_OR_RETURN(in_process->server, Server::Start(ServerOptions(), in_process->coordinator.get()));
  Connection connection;
  connection.client = std::make_unique<Client>(in_process->server->InProcessChannel(), directory, "");
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
  if (socket == file->addresses.end() && !file->token_file.empty()) {
    running.token_file = file->token_file;
    SEEDBED_ASSIGN_OR_RETURN(running.token, ReadToken(file->token_file));
  }
  return std::optional<RunningCoordinator>(std::move(running));
}

absl::StatusOr<Connection> Connect(const GlobalOptions& options, Access access) {
  SEEDBED_ASSIGN_OR_RETURN(const std::string token, GivenToken(options));
  Connection connection;
  if (!options.server.empty()) {
    connection.client = Client::ForAddress(options.server, token);
    return connection;
  }
  const std::string directory = DataDirectory(options);
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<RunningCoordinator> running, FindRunningCoordinator(directory));
  if (!running.has_value()) return OpenInProcess(directory, access);
  connection.client = Client::ForAddress(running->address, token.empty() ? running->token : token);
  return connection;
}

}  // namespace seedbed::cli
