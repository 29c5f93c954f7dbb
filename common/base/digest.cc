#include "common/base/digest.h"

#include <openssl/sha.h>

#include "absl/strings/str_cat.h"

namespace seedbed {

std::string Digest::Hex() const {
  return absl::StrCat(absl::Hex(high, absl::kZeroPad16), absl::Hex(low, absl::kZeroPad16));
}

Digest DigestOf(std::string_view text) {
  unsigned char bytes[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), bytes);
  Digest digest;
  for (int i = 0; i < 8; ++i) {
    digest.high = digest.high << 8 | bytes[i];
    digest.low = digest.low << 8 | bytes[8 + i];
  }
  return digest;
}

bool DigestFromHex(std::string_view hex, Digest* digest) {
  if (hex.size() != 32) return false;
  Digest out;
  for (int i = 0; i < 32; ++i) {
    const char c = hex[i];
    uint64_t nibble;
    if (c >= '0' && c <= '9') {
      nibble = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      nibble = c - 'a' + 10;
    } else {
      return false;
    }
    uint64_t& half = i < 16 ? out.high : out.low;
    half = half << 4 | nibble;
  }
  *digest = out;
  return true;
}

}  // namespace seedbed
