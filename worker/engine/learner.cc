#include "worker/engine/learner.h"

#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "worker/engine/fast_models.h"
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

bool FastSupports(const RunParameters& run) {
  if (run.loss != Loss::kCrossEntropy || run.batch_size != 0 || run.matmul_precision != MatmulPrecision::kFull ||
      run.optimizer.kind == OptimizerKind::kMuon) {
    return false;
  }
  const ModelParameters& model = run.model;
  if (model.kind == "residual_mlp") return model.layer_norm;
  if (model.kind == "transformer") {
    return model.depth == 1 && model.layer_norm && model.norm == NormPlace::kPre && model.readout == Readout::kMean &&
           !model.equals_token && !model.causal && !model.final_norm;
  }
  return model.kind == "mlp";
}

std::unique_ptr<Learner> MakeFastLearner(const Task& task, const ModelParameters& model, Precision precision,
                                         const ReplicaSettings& replica) {
  if (model.kind == "residual_mlp") return MakeFastResidualMlp(task, model, precision, replica);
  if (model.kind == "transformer") return MakeFastTransformer(task, model, precision, replica);
  return MakeFastMlp(task, model, precision, replica);
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
  if (!run.reference && FastSupports(run)) return MakeFastLearner(task, run.model, run.precision, replica);
  return MakeReferenceLearner(task, run.model, run.precision, {replica});
}

}  // namespace seedbed::engine
