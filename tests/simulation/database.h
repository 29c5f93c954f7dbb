#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/core/event.h"
#include "coordinator/core/state.h"

namespace seedbed::simulation {

// Rows of one run's `steps`.
struct Rows {
  std::vector<int64_t> steps;
  std::vector<uint64_t> values;
};
struct MetricRows {
  RunId run;
  Rows rows;
};
struct Batch {
  std::vector<MetricRows> metrics;  // written first
  std::vector<core::Event> events;  // durable ones, in order
  bool empty() const { return metrics.empty() && events.empty(); }
};

struct AttemptRow {
  WorkerId worker;
  Fence fence;
  std::optional<int64_t> resume_step;
  int64_t acknowledged_sequence = 0;
  std::optional<core::AttemptEnd> ended_as;
};
struct RunRow {
  RunId id;
  SweepId sweep;
  ConfigurationId configuration;
  int64_t seed = 0;
  int64_t round = 0;
  std::string specification;  // for the simulation: SpecificationOf
  core::RunState state = core::RunState::kQueued;
  Fence fence;
  int counted_ends = 0;
  int failed_ends = 0;
  std::vector<AttemptRow> attempts;  // number 1 first
  std::optional<core::RunResult> result;
  std::map<int64_t, uint64_t> steps;
  std::vector<core::Checkpoint> checkpoints;  // by rising step
};
struct ConfigurationRow {
  core::ConfigurationEntry entry;  // without runs
  std::string parameters_json;
};

// What a checkpoint's file holds.
struct CheckpointFile {
  int64_t step = 0;
  uint64_t state = 0;
  bool damaged = false;
};

// The results database and the checkpoints' files: all that outlives the coordinator's process. Written by the same
// events as coordinator/storage writes, to the same columns; written from the page of that interface
// (docs/results-database.md), not from the core's State, so that loading it is a second opinion.
class Database {
 public:
  // One transaction. INTERNAL if an event does not fit the rows; then nothing can be relied upon any more.
  absl::Status Write(const Batch& batch);
  absl::StatusOr<core::State> Load(const core::Settings& settings, absl::Duration now) const;

  const std::map<SweepId, core::SweepEntry>& sweeps() const { return sweeps_; }
  const std::map<RunId, RunRow>& runs() const { return runs_; }
  const std::map<WorkerId, core::WorkerEntry>& workers() const { return workers_; }
  const RunRow* FindRun(RunId id) const {
    const auto found = runs_.find(id);
    return found == runs_.end() ? nullptr : &found->second;
  }
  const core::SweepEntry* FindSweepByName(const std::string& name) const;
  const ConfigurationRow* FindConfiguration(ConfigurationId id) const {
    const auto found = configurations_.find(id);
    return found == configurations_.end() ? nullptr : &found->second;
  }
  const core::Checkpoint* FindCheckpoint(RunId run, int64_t step) const;
  int64_t writes() const { return writes_; }

  // Synced files by path.
  std::map<std::string, CheckpointFile> files;
  // Paths that no row names any more since the last call.
  std::vector<std::string> TakeDroppedFiles() { return std::exchange(dropped_files_, {}); }
  // As at a start of the coordinator.
  void RemoveOrphans();

 private:
  friend class EventWriter;
  void DeleteBeyond(RunRow& run, int64_t step);

  std::map<SweepId, core::SweepEntry> sweeps_;
  std::map<ConfigurationId, ConfigurationRow> configurations_;
  std::map<RunId, RunRow> runs_;
  std::map<WorkerId, core::WorkerEntry> workers_;
  SweepId next_sweep_id_{1};
  ConfigurationId next_configuration_id_{1};
  RunId next_run_id_{1};
  std::vector<std::string> dropped_files_;
  int64_t writes_ = 0;
};

}  // namespace seedbed::simulation
