#include "common/secrets/sign_in_code.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace seedbed {
namespace {

constexpr char kToken[] = "0123456789abcdef0123456789abcdef";
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

TEST(SignInCode, IsGoodOnceAndForSomeTime) {
  SignInCodes codes(kToken, kNow);
  const std::string first = MakeSignInCode(kToken, kNow);
  const std::string second = MakeSignInCode(kToken, kNow);
  EXPECT_NE(first, second);
  EXPECT_FALSE(absl::StrContains(first, kToken));
  EXPECT_TRUE(codes.Use(first, kNow).ok());
  EXPECT_EQ(codes.Use(first, kNow).code(), absl::StatusCode::kUnauthenticated) << "once";
  EXPECT_FALSE(codes.Use(second, kNow + kSignInCodeAge + absl::Seconds(1)).ok()) << "too late";
  EXPECT_TRUE(codes.Use(second, kNow + kSignInCodeAge - absl::Seconds(1)).ok());
  EXPECT_FALSE(codes.Use(first, kNow + kSignInCodeAge - absl::Seconds(1)).ok()) << "still remembered";
}

TEST(SignInCode, MadeBeforeARestartIsGoodNoMore) {
  const std::string code = MakeSignInCode(kToken, kNow);
  SignInCodes before(kToken, kNow - absl::Hours(1));
  EXPECT_TRUE(before.Use(code, kNow).ok());
  SignInCodes after(kToken, kNow + absl::Milliseconds(1));
  EXPECT_EQ(after.Use(code, kNow + absl::Seconds(1)).code(), absl::StatusCode::kUnauthenticated) << "it was used";
  EXPECT_TRUE(after.Use(MakeSignInCode(kToken, kNow + absl::Milliseconds(2)), kNow + absl::Seconds(1)).ok());
}

TEST(SignInCode, CannotBeMadeOrChangedWithoutTheToken) {
  SignInCodes codes(kToken, kNow);
  const std::string good = MakeSignInCode(kToken, kNow);
  std::string later = good;
  later[9] = later[9] == '9' ? '8' : '9';
  std::string flipped = good;
  flipped.back() = flipped.back() == 'a' ? 'b' : 'a';
  for (const std::string& bad : {MakeSignInCode("another token of thirty-two chars", kNow), later, flipped, good + ".",
                                 good.substr(0, good.size() - 1), std::string(), std::string(".."),
                                 std::string("1900000000000000.00."), good + std::string(300, '0')}) {
    EXPECT_EQ(codes.Use(bad, kNow).code(), absl::StatusCode::kUnauthenticated) << bad;
  }
  SignInCodes without("", kNow);
  EXPECT_FALSE(without.Use(MakeSignInCode("", kNow), kNow).ok()) << "no token, no code";
  EXPECT_TRUE(codes.Use(good, kNow).ok());
}

}  // namespace
}  // namespace seedbed
