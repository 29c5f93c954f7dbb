#include "coordinator/rpc/authentication.h"

#include <fcntl.h>
#include <grpcpp/server_context.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/random_text.h"
#include "coordinator/server_file.h"

namespace seedbed {
namespace {

constexpr int kTokenBytes = 32;
constexpr size_t kMostTokenBytes = 4096;
constexpr char kScheme[] = "bearer ";

}  // namespace

absl::StatusOr<std::string> LoadToken(const std::string& path, bool create) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    if (errno != ENOENT || !create) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot read the token file ", path, ": ", std::strerror(errno)));
    }
    const std::string token = RandomHex(kTokenBytes);
    SEEDBED_RETURN_IF_ERROR(WritePrivateFile(path, token + "\n"));
    return token;
  }
  struct stat entry {};
  const bool open_to_others = fstat(descriptor, &entry) != 0 || (entry.st_mode & 0077) != 0;
  std::string text(kMostTokenBytes, '\0');
  const ssize_t count = read(descriptor, text.data(), text.size());
  close(descriptor);
  if (open_to_others) {
    return absl::FailedPreconditionError(
        absl::StrCat("the token file ", path, " can be read by others; chmod 600 it, or remove it to get a new token"));
  }
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  const std::string token(absl::StripAsciiWhitespace(text));
  if (token.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the token file ", path, " is empty; remove it to get a new token"));
  }
  return token;
}

bool EqualInConstantTime(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  volatile unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference =
        static_cast<unsigned char>(difference | (static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i])));
  }
  return difference == 0;
}

absl::Status Authenticator::Check(const grpc::ServerContextBase& context) const {
  // Without a token nothing listens on TCP: the call came in-process, whose peer gRPC 1.51 calls "unknown".
  if (token_.empty() || absl::StartsWith(context.peer(), "unix:")) return absl::OkStatus();
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto each = begin; each != end; ++each) {
    const std::string value(each->second.data(), each->second.size());
    if (!absl::StartsWithIgnoreCase(value, kScheme)) continue;
    if (EqualInConstantTime(value.substr(std::strlen(kScheme)), token_)) return absl::OkStatus();
    return absl::UnauthenticatedError(absl::StrCat("this is not the coordinator's token; ", token_hint_));
  }
  return absl::UnauthenticatedError(absl::StrCat("the coordinator wants a token over TCP; ", token_hint_));
}

}  // namespace seedbed
