#include "common/base/text.h"

#include <string>

#include "gtest/gtest.h"

namespace seedbed {
namespace {

TEST(EditDistance, CountsEdits) {
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("form", "from"), 1);
  EXPECT_EQ(EditDistance("same", "same"), 0);
}

TEST(NearestWord, SuggestsLikelySlipsOnly) {
  const std::vector<std::string> known = {"optimizer.learning_rate", "optimizer.weight_decay", "seeds"};
  EXPECT_EQ(NearestWord("optimizer.weight_deacy", known), "optimizer.weight_decay");
  EXPECT_EQ(NearestWord("seed", known), "seeds");
  EXPECT_EQ(NearestWord("temperature", known), std::nullopt);
  EXPECT_EQ(NearestWord(std::string(1 << 20, 'x'), known), std::nullopt);
}

TEST(Utf8, AcceptsTextAndRefusesBrokenBytes) {
  EXPECT_TRUE(IsValidUtf8("λ ≥ 0.99 \xF0\x9F\x8C\xB1"));
  size_t offset = 0;
  EXPECT_FALSE(IsValidUtf8("ab\xFF", &offset));
  EXPECT_EQ(offset, 2u);
  EXPECT_FALSE(IsValidUtf8("\xC0\x80"));          // overlong
  EXPECT_FALSE(IsValidUtf8("\xED\xA0\x80"));      // surrogate
  EXPECT_FALSE(IsValidUtf8("\xF4\x90\x80\x80"));  // beyond U+10FFFF
  EXPECT_FALSE(IsValidUtf8("\xE2\x82"));          // cut short
}

TEST(PlainName, IsWhatFilesAndShellsCanBear) {
  EXPECT_TRUE(IsPlainName("goldilocks-2.b"));
  EXPECT_FALSE(IsPlainName(""));
  EXPECT_FALSE(IsPlainName("-rf"));
  EXPECT_FALSE(IsPlainName("../x"));
  EXPECT_FALSE(IsPlainName("a b"));
  EXPECT_FALSE(IsPlainName("λ"));
  EXPECT_FALSE(IsPlainName(std::string(129, 'a')));
}

}  // namespace
}  // namespace seedbed
