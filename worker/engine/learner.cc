#include "worker/engine/learner.h"

#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "worker/engine/numerics.h"

namespace seedbed::engine {

double NeededBytes(const RunParameters& run) {
  const double element = run.precision == Precision::kFloat64 ? 8 : 4;
  const auto symbols = static_cast<double>(run.task.modulus);
  const auto width = static_cast<double>(run.model.width);
  const auto depth = static_cast<double>(run.model.depth);
  const double parameters = depth * (width + 1) * width + (2 * width + 1) * symbols;
  const double slabs = run.optimizer.kind == OptimizerKind::kAdamw ? 4 : 3;
  const double pairs = symbols * symbols;
  const double rows = run.task.train_fraction * pairs;
  constexpr double kBytesPerPair = 48;  // in the task's and the learner's lists
  const double start = 8 * parameters;  // the initial values in double
  return start + slabs * parameters * element + (2 * depth + 2) * rows * width * element + rows * symbols * element +
         kBytesPerPair * pairs;
}

absl::StatusOr<std::unique_ptr<Learner>> MakeLearner(const RunParameters& run, uint64_t seed) {
  const auto available = static_cast<double>(PhysicalMemoryBytes());
  if (NeededBytes(run) > available) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "this run needs about %.1f GB of memory and the machine has %.1f GB: choose a smaller model.width, "
        "model.depth or task.modulus",
        NeededBytes(run) * 1e-9, available * 1e-9));
  }
  SEEDBED_ASSIGN_OR_RETURN(const Task task, BuildTask(run.task));
  ReplicaSettings replica;
  replica.seed = seed;
  replica.init_scale = run.model.init_scale;
  replica.optimizer = run.optimizer;
  if (run.reference) return MakeReferenceLearner(task, run.model, run.precision, {replica});
  return MakeFastMlp(task, run.model, run.precision, replica);
}

}  // namespace seedbed::engine
