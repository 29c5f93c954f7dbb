#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace seedbed {

// Browsers that have shown a token once and hold a random cookie since. Of cookies and tokens only hashes are kept; a
// session is good for what its token is good for at the moment, so that it ends when that is revoked. Times are
// monotonic. Thread-safe.
class Sessions {
 public:
  // Beyond `most`, the one that would end first ends.
  Sessions(size_t most, absl::Duration age) : most_(most), age_(age) {}

  // Returns the cookie's value, of 256 random bits.
  std::string Open(const std::string& token_sha256, absl::Duration now);
  // The hash of the token that opened the session of this cookie; nullopt if there is no such session (any more).
  std::optional<std::string> TokenOf(const std::string& cookie, absl::Duration now);
  // The session's token is no longer good.
  void Close(const std::string& cookie);

 private:
  struct Session {
    std::string token_sha256;
    absl::Duration ends_at;
  };
  const size_t most_;
  const absl::Duration age_;
  std::mutex mutex_;
  std::map<std::string, Session> sessions_;  // by the SHA-256 of the cookie, guarded by mutex_
};

}  // namespace seedbed
