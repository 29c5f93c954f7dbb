#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "worker/engine/measures.h"

// What the engine says, one JSON text each, without the line's end (docs/engine-protocol.md).
namespace seedbed::engine {

enum class FailureKind { kError, kOutOfMemory };

// `numerics`: the fingerprint. `device`: e.g. "cpu".
std::string ReadyMessage(const Json& numerics, const std::string& device, int64_t memory_bytes, int capacity);
std::string MetricsMessage(int64_t run, const std::vector<MetricRow>& rows);
std::string AliveMessage(int64_t run, int64_t step);
std::string BusyMessage(int64_t run, double seconds, const std::string& reason);
// `sha256`: of the whole file. `numerics`: the fingerprint under which the steps before it were made.
std::string CheckpointMessage(int64_t run, int64_t step, const std::string& path, const std::string& sha256,
                              const Json& numerics);
std::string FinishedMessage(int64_t run, const std::string& outcome, const std::string& reason, int64_t last_step,
                            const Json& summary);
std::string StoppedMessage(int64_t run, int64_t last_step);
// `pack`: how many runs the engine trained at once, where it takes them all with it; 0: not said.
std::string FailedMessage(int64_t run, FailureKind kind, const std::string& reason, int pack = 0);

// "seedbed-engine" and its version, e.g. "seedbed-engine 0.1.0".
std::string EngineName();

}  // namespace seedbed::engine
