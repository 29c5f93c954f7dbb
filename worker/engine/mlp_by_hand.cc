#include "worker/engine/mlp_by_hand.h"

#include <cmath>
#include <utility>

namespace seedbed::engine {

MlpByHand::MlpByHand(const Task& task, const ModelParameters& model, const OptimizerParameters& optimizer,
                     std::vector<double> start, Loss kind_of_loss)
    : parameters(std::move(start)),
      gradient(parameters.size(), 0.0),
      task_(task),
      model_(model),
      layout_(MlpLayout(model, task.symbols, task.classes)),
      loss_(kind_of_loss),
      optimizer_(optimizer, layout_) {}

double MlpByHand::Value(double z) const {
  if (model_.activation == Activation::kRelu) return z > 0 ? z : 0;
  if (model_.activation == Activation::kTanh) return std::tanh(z);
  return 0.5 * z * (1 + std::erf(z / std::sqrt(2.0)));
}

double MlpByHand::Slope(double z) const {
  if (model_.activation == Activation::kRelu) return z > 0 ? 1 : 0;
  if (model_.activation == Activation::kTanh) return 1 - std::tanh(z) * std::tanh(z);
  return 0.5 * (1 + std::erf(z / std::sqrt(2.0))) + z * std::exp(-z * z / 2) / std::sqrt(2 * std::acos(-1.0));
}

MlpByHand::Activity MlpByHand::Forward(const Example& example) const {
  const int64_t width = model_.width;
  Activity activity;
  std::vector<double> h(static_cast<size_t>(width));
  for (int64_t j = 0; j < width; ++j) {
    h[j] = parameters[At(0) + example.a * width + j] + parameters[At(0) + example.b * width + j];
  }
  for (int64_t layer = 0; layer <= model_.depth; ++layer) {
    const bool is_output = layer == model_.depth;
    const int64_t outputs = is_output ? task_.classes : width;
    activity.inputs.push_back(h);
    std::vector<double> z(static_cast<size_t>(outputs));
    for (int64_t i = 0; i < outputs; ++i) {
      z[i] = parameters[At(2 + 2 * layer) + i];
      for (int64_t j = 0; j < width; ++j) z[i] += parameters[At(1 + 2 * layer) + i * width + j] * h[j];
    }
    if (is_output) {
      activity.logits = z;
      return activity;
    }
    activity.sums.push_back(z);
    for (int64_t i = 0; i < width; ++i) h[i] = Value(z[i]);
  }
  return activity;
}

double MlpByHand::LossOf(const Activity& activity, int32_t label, std::vector<double>* logit_gradient,
                         bool* is_correct) const {
  double largest = -INFINITY;
  int32_t answer = 0;
  for (int32_t i = 0; i < task_.classes; ++i) {
    if (activity.logits[i] > largest) {
      largest = activity.logits[i];
      answer = i;
    }
  }
  *is_correct = answer == label;
  logit_gradient->clear();
  double sum = 0;
  if (loss_ == Loss::kMse) {
    for (int32_t i = 0; i < task_.classes; ++i) {
      const double error = activity.logits[i] - (i == label ? 1 : 0);
      sum += error * error;
      logit_gradient->push_back(2 * error / task_.classes);
    }
    return sum / task_.classes;
  }
  for (const double logit : activity.logits) sum += std::exp(logit - largest);
  for (const double logit : activity.logits) logit_gradient->push_back(std::exp(logit - largest) / sum);
  (*logit_gradient)[label] -= 1;
  return -(activity.logits[label] - largest - std::log(sum));
}

void MlpByHand::Backward(const Example& example, const Activity& activity, std::vector<double> output_gradient) {
  const int64_t width = model_.width;
  for (int64_t layer = model_.depth; layer >= 0; --layer) {
    std::vector<double> input_gradient(static_cast<size_t>(width), 0.0);
    for (size_t i = 0; i < output_gradient.size(); ++i) {
      gradient[At(2 + 2 * layer) + i] += output_gradient[i];
      for (int64_t j = 0; j < width; ++j) {
        const int64_t weight = At(1 + 2 * layer) + static_cast<int64_t>(i) * width + j;
        gradient[weight] += output_gradient[i] * activity.inputs[layer][j];
        input_gradient[j] += output_gradient[i] * parameters[weight];
      }
    }
    if (layer > 0) {
      for (int64_t j = 0; j < width; ++j) input_gradient[j] *= Slope(activity.sums[layer - 1][j]);
    }
    output_gradient = input_gradient;
  }
  for (int64_t j = 0; j < width; ++j) {
    gradient[At(0) + example.a * width + j] += output_gradient[j];
    gradient[At(0) + example.b * width + j] += output_gradient[j];
  }
}

void MlpByHand::Measure(const std::vector<Example>& examples) {
  loss = 0;
  correct = 0;
  gradient.assign(gradient.size(), 0.0);
  const auto n = static_cast<double>(examples.size());
  for (const Example& example : examples) {
    const Activity activity = Forward(example);
    std::vector<double> logit_gradient;
    bool is_correct = false;
    loss += LossOf(activity, example.label, &logit_gradient, &is_correct) / n;
    correct += is_correct;
    for (double& g : logit_gradient) g /= n;
    Backward(example, activity, logit_gradient);
  }
}

TestPart MlpByHand::Test(bool mirrored) const {
  TestPart part;
  for (size_t i = 0; i < task_.test.size(); ++i) {
    if (task_.test_is_mirrored[i] != mirrored) continue;
    std::vector<double> logit_gradient;
    bool is_correct = false;
    part.loss_sum += LossOf(Forward(task_.test[i]), task_.test[i].label, &logit_gradient, &is_correct);
    part.correct += is_correct;
    ++part.examples;
  }
  return part;
}

}  // namespace seedbed::engine
