#include "worker/engine/measures.h"

#include <cstring>

namespace seedbed::engine {
namespace {

constexpr const char* kNames[kMetricCount] = {
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "test_accuracy_unseen",
    "test_accuracy_mirrored",
    "parameter_rms",
    "gradient_norm",
    "batch_loss",
    "effective_decay",
    "train_logit_margin",
    "train_logit_margin_min",
    "test_logit_margin",
    "test_logit_margin_min",
    "embedding_top5_share",
    "embedding_top5_share_with_constant",
    "embedding_gini",
    "embedding_participation",
    "key_frequency_1",
    "key_frequency_2",
    "key_frequency_3",
    "key_frequency_4",
    "key_frequency_5",
    "restricted_loss",
    "excluded_loss",
};

}  // namespace

const char* MetricName(Metric metric) {
  return kNames[static_cast<size_t>(metric)];
}

std::optional<Metric> MetricNamed(const char* name) {
  for (size_t i = 0; i < kMetricCount; ++i) {
    if (std::strcmp(kNames[i], name) == 0) return static_cast<Metric>(i);
  }
  return std::nullopt;
}

std::optional<double> MetricRow::Find(const std::string& name) const {
  if (const std::optional<Metric> metric = MetricNamed(name.c_str())) return (*this)[*metric];
  for (const auto& [other, value] : others) {
    if (other == name) return value;
  }
  return std::nullopt;
}

void MetricRow::Merge(const MetricRow& newer) {
  for (size_t i = 0; i < kMetricCount; ++i) {
    if (newer.values[i]) values[i] = newer.values[i];
  }
  others.insert(others.end(), newer.others.begin(), newer.others.end());
}

}  // namespace seedbed::engine
