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

// A summary of a million brackets, from a hostile engine or worker, must not overflow the stack of whoever reads it.
TEST(ParseJson, RefusesWhatIsNestedTooDeeply) {
  constexpr int kDeepestJson = 200;
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(ParseJson(nested(kDeepestJson), "text").ok());
  const absl::Status refused = ParseJson(nested(kDeepestJson + 1), "text").status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseJson(nested(1 << 20), "text").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseJson(std::string(1 << 20, '['), "text").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(ParseJson("\"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\"", "text").ok())
      << "in a string";
  std::string beside = "[";
  for (int i = 0; i < 1000; ++i) beside += "[],";
  EXPECT_TRUE(ParseJson(beside + "[]]", "text").ok());
}

}  // namespace
}  // namespace seedbed
