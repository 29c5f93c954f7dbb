#include "worker/engine/fast_optimizer.h"

#include <algorithm>
#include <cmath>

#include "worker/engine/schedule.h"

namespace seedbed::engine {
namespace {

constexpr double kClipEpsilon = 1e-6;

}  // namespace

template <typename T>
SlabOptimizer<T>::SlabOptimizer(const OptimizerParameters& settings, const ModelLayout& layout)
    : kernels_(BestElementwiseKernels<T>()), settings_(settings), tensors_(layout.tensors), size_(layout.slab_size) {
  if (settings_.kind == OptimizerKind::kSgd) {
    momentum_ = Buffer<T>(size_);
  } else {
    mean_ = Buffer<T>(size_);
    mean_square_ = Buffer<T>(size_);
  }
  if (settings_.grokfast_lambda != 0) slow_ = Buffer<T>(size_);
  if (settings_.grokfast_lambda != 0 || settings_.perpendicular_gradient) filtered_ = Buffer<T>(size_);
}

template <typename T>
std::vector<std::pair<std::string, T*>> SlabOptimizer<T>::Slabs() const {
  std::vector<std::pair<std::string, T*>> slabs;
  const auto add = [&](const char* name, const Buffer<T>& buffer) {
    if (buffer.get() != nullptr) slabs.emplace_back(name, buffer.get());
  };
  add("momentum", momentum_);
  add("mean", mean_);
  add("mean_square", mean_square_);
  add("slow_gradient", slow_);
  return slabs;
}

template <typename T>
const T* SlabOptimizer<T>::Filter(const T* gradient, const T* parameters) {
  if (filtered_.get() == nullptr) return gradient;
  if (slow_.get() != nullptr) {
    const double keep = updates_ == 0 ? 0 : settings_.grokfast_alpha;
    kernels_.amplify(size_, T(keep), T(settings_.grokfast_lambda), gradient, slow_.get(), filtered_.get());
  } else {
    std::copy_n(gradient, size_, filtered_.get());
  }
  if (settings_.perpendicular_gradient) {
    for (const TensorLayout& tensor : tensors_) {
      const T* parameter = parameters + tensor.offset;
      T* out = filtered_.get() + tensor.offset;
      const double squares = kernels_.dot(tensor.size, parameter, parameter);
      if (!(squares > 0)) continue;
      kernels_.add_multiple(tensor.size, T(-kernels_.dot(tensor.size, parameter, out) / squares), parameter, out);
    }
  }
  return filtered_.get();
}

template <typename T>
double SlabOptimizer<T>::ClippingFactor(const T* gradient) const {
  if (settings_.clip_norm == 0) return 1;
  const double factor = settings_.clip_norm / (std::sqrt(kernels_.dot(size_, gradient, gradient)) + kClipEpsilon);
  return factor > 1 ? 1 : factor;  // what is not a number stays so
}

template <typename T>
void SlabOptimizer<T>::Step(const T* gradient, T* parameters) {
  const T* filtered = Filter(gradient, parameters);
  const double gradient_scale = ClippingFactor(filtered);
  if (settings_.kind == OptimizerKind::kSgd) {
    const SgdSettings<T> settings = {T(LearningRateAt(settings_, updates_)), T(settings_.weight_decay),
                                     T(settings_.momentum), T(gradient_scale), settings_.nesterov};
    kernels_.sgd(size_, settings, filtered, momentum_.get(), parameters);
  } else {
    AdamStep(filtered, gradient_scale, parameters);
  }
  ++updates_;
}

template <typename T>
void SlabOptimizer<T>::AdamStep(const T* gradient, double gradient_scale, T* parameters) {
  const OptimizerParameters& o = settings_;
  const bool is_coupled = o.kind == OptimizerKind::kAdam;
  const double rate = LearningRateAt(o, updates_);
  const auto t = static_cast<double>(updates_ + 1);
  AdamSettings<T> settings;
  settings.keep = is_coupled ? T(1) : T(1 - rate * o.weight_decay);
  settings.coupled_decay = is_coupled ? T(o.weight_decay) : T(0);
  settings.gradient_scale = T(gradient_scale);
  settings.learning_rate = T(rate / (1 - std::pow(o.beta1, t)));
  settings.beta1 = T(o.beta1);
  settings.one_minus_beta1 = T(1 - o.beta1);
  settings.beta2 = T(o.beta2);
  settings.one_minus_beta2 = T(1 - o.beta2);
  settings.root_scale = T(1 / std::sqrt(1 - std::pow(o.beta2, t)));
  settings.epsilon = T(o.epsilon);
  kernels_.adam(size_, settings, gradient, mean_.get(), mean_square_.get(), parameters);
}

template class SlabOptimizer<float>;
template class SlabOptimizer<double>;

}  // namespace seedbed::engine
