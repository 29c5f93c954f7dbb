#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/secrets/token_store.h"
#include "coordinator/commit_loop.h"

namespace seedbed {

// The admin token of a data directory, which programs beside the coordinator use: a file, never results.db.
// Where it lies: `token_file`, or DATA/token if that is empty.
std::string TokenPath(const std::string& data_directory, const std::string& token_file);

// Reads the token from `path`; makes one of 32 random bytes (mode 0600) if there is no such file and `create`.
// FAILED_PRECONDITION for a file that others may read, that is empty, or that does not exist.
absl::StatusOr<std::string> LoadToken(const std::string& path, bool create);

// What a caller showed; of a token only its hash is kept.
struct Caller {
  enum class Kind { kNothing, kTrusted, kToken };
  Kind kind = Kind::kNothing;
  std::string token_sha256;  // empty for what is too long to be a token
  std::string peer;          // for the log
};

// The hash of the token in a header `authorization: Bearer TOKEN`; nullopt if it is of another scheme.
std::optional<std::string> BearerTokenSha256(absl::string_view header);
// The caller who shows this text as a token.
Caller CallerWithToken(const std::string& token, std::string peer);

// Decides who may call what, by the token that a caller shows and by access_rules.h; a trusted caller (through a Unix
// socket, whose directory is private) may do everything. Thread-safe.
class Authenticator {
 public:
  struct Options {
    std::string
        admin_token;   // as LoadToken gives it; empty: nothing listens on TCP, and who reaches the server may call
    std::string hint;  // tells people where tokens come from
    std::string data_directory;  // whose tokens (token_store.h) are good too
    LogLine log;                 // of refusals, at most one every few seconds; none: silent
  };
  // For servers that listen on TCP: the admin token is that of `token_file`, or of DATA/token, which is made if there
  // is none. Errors are LoadToken's.
  static absl::StatusOr<Options> OptionsForTcp(const std::string& data_directory, const std::string& token_file,
                                               LogLine log);
  explicit Authenticator(Options options);

  // Of a call over TCP, before any of its messages is read: UNAUTHENTICATED unless `authorization`, its header of that
  // name, shows a token that is known; UNAVAILABLE if that cannot be told at the moment. `path`
  // ("/package.Service/Method") is for the log.
  absl::Status Admit(absl::string_view authorization, absl::string_view path) const;

  // `method` as in access_rules.h. UNAUTHENTICATED without a token that is known, and UNAVAILABLE, as for Admit;
  // PERMISSION_DENIED if its role does not allow the call. All say what to do next, and none repeats the token.
  absl::Status Check(const Caller& caller, const std::string& method) const;

  // The same question for a call that lasts, to be asked again while it does: a token may be revoked meanwhile. Must
  // not outlive the authenticator.
  using Again = std::function<absl::Status()>;
  Again CheckAgain(const Caller& caller, const std::string& method) const;

 private:
  absl::StatusOr<TokenEntry> Known(const std::string& sha256) const;
  absl::Status JudgeToken(const std::string& sha256, const std::string& method) const;
  absl::Status Nothing() const;  // that is what was shown
  void LogRefusal(const std::string& what, const absl::Status& why) const;

  const Options options_;
  const std::string admin_sha256_;
  mutable TokenTable tokens_;
  mutable std::mutex log_mutex_;
  mutable std::chrono::steady_clock::time_point last_logged_;  // guarded by log_mutex_
  mutable int64_t refused_unlogged_ = 0;                       // likewise
};

}  // namespace seedbed
