#include "worker/engine/learner.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "worker/engine/fast_models.h"
#include "worker/engine/numerics.h"

namespace seedbed::engine {

double NeededBytes(const RunParameters& run) {
  const double element = run.precision == Precision::kFloat64 ? 8 : 4;
  const int64_t symbols = SymbolCount(run.task);
  const auto parameters = static_cast<double>(LayoutOf(run.model, symbols, symbols).parameter_count);
  const double averages =
      (run.optimizer.kind == OptimizerKind::kSgd ? 1 : 2) + (run.optimizer.grokfast_lambda > 0 ? 1 : 0);
  const double pairs = static_cast<double>(symbols) * static_cast<double>(symbols);
  double rows = run.task.train_fraction * pairs;
  if (run.batch_size > 0) rows = std::min(rows, static_cast<double>(run.batch_size));
  constexpr double kBytesPerPair = 48;  // in the task's and the learner's lists
  const double start = 8 * parameters;  // the initial values in double
  const double slabs = 2 + averages;    // with the parameters and their gradient
  return start + slabs * parameters * element + rows * ValuesPerExample(run.model, symbols, symbols) * element +
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
  RunParameters asked = run;
  if (asked.batch_size >= static_cast<int64_t>(task.train.size())) asked.batch_size = 0;
  if (!run.reference && FastSupports(asked)) return MakeFastLearner(task, run.model, run.precision, replica);
  TrainingOptions options;
  options.loss = run.loss;
  options.batch_size = asked.batch_size;
  options.matmul_precision = run.matmul_precision;
  return MakeReferenceLearner(task, run.model, run.precision, {replica}, options);
}

}  // namespace seedbed::engine
