#pragma once

#include <cstdint>
#include <optional>
#include <vector>

// Statistics of times (steps) to an event that some runs never reach: right-censored data. Pure functions.
namespace seedbed {

// One run. `time` is when the event came, or, if it did not, the last time at which it was known not to have come.
// Finite.
struct Observation {
  double time = 0;
  bool reached = false;
};

// The value below which the share `quantile` of all runs lies, with "not reached" as infinity: linear between order
// statistics (definition 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages", The American Statistician
// 50, 1996; numpy's default). nullopt if there are no runs, or if too few reached the event for it to be finite.
// `quantile` lies in [0, 1]. Right where every censored run lasted as long as the budget; SurvivalCurve does not need
// that.
std::optional<double> CensoredQuantile(const std::vector<Observation>& observations, double quantile);

// CensoredQuantile at 0.5: the middle run, or the mean of the middle two, if those reached the event.
std::optional<double> CensoredMedian(const std::vector<Observation>& observations);

// Mean and sample standard deviation of the runs that reached the event, as papers report them. Biased towards small
// times wherever a run did not: the slow ones are missing.
struct SurvivorSummary {
  int64_t reached = 0;
  int64_t total = 0;
  std::optional<double> mean;                // of one or more
  std::optional<double> standard_deviation;  // with n - 1; of two or more
};
SurvivorSummary SummarizeSurvivors(const std::vector<Observation>& observations);

// The estimate of Kaplan and Meier ("Nonparametric Estimation from Incomplete Observations", JASA 53, 1958) of the
// probability that the event comes later than t: a step function that falls at each time in the returned, rising list.
struct SurvivalStep {
  double time = 0;
  int64_t at_risk = 0;  // runs that had not reached it before and were still watched
  int64_t reached = 0;  // runs that reached it at this time
  double survival = 1;  // from this time on
  // Greenwood's (1926) of `survival`; nullopt where that is 0.
  std::optional<double> standard_error;
};
std::vector<SurvivalStep> SurvivalCurve(const std::vector<Observation>& observations);

// The first time at which survival is at most 1 - quantile; nullopt if it stays above. A survival that equals it but
// for rounding counts. `quantile` lies in (0, 1].
std::optional<double> SurvivalQuantile(const std::vector<SurvivalStep>& curve, double quantile);

}  // namespace seedbed
