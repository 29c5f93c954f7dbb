#include "cli/render/format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>

namespace seedbed::cli {
namespace {

TEST(FormatDuration, HasTwoUnitsAtMost) {
  EXPECT_EQ(FormatDuration(0), "0.0s");
  EXPECT_EQ(FormatDuration(0.44), "0.4s");
  EXPECT_EQ(FormatDuration(9.94), "9.9s");
  EXPECT_EQ(FormatDuration(9.96), "10s");
  EXPECT_EQ(FormatDuration(59.4), "59s");
  EXPECT_EQ(FormatDuration(59.6), "1m 00s");
  EXPECT_EQ(FormatDuration(80), "1m 20s");
  EXPECT_EQ(FormatDuration(3599.6), "1h 00m");
  EXPECT_EQ(FormatDuration(2 * 3600 + 5 * 60 + 59), "2h 05m");
  EXPECT_EQ(FormatDuration(86400 * 3 + 4 * 3600), "3d 4h");
  EXPECT_EQ(FormatDuration(-1), "?");
  EXPECT_EQ(FormatDuration(std::nan("")), "?");
  EXPECT_EQ(FormatDuration(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(FormatDuration(1e300), "?");
}

TEST(FormatCount, GroupsThousands) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(-123456), "-123,456");
  EXPECT_EQ(FormatCount(-100), "-100");
  EXPECT_EQ(FormatCount(std::numeric_limits<int64_t>::max()), "9,223,372,036,854,775,807");
  EXPECT_EQ(FormatPlural(1, "run"), "1 run");
  EXPECT_EQ(FormatPlural(0, "run"), "0 runs");
  EXPECT_EQ(FormatPlural(1200, "run"), "1,200 runs");
}

TEST(FormatRate, ScalesWithItsSize) {
  EXPECT_EQ(FormatRate(0), "0.0");
  EXPECT_EQ(FormatRate(0.84), "0.8");
  EXPECT_EQ(FormatRate(9.97), "10");
  EXPECT_EQ(FormatRate(5432.1), "5,432");
  EXPECT_EQ(FormatRate(12345), "12.3k");
  EXPECT_EQ(FormatRate(4'100'000), "4.1M");
  EXPECT_EQ(FormatRate(999'960), "1.0M");
}

TEST(FormatMedian, KeepsHalves) {
  EXPECT_EQ(FormatMedian(1450), "1,450");
  EXPECT_EQ(FormatMedian(12.5), "12.5");
  EXPECT_EQ(FormatMedian(-3), "-3");
  EXPECT_EQ(FormatMedian(std::numeric_limits<double>::infinity()), "—");
}

TEST(FormatNumber, IsShortestAndReadsBack) {
  EXPECT_EQ(FormatNumber(0.002), "0.002");
  EXPECT_EQ(FormatNumber(1e-5), "1e-5");
  EXPECT_EQ(FormatNumber(1e-12), "1e-12");
  EXPECT_EQ(FormatNumber(1e20), "1e20");
  EXPECT_EQ(FormatNumber(3.0), "3");
  EXPECT_EQ(FormatNumber(std::nan("")), "NaN");
  EXPECT_EQ(FormatNumber(-std::numeric_limits<double>::infinity()), "-Infinity");
  for (const double value : {0.1, 1.0 / 3, 1e-5, 6.02e23, 5e-324, -2.5e-7}) {
    EXPECT_EQ(std::strtod(FormatNumber(value).c_str(), nullptr), value);
  }
}

TEST(FormatAgo, IsCoarse) {
  const int64_t now = 1'700'000'000'000'000;
  EXPECT_EQ(FormatAgo(0, now), "");
  EXPECT_EQ(FormatAgo(now - 59'999'999, now), "59s ago");
  EXPECT_EQ(FormatAgo(now - 61'000'000, now), "1m ago");
  EXPECT_EQ(FormatAgo(now - int64_t{7200} * 1'000'000, now), "2h ago");
  EXPECT_EQ(FormatAgo(now - int64_t{3} * 86400 * 1'000'000, now), "3d ago");
  EXPECT_EQ(FormatAgo(now + 5'000'000, now), "0s ago");  // another machine's clock
  EXPECT_EQ(FormatTimeUtc(now), "2023-11-14T22:13:20.000000Z");
}

TEST(ShortNames, AreTheShortestTailsThatTellApart) {
  EXPECT_EQ(ShortNames({"optimizer.weight_decay", "model.width"}),
            (std::map<std::string, std::string>{{"optimizer.weight_decay", "weight_decay"}, {"model.width", "width"}}));
  EXPECT_EQ(ShortNames({"a.x", "b.x"}), (std::map<std::string, std::string>{{"a.x", "a.x"}, {"b.x", "b.x"}}));
  EXPECT_EQ(ShortNames({"a.b.x", "a.c.x"}), (std::map<std::string, std::string>{{"a.b.x", "b.x"}, {"a.c.x", "c.x"}}));
  EXPECT_EQ(ShortNames({"x", "a.x"}), (std::map<std::string, std::string>{{"x", "x"}, {"a.x", "a.x"}}));
  EXPECT_EQ(ShortNames({"plain"}), (std::map<std::string, std::string>{{"plain", "plain"}}));
}

TEST(FormatVaried, ReadsAsPeopleWriteIt) {
  EXPECT_EQ(FormatVaried(R"({"model.activation":"relu","optimizer.weight_decay":0.0001})"),
            "activation=relu weight_decay=1e-4");
  EXPECT_EQ(FormatVaried("{}"), "");
  EXPECT_EQ(FormatVaried("no JSON"), "");
  EXPECT_EQ(FormatVaried(R"({"a":true,"b":3.0})"), "a=true b=3");
}

TEST(FormatRanges, JoinsNeighbours) {
  EXPECT_EQ(FormatRanges({}), "");
  EXPECT_EQ(FormatRanges({4, 0, 1, 2, 3, 7, 10, 9, 11}), "0-4, 7, 9-11");
}

}  // namespace
}  // namespace seedbed::cli
