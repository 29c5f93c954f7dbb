#include "common/schema/modular.h"

#include <string>
#include <utility>
#include <vector>

#include "common/schema/definitions.h"
#include "common/schema/modular_operations.h"
#include "common/schema/modular_rules.h"

namespace seedbed {
namespace {

// The names of the operations, all or those with a modulus.
std::vector<std::string> OperationNames(bool on_residues_only) {
  std::vector<std::string> names;
  for (const ModularOperation& operation : ModularOperations()) {
    if (!on_residues_only || !operation.on_permutations) names.push_back(operation.name);
  }
  return names;
}

std::vector<ParameterDefinition> TaskParameters() {
  ParameterDefinition train_fraction = Above(0, "task.train_fraction", 0.2, "share of the pairs that is trained on");
  train_fraction.maximum = 1.0;
  train_fraction.maximum_is_open = true;
  return {
      Choice("task.operation", OperationNames(false), "add", "what is learned, modulo task.modulus, or on permutations"),
      When("task.operation", OperationNames(true),
           Integer("task.modulus", 97, 2, 4096, "number of symbols and of classes; prime or not")),
      std::move(train_fraction),
      Integer("task.split_seed", 0, 0, int64_t{1} << 53, "seed of the split alone: a run's seed does not touch it"),
      Choice("task.pairs", {"ordered", "unordered"}, "ordered",
             "ordered splits pairs (a, b); unordered keeps (a, b) and (b, a) on the same side of the split"),
      LeftOutAtDefault(DecayRate("task.label_noise", 0, "share of the training labels that is replaced by wrong ones")),
  };
}

std::vector<ParameterDefinition> ModelParameters() {
  const std::vector<std::string> normed = {"residual_mlp", "transformer"};
  const auto transformer = [](ParameterDefinition definition) {
    return When("model.kind", {"transformer"}, std::move(definition));
  };
  return {
      Choice("model.kind", {"mlp", "residual_mlp", "transformer"}, "mlp",
             "mlp and residual_mlp on summed embeddings, transformer on a sequence of two or three tokens"),
      Integer("model.depth", 2, 1, 64, "hidden layers of mlp, blocks of residual_mlp, encoder layers of transformer"),
      Integer("model.width", 256, 1, 16384, "units of the embedding and of each hidden layer or of the residual stream"),
      Choice("model.activation", {"relu", "gelu", "tanh", "quadratic"}, "gelu",
             "gelu is the erf form, quadratic the square"),
      Above(0, "model.init_scale", 1.0, "factor on all initial parameters but LayerNorm's"),
      When("model.kind", {"residual_mlp"},
           Integer("model.inner_width", 0, 0, 65536, "units inside of a block; 0 means model.width")),
      When("model.kind", normed, Boolean("model.layer_norm", true, "LayerNorm in each block or layer")),
      When("model.kind", normed, Boolean("model.final_norm", false, "LayerNorm before the read-out")),
      transformer(Integer("model.heads", 4, 1, 1024, "attention heads; they divide model.width")),
      transformer(Integer("model.feed_forward", 0, 0, 65536, "units of the feed-forward part; 0 means 4 * model.width")),
      transformer(Boolean("model.equals_token", false, "a third token '=' after a and b")),
      transformer(Boolean("model.causal", false, "each position attends to itself and those before it only")),
      transformer(Choice("model.norm", {"pre", "post"}, "pre", "LayerNorm before each sublayer, or after its sum")),
      transformer(Choice("model.readout", {"mean", "last"}, "mean", "logits from the mean over positions or the last")),
      transformer(AtLeast(0, "model.position_scale", 0.02, "standard deviation of the initial positions")),
  };
}

std::vector<ParameterDefinition> TrainingParameters() {
  return {
      LeftOutAtDefault(Choice("loss", {"cross_entropy", "mse"}, "cross_entropy",
                              "mean over the examples; mse is of the logits against the label's unit vector")),
      LeftOutAtDefault(Integer("batch_size", 0, 0, int64_t{1} << 24, "examples of an update; 0 means all of them")),
  };
}

std::vector<ParameterDefinition> OptimizerParameters() {
  const auto with_momentum = [](ParameterDefinition definition) {
    return When("optimizer.kind", {"sgd", "muon"}, std::move(definition));
  };
  const auto adaptive = [](ParameterDefinition definition) {
    return When("optimizer.kind", {"adam", "adamw", "muon"}, std::move(definition));
  };
  const auto cosine = [](ParameterDefinition definition) {
    return When("optimizer.schedule", {"cosine"}, std::move(definition));
  };
  ParameterDefinition final_factor = AtLeast(0, "optimizer.final_factor", 0, "share of the learning rate at the end");
  final_factor.maximum = 1.0;
  return {
      Choice("optimizer.kind", {"sgd", "adam", "adamw", "muon"}, "sgd",
             "with PyTorch's semantics; muon for hidden matrices, with adamw for the rest"),
      AtLeast(0, "optimizer.learning_rate", 0.01, "before the schedule's factor"),
      AtLeast(0, "optimizer.weight_decay", 0.002,
              "coupled L2 for sgd and adam, decoupled for adamw and muon; on all parameters"),
      with_momentum(DecayRate("optimizer.momentum", 0.9, "without dampening")),
      LeftOutAtDefault(with_momentum(Boolean("optimizer.nesterov", false, "Nesterov's form of momentum"))),
      adaptive(DecayRate("optimizer.beta1", 0.9, "decay of the mean of gradients")),
      adaptive(DecayRate("optimizer.beta2", 0.999, "decay of the mean of squared gradients")),
      adaptive(Above(0, "optimizer.epsilon", 1e-8, "added to the root in the update")),
      LeftOutAtDefault(AtLeast(0, "optimizer.clip_norm", 0, "most norm of the gradient, before decay; 0 means any")),
      LeftOutAtDefault(Choice("optimizer.schedule", {"constant", "warmup", "cosine"}, "constant",
                              "of the learning rate; warmup rises and stays, cosine descends after the warm-up")),
      When("optimizer.schedule", {"warmup", "cosine"},
           Integer("optimizer.warmup_steps", 0, 0, int64_t{1} << 40, "updates of the linear rise; 0 means none")),
      cosine(Integer("optimizer.schedule_steps", 0, 0, int64_t{1} << 40, "updates of the descent after the warm-up")),
      cosine(std::move(final_factor)),
      LeftOutAtDefault(DecayRate("optimizer.grokfast_alpha", 0.98, "decay of Grokfast's mean of gradients")),
      LeftOutAtDefault(AtLeast(0, "optimizer.grokfast_lambda", 0, "weight of Grokfast's mean of gradients; 0 means off")),
      LeftOutAtDefault(Boolean("optimizer.perpendicular_gradient", false,
                               "take from the gradient what is parallel to the parameters")),
  };
}

std::vector<ParameterDefinition> NumericParameters() {
  return {
      Choice("precision", {"float32", "float64"}, "float32", "of parameters, gradients and activations"),
      LeftOutAtDefault(Choice("matmul_precision", {"full", "tf32", "bf16"}, "full",
                              "of the factors of float32 matrix products, where the device has it")),
      Choice("implementation", {"auto", "reference"}, "auto",
             "auto takes the hand-written one where there is one; reference is autograd on stacked tensors"),
  };
}

TrainerSchema Build() {
  TrainerSchema schema;
  schema.name = "modular";
  schema.description = "small networks on tables of modular arithmetic (the built-in engine)";
  for (auto group : {TaskParameters(), ModelParameters(), TrainingParameters(), OptimizerParameters(),
                     NumericParameters()}) {
    for (ParameterDefinition& definition : group) schema.parameters.push_back(std::move(definition));
  }
  schema.rules = ModularRules();
  schema.metrics = {
      {"train_loss", false, "mean cross-entropy over the training pairs, in nats"},
      {"train_accuracy", false, "share of training pairs answered correctly, 0 to 1"},
      {"test_loss", true, "mean cross-entropy over the test pairs, in nats"},
      {"test_accuracy", true, "share of test pairs answered correctly, 0 to 1"},
      {"test_accuracy_unseen", true, "test_accuracy over pairs whose mirror (b, a) is not trained on either"},
      {"test_accuracy_mirrored", true, "test_accuracy over pairs whose mirror (b, a) is trained on"},
      {"parameter_rms", true, "root mean square of all parameters"},
      {"gradient_norm", true, "Euclidean norm of the gradient of train_loss, before decay and clipping"},
  };
  schema.outcomes = {"diverged", "generalised", "grokked", "memorised", "not_memorised"};
  return schema;
}

}  // namespace

const TrainerSchema& ModularTrainerSchema() {
  static const TrainerSchema* const schema = new TrainerSchema(Build());
  return *schema;
}

}  // namespace seedbed
