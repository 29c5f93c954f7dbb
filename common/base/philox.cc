#include "common/base/philox.h"

#include <cmath>

namespace seedbed {
namespace {

constexpr uint32_t kMultiplier0 = 0xD2511F53;
constexpr uint32_t kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9;
constexpr uint32_t kWeyl1 = 0xBB67AE85;
__extension__ using Uint128 = unsigned __int128;
constexpr double kTwoPi = 6.283185307179586476925286766559;

}  // namespace

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = static_cast<uint64_t>(kMultiplier0) * counter[0];
    const uint64_t product1 = static_cast<uint64_t>(kMultiplier1) * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

PhiloxStream::PhiloxStream(uint64_t seed, uint64_t stream, uint64_t position)
    : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}, stream_(stream), position_(position) {}

uint32_t PhiloxStream::NextUint32() {
  const uint64_t block = position_ / 4;
  if (position_ % 4 == 0 || (block_[0] | block_[1] | block_[2] | block_[3]) == 0) {
    block_ = Philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                         static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)},
                        key_);
  }
  return block_[position_++ % 4];
}

uint64_t PhiloxStream::NextUint64() {
  const uint64_t low = NextUint32();
  return low | static_cast<uint64_t>(NextUint32()) << 32;
}

double PhiloxStream::NextUniform() {
  return static_cast<double>(NextUint64() >> 11) * 0x1.0p-53;
}

uint64_t PhiloxStream::NextBelow(uint64_t bound) {
  while (true) {
    const Uint128 product = static_cast<Uint128>(NextUint64()) * bound;
    if (static_cast<uint64_t>(product) >= (0 - bound) % bound) return static_cast<uint64_t>(product >> 64);
  }
}

double PhiloxStream::NextNormal() {
  if (has_spare_normal_) {
    has_spare_normal_ = false;
    return spare_normal_;
  }
  const double radius = std::sqrt(-2.0 * std::log(1.0 - NextUniform()));  // 1 - u lies in (0, 1]
  const double angle = kTwoPi * NextUniform();
  spare_normal_ = radius * std::sin(angle);
  has_spare_normal_ = true;
  return radius * std::cos(angle);
}

}  // namespace seedbed
