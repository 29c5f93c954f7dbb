#include "coordinator/rpc/caller.h"

#include <grpcpp/server_context.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"

namespace seedbed {

Caller CallerOf(const grpc::ServerContextBase& context) {
  Caller caller;
  caller.peer = context.peer();
  if (absl::StartsWith(caller.peer, "unix:")) {
    caller.kind = Caller::Kind::kTrusted;
    return caller;
  }
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto each = begin; each != end; ++each) {
    std::optional<std::string> sha256 = BearerTokenSha256(std::string(each->second.data(), each->second.size()));
    if (!sha256) continue;
    caller.kind = Caller::Kind::kToken;
    caller.token_sha256 = *std::move(sha256);
    break;
  }
  return caller;
}

}  // namespace seedbed
