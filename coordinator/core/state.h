#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/digest.h"
#include "common/base/ids.h"
#include "coordinator/core/event.h"
#include "coordinator/core/types.h"

namespace seedbed::core {

// A run's state carries its own data.
struct Queued {};
struct Running {
  int attempt = 0;
  WorkerId worker;
  absl::Duration expires_at;  // monotonic
  bool listed = false;        // the worker has named the lease at least once
  int64_t step = -1;
  int64_t acknowledged_sequence = 0;
};
struct Finished {};
struct Failed {};
struct Cancelled {};

struct Run {
  RunId id;
  SweepId sweep;
  ConfigurationId configuration;
  int64_t seed = 0;
  int64_t round = 0;
  Fence fence;
  int attempts = 0;       // granted so far
  int counted_ends = 0;   // crashed, stalled, lost
  int failed_ends = 0;    // `failed`, against the sweep's retries
  int64_t last_acknowledged_sequence = 0;  // of the latest attempt, kept after its end for repeated reports
  std::variant<Queued, Running, Finished, Failed, Cancelled> state;
};
RunState StateOf(const Run& run);

struct ConfigurationEntry {
  ConfigurationId id;
  SweepId sweep;
  int64_t ordinal = 0;
  Digest digest;
  Digest pack_key;
  std::vector<std::pair<int64_t, RunId>> runs;  // (seed, run) in order of round
};

// Where a queued run stands: smaller first.
struct QueuePosition {
  int64_t round = 0;
  int64_t ordinal = 0;
  RunId run;
  friend bool operator<(const QueuePosition& a, const QueuePosition& b) {
    if (a.round != b.round) return a.round < b.round;
    if (a.ordinal != b.ordinal) return a.ordinal < b.ordinal;
    return a.run < b.run;
  }
};

struct RunCounts {
  int64_t queued = 0, running = 0, finished = 0, failed = 0, cancelled = 0;
  int64_t total() const { return queued + running + finished + failed + cancelled; }
};

struct SweepEntry {
  SweepId id;
  std::string name;
  std::string trainer;
  std::string fixed_json;
  std::string template_json;
  std::string submission_id;  // the latest
  SweepState state = SweepState::kSubmitting;
  int64_t priority = 0;
  std::optional<int64_t> max_concurrent;
  int retries = 0;
  RunCounts counts;
  std::vector<ConfigurationId> configurations;                // by ordinal
  absl::flat_hash_map<Digest, ConfigurationId> by_digest;
  std::map<Digest, std::set<QueuePosition>> queue;            // by pack key
};

struct WorkerEntry {
  WorkerId id;
  std::string name;
  std::string host;
  std::string device;
  std::string version;
  int slots = 0;
  std::vector<TrainerOffer> trainers;
  WorkerState state = WorkerState::kActive;
  int64_t synchronize_number = 0;
  absl::Duration last_seen;  // monotonic
  std::set<RunId> leases;
  std::vector<RunId> counted_ends_in_a_row;  // different runs
};

// All that the coordinator knows, and the indexes that policies read. Changed by Apply only. Not thread-safe.
class State {
 public:
  explicit State(const Settings& settings = {}) : settings_(settings) {}

  // Changes memory by one event; the single gate of every transition. An illegal transition is a bug of ours and aborts with
  // the event's text (the state in memory can no longer be trusted, the database can).
  void Apply(const Event& event);

  // Every index agrees with the runs, every lease with its worker, every count with its sum. For tests and doctor.
  absl::Status CheckInvariants() const;

  const Settings& settings() const { return settings_; }
  const Run* FindRun(RunId id) const;
  const SweepEntry* FindSweep(SweepId id) const;
  const SweepEntry* FindSweepByName(const std::string& name) const;
  const ConfigurationEntry* FindConfiguration(ConfigurationId id) const;
  const WorkerEntry* FindWorker(const WorkerId& id) const;
  const std::map<SweepId, SweepEntry>& sweeps() const { return sweeps_; }
  const std::map<WorkerId, WorkerEntry>& workers() const { return workers_; }
  // Running runs by lease expiry.
  const std::set<std::pair<absl::Duration, RunId>>& expiries() const { return expiries_; }
  absl::Duration last_tick() const { return last_tick_; }
  SweepId next_sweep_id() const { return next_sweep_id_; }
  ConfigurationId next_configuration_id() const { return next_configuration_id_; }
  RunId next_run_id() const { return next_run_id_; }

  // Equality of all that is durable: what Load(database) must give back. On difference `difference` names the first.
  bool DurablyEquals(const State& other, std::string* difference) const;

  // --- for the store's Load only: rebuilds from rows, then FinishLoading makes the indexes, gives every lease a fresh grace from `now`.
  void LoadSweep(SweepEntry sweep);
  void LoadConfiguration(ConfigurationEntry configuration);
  void LoadRun(Run run);
  void LoadWorker(WorkerEntry worker);
  void LoadNextIds(SweepId sweep, ConfigurationId configuration, RunId run);
  absl::Status FinishLoading(absl::Duration now);

 private:
  Settings settings_;
  std::map<SweepId, SweepEntry> sweeps_;
  absl::flat_hash_map<std::string, SweepId> sweep_by_name_;
  absl::flat_hash_map<ConfigurationId, ConfigurationEntry> configurations_;
  absl::flat_hash_map<RunId, Run> runs_;
  std::map<WorkerId, WorkerEntry> workers_;
  std::set<std::pair<absl::Duration, RunId>> expiries_;
  absl::Duration last_tick_ = absl::ZeroDuration();
  SweepId next_sweep_id_{1};
  ConfigurationId next_configuration_id_{1};
  RunId next_run_id_{1};
};

}  // namespace seedbed::core
