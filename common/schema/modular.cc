#include "common/schema/modular.h"

#include <string>
#include <utility>
#include <vector>

namespace seedbed {
namespace {

ParameterDefinition Integer(std::string name, int64_t default_value, int64_t minimum, int64_t maximum,
                            std::string description) {
  ParameterDefinition definition;
  definition.name = std::move(name);
  definition.type = ParameterType::kInteger;
  definition.default_value = default_value;
  definition.minimum = static_cast<double>(minimum);
  definition.maximum = static_cast<double>(maximum);
  definition.description = std::move(description);
  return definition;
}

ParameterDefinition AtLeast(double minimum, std::string name, double default_value, std::string description) {
  ParameterDefinition definition;
  definition.name = std::move(name);
  definition.type = ParameterType::kNumber;
  definition.default_value = default_value;
  definition.minimum = minimum;
  definition.description = std::move(description);
  return definition;
}

ParameterDefinition Above(double minimum, std::string name, double default_value, std::string description) {
  ParameterDefinition definition = AtLeast(minimum, std::move(name), default_value, std::move(description));
  definition.minimum_is_open = true;
  return definition;
}

// In [0, 1).
ParameterDefinition DecayRate(std::string name, double default_value, std::string description) {
  ParameterDefinition definition = AtLeast(0, std::move(name), default_value, std::move(description));
  definition.maximum = 1.0;
  definition.maximum_is_open = true;
  return definition;
}

ParameterDefinition Choice(std::string name, std::vector<std::string> choices, std::string default_value,
                           std::string description) {
  ParameterDefinition definition;
  definition.name = std::move(name);
  definition.type = ParameterType::kString;
  definition.default_value = std::move(default_value);
  definition.choices = std::move(choices);
  definition.description = std::move(description);
  return definition;
}

ParameterDefinition When(std::string parameter, std::vector<std::string> values, ParameterDefinition definition) {
  definition.applies_when = AppliesWhen{std::move(parameter), std::move(values)};
  return definition;
}

std::vector<ParameterDefinition> TaskParameters() {
  ParameterDefinition train_fraction = Above(0, "task.train_fraction", 0.2, "share of the pairs that is trained on");
  train_fraction.maximum = 1.0;
  train_fraction.maximum_is_open = true;
  return {
      Choice("task.operation", {"add"}, "add", "what is learned: add is (a + b) mod the modulus"),
      Integer("task.modulus", 97, 2, 4096, "number of symbols and of classes; prime or not"),
      std::move(train_fraction),
      Integer("task.split_seed", 0, 0, int64_t{1} << 53, "seed of the split alone: a run's seed does not touch it"),
      Choice("task.pairs", {"ordered", "unordered"}, "ordered",
             "ordered splits pairs (a, b); unordered keeps (a, b) and (b, a) on the same side of the split"),
  };
}

std::vector<ParameterDefinition> ModelParameters() {
  return {
      Choice("model.kind", {"mlp"}, "mlp", "mlp: summed embeddings, then `depth` layers of `width` units"),
      Integer("model.depth", 2, 1, 64, "hidden layers"),
      Integer("model.width", 256, 1, 16384, "units of the embedding and of each hidden layer"),
      Choice("model.activation", {"relu", "gelu", "tanh"}, "gelu", "gelu is the erf form"),
      Above(0, "model.init_scale", 1.0, "factor on all initial parameters"),
  };
}

std::vector<ParameterDefinition> OptimizerParameters() {
  return {
      Choice("optimizer.kind", {"sgd", "adamw"}, "sgd", "with the semantics that PyTorch gives each"),
      AtLeast(0, "optimizer.learning_rate", 0.01, "constant: no schedule, no warm-up"),
      AtLeast(0, "optimizer.weight_decay", 0.002, "coupled L2 for sgd, decoupled for adamw; on all parameters"),
      When("optimizer.kind", {"sgd"}, DecayRate("optimizer.momentum", 0.9, "without dampening, not Nesterov's")),
      When("optimizer.kind", {"adamw"}, DecayRate("optimizer.beta1", 0.9, "decay of the mean of gradients")),
      When("optimizer.kind", {"adamw"}, DecayRate("optimizer.beta2", 0.999, "decay of the mean of squared gradients")),
      When("optimizer.kind", {"adamw"}, Above(0, "optimizer.epsilon", 1e-8, "added to the root in the update")),
  };
}

std::vector<ParameterDefinition> NumericParameters() {
  return {
      Choice("precision", {"float32", "float64"}, "float32", "of parameters, gradients and activations"),
      Choice("implementation", {"auto", "reference"}, "auto",
             "auto takes the hand-written one where there is one; reference is autograd on stacked tensors"),
  };
}

// In the order of the engine's (worker/engine/measures.h); formulas and sources: docs/engine.md.
std::vector<MetricDefinition> ModularMetrics() {
  std::vector<MetricDefinition> metrics = {
      {"train_loss", false, "mean loss over the training pairs; cross-entropy in nats"},
      {"train_accuracy", false, "share of training pairs answered correctly, 0 to 1"},
      {"test_loss", true, "mean loss over the test pairs; cross-entropy in nats"},
      {"test_accuracy", true, "share of test pairs answered correctly, 0 to 1"},
      {"test_accuracy_unseen", true, "test_accuracy over pairs whose mirror (b, a) is not trained on either"},
      {"test_accuracy_mirrored", true, "test_accuracy over pairs whose mirror (b, a) is trained on"},
      {"parameter_rms", true, "root mean square of all parameters"},
      {"gradient_norm", true, "Euclidean norm of the gradient of the update's loss, before decay and clipping"},
      {"batch_loss", false, "mean loss over the minibatch of the next update; with minibatches only"},
      {"effective_decay", true, "share by which the next update shrinks the parameters in the long run"},
  };
  for (MetricDefinition analysed : std::vector<MetricDefinition>{
           {"train_logit_margin", false, "mean over training pairs of the label's logit less the largest other one"},
           {"train_logit_margin_min", false, "the smallest such margin of a training pair"},
           {"test_logit_margin", false, "mean over test pairs of the label's logit less the largest other one"},
           {"test_logit_margin_min", false, "the smallest such margin of a test pair"},
           {"embedding_top5_share", false, "share of the 5 largest frequencies in the embedding's energy, without k = 0"},
           {"embedding_top5_share_with_constant", false, "the same with k = 0"},
           {"embedding_gini", false, "Gini coefficient of the embedding's Fourier norms, 0 to 1"},
           {"embedding_participation", false, "mean inverse participation ratio of the embedding's columns, 0 to 1"},
           {"key_frequency_1", false, "the frequency with the most energy in the embedding"},
           {"key_frequency_2", false, "the frequency with the second most energy"},
           {"key_frequency_3", false, "the frequency with the third most energy"},
           {"key_frequency_4", false, "the frequency with the fourth most energy"},
           {"key_frequency_5", false, "the frequency with the fifth most energy"},
           {"restricted_loss", false, "mean loss over all pairs of the logits' part in the key frequencies; add only"},
           {"excluded_loss", false, "mean loss over training pairs of the logits without that part; add only"},
           {"weight_norm", false, "Euclidean norm of each parameter tensor: weight_norm.layers.0.weight"},
       }) {
    analysed.at_analyses_only = true;
    analysed.is_family = analysed.name == "weight_norm";
    metrics.push_back(std::move(analysed));
  }
  return metrics;
}

TrainerSchema Build() {
  TrainerSchema schema;
  schema.name = "modular";
  schema.description = "small networks on tables of modular arithmetic, full batch (the built-in engine)";
  for (auto group : {TaskParameters(), ModelParameters(), OptimizerParameters(), NumericParameters()}) {
    for (ParameterDefinition& definition : group) schema.parameters.push_back(std::move(definition));
  }
  schema.metrics = ModularMetrics();
  schema.outcomes = {"diverged", "generalised", "grokked", "memorised", "not_memorised"};
  return schema;
}

}  // namespace

const TrainerSchema& ModularTrainerSchema() {
  static const TrainerSchema* const schema = new TrainerSchema(Build());
  return *schema;
}

}  // namespace seedbed
