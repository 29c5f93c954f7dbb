#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/digest.h"
#include "coordinator/core/state.h"

// Which checkpoints of a run are kept, and from which one it goes on. Private to the core.
namespace seedbed::core {

// Steps of those to drop so that `most` stay, the newest; rising.
std::vector<int64_t> OldestBeyond(const std::vector<Checkpoint>& checkpoints, size_t most);

// How many stay once the run has finished.
size_t MostAfterFinish(KeepCheckpoints keep, size_t have);

// Where a run would go on if one worker got it.
struct ResumePoint {
  bool waits = false;           // better for another worker: this one does not get it now
  std::optional<int64_t> step;  // none: from the start
  bool mixes_numerics = false;  // the checkpoint was written under another fingerprint
};

// Chooses for one worker during one decision. A run goes on from its newest checkpoint. If that has another fingerprint
// than the worker, a worker with the same fingerprint and a free slot gets it first (NumericsPolicy::kAny), or any such
// worker that is not gone (kStrict); without one it goes on here (kAny), or from the newest checkpoint that has this
// worker's fingerprint, or from the start (kStrict).
class ResumeChooser {
 public:
  // `state` and `trainers` outlive this.
  ResumeChooser(const State& state, const WorkerId& worker, const std::vector<TrainerOffer>& trainers);

  ResumePoint For(const Run& run);

 private:
  // Fingerprints by trainer.
  using Fingerprints = std::set<std::pair<std::string, Digest>>;
  void LookAtOthers();
  std::optional<Digest> Own(const std::string& trainer);

  const State& state_;
  const WorkerId worker_;
  const std::vector<TrainerOffer>& trainers_;
  std::map<std::string, Digest> own_;
  bool looked_ = false;
  Fingerprints there_;    // of other workers that are not gone
  Fingerprints waiting_;  // of those of them that are active and have a free slot
};

}  // namespace seedbed::core
