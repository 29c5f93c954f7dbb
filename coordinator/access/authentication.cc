#include "coordinator/access/authentication.h"

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
#include "coordinator/access/access_rules.h"

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

std::string TokenPath(const std::string& data_directory, const std::string& token_file) {
  return token_file.empty() ? data_directory + "/token" : token_file;
}

std::optional<std::string> BearerTokenSha256(absl::string_view header) {
  if (!absl::StartsWithIgnoreCase(header, kScheme)) return std::nullopt;
  // No token is so long: not worth its hash.
  if (header.size() > kMostHeaderBytes) return "";
  return Sha256Hex(std::string(header.substr(std::strlen(kScheme))));
}

Caller CallerWithToken(const std::string& token, std::string peer) {
  return {Caller::Kind::kToken, token.size() > kMostHeaderBytes ? "" : Sha256Hex(token), std::move(peer)};
}

Authenticator::Authenticator(Options options)
    : options_(std::move(options)),
      admin_sha256_(options_.admin_token.empty() ? "" : Sha256Hex(options_.admin_token)),
      tokens_(options_.data_directory) {}

absl::StatusOr<Authenticator::Options> Authenticator::OptionsForTcp(const std::string& data_directory,
                                                                    const std::string& token_file, LogLine log) {
  Options options;
  options.data_directory = data_directory;
  options.log = std::move(log);
  SEEDBED_ASSIGN_OR_RETURN(options.admin_token, LoadToken(TokenPath(data_directory, token_file),
                                                          /*create=*/token_file.empty()));
  options.hint =
      "give one by --token-file or in SEEDBED_TOKEN. `seedbed token create` makes them on the coordinator's machine, "
      "where the file `token` of its data directory (or what its --token-file named) holds its admin's";
  return options;
}

absl::StatusOr<TokenEntry> Authenticator::Known(const std::string& sha256) const {
  if (EqualInConstantTime(sha256, admin_sha256_)) return TokenEntry{"the admin's", Role::kAdmin, sha256, ""};
  absl::StatusOr<std::optional<TokenEntry>> entry = tokens_.Find(sha256);
  if (absl::IsUnavailable(entry.status())) {
    return absl::UnavailableError(
        "the coordinator cannot read its tokens at the moment; try again, and if that lasts tell its operator to look "
        "at its log");
  }
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
  const std::optional<std::string> hash = BearerTokenSha256(authorization);
  const absl::Status status = hash.has_value() ? Known(*hash).status() : Nothing();
  if (!status.ok()) LogRefusal(absl::StrCat(MethodOf(path), " over TCP"), status);
  return status;
}

absl::Status Authenticator::JudgeToken(const std::string& sha256, const std::string& method) const {
  SEEDBED_ASSIGN_OR_RETURN(const TokenEntry token, Known(sha256));
  const std::optional<Role> needed = RequiredRole(method);
  if (token.role == Role::kAdmin || (needed && Includes(token.role, *needed))) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      "the token \"", token.name, "\" has the role ", RoleName(token.role), ", and ", CommandOf(method), " needs ",
      needed ? RoleName(*needed) : "a role that nobody has", needed && *needed != Role::kAdmin ? " (or admin)" : "",
      "; ask the coordinator's operator for one: ", "seedbed token create --role ",
      needed ? RoleName(*needed) : "admin", " --name NAME"));
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

absl::Status Authenticator::Check(const Caller& caller, const std::string& method) const {
  // Without an admin's token nothing listens on TCP: the call came through a Unix socket, or from this process.
  if (caller.kind == Caller::Kind::kTrusted || admin_sha256_.empty()) return absl::OkStatus();
  const absl::Status status = caller.kind == Caller::Kind::kToken ? JudgeToken(caller.token_sha256, method) : Nothing();
  if (!status.ok()) LogRefusal(absl::StrCat(method, " to ", caller.peer), status);
  return status;
}

Authenticator::Again Authenticator::CheckAgain(const Caller& caller, const std::string& method) const {
  return [this, caller, method] { return Check(caller, method); };
}

}  // namespace seedbed
