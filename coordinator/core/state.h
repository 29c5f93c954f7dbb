#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/digest.h"
#include "common/base/ids.h"
#include "coordinator/core/event.h"
#include "coordinator/core/id_table.h"
#include "coordinator/core/types.h"

namespace seedbed::core {

struct WorkerEntry;

// A run's state carries its own data. Kept small: there may be a million runs.
struct Queued {};
struct Running {
  const WorkerEntry* worker = nullptr;  // never null in a State; owned by it
  absl::Duration expires_at;            // monotonic
  int64_t step = -1;                    // as the worker last said; memory only
  bool listed = false;                  // the worker has named the lease at least once; memory only
  bool checkpoint_wanted = false;       // one that is not stored yet was asked for; memory only
};
struct Finished {};
struct Failed {};
struct Cancelled {};

struct Run {
  RunId id;
  SweepId sweep;
  ConfigurationId configuration;
  int64_t seed = 0;
  Fence fence;          // rises with every grant, end, restoration, cancellation and retry
  Fence attempt_fence;  // of the latest attempt's lease, kept after its end for repeated reports; 0 before the first
  int64_t last_acknowledged_sequence = 0;  // of the latest attempt, kept likewise
  int32_t round = 0;
  int32_t attempts = 0;                // granted so far: the latest attempt's number
  int32_t counted_ends = 0;            // crashed, stalled, lost
  int32_t failed_ends = 0;             // failed, timed out, out of memory: against the sweep's retries
  int64_t resume_step = -1;            // of the latest attempt: the checkpoint that it went on from; -1: none
  int16_t pack_limit = 0;              // 0: none; memory only
  std::optional<AttemptEnd> last_end;  // of the latest attempt; nullopt while it runs and before the first
  std::variant<Queued, Running, Finished, Failed, Cancelled> state;
};
RunState StateOf(const Run& run);
// The lease of the latest attempt.
LeaseKey LeaseOf(const Run& run);

struct ConfigurationEntry {
  ConfigurationId id;
  SweepId sweep;
  int64_t ordinal = 0;
  Digest digest;
  Digest pack_key;
  absl::InlinedVector<std::pair<int64_t, RunId>, 1> runs;  // (seed, run); the place is the round
};

// Where a queued run stands in its sweep: smaller first, so every configuration gets its first seed before any gets its
// second.
struct QueuePosition {
  int32_t round = 0;
  int32_t ordinal = 0;
  RunId run;
  friend bool operator<(const QueuePosition& a, const QueuePosition& b) {
    if (a.round != b.round) return a.round < b.round;
    if (a.ordinal != b.ordinal) return a.ordinal < b.ordinal;
    return a.run < b.run;
  }
};

// Where a sweep with something to lease stands among the others: smaller first.
struct SweepRank {
  int64_t priority = 0;  // higher first
  int64_t running = 0;   // fewer first
  SweepId sweep;         // older first
  friend bool operator<(const SweepRank& a, const SweepRank& b) {
    if (a.priority != b.priority) return a.priority > b.priority;
    if (a.running != b.running) return a.running < b.running;
    return a.sweep < b.sweep;
  }
};

struct RunCounts {
  int64_t queued = 0, running = 0, finished = 0, failed = 0, cancelled = 0;
  int64_t total() const { return queued + running + finished + failed + cancelled; }
  friend bool operator==(const RunCounts& a, const RunCounts& b) {
    return a.queued == b.queued && a.running == b.running && a.finished == b.finished && a.failed == b.failed &&
           a.cancelled == b.cancelled;
  }
};

struct SweepEntry {
  SweepId id;
  std::string name;
  std::string trainer;  // of template_json; set by Apply and by LoadSweep
  std::string fixed_json;
  std::string template_json;
  std::string submission_id;            // the latest
  std::string completed_submission_id;  // memory only; empty if unknown
  SweepState state = SweepState::kSubmitting;
  int64_t priority = 0;
  std::optional<int64_t> max_concurrent;
  int retries = 0;
  KeepCheckpoints keep_checkpoints = KeepCheckpoints::kLast;
  NumericsPolicy numerics = NumericsPolicy::kAny;

  // Indexes; a loader leaves them empty.
  RunCounts counts;
  std::vector<ConfigurationId> configurations;  // by ordinal
  absl::flat_hash_map<Digest, ConfigurationId> by_digest;
  absl::btree_set<QueuePosition> queue;                             // all queued runs
  absl::btree_set<std::pair<Digest, QueuePosition>> queue_by_pack;  // the same, by pack key
  absl::btree_set<RunId> running;
  absl::btree_set<RunId> failed;
  absl::btree_set<RunId> cancelled;
  std::optional<SweepRank> rank;  // its place in State::ready, if it stands there
};

struct WorkerEntry {
  WorkerId id;
  std::string name;
  std::string host;  // empty while it is gone, as are device, version and trainers
  std::string device;
  std::string version;
  int slots = 0;
  std::vector<TrainerOffer> trainers;
  WorkerState state = WorkerState::kActive;
  // Of one that is gone: what it is again once it is heard of. kActive of the others.
  WorkerState state_before_gone = WorkerState::kActive;

  // Memory only; a loader leaves them empty.
  int64_t synchronize_number = 0;
  int free_slots = 0;
  absl::Duration last_seen;  // monotonic
  std::set<RunId> leases;
  std::vector<RunId> counted_ends_in_a_row;  // different runs

