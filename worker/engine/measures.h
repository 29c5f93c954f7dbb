#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace seedbed::engine {

// The metrics of a row, in the order of the trainer's schema.
enum class Metric {
  kTrainLoss,
  kTrainAccuracy,
  kTestLoss,
  kTestAccuracy,
  kTestAccuracyUnseen,
  kTestAccuracyMirrored,
  kParameterRms,
  kGradientNorm,
};
inline constexpr size_t kMetricCount = 8;

const char* MetricName(Metric metric);
std::optional<Metric> MetricNamed(const char* name);

// What is known of the parameters after `step` updates. A value is absent where it was not measured or means nothing
// (the accuracy over no examples).
struct MetricRow {
  int64_t step = 0;
  std::array<std::optional<double>, kMetricCount> values;

  std::optional<double>& operator[](Metric metric) { return values[static_cast<size_t>(metric)]; }
  const std::optional<double>& operator[](Metric metric) const { return values[static_cast<size_t>(metric)]; }
};

}  // namespace seedbed::engine
