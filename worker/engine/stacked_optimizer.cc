#include "worker/engine/stacked_optimizer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "c10/core/GradMode.h"
#include "worker/engine/schedule.h"
#include "worker/engine/stacked_examples.h"

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

// [K] as [K, 1, …].
at::Tensor Broadcastable(const at::Tensor& by_replica, const at::Tensor& like) {
  std::vector<int64_t> shape(static_cast<size_t>(like.dim()), 1);
  shape[0] = by_replica.size(0);
  return by_replica.view(shape);
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
  const at::Tensor squares = SumLast(x.square().flatten(-2), x.scalar_type());
  x = x / (squares.sqrt().unsqueeze(-1).unsqueeze(-1) + 1e-7);
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
  numbers_ = at::zeros({kNumbers, static_cast<int64_t>(replicas.size())}, parameters_[0].options().dtype(at::kDouble));
}

std::map<std::string, std::vector<at::Tensor>> StackedOptimizer::Memory() const {
  std::map<std::string, std::vector<at::Tensor>> memory;
  if (!momentum_.empty()) memory["momentum"] = momentum_;
  if (!mean_.empty()) memory["mean"] = mean_;
  if (!mean_square_.empty()) memory["mean_square"] = mean_square_;
  if (!slow_.empty()) memory["slow_gradient"] = slow_;
  return memory;
}

void StackedOptimizer::Refill(int replica, const OptimizerParameters& settings) {
  const c10::NoGradGuard no_grad;
  settings_[static_cast<size_t>(replica)] = settings;
  updates_[static_cast<size_t>(replica)] = 0;
  for (const auto& [name, tensors] : Memory()) {
    for (const at::Tensor& tensor : tensors) tensor.select(0, replica).zero_();
  }
}

template <typename F>
bool StackedOptimizer::Any(F f) const {
  return std::any_of(settings_.begin(), settings_.end(), f);
}

void StackedOptimizer::FillNumbers(const OptimizerParameters& s, int64_t updates, double* column,
                                   int64_t stride) const {
  const auto set = [&](Number number, double value) { column[number * stride] = value; };
  const double rate = LearningRateAt(s, updates);
  const double slow_keep = updates == 0 ? 0 : s.grokfast_alpha;
  const auto t = static_cast<double>(updates + 1);
  set(kRate, rate);
  set(kShrink, 1 - rate * s.weight_decay);
  set(kDecay, s.weight_decay);
  set(kMomentum, s.momentum);
  set(kFresh, 1 - s.momentum);
  set(kNesterov, s.nesterov ? 1 : 0);
  set(kBeta1, s.beta1);
  set(kFresh1, 1 - s.beta1);
  set(kBeta2, s.beta2);
  set(kFresh2, 1 - s.beta2);
  set(kMeanRate, rate / (1 - std::pow(s.beta1, t)));
  set(kRootScale, 1 / std::sqrt(1 - std::pow(s.beta2, t)));
  set(kEpsilon, s.epsilon);
  set(kClipNorm, s.clip_norm);
  set(kSlowKeep, slow_keep);
  set(kSlowFresh, 1 - slow_keep);
  set(kSlowWeight, s.grokfast_lambda);
  set(kPerpendicular, s.perpendicular_gradient ? 1 : 0);
}

bool StackedOptimizer::Prepare(const std::vector<bool>* which) {
  const c10::NoGradGuard no_grad;
  const auto replicas = static_cast<int64_t>(settings_.size());
  const at::Tensor table = at::empty({kNumbers, replicas}, at::kDouble);
  double* const values = table.data_ptr<double>();
  for (int64_t k = 0; k < replicas; ++k) {
    const auto index = static_cast<size_t>(k);
    FillNumbers(settings_[index], updates_[index], values + k, replicas);
    values[kIsStepped * replicas + k] = which == nullptr || (*which)[index] ? 1 : 0;
  }
  numbers_.copy_(table);
  Form form;
  form.holds_some = which != nullptr;
  form.clips = Any([](Settings s) { return s.clip_norm > 0; });
  form.has_nesterov = Any([](Settings s) { return s.nesterov; });
  form.has_perpendicular = Any([](Settings s) { return s.perpendicular_gradient; });
  const bool has_changed = !(form == form_);
  form_ = form;
  return has_changed;
}

void StackedOptimizer::Count(const std::vector<bool>* which) {
  for (size_t k = 0; k < updates_.size(); ++k) updates_[k] += which == nullptr || (*which)[k] ? 1 : 0;
}

at::Tensor StackedOptimizer::Row(Number number, const at::Tensor& like) const {
  return Broadcastable(like.scalar_type() == at::kDouble ? numbers_[number] : typed_numbers_[number], like);
}

void StackedOptimizer::Assign(const at::Tensor& value, at::Tensor* target) const {
  target->copy_(form_.holds_some ? at::where(Broadcastable(is_stepped_, *target), value, *target) : value);
}

void StackedOptimizer::Apply(const std::vector<at::Tensor>& gradients) {
  const c10::NoGradGuard no_grad;
  typed_numbers_ = numbers_.to(parameters_[0].scalar_type());
  is_stepped_ = numbers_[kIsStepped].gt(0);
  std::vector<at::Tensor> filtered = gradients;
  if (!slow_.empty()) AmplifySlow(&filtered);
  if (form_.has_perpendicular) RemoveParallel(&filtered);
  if (form_.clips) Clip(&filtered);
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
}

