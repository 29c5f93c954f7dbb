#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "coordinator/core/command.h"
#include "coordinator/core/state.h"
#include "tests/simulation/database.h"
#include "tests/simulation/truth.h"
#include "tests/simulation/world.h"

namespace seedbed::simulation {

// Keeps books of what was promised, apart from the core, and fails the simulation when something breaks a promise. It
// sees what is committed, what is answered, and when the coordinator heard of whom. Times are the coordinator's
// monotonic clock.
class Ledger {
 public:
  // All outlive this.
  Ledger(World* world, const Database* database, Truth* truth, const core::Settings* settings)
      : world_(*world), database_(*database), truth_(*truth), settings_(*settings) {}

  // --- leases: live if and only if their worker was heard of within their duration

  // A start of the coordinator, or a recovery: everybody has a fresh grace.
  void Loaded(const core::State& state, absl::Duration now);
  // `facts` were decided and applied.
  void Heard(const core::State& state, const core::Synchronize& facts, absl::Duration now);
  // Was decided by a command other than Tick; not yet applied.
  void Decided(const core::Event& event, absl::Duration now);
  // Before Ticked, not yet applied.
  void DecidedByTick(const core::State& state, const core::Event& event, absl::Duration now);
  // A tick's events were applied.
  void Ticked(const core::State& state, const core::Tick& tick, absl::Duration now);

  // --- results, rows, fences, checkpoints: the batch is durable
  void Committed(const Batch& batch);

  // --- answers that leave the coordinator
  void Answered(const WorkerId& worker, const core::SynchronizeAnswer& answer);
  void Answered(const core::Report& report, const Rows& rows, const core::ReportAnswer& answer);
  void Answered(const core::StoreCheckpoint& command, const core::CheckpointAnswer& answer);

  // Accepted results by specification.
  const std::map<std::string, core::RunResult>& results() const { return results_; }

 private:
  void See(const core::RunAdded& e) {
    if (const RunRow* run = database_.FindRun(e.run)) specifications_[e.run] = run->specification;
  }
  void See(const core::AttemptGranted& e);
  void See(const core::LeaseRestored& e);
  void See(const core::AttemptEnded& e);
  void See(const core::RunStateChanged& e) { RaiseFence(e.run, e.next_fence); }
  void See(const core::RunsDeleted& e);
  void See(const core::CheckpointStored& e);
  template <typename Other>
  void See(const Other&) {}

  void CheckRows(const MetricRows& rows);
  // The run's rows are those of steps 0 to `last`, as they must be, and no others.
  void CheckAllRows(const RunRow& run, int64_t last);
  void CheckNumerics(const RunRow& run, const core::AttemptGranted& e);
  void RaiseFence(RunId run, Fence fence);
  void Promise(const WorkerId& worker, const core::LeaseKey& lease);
  absl::Duration lease_duration() const { return settings_.lease_duration; }

  World& world_;
  const Database& database_;
  Truth& truth_;
  const core::Settings& settings_;

  std::map<RunId, absl::Duration> lease_deadlines_;
  std::map<WorkerId, absl::Duration> worker_deadlines_;
  absl::Duration last_tick_;

  std::map<RunId, std::string> specifications_;  // of runs that exist
  std::map<RunId, Fence> fences_;                // the highest that is durable
  std::map<std::string, core::RunResult> results_;
  std::map<std::pair<RunId, Fence>, std::pair<WorkerId, int>> holders_;  // worker and attempt, as answered
  std::map<std::pair<RunId, int>, int64_t> acknowledged_;                // by run and attempt, as answered
};

}  // namespace seedbed::simulation
