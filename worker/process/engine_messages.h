#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/json.h"
#include "worker/process/engine_events.h"
#include "worker/process/engine_pool.h"

// The lines of the engine protocol (docs/engine-protocol.md) as values. What one line alone can show to be wrong is
// found here; what depends on the lines before it, in EngineSession.
namespace seedbed {

struct EngineBusy {
  AttemptId attempt;
  absl::Duration duration;  // at most kLongestBusy
  std::string reason;
};

struct EngineFinished {
  AttemptId attempt;
  std::string outcome;
  std::string reason;
  int64_t last_step = 0;
  Json summary = Json::object();
};

struct EngineStopped {
  AttemptId attempt;
  int64_t last_step = 0;
};

struct EngineFailed {
  AttemptId attempt;
  std::string reason;
  bool out_of_memory = false;
  int pack = 0;  // how many attempts failed by the same lack of memory; 0: the engine did not say
};

using EngineMessage = std::variant<EngineReady, AttemptMetrics, AttemptAlive, EngineBusy, AttemptCheckpoint,
                                   EngineFinished, EngineStopped, EngineFailed>;

inline constexpr int kEngineProtocolVersion = 1;
inline constexpr size_t kMostEngineLineBytes = size_t{16} << 20;
inline constexpr size_t kMostMetricColumns = 4096;  // in one message
inline constexpr int kMostEngineCapacity = 4096;
constexpr absl::Duration kLongestBusy = absl::Hours(1);

// INVALID_ARGUMENT names the message, the key and what was expected.
absl::StatusOr<EngineMessage> ParseEngineMessage(std::string_view line);

// What the worker says; each is a line with its end.
std::string StartLine(const AttemptStart& start);
std::string CheckpointLine(AttemptId attempt);
std::string StopLine(AttemptId attempt, bool checkpoint);
std::string ShutdownLine();

}  // namespace seedbed
