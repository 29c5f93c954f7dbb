#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace seedbed {

// SHA-256 (FIPS 180-4) of bytes that come in pieces. Here and not from a library because the engine builds without one.
// Not thread-safe.
class Sha256 {
 public:
  using Sum = std::array<uint8_t, 32>;

  void Update(std::string_view bytes);
  // Of all bytes so far; more may follow.
  Sum Finish() const;

 private:
  void TakeBlock(const uint8_t* block);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> pending_{};  // the first pending_size_ bytes of a block that is not whole yet
  size_t pending_size_ = 0;
  uint64_t total_ = 0;  // bytes
};

// 64 lower-case hexadecimal digits.
std::string HexOf(const Sha256::Sum& sum);
std::string Sha256Hex(std::string_view bytes);

}  // namespace seedbed
