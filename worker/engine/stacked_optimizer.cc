#include "worker/engine/stacked_optimizer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "c10/core/GradMode.h"
#include "worker/engine/schedule.h"

namespace seedbed::engine {
namespace {

using Settings = const OptimizerParameters&;

constexpr double kClipEpsilon = 1e-6;
constexpr double kMuonScale = 0.2;
constexpr int kNewtonSchulzSteps = 5;

bool StartsWith(const std::string& text, const char* prefix) {
  return text.rfind(prefix, 0) == 0;
}

bool EndsWith(const std::string& text, const std::string& suffix) {
  return text.size() >= suffix.size() && text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}

// Matrices that stand below one another in one tensor.
int64_t StackedMatrices(const TensorLayout& tensor) {
  return EndsWith(tensor.name, "in_proj_weight") ? 3 : 1;
}

// Sums over all but the replicas, [K], in double.
at::Tensor SumByReplica(const at::Tensor& stacked) {
  return stacked.reshape({stacked.size(0), -1}).sum({-1}, false, at::kDouble);
}

// [K] as [K, 1, …] in the type of `like`.
at::Tensor Broadcastable(const at::Tensor& by_replica, const at::Tensor& like) {
  std::vector<int64_t> shape(static_cast<size_t>(like.dim()), 1);
  shape[0] = by_replica.size(0);
  return by_replica.to(like.options()).view(shape);
}

}  // namespace

bool IsHiddenMatrix(const TensorLayout& tensor) {
  return tensor.shape.size() == 2 && !StartsWith(tensor.name, "embedding") && !StartsWith(tensor.name, "position") &&
         !StartsWith(tensor.name, "output");
}

at::Tensor NewtonSchulz(const at::Tensor& matrices) {
  constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
  const bool is_tall = matrices.size(-2) > matrices.size(-1);
  at::Tensor x = is_tall ? matrices.transpose(-2, -1) : matrices;
  x = x / (x.square().sum({-2, -1}, true).sqrt() + 1e-7);
  for (int step = 0; step < kNewtonSchulzSteps; ++step) {
    const at::Tensor a = at::matmul(x, x.transpose(-2, -1));
    x = kA * x + at::matmul(kB * a + kC * at::matmul(a, a), x);
  }
  return is_tall ? x.transpose(-2, -1) : x;
}

StackedOptimizer::StackedOptimizer(std::vector<at::Tensor> parameters, const ModelLayout& layout,
                                   const std::vector<ReplicaSettings>& replicas)
    : parameters_(std::move(parameters)), tensors_(layout.tensors), updates_(replicas.size(), 0) {
  for (const ReplicaSettings& replica : replicas) settings_.push_back(replica.optimizer);
  const auto allocate = [&](std::vector<at::Tensor>* slab) {
    for (const at::Tensor& parameter : parameters_) {
      slab->push_back(at::zeros(parameter.sizes(), parameter.options()));
    }
  };
  const OptimizerKind kind = settings_[0].kind;
  if (kind == OptimizerKind::kSgd || kind == OptimizerKind::kMuon) allocate(&momentum_);
  if (kind != OptimizerKind::kSgd) {
    allocate(&mean_);
    allocate(&mean_square_);
  }
  if (Any([](Settings s) { return s.grokfast_lambda != 0; })) allocate(&slow_);
}

std::map<std::string, std::vector<at::Tensor>> StackedOptimizer::Memory() const {
  std::map<std::string, std::vector<at::Tensor>> memory;
  if (!momentum_.empty()) memory["momentum"] = momentum_;
  if (!mean_.empty()) memory["mean"] = mean_;
  if (!mean_square_.empty()) memory["mean_square"] = mean_square_;
  if (!slow_.empty()) memory["slow_gradient"] = slow_;
  return memory;
}

template <typename F>
at::Tensor StackedOptimizer::PerReplica(const at::Tensor& like, F f) const {
  std::vector<double> values;
  for (size_t k = 0; k < settings_.size(); ++k) values.push_back(f(settings_[k], updates_[k]));
  return Broadcastable(at::tensor(values, at::kDouble), like);
}

at::Tensor StackedOptimizer::Rate(const at::Tensor& like, double factor) const {
  return PerReplica(like, [&](Settings s, int64_t updates) { return factor * LearningRateAt(s, updates); });
}

template <typename F>
bool StackedOptimizer::Any(F f) const {
  return std::any_of(settings_.begin(), settings_.end(), f);
}

void StackedOptimizer::Step(const std::vector<at::Tensor>& gradients) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> filtered = gradients;
  if (!slow_.empty()) AmplifySlow(&filtered);
  if (Any([](Settings s) { return s.perpendicular_gradient; })) RemoveParallel(&filtered);
  if (Any([](Settings s) { return s.clip_norm > 0; })) Clip(&filtered);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    switch (settings_[0].kind) {
      case OptimizerKind::kSgd:
        SgdStep(i, filtered[i]);
        break;
      case OptimizerKind::kAdam:
      case OptimizerKind::kAdamw:
        AdamStep(i, filtered[i]);
        break;
      case OptimizerKind::kMuon:
        MuonStep(i, filtered[i]);
        break;
    }
  }
  for (int64_t& updates : updates_) ++updates;
}

void StackedOptimizer::AmplifySlow(std::vector<at::Tensor>* gradients) {
  for (size_t i = 0; i < gradients->size(); ++i) {
    at::Tensor& gradient = (*gradients)[i];
    const auto keep = [](Settings s, int64_t updates) { return updates == 0 ? 0 : s.grokfast_alpha; };
    slow_[i].mul_(PerReplica(gradient, keep));
    slow_[i].add_(PerReplica(gradient, [&](Settings s, int64_t updates) { return 1 - keep(s, updates); }) * gradient);
    gradient = gradient + PerReplica(gradient, [](Settings s, int64_t) { return s.grokfast_lambda; }) * slow_[i];
  }
}

