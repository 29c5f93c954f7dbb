#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace seedbed {

// Where a server listens, as `--listen` says it: "HOST:PORT" (port 0: any free one) or "unix:/path". Pure.
struct ListenAddress {
  bool is_unix = false;
  std::string path;  // of the socket
  std::string host;  // as given, without the brackets of an IPv6 address
  int port = 0;
  // 127.0.0.0/8, ::1 or localhost: only this machine can reach it. What localhost stands for is looked at when it is
  // listened on.
  bool is_loopback = false;

  std::string ToString() const;
};

// INVALID_ARGUMENT says what was expected.
absl::StatusOr<ListenAddress> ParseListenAddress(const std::string& text);

// For a Unix-socket listener: FAILED_PRECONDITION unless the socket's directory exists, is ours and lets nobody else in
// (mode 0700), since whoever reaches the socket needs no token; INVALID_ARGUMENT if the path is too long for a socket.
absl::Status CheckSocketPath(const std::string& path);

// Whether a server may listen there: CheckSocketPath for a Unix socket; FAILED_PRECONDITION for TCP beyond this machine
// that is neither `encrypted` nor allowed to be open (`insecure`).
absl::Status CheckAddress(const ListenAddress& address, bool encrypted, bool insecure);

}  // namespace seedbed
