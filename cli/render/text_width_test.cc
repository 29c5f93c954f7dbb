#include "cli/render/text_width.h"

#include <gtest/gtest.h>

#include "common/base/text.h"

namespace seedbed::cli {
namespace {

TEST(DisplayWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(DisplayWidth(""), 0);
  EXPECT_EQ(DisplayWidth("goldilocks"), 10);
  EXPECT_EQ(DisplayWidth("λ≥Δ"), 3);
  EXPECT_EQ(DisplayWidth("日本語"), 6);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1);  // an accent that stands on the letter before it
  EXPECT_EQ(DisplayWidth("🌱"), 2);
  EXPECT_EQ(DisplayWidth("━━╸──"), 5);
}

TEST(Truncate, CutsAtWholeCharactersAndMarksTheCut) {
  EXPECT_EQ(Truncate("goldilocks", 10), "goldilocks");
  EXPECT_EQ(Truncate("goldilocks", 6), "goldi…");
  EXPECT_EQ(Truncate("日本語", 4), "日…");  // the second would need columns 3 and 4, and one is the ellipsis
  EXPECT_EQ(Truncate("goldilocks", 1), "…");
  EXPECT_EQ(Truncate("goldilocks", 0), "");
  for (int width = 0; width < 12; ++width) {
    EXPECT_LE(DisplayWidth(Truncate("aλ日🌱bcdé", width)), width) << width;
  }
}

TEST(Pad, FillsToTheWidthInColumns) {
  EXPECT_EQ(PadRight("λ", 3), "λ  ");
  EXPECT_EQ(PadLeft("日", 3), " 日");
  EXPECT_EQ(PadLeft("long", 2), "long");
}

TEST(Printable, LeavesNothingThatMovesTheCursor) {
  EXPECT_EQ(Printable("plain λ"), "plain λ");
  EXPECT_EQ(Printable("two\nlines\tand\r"), "two\\nlines\\tand\\x0d");
  EXPECT_EQ(Printable("\x1b[2J"), "\\x1b[2J");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "2J"),
            "\\x9b2J");  // CSI as one character
}

// Every pair of bytes, and every three that begin like a longer character: what comes out is text, and has no control
// characters.
TEST(Printable, MakesTextOfAnyBytes) {
  const auto check = [](const std::string& bytes) {
    const std::string shown = Printable(bytes);
    ASSERT_TRUE(IsValidUtf8(shown));
    for (const char c : shown) ASSERT_GE(static_cast<unsigned char>(c), 0x20);
    // What was text without control characters stays as it was.
    bool control = false;
    for (const char c : bytes) control = control || static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    if (bytes[0] == '\xc2') control = true;  // U+0080 to U+009F are control characters too
    if (IsValidUtf8(bytes) && !control) {
      ASSERT_EQ(shown, bytes);
    }
  };
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      check({static_cast<char>(a), static_cast<char>(b)});
      if (a >= 0xE0) check({static_cast<char>(a), static_cast<char>(b), '\x80'});
    }
  }
}

}  // namespace
}  // namespace seedbed::cli
