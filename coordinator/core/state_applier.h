#pragma once

#include <string>

#include "coordinator/core/state.h"

namespace seedbed::core {

// The transitions of a State, one per event, and the upkeep of its indexes. Private to the core: others call
// State::Apply.
class StateApplier {
 public:
  // `event` is named when a transition is illegal; null while loading.
  StateApplier(State& state, const Event* event) : state_(state), event_(event) {}

  void operator()(const SweepCreated& e);
  void operator()(const SweepExtended& e);
  void operator()(const SubmissionCompleted& e);
  void operator()(const SweepStateChanged& e);
  void operator()(const ConfigurationAdded& e);
  void operator()(const VariedChanged&) {}  // only its row knows
  void operator()(const RunAdded& e);
  void operator()(const AttemptGranted& e);
  void operator()(const LeaseRestored& e);
  void operator()(const ReportAcknowledged& e);
  void operator()(const CheckpointStored& e);
  void operator()(const CheckpointsDropped& e);
  void operator()(const AttemptEnded& e);
  void operator()(const RunStateChanged& e);
  void operator()(const RunsDeleted& e);
  void operator()(const SweepDeleted& e);
  void operator()(const WorkerRegistered& e);
  void operator()(const WorkerStateChanged& e);
  void operator()(const WorkerSeen& e);
  void operator()(const LeaseRenewed& e);
  void operator()(const CheckpointRequested& e);
  void operator()(const LeasesExtended& e);
  void operator()(const ClockTicked& e);

  // Adds the run to, or takes it from, every index that its state belongs to.
  void EnterIndexes(const Run& run);
  // Enters all runs at once, as EnterIndexes would one by one.
  void EnterAll();
  void LeaveIndexes(const Run& run);
  // Puts the sweep where it now belongs among those with something to lease.
  void RefreshRank(SweepEntry& sweep);
  // The worker was heard of at `at`.
  void SetLastSeen(WorkerEntry& worker, absl::Duration at);

 private:
  void Require(bool legal, const char* why) const;
  SweepEntry& Sweep(SweepId id);
  Run& RunOf(RunId id);
  WorkerEntry& Worker(const WorkerId& id);
  QueuePosition PositionOf(const Run& run, const ConfigurationEntry& configuration) const;
  void EnterStateIndexes(const Run& run);  // all but those by pack key
  void DropCheckpointsBeyond(RunId run, int64_t step);
  void Start(Run& run, const LeaseKey& lease, const WorkerId& worker, absl::Duration expires_at, bool listed);

  State& state_;
  const Event* event_;
};

// The trainer that a template names; empty if the text is not one.
std::string TrainerOf(const std::string& template_json);

}  // namespace seedbed::core
