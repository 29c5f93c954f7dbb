#include "common/statistics/censored.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace seedbed {

std::optional<double> CensoredQuantile(const std::vector<Observation>& observations, double quantile) {
  if (observations.empty()) return std::nullopt;
  std::vector<double> times;
  times.reserve(observations.size());
  for (const Observation& observation : observations) {
    times.push_back(observation.reached ? observation.time : std::numeric_limits<double>::infinity());
  }
  std::sort(times.begin(), times.end());
  const double position = quantile * static_cast<double>(times.size() - 1);
  const auto lower = static_cast<size_t>(position);
  const double fraction = position - static_cast<double>(lower);
  const double low = times[lower];
  if (!std::isfinite(low)) return std::nullopt;
  if (fraction == 0) return low;
  const double high = times[lower + 1];
  if (!std::isfinite(high)) return std::nullopt;
  return low + fraction * (high - low);
}

std::optional<double> CensoredMedian(const std::vector<Observation>& observations) {
  return CensoredQuantile(observations, 0.5);
}

SurvivorSummary SummarizeSurvivors(const std::vector<Observation>& observations) {
  SurvivorSummary summary;
  summary.total = static_cast<int64_t>(observations.size());
  double sum = 0;
  for (const Observation& observation : observations) {
    if (!observation.reached) continue;
    ++summary.reached;
    sum += observation.time;
  }
  if (summary.reached == 0) return summary;
  const double mean = sum / static_cast<double>(summary.reached);
  summary.mean = mean;
  if (summary.reached == 1) return summary;
  double squares = 0;
  for (const Observation& observation : observations) {
    if (observation.reached) squares += (observation.time - mean) * (observation.time - mean);
  }
  summary.standard_deviation = std::sqrt(squares / static_cast<double>(summary.reached - 1));
  return summary;
}

std::vector<SurvivalStep> SurvivalCurve(const std::vector<Observation>& observations) {
  std::vector<Observation> sorted = observations;
  std::sort(sorted.begin(), sorted.end(), [](const Observation& a, const Observation& b) { return a.time < b.time; });
  std::vector<SurvivalStep> curve;
  double survival = 1;
  double greenwood_sum = 0;
  for (size_t i = 0; i < sorted.size();) {
    SurvivalStep step;
    step.time = sorted[i].time;
    step.at_risk = static_cast<int64_t>(sorted.size() - i);
    // Those censored at this very time were still watched when the event came to the others: at_risk counts them.
    for (; i < sorted.size() && sorted[i].time == step.time; ++i) step.reached += sorted[i].reached ? 1 : 0;
    if (step.reached == 0) continue;
    const int64_t remaining = step.at_risk - step.reached;
    survival *= static_cast<double>(remaining) / static_cast<double>(step.at_risk);
    step.survival = survival;
    if (remaining > 0) {
      greenwood_sum +=
          static_cast<double>(step.reached) / (static_cast<double>(step.at_risk) * static_cast<double>(remaining));
      step.standard_error = survival * std::sqrt(greenwood_sum);
    }
    curve.push_back(step);
  }
  return curve;
}

std::optional<double> SurvivalQuantile(const std::vector<SurvivalStep>& curve, double quantile) {
  constexpr double kRounding = 1e-12;
  for (const SurvivalStep& step : curve) {
    if (step.survival <= 1 - quantile + kRounding) return step.time;
  }
  return std::nullopt;
}

}  // namespace seedbed
