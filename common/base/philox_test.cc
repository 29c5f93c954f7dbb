#include "common/base/philox.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

using ::testing::ElementsAre;

// The known-answer vectors that Random123 publishes (kat_vectors, philox4x32 with 10 rounds).
TEST(Philox, GivesRandom123sPublishedVectors) {
  EXPECT_THAT(Philox4x32({0, 0, 0, 0}, {0, 0}), ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  EXPECT_THAT(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

TEST(PhiloxStream, GoesOnFromAnyPosition) {
  PhiloxStream whole(7, 3);
  std::vector<uint32_t> words;
  for (int i = 0; i < 40; ++i) words.push_back(whole.NextUint32());
  for (int start = 0; start < 40; ++start) {
    PhiloxStream rest(7, 3, start);
    for (int i = start; i < 40; ++i) ASSERT_EQ(rest.NextUint32(), words[i]) << "from " << start << " at " << i;
  }
}

TEST(PhiloxStream, SeedsAndStreamsDiffer) {
  EXPECT_NE(PhiloxStream(1, 0).NextUint64(), PhiloxStream(2, 0).NextUint64());
  EXPECT_NE(PhiloxStream(1, 0).NextUint64(), PhiloxStream(1, 1).NextUint64());
}

TEST(PhiloxStream, UniformNormalAndBoundedHaveTheirMoments) {
  constexpr int kDraws = 200'000;
  PhiloxStream stream(42, 0);
  double uniform = 0, uniform_square = 0, normal = 0, normal_square = 0, normal_fourth = 0;
  std::vector<int> counts(7);
  for (int i = 0; i < kDraws; ++i) {
    const double u = stream.NextUniform();
    ASSERT_TRUE(u >= 0 && u < 1);
    uniform += u;
    uniform_square += u * u;
    const double z = stream.NextNormal();
    normal += z;
    normal_square += z * z;
    normal_fourth += z * z * z * z;
    ++counts[stream.NextBelow(7)];
  }
  EXPECT_NEAR(uniform / kDraws, 1.0 / 2, 0.003);
  EXPECT_NEAR(uniform_square / kDraws, 1.0 / 3, 0.003);
  EXPECT_NEAR(normal / kDraws, 0, 0.01);
  EXPECT_NEAR(normal_square / kDraws, 1, 0.015);
  EXPECT_NEAR(normal_fourth / kDraws, 3, 0.1);
  for (int count : counts) EXPECT_NEAR(count, kDraws / 7.0, 6 * std::sqrt(kDraws / 7.0));
}

}  // namespace
}  // namespace seedbed
