#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace seedbed::engine {

// What the worker says of an engine in its environment (docs/engine-protocol.md).
struct EngineSettings {
  std::string device = "cpu";  // where it trains: "cpu"
  int capacity = 1;            // runs at once
};

// From SEEDBED_ENGINE_DEVICE (auto, cpu, cuda or cuda:N; auto where it is not set) and SEEDBED_ENGINE_CAPACITY (1 where
// it is not set), either of which may be null. INVALID_ARGUMENT names the variable; FAILED_PRECONDITION for a device
// that this engine cannot use.
absl::StatusOr<EngineSettings> ReadEngineSettings(const char* device, const char* capacity);

}  // namespace seedbed::engine
