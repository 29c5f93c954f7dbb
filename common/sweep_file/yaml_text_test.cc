// What a text opens and never closes.
#include "common/sweep_file/yaml_text.h"

#include "gtest/gtest.h"

namespace seedbed::sweep_file {
namespace {

TEST(UnclosedQuote, IsFoundBehindAnchorAndTag) {
  const struct {
    const char* text;
    std::optional<size_t> expected;
  } rows[] = {
      {"\"a", 0},
      {"'a", 0},
      {"\"a\"", std::nullopt},
      {"'it''s'", std::nullopt},
      {"'it''s", 0},
      {"\"a\\\"", 0},
      {"\"a\\\\\"", std::nullopt},
      {"plain 'a", std::nullopt},
      {"&a !!str \"b", 9},
      {"&a 'b' ", std::nullopt},
      {"!!str it's", std::nullopt},
      {"", std::nullopt},
      {"&a", std::nullopt},
      {"\"", 0},
  };
  for (const auto& row : rows) EXPECT_EQ(UnclosedQuote(row.text, 0), row.expected) << row.text;
}

TEST(UnclosedBracket, IsTheInnermost) {
  const struct {
    const char* text;
    std::optional<size_t> expected;
  } rows[] = {
      {"[", 0},
      {"[[[", 2},
      {"[[1]", 0},
      {"[1] [", std::nullopt},  // that is the next one's affair
      {"{a: [1, 2, b: {c: 1}", 4},
      {"{a: ']', b: [1}", 12},
      {"{a: it's, b: [1]", 0},
      {"[1, # ]\n 2", 0},
      {"[1]", std::nullopt},
      {"&a [1", 3},
      {"a: [", std::nullopt},
      {"[\"a]", std::nullopt},  // the quote is to blame
  };
  for (const auto& row : rows) EXPECT_EQ(UnclosedBracket(row.text, 0), row.expected) << row.text;
}

}  // namespace
}  // namespace seedbed::sweep_file
