#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace seedbed::engine {

// The metrics of a row that have a name of their own, in the order of the trainer's schema.
enum class Metric {
  kTrainLoss,
  kTrainAccuracy,
  kTestLoss,
  kTestAccuracy,
  kTestAccuracyUnseen,
  kTestAccuracyMirrored,
  kParameterRms,
  kGradientNorm,
  kBatchLoss,
  kEffectiveDecay,
  kTrainLogitMargin,
  kTrainLogitMarginMin,
  kTestLogitMargin,
  kTestLogitMarginMin,
  kEmbeddingTop5Share,
  kEmbeddingTop5ShareWithConstant,
  kEmbeddingGini,
  kEmbeddingParticipation,
  kKeyFrequency1,  // and the next four in rising order
  kKeyFrequency2,
  kKeyFrequency3,
  kKeyFrequency4,
  kKeyFrequency5,
  kRestrictedLoss,
  kExcludedLoss,
};
inline constexpr size_t kMetricCount = 25;

// The family of metrics of which each parameter tensor has one: "weight_norm.layers.0.weight".
inline constexpr char kWeightNormFamily[] = "weight_norm";

const char* MetricName(Metric metric);
std::optional<Metric> MetricNamed(const char* name);

// What is known of the parameters after `step` updates. A value is absent where it was not measured or means nothing
// (the accuracy over no examples).
struct MetricRow {
  int64_t step = 0;
  std::array<std::optional<double>, kMetricCount> values;
  std::vector<std::pair<std::string, double>> others;  // of families, by name

  std::optional<double>& operator[](Metric metric) { return values[static_cast<size_t>(metric)]; }
  const std::optional<double>& operator[](Metric metric) const { return values[static_cast<size_t>(metric)]; }
  // Any metric by its name.
  std::optional<double> Find(const std::string& name) const;
  // Takes over what `newer` has.
  void Merge(const MetricRow& newer);
};

}  // namespace seedbed::engine