void StackedOptimizer::AmplifySlow(std::vector<at::Tensor>* gradients) {
  for (size_t i = 0; i < gradients->size(); ++i) {
    at::Tensor& gradient = (*gradients)[i];
    const at::Tensor slow = slow_[i] * Row(kSlowKeep, gradient) + Row(kSlowFresh, gradient) * gradient;
    Assign(slow, &slow_[i]);
    gradient = gradient + Row(kSlowWeight, gradient) * slow;
  }
}

void StackedOptimizer::RemoveParallel(std::vector<at::Tensor>* gradients) const {
  for (size_t i = 0; i < gradients->size(); ++i) {
    at::Tensor& gradient = (*gradients)[i];
    const at::Tensor& parameter = parameters_[i];
    const at::Tensor squares = SumByReplica(parameter * parameter, at::kDouble);
    const at::Tensor ratio = SumByReplica(parameter * gradient, at::kDouble) / squares;
    const at::Tensor has_effect = Row(kPerpendicular, squares).gt(0) & squares.gt(0);
    const at::Tensor share = at::where(has_effect, ratio, at::zeros_like(ratio)).to(gradient.scalar_type());
    gradient = gradient - Broadcastable(share, gradient) * parameter;
  }
}

void StackedOptimizer::Clip(std::vector<at::Tensor>* gradients) const {
  at::Tensor squares = at::zeros({static_cast<int64_t>(settings_.size())}, numbers_.options());
  for (const at::Tensor& gradient : *gradients) {
    squares += SumByReplica(gradient.to(at::kDouble).square(), at::kDouble);
  }
  const at::Tensor limit = Row(kClipNorm, squares);
  const at::Tensor factor = (limit / (squares.sqrt() + kClipEpsilon)).clamp_max(1);
  const at::Tensor scale = at::where(limit.gt(0), factor, at::ones_like(factor));
  for (at::Tensor& gradient : *gradients) {
    gradient = gradient * Broadcastable(scale.to(gradient.scalar_type()), gradient);
  }
}

at::Tensor StackedOptimizer::Direction(const at::Tensor& momentum, const at::Tensor& fresh) const {
  if (!form_.has_nesterov) return momentum;
  const at::Tensor ahead = fresh + Row(kMomentum, momentum) * momentum;
  return at::where(Row(kNesterov, momentum).gt(0), ahead, momentum);
}

void StackedOptimizer::SgdStep(size_t i, const at::Tensor& gradient) {
  at::Tensor& parameter = parameters_[i];
  const at::Tensor decayed = gradient + Row(kDecay, parameter) * parameter;
  const at::Tensor momentum = momentum_[i] * Row(kMomentum, parameter) + decayed;
  Assign(momentum, &momentum_[i]);
  Assign(parameter - Row(kRate, parameter) * Direction(momentum, decayed), &parameter);
}

void StackedOptimizer::AdamStep(size_t i, const at::Tensor& gradient) {
  at::Tensor& parameter = parameters_[i];
  at::Tensor g = gradient;
  at::Tensor start = parameter;
  if (settings_[0].kind == OptimizerKind::kAdam) {
    g = g + Row(kDecay, parameter) * parameter;
  } else {
    start = parameter * Row(kShrink, parameter);
  }
  const at::Tensor mean = mean_[i] * Row(kBeta1, g) + Row(kFresh1, g) * g;
  const at::Tensor mean_square = mean_square_[i] * Row(kBeta2, g) + Row(kFresh2, g) * g * g;
  Assign(mean, &mean_[i]);
  Assign(mean_square, &mean_square_[i]);
  const at::Tensor root = mean_square.sqrt() * Row(kRootScale, g) + Row(kEpsilon, g);
  Assign(start - Row(kMeanRate, g) * mean / root, &parameter);
}

void StackedOptimizer::MuonStep(size_t i, const at::Tensor& gradient) {
  if (!IsHiddenMatrix(tensors_[i])) {
    AdamStep(i, gradient);
    return;
  }
  at::Tensor& parameter = parameters_[i];
  const at::Tensor fresh = Row(kFresh, parameter) * gradient;
  const at::Tensor momentum = momentum_[i] * Row(kMomentum, parameter) + fresh;
  Assign(momentum, &momentum_[i]);
  const at::Tensor update = Direction(momentum, fresh);
  const int64_t rows = tensors_[i].shape[0] / StackedMatrices(tensors_[i]);
  const int64_t columns = tensors_[i].shape[1];
  const at::Tensor matrices = update.reshape({update.size(0), StackedMatrices(tensors_[i]), rows, columns});
  const at::Tensor direction = NewtonSchulz(matrices).reshape(parameter.sizes());
  const double scale = kMuonScale * std::sqrt(static_cast<double>(std::max(rows, columns)));
  const at::Tensor rate = (scale * numbers_[kRate]).to(parameter.scalar_type());
  Assign(parameter * Row(kShrink, parameter) - Broadcastable(rate, parameter) * direction, &parameter);
}

}  // namespace seedbed::engine
