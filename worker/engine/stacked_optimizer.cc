#include "worker/engine/stacked_optimizer.h"

#include <cmath>
#include <utility>

#include "c10/core/GradMode.h"

namespace seedbed::engine {

StackedOptimizer::StackedOptimizer(std::vector<at::Tensor> parameters, const std::vector<ReplicaSettings>& replicas)
    : parameters_(std::move(parameters)) {
  for (const ReplicaSettings& replica : replicas) settings_.push_back(replica.optimizer);
  for (const at::Tensor& parameter : parameters_) {
    first_.push_back(at::zeros(parameter.sizes(), parameter.options()));
    if (settings_[0].kind == OptimizerKind::kAdamw)
      second_.push_back(at::zeros(parameter.sizes(), parameter.options()));
  }
}

template <typename F>
at::Tensor StackedOptimizer::PerReplica(const at::Tensor& like, F f) const {
  std::vector<double> values;
  for (const OptimizerParameters& settings : settings_) values.push_back(f(settings));
  std::vector<int64_t> shape(static_cast<size_t>(like.dim()), 1);
  shape[0] = static_cast<int64_t>(values.size());
  return at::tensor(values, at::kDouble).to(like.options()).view(shape);
}

std::map<std::string, std::vector<at::Tensor>> StackedOptimizer::Memory() const {
  if (settings_[0].kind == OptimizerKind::kSgd) return {{"momentum", first_}};
  return {{"mean", first_}, {"mean_square", second_}};
}

void StackedOptimizer::Step(const std::vector<at::Tensor>& gradients) {
  const c10::NoGradGuard no_grad;
  ++updates_;
  if (settings_[0].kind == OptimizerKind::kSgd) {
    SgdStep(gradients);
  } else {
    AdamwStep(gradients);
  }
}

void StackedOptimizer::SgdStep(const std::vector<at::Tensor>& gradients) {
  using Settings = const OptimizerParameters&;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& parameter = parameters_[i];
    const at::Tensor decay = PerReplica(parameter, [](Settings s) { return s.weight_decay; });
    const at::Tensor momentum = PerReplica(parameter, [](Settings s) { return s.momentum; });
    const at::Tensor rate = PerReplica(parameter, [](Settings s) { return s.learning_rate; });
    first_[i].mul_(momentum).add_(gradients[i] + decay * parameter);
    parameter.sub_(rate * first_[i]);
  }
}

void StackedOptimizer::AdamwStep(const std::vector<at::Tensor>& gradients) {
  using Settings = const OptimizerParameters&;
  const auto t = static_cast<double>(updates_);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& parameter = parameters_[i];
    const auto of = [&](auto f) { return PerReplica(parameter, f); };
    const at::Tensor keep = of([](Settings s) { return 1 - s.learning_rate * s.weight_decay; });
    const at::Tensor rate = of([&](Settings s) { return s.learning_rate / (1 - std::pow(s.beta1, t)); });
    const at::Tensor root_scale = of([&](Settings s) { return 1 / std::sqrt(1 - std::pow(s.beta2, t)); });
    const at::Tensor epsilon = of([](Settings s) { return s.epsilon; });
    parameter.mul_(keep);
    first_[i]
        .mul_(of([](Settings s) { return s.beta1; }))
        .add_(of([](Settings s) { return 1 - s.beta1; }) * gradients[i]);
    second_[i]
        .mul_(of([](Settings s) { return s.beta2; }))
        .add_(of([](Settings s) { return 1 - s.beta2; }) * gradients[i] * gradients[i]);
    parameter.sub_(rate * first_[i] / (second_[i].sqrt() * root_scale + epsilon));
  }
}

}  // namespace seedbed::engine
