#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/digest.h"
#include "common/base/ids.h"

// The vocabulary that commands, events and the state share. Plain values; nothing here does I/O.
namespace seedbed::core {

enum class SweepState : uint8_t {
  kSubmitting,  // its points are still arriving; nothing of it is leased
  kActive,
  kPaused,    // no new leases; what runs goes on
  kHalted,    // paused with --now: no new leases, and what runs is handed back
  kDeleting,  // its rows are being removed in chunks; it can no longer be seen or leased
};

enum class RunState : uint8_t { kQueued, kRunning, kFinished, kFailed, kCancelled };

// How one attempt ended. kCrashed, kStalled and kLost count towards the limit after which a run has failed. kFailed,
// kTimedOut and (alone in its engine) kOutOfMemory are the run's own doing: tried again only as often as the sweep's
// `retries` says. In a pack of several, kCrashed and kOutOfMemory count for nobody: the run returns with half the pack
// as its limit.
enum class AttemptEnd : uint8_t {
  kFinished,
  kFailed,  // the trainer said that it cannot go on
  kCrashed,
  kOutOfMemory,
  kTimedOut,
  kStalled,
  kLost,       // the lease expired, or the worker stopped listing it
  kPreempted,  // handed back: worker shut down or drained, sweep paused with --now
  kCancelled,
};

enum class WorkerState : uint8_t {
  kActive,
  kDraining,     // finishes what it holds, gets nothing new until it is resumed by hand
  kQuarantined,  // three counted ends of different runs in a row; gets nothing until it is resumed by hand
  kGone,  // it said goodbye, or nothing was heard of it for a lease's time; heard of again, it is what it was before
};

// The most runs that one command adds, changes or removes: a larger transaction would hold up everything behind it.
constexpr int64_t kMostRunsPerChunk = 5000;

// Of one checkpoint's file.
constexpr int64_t kMostCheckpointBytes = int64_t{1} << 40;

struct Settings {
  absl::Duration lease_duration = absl::Seconds(15);
  absl::Duration synchronize_every = absl::Seconds(5);  // asked of workers that hold leases
  absl::Duration suspension_gap = absl::Seconds(2);     // a longer pause between Ticks extends every lease by the pause
  int most_counted_ends = 3;  // crashed + stalled + lost attempts after which a run has failed
  int quarantine_after = 3;
  int64_t most_workers = 16'384;            // that are not gone
  int64_t most_runs_of_sweep = 10'000'000;  // what one sweep file may have: a sweep grows no further either
};

// What one attempt left behind as its result, from the trainer's own words.
struct RunResult {
  std::string outcome;  // e.g. "grokked"
  std::string reason;   // "budget", "stop rule …", "time"
  int64_t last_step = 0;
  std::string summary_json;  // canonical JSON object; docs/engine-protocol.md lists the keys
};

// One trainer that a worker offers.
struct TrainerOffer {
  std::string trainer;
  std::string numerics_json;                 // fingerprint: canonical JSON
  std::vector<std::string> pack_parameters;  // may differ inside a pack
};

// What stays of a sweep's checkpoints once a run has finished. While it runs (and after it failed) the newest two stay.
enum class KeepCheckpoints : uint8_t {
  kLast,  // the newest: the final weights
  kNone,
  kAll,  // every one, while it runs too
};

// Where a run may go on from a checkpoint that was written under another numerics fingerprint.
enum class NumericsPolicy : uint8_t {
  kAny,     // anywhere; runs.mixed_numerics then says so
  kStrict,  // nowhere: it waits for a worker with the same fingerprint while there is one, and is restarted if not
};

// A run's state at one step, in a file of the data directory.
struct Checkpoint {
  int64_t step = 0;  // updates that it contains
  int32_t attempt = 0;
  int64_t sequence = 0;  // of that attempt: the last report at or before the step. It is durable
  std::string path;      // below the data directory
  std::string sha256;    // 64 lower-case hexadecimal digits
  int64_t bytes = 0;
  Digest numerics;  // of the fingerprint's canonical JSON
};

// So that a damaged one has another before it.
constexpr size_t kMostCheckpointsWhileRunning = 2;

// The name of a run's attempt: what a lease is a right to.
struct LeaseKey {
  RunId run;
  int attempt = 0;  // from 1
  Fence fence;
  friend bool operator==(const LeaseKey& a, const LeaseKey& b) {
    return a.run == b.run && a.attempt == b.attempt && a.fence == b.fence;
  }
};

const char* Name(SweepState state);
const char* Name(RunState state);
const char* Name(AttemptEnd end);
const char* Name(WorkerState state);
const char* Name(KeepCheckpoints keep);
const char* Name(NumericsPolicy policy);
// The reverse; nullopt for a name that is none of them (a damaged or newer database).
std::optional<SweepState> SweepStateFromName(const std::string& name);
std::optional<RunState> RunStateFromName(const std::string& name);
std::optional<AttemptEnd> AttemptEndFromName(const std::string& name);
std::optional<WorkerState> WorkerStateFromName(const std::string& name);
std::optional<KeepCheckpoints> KeepCheckpointsFromName(const std::string& name);
std::optional<NumericsPolicy> NumericsPolicyFromName(const std::string& name);

inline bool IsTerminal(RunState state) {
  return state == RunState::kFinished || state == RunState::kFailed || state == RunState::kCancelled;
}
inline bool CountsAgainstRun(AttemptEnd end) {
  return end == AttemptEnd::kCrashed || end == AttemptEnd::kStalled || end == AttemptEnd::kLost;
}

}  // namespace seedbed::core
