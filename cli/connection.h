#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "cli/context.h"

namespace seedbed::cli {

// Where a running coordinator listens.
struct RunningCoordinator {
  std::string address;
  std::string token;       // empty: it needs none there
  std::string token_file;  // where the token was read; empty likewise
  bool tls = false;        // it speaks TLS there
  int64_t pid = 0;
};

// The coordinator that holds DATA/lock, by DATA/coordinator.json; nullopt if none does. A Unix socket is preferred.
absl::StatusOr<std::optional<RunningCoordinator>> FindRunningCoordinator(const std::string& data_directory);

// A client of it, with what `options` say of tokens and TLS.
absl::StatusOr<std::unique_ptr<Client>> ClientOf(const RunningCoordinator& running, const GlobalOptions& options);

// The connector of the real program: --server; or the coordinator that runs on the data directory; or the data
// directory itself, opened in this process.
absl::StatusOr<Connection> Connect(const GlobalOptions& options, Access access);

}  // namespace seedbed::cli
