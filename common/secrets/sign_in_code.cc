#include "common/secrets/sign_in_code.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/sha256.h"
#include "common/secrets/random_text.h"
#include "common/secrets/token_store.h"

namespace seedbed {
namespace {

constexpr int kNumberBytes = 16;
constexpr size_t kMostCodeBytes = 256;

// Named for its use, so that no other use of the token as a key yields the same.
std::string Authenticate(const std::string& key, const std::string& text) {
  const std::string purpose = "seedbed dashboard sign-in " + text;
  Sha256::Sum sum{};
  unsigned size = sum.size();
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(purpose.data()),
       purpose.size(), sum.data(), &size);
  return HexOf(sum);
}

}  // namespace

std::string MakeSignInCode(const std::string& admin_token, absl::Time now) {
  const std::string text = absl::StrCat(absl::ToUnixMicros(now + kSignInCodeAge), ".", RandomHex(kNumberBytes));
  return absl::StrCat(text, ".", Authenticate(admin_token, text));
}

absl::Status SignInCodes::Use(const std::string& code, absl::Time now) {
  const absl::Status refused = absl::UnauthenticatedError(
      "this link is not good (any more): it opens the dashboard once, within five minutes and until the coordinator "
      "restarts; `seedbed dashboard` makes another");
  if (code.size() > kMostCodeBytes || admin_token_.empty()) return refused;
  const std::vector<std::string> parts = absl::StrSplit(code, '.');
  int64_t until = 0;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &until)) return refused;
  if (!EqualInConstantTime(parts[2], Authenticate(admin_token_, absl::StrCat(parts[0], ".", parts[1])))) {
    return refused;
  }
  const absl::Time good_until = absl::FromUnixMicros(until);
  if (good_until < now || good_until - kSignInCodeAge < start_) return refused;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto each = used_.begin(); each != used_.end();) each = each->second < now ? used_.erase(each) : std::next(each);
  return used_.emplace(parts[1], good_until).second ? absl::OkStatus() : refused;
}

}  // namespace seedbed
