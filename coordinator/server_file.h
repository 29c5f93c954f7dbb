#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// DATA/coordinator.json: how programs beside the coordinator find it. Mode 0600, there only while it serves.
namespace seedbed {

struct ServerFile {
  std::vector<std::string> addresses;  // "unix:/path" or "host:port", with the real port
  int64_t pid = 0;
  std::string version;
  std::string database_id;
  std::string token_file;  // empty if no address needs a token
  bool tls = false;        // the TCP addresses speak TLS
  std::string http;        // the dashboard's URL, with the real port; empty if there is none
  bool strangers = false;  // as read: the file is neither this user's nor root's
};

// Replaces the file as one.
absl::Status WriteServerFile(const std::string& data_directory, const ServerFile& content);
// nullopt if there is none. A file whose process no longer holds DATA/lock (DataLockHolder) was left behind by a crash.
absl::StatusOr<std::optional<ServerFile>> ReadServerFile(const std::string& data_directory);
void RemoveServerFile(const std::string& data_directory);

}  // namespace seedbed
