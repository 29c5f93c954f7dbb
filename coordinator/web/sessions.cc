#include "coordinator/web/sessions.h"

#include <algorithm>

#include "common/base/sha256.h"
#include "common/secrets/random_text.h"

namespace seedbed {
namespace {

constexpr int kCookieBytes = 32;

}  // namespace

std::string Sessions::Open(const std::string& token_sha256, absl::Duration now) {
  std::string cookie = RandomHex(kCookieBytes);
  const std::lock_guard<std::mutex> lock(mutex_);
  // All have the same age: the first to end is the oldest.
  while (!sessions_.empty() && sessions_.size() >= most_) {
    sessions_.erase(std::min_element(sessions_.begin(), sessions_.end(),
                                     [](const auto& a, const auto& b) { return a.second.ends_at < b.second.ends_at; }));
  }
  sessions_[Sha256Hex(cookie)] = {token_sha256, now + age_};
  return cookie;
}

std::optional<std::string> Sessions::TokenOf(const std::string& cookie, absl::Duration now) {
  // Looked up by its hash, whose bits a caller cannot choose: how long that takes tells nothing about other cookies.
  const std::string key = Sha256Hex(cookie);
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return std::nullopt;
  if (found->second.ends_at > now) return found->second.token_sha256;
  sessions_.erase(found);
  return std::nullopt;
}

void Sessions::Close(const std::string& cookie) {
  const std::lock_guard<std::mutex> lock(mutex_);
  sessions_.erase(Sha256Hex(cookie));
}

}  // namespace seedbed
