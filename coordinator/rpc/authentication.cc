#include "coordinator/rpc/authentication.h"

#include <grpcpp/server_context.h>

#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "common/secrets/private_file.h"
#include "common/secrets/random_text.h"
#include "coordinator/rpc/access_rules.h"

namespace seedbed {
namespace {

constexpr int kTokenBytes = 32;
// Of one that people wrote into the file themselves. Tokens are kept as plain hashes, which only protects what cannot
// be guessed.
constexpr size_t kFewestTokenCharacters = 32;
constexpr char kScheme[] = "bearer ";
constexpr size_t kMostHeaderBytes = 8192;
// A client that keeps asking must not fill the log.
constexpr std::chrono::seconds kBetweenLogLines(5);

// The hash of the token that a header shows; nullopt: it shows none. Empty, and so nobody's: too long for a token, and
// not worth its hash.
std::optional<std::string> TokenHash(absl::string_view authorization) {
  if (!absl::StartsWithIgnoreCase(authorization, kScheme)) return std::nullopt;
  if (authorization.size() > kMostHeaderBytes) return "";
  return Sha256Hex(std::string(authorization.substr(std::strlen(kScheme))));
}

// A call's path, as access_rules.h names methods. What strangers make up does not go to the log.
std::string MethodOf(absl::string_view path) {
  const std::string method(absl::StripPrefix(path, "/seedbed.v1."));
  return RequiredRole(method).has_value() ? method : "a call";
}

}  // namespace

absl::StatusOr<std::string> LoadToken(const std::string& path, bool create) {
  const absl::StatusOr<std::string> text = ReadPrivateFile(path);
  if (absl::IsNotFound(text.status()) && create) {
    const std::string token = RandomHex(kTokenBytes);
    SEEDBED_RETURN_IF_ERROR(WritePrivateFile(path, token + "\n"));
    return token;
  }
  if (!text.ok()) return absl::FailedPreconditionError(absl::StrCat("the token file: ", text.status().message()));
  const std::string token(absl::StripAsciiWhitespace(*text));
  if (token.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the token file ", path, " is empty; remove it to get a new token"));
  }
  if (token.size() < kFewestTokenCharacters) {
    return absl::FailedPreconditionError(absl::StrCat("the token file ", path, " has a token of ", token.size(),
                                                      " characters, which can be guessed: ", "expected at least ",
                                                      kFewestTokenCharacters,
                                                      "; `openssl rand -hex 32` makes a good one"));
  }
  return token;
}

Authenticator::Authenticator(Options options)
    : options_(std::move(options)),
      admin_sha256_(options_.admin_token.empty() ? "" : Sha256Hex(options_.admin_token)),
      tokens_(options_.data_directory) {}

Authenticator::Shown Authenticator::ShownBy(const grpc::ServerContextBase& context) const {
  Shown shown;
  shown.peer = context.peer();
  // Without a token nothing listens on TCP: the call came in-process, whose peer gRPC 1.51 calls "unknown".
  if (admin_sha256_.empty() || absl::StartsWith(shown.peer, "unix:")) {
    shown.kind = Kind::kTrusted;
    return shown;
  }
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto each = begin; each != end; ++each) {
    std::optional<std::string> hash = TokenHash({each->second.data(), each->second.size()});
    if (!hash.has_value()) continue;
    shown.kind = Kind::kToken;
    shown.sha256 = *std::move(hash);
    break;
  }
  return shown;
}

absl::StatusOr<TokenEntry> Authenticator::Known(const std::string& sha256) const {
  if (EqualInConstantTime(sha256, admin_sha256_)) return TokenEntry{"the admin's", Role::kAdmin, sha256, ""};
  absl::StatusOr<std::optional<TokenEntry>> entry = tokens_.Find(sha256);
  if (!entry.ok()) {
    return absl::UnauthenticatedError(
        "the coordinator cannot read its tokens at present; tell its operator to look at its log");
  }
  if (!entry->has_value()) {
    return absl::UnauthenticatedError(
        absl::StrCat("the coordinator does not know this token: it is wrong, or was revoked; ", options_.hint));
  }
  return **std::move(entry);
}

absl::Status Authenticator::Nothing() const {
  return absl::UnauthenticatedError(absl::StrCat("the coordinator wants a token over TCP; ", options_.hint));
}

absl::Status Authenticator::Admit(absl::string_view authorization, absl::string_view path) const {
  const std::optional<std::string> hash = TokenHash(authorization);
  const absl::Status status = hash.has_value() ? Known(*hash).status() : Nothing();
  if (!status.ok()) LogRefusal(absl::StrCat(MethodOf(path), " over TCP"), status);
  return status;
}

absl::Status Authenticator::JudgeToken(const std::string& sha256, const std::string& method) const {
  SEEDBED_ASSIGN_OR_RETURN(const TokenEntry token, Known(sha256));
  const std::optional<Role> needed = RequiredRole(method);
  if (token.role == Role::kAdmin || (needed && Includes(token.role, *needed))) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      "the token \"", token.name, "\" has the role ", RoleName(token.role), ", and ", method, " needs ",
      needed ? RoleName(*needed) : "a role that nobody has", needed && *needed != Role::kAdmin ? " (or admin)" : "",
      "; ask the coordinator's operator for one: ", "seedbed token create --role ",
      needed ? RoleName(*needed) : "admin", " --name NAME"));
}

absl::Status Authenticator::Judge(const Shown& shown, const std::string& method) const {
  absl::Status status;
  if (shown.kind == Kind::kNothing) {
    status = Nothing();
  } else if (shown.kind == Kind::kToken) {
    status = JudgeToken(shown.sha256, method);
  }
  if (!status.ok()) LogRefusal(absl::StrCat(method, " to ", shown.peer), status);
  return status;
}

void Authenticator::LogRefusal(const std::string& what, const absl::Status& why) const {
  if (!options_.log) return;
  int64_t others = 0;
  {
    const std::lock_guard<std::mutex> lock(log_mutex_);
    const auto now = std::chrono::steady_clock::now();
    const bool first = last_logged_ == std::chrono::steady_clock::time_point();
    if (!first && now - last_logged_ < kBetweenLogLines) {
      ++refused_unlogged_;
      return;
    }
    last_logged_ = now;
    others = std::exchange(refused_unlogged_, 0);
  }
  std::string reason(why.message());
  // The client is not told what is wrong with the file; the operator is.
  const absl::Status file = tokens_.Find("").status();
  if (!file.ok()) reason = std::string(file.message());
  options_.log(LogLevel::kWarning, absl::StrCat("refused ", what, ": ", reason,
                                                others > 0 ? absl::StrCat(" (and ", others, " calls before it)") : ""));
}

absl::Status Authenticator::Check(const grpc::ServerContextBase& context, const std::string& method) const {
  return Judge(ShownBy(context), method);
}

Authenticator::Again Authenticator::CheckAgain(const grpc::ServerContextBase& context,
                                               const std::string& method) const {
  return [this, shown = ShownBy(context), method] { return Judge(shown, method); };
}

}  // namespace seedbed
