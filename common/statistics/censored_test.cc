#include "common/statistics/censored.h"

#include <algorithm>
#include <random>

#include "gtest/gtest.h"

namespace seedbed {
namespace {

std::vector<Observation> Reached(const std::vector<double>& times) {
  std::vector<Observation> observations;
  for (const double time : times) observations.push_back({time, true});
  return observations;
}

std::vector<Observation> With(std::vector<Observation> observations, const std::vector<double>& censored) {
  for (const double time : censored) observations.push_back({time, false});
  return observations;
}

// Freireich et al., Blood 21 (1963): weeks in remission of children with leukaemia, the data set of Cox (1972) and of
// many textbooks, whose Kaplan-Meier table is quoted below.
std::vector<Observation> SixMercaptopurine() {
  return With(Reached({6, 6, 6, 7, 10, 13, 16, 22, 23}), {6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35});
}

TEST(CensoredMedian, ExistsOnlyIfEnoughRunsReachedTheEvent) {
  EXPECT_EQ(CensoredMedian({}), std::nullopt);
  EXPECT_EQ(CensoredMedian(Reached({7})), 7);
  EXPECT_EQ(CensoredMedian(With({}, {7})), std::nullopt);
  EXPECT_EQ(CensoredMedian(Reached({30, 10, 20})), 20);
  EXPECT_EQ(CensoredMedian(Reached({30, 10, 20, 40})), 25);
  EXPECT_EQ(CensoredMedian(With(Reached({30, 10}), {5})), 30);  // a censored run counts as later than all
  EXPECT_EQ(CensoredMedian(With(Reached({10}), {50, 50})), std::nullopt);
  EXPECT_EQ(CensoredMedian(With(Reached({10, 20}), {50, 50})), std::nullopt);  // one of the middle two is not there
  EXPECT_EQ(CensoredMedian(With(Reached({10, 20, 30}), {50})), 25);
}

TEST(CensoredQuantile, IsLinearBetweenOrderStatistics) {
  const std::vector<Observation> five = Reached({15, 20, 35, 40, 50});  // numpy.quantile of these gives the same
  EXPECT_DOUBLE_EQ(*CensoredQuantile(five, 0), 15);
  EXPECT_DOUBLE_EQ(*CensoredQuantile(five, 0.05), 16);
  EXPECT_DOUBLE_EQ(*CensoredQuantile(five, 0.4), 29);
  EXPECT_DOUBLE_EQ(*CensoredQuantile(five, 0.75), 40);
  EXPECT_DOUBLE_EQ(*CensoredQuantile(five, 1), 50);
  const std::vector<Observation> partly = With(Reached({15, 20, 35}), {60000, 60000});
  EXPECT_DOUBLE_EQ(*CensoredQuantile(partly, 0.25), 20);
  EXPECT_DOUBLE_EQ(*CensoredQuantile(partly, 0.5), 35);
  EXPECT_EQ(CensoredQuantile(partly, 0.51), std::nullopt);
}

TEST(SummarizeSurvivors, GivesWhatPapersReport) {
  // arXiv 2603.25009, Experiment 3: delays 54k, 40k, 42k, 48k, 44k are reported as 45,600 ± 5,550.
  const SurvivorSummary summary = SummarizeSurvivors(With(Reached({54e3, 40e3, 42e3, 48e3, 44e3}), {400e3}));
  EXPECT_EQ(summary.reached, 5);
  EXPECT_EQ(summary.total, 6);
  EXPECT_DOUBLE_EQ(*summary.mean, 45600);
  EXPECT_NEAR(*summary.standard_deviation, 5550, 0.5);

  EXPECT_EQ(SummarizeSurvivors(With({}, {1, 2})).mean, std::nullopt);
  EXPECT_EQ(*SummarizeSurvivors(Reached({388000})).mean, 388000);
  EXPECT_EQ(SummarizeSurvivors(Reached({388000})).standard_deviation, std::nullopt);
  // Far from zero the spread is not lost to rounding.
  EXPECT_NEAR(*SummarizeSurvivors(Reached({1e9 + 1, 1e9 + 2, 1e9 + 3})).standard_deviation, 1, 1e-9);
}

TEST(SurvivalCurve, AgreesWithThePublishedTable) {
  const struct {
    double time;
    int64_t at_risk;
    int64_t reached;
    double survival;
    double standard_error;
  } rows[] = {
      {6, 21, 3, 0.857, 0.0764},  {7, 17, 1, 0.807, 0.0869}, {10, 15, 1, 0.753, 0.0963}, {13, 12, 1, 0.690, 0.1068},
      {16, 11, 1, 0.627, 0.1141}, {22, 7, 1, 0.538, 0.1282}, {23, 6, 1, 0.448, 0.1346},
  };
  const std::vector<SurvivalStep> curve = SurvivalCurve(SixMercaptopurine());
  ASSERT_EQ(curve.size(), std::size(rows));
  for (size_t i = 0; i < curve.size(); ++i) {
    EXPECT_EQ(curve[i].time, rows[i].time);
    EXPECT_EQ(curve[i].at_risk, rows[i].at_risk);
    EXPECT_EQ(curve[i].reached, rows[i].reached);
    EXPECT_NEAR(curve[i].survival, rows[i].survival, 0.0005);
    EXPECT_NEAR(*curve[i].standard_error, rows[i].standard_error, 0.0001);
  }
  EXPECT_EQ(SurvivalQuantile(curve, 0.5), 23);
  EXPECT_EQ(SurvivalQuantile(curve, 0.25), 13);
  EXPECT_EQ(SurvivalQuantile(curve, 0.75), std::nullopt);
}

TEST(SurvivalCurve, OfTheControlsHasMedianEight) {
  const std::vector<SurvivalStep> curve =
      SurvivalCurve(Reached({1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23}));
  EXPECT_EQ(SurvivalQuantile(curve, 0.5), 8);
  EXPECT_EQ(curve.back().survival, 0);
  EXPECT_EQ(curve.back().standard_error, std::nullopt);
}

TEST(SurvivalCurve, WithoutCensoringIsTheShareStillWaiting) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<double> times(1 + random() % 30);
    for (double& time : times) time = static_cast<double>(random() % 12);
    for (const SurvivalStep& step : SurvivalCurve(Reached(times))) {
      const auto later = std::count_if(times.begin(), times.end(), [&](double time) { return time > step.time; });
      EXPECT_NEAR(step.survival, static_cast<double>(later) / static_cast<double>(times.size()), 1e-12);
    }
  }
}

TEST(SurvivalCurve, OfNothingIsEmpty) {
  EXPECT_TRUE(SurvivalCurve({}).empty());
  EXPECT_TRUE(SurvivalCurve(With({}, {5, 6})).empty());
  EXPECT_EQ(SurvivalQuantile({}, 0.5), std::nullopt);
  // Two of four reached: survival is one half, however it was rounded.
  EXPECT_EQ(SurvivalQuantile(SurvivalCurve(With(Reached({10, 20}), {50, 50})), 0.5), 20);
}

}  // namespace
}  // namespace seedbed
