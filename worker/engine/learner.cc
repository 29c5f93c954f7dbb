#include "worker/engine/learner.h"

#include "common/base/status_macros.h"

namespace seedbed::engine {

absl::StatusOr<std::unique_ptr<Learner>> MakeLearner(const RunParameters& run, uint64_t seed) {
  SEEDBED_ASSIGN_OR_RETURN(const Task task, BuildTask(run.task));
  ReplicaSettings replica;
  replica.seed = seed;
  replica.init_scale = run.model.init_scale;
  replica.optimizer = run.optimizer;
  if (run.reference) return MakeReferenceLearner(task, run.model, run.precision, {replica});
  return MakeFastMlp(task, run.model, run.precision, replica);
}

}  // namespace seedbed::engine
