#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace seedbed::cli {

// A place for a Unix socket that only this user can reach: a new directory of mode 0700 below XDG_RUNTIME_DIR, or /tmp
// where that is unset, not writable, or too long for a socket's address (107 bytes). Removed at the end; what killed
// commands left there is removed at the start.
class PrivateSocket {
 public:
  static absl::StatusOr<std::unique_ptr<PrivateSocket>> Create();
  ~PrivateSocket();
  PrivateSocket(const PrivateSocket&) = delete;
  PrivateSocket& operator=(const PrivateSocket&) = delete;

  std::string path() const { return directory_ + "/socket"; }
  std::string address() const { return "unix:" + path(); }

 private:
  explicit PrivateSocket(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;
};

}  // namespace seedbed::cli
