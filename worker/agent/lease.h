#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "common/base/json.h"
#include "worker/agent/log_buffer.h"
#include "worker/agent/messages.h"
#include "worker/agent/report_queue.h"

namespace seedbed::agent {

enum class LeasePhase {
  kWaiting,   // for a slot
  kTraining,  // an engine holds it
  kStopping,  // an engine was asked to stop it, to be handed back
  kEnded,     // its end report waits to be acknowledged
};

// A lease and what this worker does about it. Times are monotonic.
struct Lease {
  LeaseKey key;
  std::string sweep;
  Json specification;
  LeasePhase phase = LeasePhase::kWaiting;
  absl::Duration phase_since;
  int64_t step = -1;
  int engine = -1;    // kTraining, kStopping
  AttemptId attempt;  // the pool's name for it; 0 while it waits
  bool reading_paused = false;
  int times_not_started = 0;
  std::string stop_reason;  // kStopping

  ReportQueue reports;
  absl::Duration heard_at;  // when a report was last acknowledged, or first sent since all were
  int resends = 0;          // in a row, without an acknowledgement between
  LogBuffer log;
  absl::Duration log_sent_at = -absl::InfiniteDuration();
};

// The name of a lease for as long as it lasts: its fence may rise.
using LeaseName = std::pair<RunId, int>;
inline LeaseName NameOf(const LeaseKey& key) {
  return {key.run, key.attempt};
}

}  // namespace seedbed::agent
