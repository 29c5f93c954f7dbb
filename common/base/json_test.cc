#include "common/base/json.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace seedbed {
namespace {

TEST(CanonicalJson, SortsKeysAndDropsSpelling) {
  EXPECT_EQ(CanonicalJson(Json::parse(R"({"b": 1e-3, "a": [1, 2.50]})")),
            CanonicalJson(Json::parse(R"({"a":[1,2.5],"b":0.001})")));
  EXPECT_EQ(CanonicalJson(Json::parse(R"({"b":0.001,"a":"x"})")), R"({"a":"x","b":0.001})");
}

TEST(CanonicalJson, NumbersReadBackToTheSameDouble) {
  for (double value : {0.1, 1e-300, 1.0 / 3, 6.02214076e23, std::numeric_limits<double>::denorm_min()}) {
    EXPECT_EQ(Json::parse(CanonicalJson(Json(value))).get<double>(), value);
  }
}

TEST(CanonicalJson, WritesNonFiniteNumbersAsStrings) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(CanonicalJson(Json{{"x", {std::nan(""), infinity, -infinity}}}), R"({"x":["NaN","Infinity","-Infinity"]})");
  EXPECT_TRUE(std::isnan(*NumberFromJson(JsonNumber(std::nan("")))));
  EXPECT_EQ(*NumberFromJson(JsonNumber(-infinity)), -infinity);
  EXPECT_FALSE(NumberFromJson(Json("infinite")).ok());
  EXPECT_FALSE(NumberFromJson(Json(nullptr)).ok());
}

TEST(CanonicalJson, HasOneZero) {
  EXPECT_EQ(CanonicalJson(Json(-0.0)), CanonicalJson(Json(0.0)));
}

TEST(ParseJson, SaysWhatIsBroken) {
  const auto parsed = ParseJson("{", "the engine's message");
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.status().message().find("the engine's message"), absl::string_view::npos);
}

}  // namespace
}  // namespace seedbed
