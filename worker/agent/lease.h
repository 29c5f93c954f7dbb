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
  kFetching,  // the checkpoint to go on from is on its way
  kWaiting,   // for a slot
  kTraining,  // an engine holds it
  kStopping,  // an engine was asked to stop it, to be handed back
  kSaving,    // no engine holds it any more; its last checkpoint is on its way, before its end is reported
  kEnded,     // its end report waits to be acknowledged
};

// A checkpoint that an engine wrote and the coordinator has not got yet.
struct SavedCheckpoint {
  int64_t step = 0;
  int64_t sequence = 0;
  std::string path;
  std::string sha256;
  std::string numerics_json;
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
  std::string pack_key;
  int pack_limit = 0;
  std::string directory;  // of the attempt's files, while there is one

  std::optional<int64_t> resume_step;
  std::string resume_path;          // once it was fetched
  absl::Duration fetch_not_before;  // kFetching: the next try; infinite while one is under way
  int fetch_failures = 0;
  bool final_checkpoint = false;
  absl::Duration checkpoint_base;                  // when the last one was asked for, or training began
  std::optional<absl::Duration> checkpoint_asked;  // and has not come yet
  absl::Duration checkpoint_cost;                  // of the last one, to the training
  int64_t checkpoint_bytes = 0;                    // of the last one that was sent
  std::optional<SavedCheckpoint> saved;            // the newest that waits to be sent
  absl::Duration send_not_before = -absl::InfiniteDuration();
  std::optional<EndOfAttempt> end;  // kSaving

  ReportQueue reports;
  absl::Duration heard_at;  // when a report was last acknowledged, or first sent since all were
  int resends = 0;          // in a row, without an acknowledgement between
  LogBuffer log;
  absl::Duration log_not_before = -absl::InfiniteDuration();
};

// The name of a lease for as long as it lasts: its fence may rise.
using LeaseName = std::pair<RunId, int>;
inline LeaseName NameOf(const LeaseKey& key) {
  return {key.run, key.attempt};
}

}  // namespace seedbed::agent
