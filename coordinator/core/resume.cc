#include "coordinator/core/resume.h"

namespace seedbed::core {

std::vector<int64_t> OldestBeyond(const std::vector<Checkpoint>& checkpoints, size_t most) {
  std::vector<int64_t> steps;
  for (size_t i = 0; i + most < checkpoints.size(); ++i) steps.push_back(checkpoints[i].step);
  return steps;
}

size_t MostAfterFinish(KeepCheckpoints keep, size_t have) {
  switch (keep) {
    case KeepCheckpoints::kLast:
      return 1;
    case KeepCheckpoints::kNone:
      return 0;
    case KeepCheckpoints::kAll:
      return have;
  }
  return have;
}

ResumeChooser::ResumeChooser(const State& state, const WorkerId& worker, const std::vector<TrainerOffer>& trainers)
    : state_(state), worker_(worker), trainers_(trainers) {}

std::optional<Digest> ResumeChooser::Own(const std::string& trainer) {
  const auto known = own_.find(trainer);
  if (known != own_.end()) return known->second;
  for (const TrainerOffer& offer : trainers_) {
    if (offer.trainer == trainer) return own_.emplace(trainer, DigestOf(offer.numerics_json)).first->second;
  }
  return std::nullopt;
}

void ResumeChooser::LookAtOthers() {
  if (looked_) return;
  looked_ = true;
  for (const auto& [id, worker] : state_.workers()) {
    if (id == worker_ || worker.state == WorkerState::kGone) continue;
    for (const TrainerOffer& offer : worker.trainers) {
      const std::pair<std::string, Digest> fingerprint(offer.trainer, DigestOf(offer.numerics_json));
      there_.insert(fingerprint);
      if (worker.state == WorkerState::kActive && worker.free_slots > 0) waiting_.insert(fingerprint);
    }
  }
}

ResumePoint ResumeChooser::For(const Run& run) {
  ResumePoint point;
  const std::vector<Checkpoint>& checkpoints = state_.CheckpointsOf(run.id);
  if (checkpoints.empty()) return point;
  const SweepEntry& sweep = *state_.FindSweep(run.sweep);
  const std::optional<Digest> own = Own(sweep.trainer);
  const Checkpoint& newest = checkpoints.back();
  point.step = newest.step;
  if (own == newest.numerics) return point;
  LookAtOthers();
  const bool strict = sweep.numerics == NumericsPolicy::kStrict;
  if ((strict ? there_ : waiting_).count({sweep.trainer, newest.numerics}) > 0) {
    point.waits = true;
    return point;
  }
  point.mixes_numerics = !strict;
  if (!strict) return point;
  point.step.reset();
  for (const Checkpoint& each : checkpoints) {
    if (own == each.numerics) point.step = each.step;
  }
  return point;
}

}  // namespace seedbed::core
