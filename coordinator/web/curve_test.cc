#include "coordinator/web/curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace seedbed {
namespace {

using ::testing::SizeIs;

TEST(CurveSampler, KeepsAShortCurveAsItIs) {
  CurveSampler sampler(100);
  for (int step = 0; step < 40; ++step) sampler.Add(step, 0.5 * step);
  const auto points = sampler.Points();
  ASSERT_THAT(points, SizeIs(40));
  for (int step = 0; step < 40; ++step) {
    EXPECT_EQ(points[static_cast<size_t>(step)].step, step);
    EXPECT_EQ(points[static_cast<size_t>(step)].value, 0.5 * step);
  }
}

TEST(CurveSampler, KeepsPeaksAndEndsOfALongOne) {
  CurveSampler sampler(50);
  for (int64_t step = 0; step <= 1'000'000; ++step) {
    const double value = step == 123'457 ? 99.0 : step == 700'001 ? -99.0 : std::sin(static_cast<double>(step) / 1e5);
    sampler.Add(step, value);
  }
  const auto points = sampler.Points();
  EXPECT_LE(points.size(), 50u);
  EXPECT_GE(points.size(), 20u);
  EXPECT_EQ(points.front().step, 0);
  EXPECT_EQ(points.back().step, 1'000'000);
  bool peak = false;
  bool pit = false;
  for (size_t i = 0; i < points.size(); ++i) {
    if (i > 0) {
      EXPECT_LT(points[i - 1].step, points[i].step);
    }
    peak = peak || (points[i].step == 123'457 && points[i].value == 99.0);
    pit = pit || (points[i].step == 700'001 && points[i].value == -99.0);
  }
  EXPECT_TRUE(peak && pit);
}

TEST(CurveSampler, LeavesOutWhatIsNotThere) {
  CurveSampler sampler(20);
  EXPECT_THAT(sampler.Points(), SizeIs(0));
  sampler.Add(0, std::nan(""));
  sampler.Add(10, std::numeric_limits<double>::infinity());
  sampler.Add(20, std::nan(""));
  const auto points = sampler.Points();
  ASSERT_THAT(points, SizeIs(1));
  EXPECT_EQ(points[0].step, 10);
  EXPECT_TRUE(std::isinf(points[0].value));
}

}  // namespace
}  // namespace seedbed
