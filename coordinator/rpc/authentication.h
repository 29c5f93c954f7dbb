#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace grpc {
class ServerContextBase;
}

namespace seedbed {

// The bearer token that every TCP connection must show. Tokens live in files, never in results.db.
//
// Reads the token from `path`; makes one of 32 random bytes (mode 0600) if there is no such file and `create`.
// FAILED_PRECONDITION for a file that others may read, that is empty, or that does not exist.
absl::StatusOr<std::string> LoadToken(const std::string& path, bool create);

// Compares in time that depends on the lengths only.
bool EqualInConstantTime(const std::string& a, const std::string& b);

// Decides who may call. Thread-safe.
class Authenticator {
 public:
  // `token` as LoadToken gives it; empty: there is no TCP listener, and everybody who can reach the server may call.
  // `token_hint` tells people where to find it.
  Authenticator(std::string token, std::string token_hint)
      : token_(std::move(token)), token_hint_(std::move(token_hint)) {}

  // OK for calls over a Unix socket (its directory is private); UNAUTHENTICATED for others without the metadata
  // `authorization: Bearer TOKEN`.
  absl::Status Check(const grpc::ServerContextBase& context) const;

 private:
  const std::string token_;
  const std::string token_hint_;
};

}  // namespace seedbed