void StackedOptimizer::RemoveParallel(std::vector<at::Tensor>* gradients) const {
  for (size_t i = 0; i < gradients->size(); ++i) {
    at::Tensor& gradient = (*gradients)[i];
    const at::Tensor& parameter = parameters_[i];
    const at::Tensor squares = SumByReplica(parameter * parameter);
    const at::Tensor ratio = SumByReplica(parameter * gradient) / squares;
    const at::Tensor has_effect =
        PerReplica(squares, [](Settings s, int64_t) { return s.perpendicular_gradient ? 1.0 : 0.0; }).gt(0) &
        squares.gt(0);
    gradient = gradient - Broadcastable(at::where(has_effect, ratio, at::zeros_like(ratio)), gradient) * parameter;
  }
}

void StackedOptimizer::Clip(std::vector<at::Tensor>* gradients) const {
  at::Tensor squares = at::zeros({static_cast<int64_t>(settings_.size())}, parameters_[0].options().dtype(at::kDouble));
  for (const at::Tensor& gradient : *gradients) squares += SumByReplica(gradient.to(at::kDouble).square());
  const at::Tensor limit = PerReplica(squares, [](Settings s, int64_t) { return s.clip_norm; });
  const at::Tensor factor = (limit / (squares.sqrt() + kClipEpsilon)).clamp_max(1);
  const at::Tensor scale = at::where(limit.gt(0), factor, at::ones_like(factor));
  for (at::Tensor& gradient : *gradients) gradient = gradient * Broadcastable(scale, gradient);
}

void StackedOptimizer::Decay(at::Tensor* parameter) const {
  parameter->mul_(PerReplica(
      *parameter, [](Settings s, int64_t updates) { return 1 - LearningRateAt(s, updates) * s.weight_decay; }));
}

void StackedOptimizer::SgdStep(size_t i, const at::Tensor& gradient) {
  at::Tensor& parameter = parameters_[i];
  const at::Tensor decay = PerReplica(parameter, [](Settings s, int64_t) { return s.weight_decay; });
  const at::Tensor momentum = PerReplica(parameter, [](Settings s, int64_t) { return s.momentum; });
  const at::Tensor direction = gradient + decay * parameter;
  momentum_[i].mul_(momentum).add_(direction);
  at::Tensor update = momentum_[i];
  if (Any([](Settings s) { return s.nesterov; })) {
    const at::Tensor ahead = PerReplica(parameter, [](Settings s, int64_t) { return s.nesterov ? 1.0 : 0.0; }).gt(0);
    update = at::where(ahead, direction + momentum * momentum_[i], momentum_[i]);
  }
  parameter.sub_(Rate(parameter) * update);
}

void StackedOptimizer::AdamStep(size_t i, const at::Tensor& gradient) {
  at::Tensor& parameter = parameters_[i];
  const auto of = [&](auto f) { return PerReplica(parameter, f); };
  at::Tensor g = gradient;
  if (settings_[0].kind == OptimizerKind::kAdam) {
    g = g + of([](Settings s, int64_t) { return s.weight_decay; }) * parameter;
  } else {
    Decay(&parameter);
  }
  const auto t = [](int64_t updates) { return static_cast<double>(updates + 1); };
  const at::Tensor rate =
      of([&](Settings s, int64_t updates) { return LearningRateAt(s, updates) / (1 - std::pow(s.beta1, t(updates))); });
  const at::Tensor root_scale =
      of([&](Settings s, int64_t updates) { return 1 / std::sqrt(1 - std::pow(s.beta2, t(updates))); });
  const at::Tensor epsilon = of([](Settings s, int64_t) { return s.epsilon; });
  mean_[i]
      .mul_(of([](Settings s, int64_t) { return s.beta1; }))
      .add_(of([](Settings s, int64_t) { return 1 - s.beta1; }) * g);
  mean_square_[i]
      .mul_(of([](Settings s, int64_t) { return s.beta2; }))
      .add_(of([](Settings s, int64_t) { return 1 - s.beta2; }) * g * g);
  parameter.sub_(rate * mean_[i] / (mean_square_[i].sqrt() * root_scale + epsilon));
}

void StackedOptimizer::MuonStep(size_t i, const at::Tensor& gradient) {
  if (!IsHiddenMatrix(tensors_[i])) {
    AdamStep(i, gradient);
    return;
  }
  at::Tensor& parameter = parameters_[i];
  const at::Tensor momentum = PerReplica(parameter, [](Settings s, int64_t) { return s.momentum; });
  const at::Tensor fresh = PerReplica(parameter, [](Settings s, int64_t) { return 1 - s.momentum; }) * gradient;
  momentum_[i].mul_(momentum).add_(fresh);
  at::Tensor update = momentum_[i];
  if (Any([](Settings s) { return s.nesterov; })) {
    const at::Tensor ahead = PerReplica(parameter, [](Settings s, int64_t) { return s.nesterov ? 1.0 : 0.0; }).gt(0);
    update = at::where(ahead, fresh + momentum * momentum_[i], momentum_[i]);
  }
  const int64_t rows = tensors_[i].shape[0] / StackedMatrices(tensors_[i]);
  const int64_t columns = tensors_[i].shape[1];
  const at::Tensor matrices = update.reshape({update.size(0), StackedMatrices(tensors_[i]), rows, columns});
  const at::Tensor direction = NewtonSchulz(matrices).reshape(parameter.sizes());
  Decay(&parameter);
  parameter.sub_(Rate(parameter, kMuonScale * std::sqrt(static_cast<double>(std::max(rows, columns)))) * direction);
}

}  // namespace seedbed::engine
