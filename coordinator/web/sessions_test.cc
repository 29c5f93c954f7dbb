#include "coordinator/web/sessions.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace seedbed {
namespace {

constexpr absl::Duration kStart = absl::Seconds(1000);

TEST(Sessions, AreKnownByTheirCookieUntilTheyEnd) {
  Sessions sessions(10, absl::Hours(1));
  const std::string ann = sessions.Open("hash of ann's", kStart);
  const std::string ben = sessions.Open("hash of ben's", kStart);
  EXPECT_EQ(ann.size(), 64u);
  EXPECT_NE(ann, ben);
  EXPECT_EQ(sessions.TokenOf(ann, kStart), "hash of ann's");
  EXPECT_EQ(sessions.TokenOf(ben, kStart + absl::Minutes(59)), "hash of ben's");
  EXPECT_EQ(sessions.TokenOf("", kStart), std::nullopt);
  EXPECT_EQ(sessions.TokenOf(ann.substr(1), kStart), std::nullopt);
  EXPECT_EQ(sessions.TokenOf(ann, kStart + absl::Hours(1)), std::nullopt) << "too old";
  EXPECT_EQ(sessions.TokenOf(ann, kStart), std::nullopt) << "and gone";
  sessions.Close(ben);
  EXPECT_EQ(sessions.TokenOf(ben, kStart), std::nullopt);
}

TEST(Sessions, AreSoManyAndTheOldestMakesRoom) {
  Sessions sessions(3, absl::Hours(1));
  std::vector<std::string> cookies;
  for (int i = 0; i < 5; ++i) cookies.push_back(sessions.Open(std::to_string(i), kStart + absl::Seconds(i)));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(sessions.TokenOf(cookies[static_cast<size_t>(i)], kStart + absl::Seconds(5)).has_value(), i >= 2) << i;
  }
}

}  // namespace
}  // namespace seedbed
