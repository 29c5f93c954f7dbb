#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace seedbed {

// The first 128 bits of a SHA-256: the identity of a specification. Two different texts share one with probability
// 2^-128.
struct Digest {
  uint64_t high = 0;
  uint64_t low = 0;

  std::string Hex() const;  // 32 lower-case digits
  friend bool operator==(const Digest& a, const Digest& b) { return a.high == b.high && a.low == b.low; }
  friend bool operator!=(const Digest& a, const Digest& b) { return !(a == b); }
  friend bool operator<(const Digest& a, const Digest& b) { return a.high != b.high ? a.high < b.high : a.low < b.low; }
  friend std::ostream& operator<<(std::ostream& out, const Digest& d) { return out << d.Hex(); }
  template <typename H>
  friend H AbslHashValue(H h, const Digest& d) {
    return H::combine(std::move(h), d.high, d.low);
  }
};

Digest DigestOf(std::string_view text);

// Reads what Hex() writes; false if `hex` is not 32 hexadecimal digits.
bool DigestFromHex(std::string_view hex, Digest* digest);

}  // namespace seedbed
