#pragma once

#include <cstdint>

// What each use of a seed draws from: PhiloxStream's `stream`. The numbers decide results, so they never change; a
// tensor's initial values are stream kInitialisation + the tensor's index in its layout, an epoch's order of examples
// is stream kBatchOrder + the epoch.
namespace seedbed::engine {

inline constexpr uint64_t kSplitStream = 1;
inline constexpr uint64_t kLabelNoiseStream = 2;
inline constexpr uint64_t kInitialisationStream = uint64_t{1} << 32;
inline constexpr uint64_t kBatchOrderStream = uint64_t{1} << 40;

}  // namespace seedbed::engine
