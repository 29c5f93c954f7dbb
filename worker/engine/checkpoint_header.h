#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "worker/engine/checkpoint_file.h"

// Private to checkpoint files: the JSON between the preamble and the values.
namespace seedbed::engine {

inline constexpr uint64_t kLongestCheckpointHeader = 4 << 20;  // bytes

// Canonical JSON of everything but the values.
std::string CheckpointHeader(const Checkpoint& checkpoint);

// A header as read: `checkpoint` without values, and how these lie in the payload.
struct ReadHeader {
  Checkpoint checkpoint;           // its slabs are empty, but named
  std::vector<std::string> slabs;  // in the order of the payload
  uint64_t elements = 0;           // of each slab
  uint64_t element_bytes = 0;
};

// INVALID_ARGUMENT, naming the key, for what CheckpointHeader cannot have written. Guards against hostile texts: depth,
// counts and sizes are bounded.
absl::StatusOr<ReadHeader> ParseCheckpointHeader(const std::string& text);

}  // namespace seedbed::engine
