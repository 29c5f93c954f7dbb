#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"

namespace seedbed {

// The checkpoints of DATA/checkpoints, whole or in part, that are none of `referenced` (paths below DATA): what a crash
// left between a file and its commit. Their paths.
std::vector<std::string> OrphanCheckpoints(const std::string& data_directory,
                                           const absl::flat_hash_set<std::string>& referenced);

}  // namespace seedbed
