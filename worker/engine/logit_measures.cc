#include "worker/engine/logit_measures.h"

#include <algorithm>
#include <cmath>

namespace seedbed::engine {
namespace {

constexpr int64_t kLogitsAtOnce = int64_t{1} << 20;

int64_t SumOf(const Example& example, int64_t modulus) {
  return (int64_t{example.a} + example.b) % modulus;
}

}  // namespace

void ForEachLogits(const std::vector<Example>& examples, int64_t classes, const LogitsFunction& logits,
                   const std::function<void(const Example&, const double*)>& visit) {
  const auto at_once = static_cast<size_t>(std::max<int64_t>(1, kLogitsAtOnce / classes));
  for (size_t begin = 0; begin < examples.size(); begin += at_once) {
    const size_t end = std::min(examples.size(), begin + at_once);
    const std::vector<Example> some(examples.begin() + static_cast<int64_t>(begin),
                                    examples.begin() + static_cast<int64_t>(end));
    const std::vector<double> values = logits(some);
    for (size_t i = 0; i < some.size(); ++i) visit(some[i], values.data() + i * static_cast<size_t>(classes));
  }
}

double LossOf(Loss loss, const double* logits, int64_t classes, int32_t label) {
  double sum = 0;
  if (loss == Loss::kMse) {
    for (int64_t c = 0; c < classes; ++c) {
      const double error = logits[c] - (c == label ? 1 : 0);
      sum += error * error;
    }
    return sum / static_cast<double>(classes);
  }
  const double largest = *std::max_element(logits, logits + classes);
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(logits[c] - largest);
  return std::log(sum) + largest - logits[label];
}

void MarginMeter::Add(const Example& example, const double* logits, int64_t classes) {
  double other = -std::numeric_limits<double>::infinity();
  for (int64_t c = 0; c < classes; ++c) {
    if (c != example.label) other = std::max(other, logits[c]);
  }
  const double margin = logits[example.label] - other;
  sum += margin;
  smallest = std::min(smallest, margin);
  ++examples;
}

SumComponents::SumComponents(int64_t modulus, int64_t classes)
    : modulus_(modulus), classes_(classes), sums_(static_cast<size_t>(modulus * classes), 0.0) {}

void SumComponents::Add(const Example& example, const double* logits) {
  double* sum = sums_.data() + SumOf(example, modulus_) * classes_;
  for (int64_t c = 0; c < classes_; ++c) sum[c] += logits[c];
}

std::vector<double> SumComponents::Mean() const {
  std::vector<double> mean(static_cast<size_t>(classes_), 0.0);
  const auto pairs = static_cast<double>(modulus_ * modulus_);
  for (size_t i = 0; i < sums_.size(); ++i) mean[i % mean.size()] += sums_[i] / pairs;
  return mean;
}

std::vector<double> SumComponents::Component(const std::vector<int64_t>& frequencies) const {
  const auto pairs = static_cast<double>(modulus_ * modulus_);
  const double turn = 2 * std::acos(-1.0) / static_cast<double>(modulus_);
  std::vector<double> component(sums_.size(), 0.0);
  for (const int64_t k : frequencies) {
    const double scale = (2 * k == modulus_ ? 1 : 2) / pairs;
    for (const bool is_sine : {false, true}) {
      const auto wave = [&](int64_t s) {
        const double angle = turn * static_cast<double>(k * s % modulus_);
        return is_sine ? std::sin(angle) : std::cos(angle);
      };
      std::vector<double> weight(static_cast<size_t>(classes_), 0.0);
      for (int64_t s = 0; s < modulus_; ++s) {
        const double value = scale * wave(s);
        for (int64_t c = 0; c < classes_; ++c) weight[c] += value * sums_[s * classes_ + c];
      }
      for (int64_t s = 0; s < modulus_; ++s) {
        const double value = wave(s);
        for (int64_t c = 0; c < classes_; ++c) component[s * classes_ + c] += value * weight[c];
      }
    }
  }
  return component;
}

double RestrictedLoss(const Task& task, Loss loss, const std::vector<double>& mean,
                      const std::vector<double>& component) {
  const auto classes = static_cast<int64_t>(mean.size());
  std::vector<double> logits = component;
  for (size_t i = 0; i < logits.size(); ++i) logits[i] += mean[i % mean.size()];
  double sum = 0;
  for (const std::vector<Example>* examples : {&task.train, &task.test}) {
    for (const Example& example : *examples) {
      sum += LossOf(loss, logits.data() + SumOf(example, task.symbols) * classes, classes, example.label);
    }
  }
  return sum / static_cast<double>(task.train.size() + task.test.size());
}

double ExcludedLoss(const Task& task, Loss loss, const std::vector<double>& component, const LogitsFunction& logits) {
  const int64_t classes = task.classes;
  std::vector<double> rest(static_cast<size_t>(classes));
  double sum = 0;
  ForEachLogits(task.train, classes, logits, [&](const Example& example, const double* row) {
    const double* known = component.data() + SumOf(example, task.symbols) * classes;
    for (int64_t c = 0; c < classes; ++c) rest[c] = row[c] - known[c];
    sum += LossOf(loss, rest.data(), classes, example.label);
  });
  return sum / static_cast<double>(task.train.size());
}

}  // namespace seedbed::engine
