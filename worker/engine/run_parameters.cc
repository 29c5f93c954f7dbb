#include "worker/engine/run_parameters.h"

#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/schema/modular.h"

namespace seedbed::engine {
namespace {

// Sets a field to the value of a parameter that exists there, and leaves it otherwise.
class Reader {
 public:
  explicit Reader(const Json& all) : all_(all) {}

  template <typename T>
  void Read(const char* name, T* field) const {
    if (const auto found = all_.find(name); found != all_.end()) *field = found->get<T>();
  }

  // The schema allows these words only.
  template <typename T>
  void ReadWord(const char* name, const std::vector<std::pair<const char*, T>>& words, T* field) const {
    const auto found = all_.find(name);
    if (found == all_.end()) return;
    for (const auto& [word, value] : words) {
      if (*found == word) *field = value;
    }
  }

 private:
  const Json& all_;
};

TaskParameters ReadTask(const Reader& all) {
  TaskParameters task;
  all.Read("task.operation", &task.operation);
  all.Read("task.modulus", &task.modulus);
  all.Read("task.train_fraction", &task.train_fraction);
  all.Read("task.split_seed", &task.split_seed);
  all.ReadWord<bool>("task.pairs", {{"ordered", false}, {"unordered", true}}, &task.unordered);
  all.Read("task.label_noise", &task.label_noise);
  return task;
}

ModelParameters ReadModel(const Reader& all) {
  ModelParameters model;
  all.Read("model.kind", &model.kind);
  all.Read("model.depth", &model.depth);
  all.Read("model.width", &model.width);
  all.ReadWord<Activation>("model.activation",
                           {{"relu", Activation::kRelu},
                            {"gelu", Activation::kGelu},
                            {"tanh", Activation::kTanh},
                            {"quadratic", Activation::kQuadratic}},
                           &model.activation);
  all.Read("model.init_scale", &model.init_scale);
  model.inner_width = 0;
  all.Read("model.inner_width", &model.inner_width);
  if (model.inner_width == 0) model.inner_width = model.width;
  all.Read("model.layer_norm", &model.layer_norm);
  all.Read("model.final_norm", &model.final_norm);
  all.Read("model.heads", &model.heads);
  model.feed_forward = 0;
  all.Read("model.feed_forward", &model.feed_forward);
  if (model.feed_forward == 0) model.feed_forward = 4 * model.width;
  all.Read("model.equals_token", &model.equals_token);
  all.Read("model.causal", &model.causal);
  all.ReadWord<NormPlace>("model.norm", {{"pre", NormPlace::kPre}, {"post", NormPlace::kPost}}, &model.norm);
  all.ReadWord<Readout>("model.readout", {{"mean", Readout::kMean}, {"last", Readout::kLast}}, &model.readout);
  all.Read("model.position_scale", &model.position_scale);
  return model;
}

OptimizerParameters ReadOptimizer(const Reader& all) {
  OptimizerParameters optimizer;
  all.ReadWord<OptimizerKind>("optimizer.kind",
                              {{"sgd", OptimizerKind::kSgd},
                               {"adam", OptimizerKind::kAdam},
                               {"adamw", OptimizerKind::kAdamw},
                               {"muon", OptimizerKind::kMuon}},
                              &optimizer.kind);
  all.Read("optimizer.learning_rate", &optimizer.learning_rate);
  all.Read("optimizer.weight_decay", &optimizer.weight_decay);
  all.Read("optimizer.momentum", &optimizer.momentum);
  all.Read("optimizer.nesterov", &optimizer.nesterov);
  all.Read("optimizer.beta1", &optimizer.beta1);
  all.Read("optimizer.beta2", &optimizer.beta2);
  all.Read("optimizer.epsilon", &optimizer.epsilon);
  all.Read("optimizer.clip_norm", &optimizer.clip_norm);
  all.ReadWord<Schedule>(
      "optimizer.schedule",
      {{"constant", Schedule::kConstant}, {"warmup", Schedule::kWarmup}, {"cosine", Schedule::kCosine}},
      &optimizer.schedule);
  all.Read("optimizer.warmup_steps", &optimizer.warmup_steps);
  all.Read("optimizer.schedule_steps", &optimizer.schedule_steps);
  all.Read("optimizer.final_factor", &optimizer.final_factor);
  all.Read("optimizer.grokfast_alpha", &optimizer.grokfast_alpha);
  all.Read("optimizer.grokfast_lambda", &optimizer.grokfast_lambda);
  all.Read("optimizer.perpendicular_gradient", &optimizer.perpendicular_gradient);
  return optimizer;
}

}  // namespace

absl::StatusOr<RunParameters> ReadRunParameters(const Json& given) {
  SEEDBED_ASSIGN_OR_RETURN(const Json complete, CompleteParameters(ModularTrainerSchema(), given));
  const Reader all(complete);
  RunParameters run;
  run.task = ReadTask(all);
  run.model = ReadModel(all);
  all.ReadWord<Loss>("loss", {{"cross_entropy", Loss::kCrossEntropy}, {"mse", Loss::kMse}}, &run.loss);
  all.Read("batch_size", &run.batch_size);
  run.optimizer = ReadOptimizer(all);
  all.ReadWord<Precision>("precision", {{"float32", Precision::kFloat32}, {"float64", Precision::kFloat64}},
                          &run.precision);
  all.ReadWord<MatmulPrecision>(
      "matmul_precision",
      {{"full", MatmulPrecision::kFull}, {"tf32", MatmulPrecision::kTf32}, {"bf16", MatmulPrecision::kBf16}},
      &run.matmul_precision);
  all.ReadWord<bool>("implementation", {{"auto", false}, {"reference", true}}, &run.reference);
  return run;
}

}  // namespace seedbed::engine
