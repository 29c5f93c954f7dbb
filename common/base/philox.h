#pragma once

#include <array>
#include <cstdint>

namespace seedbed {

// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1,
// 2, 3" (SC 2011): four 32-bit words as a pure function of a counter and a key.
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A stream of random numbers, the same on every machine. `stream` separates uses of one seed (e.g. initialisation,
// split): streams of one seed never overlap. Its whole state is (seed, stream, position). Not thread-safe.
class PhiloxStream {
 public:
  PhiloxStream(uint64_t seed, uint64_t stream, uint64_t position = 0);

  uint32_t NextUint32();
  uint64_t NextUint64();
  // Uniform in [0, 1), with 53 random bits.
  double NextUniform();
  // Uniform in {0, …, bound - 1} without bias (rejection, Lemire 2019). bound > 0.
  uint64_t NextBelow(uint64_t bound);
  // Standard normal by Box and Muller (1958), in double; draws two uniforms for each pair of values.
  double NextNormal();

  // Words drawn so far. A stream made with this position goes on from there, but for a normal kept from a pair.
  uint64_t position() const { return position_; }

 private:
  std::array<uint32_t, 2> key_;
  uint64_t stream_;
  uint64_t position_;
  std::array<uint32_t, 4> block_{};
  double spare_normal_ = 0;
  bool has_spare_normal_ = false;
};

}  // namespace seedbed
