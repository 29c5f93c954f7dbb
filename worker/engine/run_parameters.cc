#include "worker/engine/run_parameters.h"

#include "common/base/status_macros.h"
#include "common/schema/modular.h"

namespace seedbed::engine {
namespace {

Activation ActivationNamed(const std::string& name) {
  if (name == "relu") return Activation::kRelu;
  return name == "tanh" ? Activation::kTanh : Activation::kGelu;
}

}  // namespace

absl::StatusOr<RunParameters> ReadRunParameters(const Json& given) {
  SEEDBED_ASSIGN_OR_RETURN(const Json all, ResolveParameters(ModularTrainerSchema(), given));
  const auto text = [&](const char* name) { return all.at(name).get<std::string>(); };
  const auto integer = [&](const char* name) { return all.at(name).get<int64_t>(); };
  const auto number = [&](const char* name) { return all.at(name).get<double>(); };

  RunParameters run;
  run.task.operation = text("task.operation");
  run.task.modulus = integer("task.modulus");
  run.task.train_fraction = number("task.train_fraction");
  run.task.split_seed = integer("task.split_seed");
  run.task.unordered = text("task.pairs") == "unordered";

  run.model.kind = text("model.kind");
  run.model.depth = integer("model.depth");
  run.model.width = integer("model.width");
  run.model.activation = ActivationNamed(text("model.activation"));
  run.model.init_scale = number("model.init_scale");

  run.optimizer.learning_rate = number("optimizer.learning_rate");
  run.optimizer.weight_decay = number("optimizer.weight_decay");
  if (text("optimizer.kind") == "sgd") {
    run.optimizer.kind = OptimizerKind::kSgd;
    run.optimizer.momentum = number("optimizer.momentum");
  } else {
    run.optimizer.kind = OptimizerKind::kAdamw;
    run.optimizer.beta1 = number("optimizer.beta1");
    run.optimizer.beta2 = number("optimizer.beta2");
    run.optimizer.epsilon = number("optimizer.epsilon");
  }
  run.precision = text("precision") == "float64" ? Precision::kFloat64 : Precision::kFloat32;
  run.reference = text("implementation") == "reference";
  return run;
}

}  // namespace seedbed::engine
