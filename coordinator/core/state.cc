#include "coordinator/core/state.h"

#include <algorithm>

#include "coordinator/core/state_applier.h"

namespace seedbed::core {

// The alternatives stand in the order of the enumerators.
RunState StateOf(const Run& run) {
  return static_cast<RunState>(run.state.index());
}

LeaseKey LeaseOf(const Run& run) {
  return {run.id, run.attempts, run.attempt_fence};
}

void State::Apply(const Event& event) {
  std::visit(StateApplier(*this, &event), event);
}

const std::vector<Checkpoint>& State::CheckpointsOf(RunId id) const {
  static const auto* const kNone = new std::vector<Checkpoint>();
  const auto found = checkpoints_.find(id);
  return found == checkpoints_.end() ? *kNone : found->second;
}

const SweepEntry* State::FindSweep(SweepId id) const {
  const auto found = sweeps_.find(id);
  return found == sweeps_.end() ? nullptr : &found->second;
}

const SweepEntry* State::FindSweepByName(const std::string& name) const {
  const auto found = sweep_by_name_.find(name);
  return found == sweep_by_name_.end() ? nullptr : FindSweep(found->second);
}

const WorkerEntry* State::FindWorker(const WorkerId& id) const {
  const auto found = workers_.find(id);
  return found == workers_.end() ? nullptr : &found->second;
}

const absl::btree_set<SweepRank>& State::ready(const std::string& trainer) const {
  static const auto* const kNone = new absl::btree_set<SweepRank>();
  const auto found = ready_.find(trainer);
  return found == ready_.end() ? *kNone : found->second;
}

bool State::anything_ready() const {
  return std::any_of(ready_.begin(), ready_.end(), [](const auto& ranks) { return !ranks.second.empty(); });
}

}  // namespace seedbed::core