  // Of a worker that is gone, however many there have been: if it comes back it says the rest again.
  void ForgetFacts() {
    host = device = version = std::string();
    trainers = std::vector<TrainerOffer>();
  }
};

// All that the coordinator knows, and the indexes that policies read. Changed by Apply only. Not thread-safe. Movable;
// entries stay where they are while they exist, a move included.
class State {
 public:
  explicit State(const Settings& settings = {}) : settings_(settings) {}
  State(State&&) = default;
  State& operator=(State&&) = default;

  // Changes memory by one event; the single gate of every transition. An illegal transition is a bug of ours and aborts
  // with the event's text (the state in memory can no longer be trusted, the database can).
  void Apply(const Event& event);

  // Every index agrees with the runs, every lease with its worker, every count with its sum. For tests and doctor;
  // walks all.
  absl::Status CheckInvariants() const;
  // The part of it that rows from outside can break: no run, configuration or checkpoint contradicts itself or one that
  // it names. One pass over them, and no look into an index.
  absl::Status CheckRows() const;

  const Settings& settings() const { return settings_; }
  const Run* FindRun(RunId id) const { return runs_.Find(id); }
  // Of the run, by rising step; empty if it has none.
  const std::vector<Checkpoint>& CheckpointsOf(RunId id) const;
  const absl::flat_hash_map<RunId, std::vector<Checkpoint>>& checkpoints() const { return checkpoints_; }
  int64_t checkpoint_bytes() const { return checkpoint_bytes_; }  // of all files
  const SweepEntry* FindSweep(SweepId id) const;
  const SweepEntry* FindSweepByName(const std::string& name) const;
  const ConfigurationEntry* FindConfiguration(ConfigurationId id) const { return configurations_.Find(id); }
  const WorkerEntry* FindWorker(const WorkerId& id) const;
  const std::map<SweepId, SweepEntry>& sweeps() const { return sweeps_; }
  const std::map<WorkerId, WorkerEntry>& workers() const { return workers_; }
  int64_t run_count() const { return runs_.size(); }
  // Sweeps that have something to lease (active, with queued runs, below max_concurrent), best first; by trainer. Never
  // null.
  const absl::btree_set<SweepRank>& ready(const std::string& trainer) const;
  // Some sweep has something to lease.
  bool anything_ready() const;
  // Sweeps with a queued run of some pack key, whatever their state.
  const absl::btree_set<std::pair<Digest, SweepId>>& sweeps_by_pack() const { return sweeps_by_pack_; }
  // Running runs by lease expiry.
  const std::set<std::pair<absl::Duration, RunId>>& expiries() const { return expiries_; }
  // Workers that are not gone, by when they will be if nothing is heard of them.
  const std::set<std::pair<absl::Duration, WorkerId>>& worker_expiries() const { return worker_expiries_; }
  std::optional<absl::Duration> last_tick() const { return last_tick_; }  // monotonic
  SweepId next_sweep_id() const { return next_sweep_id_; }
  ConfigurationId next_configuration_id() const { return next_configuration_id_; }
  RunId next_run_id() const { return next_run_id_; }

  // Equality of all that is durable: what Load(database) must give back. On difference `difference` names the first.
  bool DurablyEquals(const State& other, std::string* difference) const;

  // --- for the store's Load only: rebuilds from rows, in the order sweeps, configurations, workers, runs,
  // checkpoints, then
  // FinishLoading. Only the durable fields are given; FinishLoading makes the indexes and gives every lease and worker
  // a fresh grace from `now`. A row that contradicts another is DATA_LOSS; the state is of no use then.
  absl::Status LoadSweep(SweepEntry sweep);
  absl::Status LoadConfiguration(ConfigurationEntry configuration);  // without runs
  absl::Status LoadWorker(WorkerEntry worker);
  absl::Status LoadRun(Run run);                                  // not running
  absl::Status LoadRun(Run run, const WorkerId& lease_holder);    // running: run.state is set here
  absl::Status LoadCheckpoint(RunId run, Checkpoint checkpoint);  // of each run by rising step
  void LoadNextIds(SweepId sweep, ConfigurationId configuration, RunId run);
  absl::Status FinishLoading(absl::Duration now);

 private:
  friend class StateApplier;  // the transitions, one per event
  friend class StateChecker;

  Settings settings_;
  std::map<SweepId, SweepEntry> sweeps_;
  absl::flat_hash_map<std::string, SweepId> sweep_by_name_;
  IdTable<ConfigurationId, ConfigurationEntry> configurations_;
  IdTable<RunId, Run> runs_;
  // Beside the runs: most of a large sweep's have none.
  absl::flat_hash_map<RunId, std::vector<Checkpoint>> checkpoints_;
  int64_t checkpoint_bytes_ = 0;
  std::map<WorkerId, WorkerEntry> workers_;
  absl::flat_hash_map<std::string, absl::btree_set<SweepRank>> ready_;
  absl::btree_set<std::pair<Digest, SweepId>> sweeps_by_pack_;
  std::set<std::pair<absl::Duration, RunId>> expiries_;
  std::set<std::pair<absl::Duration, WorkerId>> worker_expiries_;
  std::optional<absl::Duration> last_tick_;
  SweepId next_sweep_id_{1};
  ConfigurationId next_configuration_id_{1};
  RunId next_run_id_{1};
};

}  // namespace seedbed::core
