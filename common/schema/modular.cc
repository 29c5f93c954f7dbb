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
      Choice("task.operation", OperationNames(false), "add",
             "what is learned, modulo task.modulus, or on permutations"),
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
      Integer("model.width", 256, 1, 16384,
              "units of the embedding and of each hidden layer or of the residual stream"),
      Choice("model.activation", {"relu", "gelu", "tanh", "quadratic"}, "gelu",
             "gelu is the erf form, quadratic the square"),
      Above(0, "model.init_scale", 1.0, "factor on all initial parameters but LayerNorm's"),
      When("model.kind", {"residual_mlp"},
           Integer("model.inner_width", 0, 0, 65536, "units inside of a block; 0 means model.width")),
      When("model.kind", normed, Boolean("model.layer_norm", true, "LayerNorm in each block or layer")),
      When("model.kind", normed, Boolean("model.final_norm", false, "LayerNorm before the read-out")),
      transformer(Integer("model.heads", 4, 1, 1024, "attention heads; they divide model.width")),
      transformer(
          Integer("model.feed_forward", 0, 0, 65536, "units of the feed-forward part; 0 means 4 * model.width")),
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
      LeftOutAtDefault(DecayRate("optimizer.grokfast_alpha", kGrokfastAlpha, "decay of Grokfast's mean of gradients")),
      LeftOutAtDefault(
          AtLeast(0, "optimizer.grokfast_lambda", 0, "weight of Grokfast's mean of gradients; 0 means off")),
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

MetricDefinition AtRows(const char* name, const char* description) {
  MetricDefinition metric;
  metric.name = name;
  metric.description = description;
  return metric;
}

MetricDefinition AtEvaluations(const char* name, const char* description) {
  MetricDefinition metric = AtRows(name, description);
  metric.at_evaluations_only = true;
  return metric;
}

void SetAbsence(const std::string& metric, const ParameterRule& where, std::vector<MetricDefinition>* metrics) {
  for (MetricDefinition& definition : *metrics) {
    if (definition.name == metric) definition.absent_where = where;
  }
}

// In the order of the engine's (worker/engine/measures.h); formulas and sources: docs/engine.md.
std::vector<MetricDefinition> ModularMetrics() {
  std::vector<MetricDefinition> metrics = {
      AtRows("train_loss", "mean loss over the training pairs; cross-entropy in nats"),
      AtRows("train_accuracy", "share of training pairs answered correctly, 0 to 1"),
      AtEvaluations("test_loss", "mean loss over the test pairs; cross-entropy in nats"),
      AtEvaluations("test_accuracy", "share of test pairs answered correctly, 0 to 1"),
      AtEvaluations("test_accuracy_unseen", "test_accuracy over pairs whose mirror (b, a) is not trained on either"),
      AtEvaluations("test_accuracy_mirrored", "test_accuracy over pairs whose mirror (b, a) is trained on"),
      AtEvaluations("parameter_rms", "root mean square of all parameters"),
      AtEvaluations("gradient_norm", "Euclidean norm of the gradient of the update's loss, before decay and clipping"),
      AtRows("batch_loss", "mean loss over the minibatch of the next update; with minibatches only"),
      AtEvaluations("effective_decay", "share by which the next update shrinks the parameters in the long run"),
  };
  for (MetricDefinition analysed : {
           AtRows("train_logit_margin", "mean over training pairs of the label's logit less the largest other one"),
           AtRows("train_logit_margin_min", "the smallest such margin of a training pair"),
           AtRows("test_logit_margin", "mean over test pairs of the label's logit less the largest other one"),
           AtRows("test_logit_margin_min", "the smallest such margin of a test pair"),
           AtRows("embedding_top5_share",
                  "share of the 5 largest frequencies in the embedding's energy, without k = 0"),
           AtRows("embedding_top5_share_with_constant", "the same with k = 0"),
           AtRows("embedding_gini", "Gini coefficient of the embedding's Fourier norms, 0 to 1"),
           AtRows("embedding_participation", "mean inverse participation ratio of the embedding's columns, 0 to 1"),
           AtRows("key_frequency_1", "the frequency with the most energy in the embedding"),
           AtRows("key_frequency_2", "the frequency with the second most energy"),
           AtRows("key_frequency_3", "the frequency with the third most energy"),
           AtRows("key_frequency_4", "the frequency with the fourth most energy"),
           AtRows("key_frequency_5", "the frequency with the fifth most energy"),
           AtRows("restricted_loss", "mean loss over all pairs of the logits' part in the key frequencies; add only"),
           AtRows("excluded_loss", "mean loss over training pairs of the logits without that part; add only"),
           AtRows("weight_norm", "Euclidean norm of each parameter tensor: weight_norm.layers.0.weight"),
       }) {
    analysed.at_analyses_only = true;
    analysed.is_family = analysed.name == "weight_norm";
    if (analysed.name.rfind("embedding_", 0) == 0 || analysed.name.rfind("key_frequency_", 0) == 0) {
      analysed.absent_where = AbsentWithoutSpectrum();
    }
    metrics.push_back(std::move(analysed));
  }
  SetAbsence("test_accuracy_unseen", AbsentWithoutMirrors(), &metrics);
  SetAbsence("test_accuracy_mirrored", AbsentWithoutMirroredPairs(), &metrics);
  SetAbsence("batch_loss", AbsentInFullBatch(), &metrics);
  SetAbsence("restricted_loss", AbsentButForAddition(), &metrics);
  SetAbsence("excluded_loss", AbsentButForAddition(), &metrics);
  return metrics;
}

TrainerSchema Build() {
  TrainerSchema schema;
  schema.name = "modular";
  schema.description = "small networks on tables of modular arithmetic (the built-in engine)";
  for (auto group :
       {TaskParameters(), ModelParameters(), TrainingParameters(), OptimizerParameters(), NumericParameters()}) {
    for (ParameterDefinition& definition : group) schema.parameters.push_back(std::move(definition));
  }
  schema.rules = ModularRules();
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
