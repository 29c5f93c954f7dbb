#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace seedbed::engine {

// What the worker says of an engine in its environment (docs/engine-protocol.md).
struct EngineSettings {
  std::string device = "cpu";      // where it trains: "cpu" or "cuda:N"
  int capacity = 1;                // runs at once, at most
  bool measures_capacity = false;  // what the GPU's memory allows, within `capacity`
  bool is_stacked = false;         // a pack is one stacked model; else its runs are trained in turn
};

// From SEEDBED_ENGINE_DEVICE (auto, cpu, cuda or cuda:N; auto, which is the CPU, where it is not set),
// SEEDBED_ENGINE_CAPACITY (where it is not set 1 on a CPU, and measured on a GPU) and SEEDBED_ENGINE_PACK (turns or
// stacked; where it is not set turns on a CPU and stacked on a GPU, which has no other), any of which may be null.
// `gpus`: how many there are. INVALID_ARGUMENT names the variable; FAILED_PRECONDITION for a device that this engine
// cannot use.
absl::StatusOr<EngineSettings> ReadEngineSettings(const char* device, const char* capacity, const char* pack, int gpus);

}  // namespace seedbed::engine
