#include "common/base/sha256.h"

#include <algorithm>
#include <cstring>

namespace seedbed {
namespace {

constexpr uint32_t kRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

constexpr size_t kBlock = 64;

uint32_t RotateRight(uint32_t word, int count) {
  return word >> count | word << (32 - count);
}

}  // namespace

void Sha256::TakeBlock(const uint8_t* block) {
  uint32_t schedule[64];
  for (int i = 0; i < 16; ++i) {
    schedule[i] = static_cast<uint32_t>(block[4 * i]) << 24 | static_cast<uint32_t>(block[4 * i + 1]) << 16 |
                  static_cast<uint32_t>(block[4 * i + 2]) << 8 | block[4 * i + 3];
  }
  for (int i = 16; i < 64; ++i) {
    const uint32_t early = schedule[i - 15];
    const uint32_t late = schedule[i - 2];
    schedule[i] = schedule[i - 16] + schedule[i - 7] + (RotateRight(early, 7) ^ RotateRight(early, 18) ^ early >> 3) +
                  (RotateRight(late, 17) ^ RotateRight(late, 19) ^ late >> 10);
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (int i = 0; i < 64; ++i) {
    const uint32_t first = h + (RotateRight(e, 6) ^ RotateRight(e, 11) ^ RotateRight(e, 25)) + ((e & f) ^ (~e & g)) +
                           kRoundConstants[i] + schedule[i];
    const uint32_t second =
        (RotateRight(a, 2) ^ RotateRight(a, 13) ^ RotateRight(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + first;
    d = c;
    c = b;
    b = a;
    a = first + second;
  }
  const uint32_t changed[8] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) state_[i] += changed[i];
}

void Sha256::Update(std::string_view bytes) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t left = bytes.size();
  total_ += left;
  if (pending_size_ > 0) {
    const size_t taken = std::min(left, kBlock - pending_size_);
    std::memcpy(pending_.data() + pending_size_, data, taken);
    pending_size_ += taken;
    data += taken;
    left -= taken;
    if (pending_size_ < kBlock) return;
    TakeBlock(pending_.data());
    pending_size_ = 0;
  }
  for (; left >= kBlock; data += kBlock, left -= kBlock) TakeBlock(data);
  if (left > 0) std::memcpy(pending_.data(), data, left);
  pending_size_ = left;
}

Sha256::Sum Sha256::Finish() const {
  Sha256 padded = *this;
  const uint64_t bits = 8 * total_;
  std::array<char, kBlock + 8> padding{};
  padding[0] = '\x80';
  const size_t zeros_end = (pending_size_ < kBlock - 8 ? kBlock : 2 * kBlock) - 8 - pending_size_;
  for (int i = 0; i < 8; ++i) padding[zeros_end + i] = static_cast<char>(bits >> (56 - 8 * i));
  padded.Update({padding.data(), zeros_end + 8});
  Sum sum;
  for (size_t i = 0; i < sum.size(); ++i) sum[i] = static_cast<uint8_t>(padded.state_[i / 4] >> (24 - 8 * (i % 4)));
  return sum;
}

std::string HexOf(const Sha256::Sum& sum) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const uint8_t byte : sum) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

std::string Sha256Hex(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return HexOf(hash.Finish());
}

}  // namespace seedbed
