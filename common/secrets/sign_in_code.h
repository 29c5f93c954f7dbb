#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"

// Codes that stand in a link and open the dashboard once, in place of a token, which would stay in the browser's
// history. Whoever can read the admin's token makes one without asking anybody: it is a time, a random number, and both
// authenticated with the token as key (HMAC-SHA-256), so that it tells nothing about the token.
namespace seedbed {

constexpr absl::Duration kSignInCodeAge = absl::Minutes(5);

// Good until kSignInCodeAge after `now`. Letters, digits and dots only.
std::string MakeSignInCode(const std::string& admin_token, absl::Time now);

// The side that takes them, each once. What was used is remembered in memory only: codes that were made before `start`,
// when this side began, may have been used then, and are good no more. Thread-safe.
class SignInCodes {
 public:
  SignInCodes(std::string admin_token, absl::Time start) : admin_token_(std::move(admin_token)), start_(start) {}

  // UNAUTHENTICATED for a code that was not made with this token, is too old, older than this, or was used before; says
  // what to do.
  absl::Status Use(const std::string& code, absl::Time now);

 private:
  const std::string admin_token_;
  const absl::Time start_;
  std::mutex mutex_;
  std::map<std::string, absl::Time> used_;  // until they are too old; guarded by mutex_
};

}  // namespace seedbed
