#include "common/base/digest.h"

#include "gtest/gtest.h"

namespace seedbed {
namespace {

// FIPS 180-2, appendix B: SHA-256 of "abc" starts ba7816bf 8f01cfea 414140de 5dae2223.
TEST(Digest, IsTheStartOfSha256) {
  EXPECT_EQ(DigestOf("abc").Hex(), "ba7816bf8f01cfea414140de5dae2223");
}

TEST(Digest, ReadsBackItsOwnHexAndNothingElse) {
  Digest read;
  ASSERT_TRUE(DigestFromHex(DigestOf("x").Hex(), &read));
  EXPECT_EQ(read, DigestOf("x"));
  EXPECT_FALSE(DigestFromHex("ba7816bf", &read));
  EXPECT_FALSE(DigestFromHex("BA7816BF8F01CFEA414140DE5DAE2223", &read));
  EXPECT_FALSE(DigestFromHex("zz7816bf8f01cfea414140de5dae2223", &read));
}

}  // namespace
}  // namespace seedbed
