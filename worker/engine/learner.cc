#include "worker/engine/learner.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "worker/engine/numerics.h"

namespace seedbed::engine {
namespace {

// Refuses what the schema offers and no learner here does yet. An option whose line is gone is one that works.
absl::Status CheckSupported(const RunParameters& run) {
  const auto refuse = [](bool is_asked, const char* option) {
    if (!is_asked) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("this engine cannot train with ", option, "; leave it out, or use an engine that can"));
  };
  const OptimizerParameters& optimizer = run.optimizer;
  for (const absl::Status& status : {
           refuse(run.task.operation != "add", "a task.operation other than add"),
           refuse(run.task.label_noise != 0, "task.label_noise"),
           refuse(run.model.kind == "residual_mlp", "model.kind residual_mlp"),
           refuse(run.model.kind == "transformer", "model.kind transformer"),
           refuse(run.model.activation == Activation::kQuadratic, "model.activation quadratic"),
           refuse(run.loss != Loss::kCrossEntropy, "loss mse"),
           refuse(run.batch_size != 0, "batch_size"),
           refuse(optimizer.kind == OptimizerKind::kAdam, "optimizer.kind adam"),
           refuse(optimizer.kind == OptimizerKind::kMuon, "optimizer.kind muon"),
           refuse(optimizer.nesterov, "optimizer.nesterov"),
           refuse(optimizer.clip_norm != 0, "optimizer.clip_norm"),
           refuse(optimizer.schedule != Schedule::kConstant, "an optimizer.schedule other than constant"),
           refuse(optimizer.grokfast_lambda != 0, "optimizer.grokfast_lambda"),
           refuse(optimizer.perpendicular_gradient, "optimizer.perpendicular_gradient"),
           refuse(run.matmul_precision != MatmulPrecision::kFull, "a matmul_precision other than full"),
       }) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

double NeededBytes(const RunParameters& run) {
  const double element = run.precision == Precision::kFloat64 ? 8 : 4;
  const int64_t symbols = SymbolCount(run.task);
  const auto parameters = static_cast<double>(LayoutOf(run.model, symbols, symbols).parameter_count);
  const double averages = (run.optimizer.kind == OptimizerKind::kSgd ? 1 : 2) + (run.optimizer.grokfast_lambda > 0 ? 1 : 0);
  const double pairs = static_cast<double>(symbols) * static_cast<double>(symbols);
  double rows = run.task.train_fraction * pairs;
  if (run.batch_size > 0) rows = std::min(rows, static_cast<double>(run.batch_size));
  constexpr double kBytesPerPair = 48;  // in the task's and the learner's lists
  const double start = 8 * parameters;  // the initial values in double
  const double slabs = 2 + averages;    // with the parameters and their gradient
  return start + slabs * parameters * element + rows * ValuesPerExample(run.model, symbols, symbols) * element +
         kBytesPerPair * pairs;
}

absl::StatusOr<std::unique_ptr<Learner>> MakeLearner(const RunParameters& run, uint64_t seed) {
  SEEDBED_RETURN_IF_ERROR(CheckSupported(run));
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
  const bool has_fast_one = run.model.kind == "mlp" && run.model.activation != Activation::kQuadratic;
  if (run.reference || !has_fast_one) return MakeReferenceLearner(task, run.model, run.precision, {replica});
  return MakeFastMlp(task, run.model, run.precision, replica);
}

}  // namespace seedbed::engine
