#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

// The files of TLS, as command lines name them. Nothing here opens a connection.
namespace seedbed {

// Paths; empty: not given.
struct TlsFiles {
  std::string ca;           // certificates of the authorities that the other side's certificate must come from
  std::string certificate;  // ours, with intermediate ones after it if there are any
  std::string key;          // the private key of ours
  bool empty() const { return ca.empty() && certificate.empty() && key.empty(); }
};

// The same as PEM text, checked. A client has `ca`, and the others if the server asks for its certificate; a server has
// `certificate` and `key`, and `ca` if it asks clients for theirs.
struct TlsPems {
  std::string ca;
  std::string certificate;
  std::string key;
  bool empty() const { return ca.empty() && certificate.empty(); }
};

enum class TlsSide { kClient, kServer };

// Reads the files and checks that each holds what it should, that the certificate is valid at `now` and that the key
// belongs to it, since a TLS library would say much less. No files: empty texts. INVALID_ARGUMENT for a combination
// that makes no sense; NOT_FOUND and FAILED_PRECONDITION name the file, its option and what to do. A key that others
// may read is refused.
absl::StatusOr<TlsPems> LoadTlsPems(const TlsFiles& files, TlsSide side, absl::Time now);

// What a client that nobody answers over TCP should look at, given what it has. A server that wants a client's
// certificate just closes the connection, so that the error does not name the cause.
std::string TlsAdvice(const TlsPems& client);

}  // namespace seedbed
