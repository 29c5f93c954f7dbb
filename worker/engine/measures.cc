#include "worker/engine/measures.h"

#include <cstring>

namespace seedbed::engine {
namespace {

constexpr const char* kNames[kMetricCount] = {
    "train_loss",           "train_accuracy",         "test_loss",     "test_accuracy",
    "test_accuracy_unseen", "test_accuracy_mirrored", "parameter_rms", "gradient_norm",
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

}  // namespace seedbed::engine
