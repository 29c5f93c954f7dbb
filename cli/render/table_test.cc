#include "cli/render/table.h"

#include <gtest/gtest.h>

#include <sstream>

#include "cli/render/text_width.h"

namespace seedbed::cli {
namespace {

Table Example() {
  Table table(
      {{"run", Column::Align::kRight}, {"sweep", Column::Align::kLeft, true}, {"reason", Column::Align::kLeft, true}});
  table.Add({"1", {"goldilocks", Color::kGreen}, "a very long reason that goes on and on"});
  table.Add({"1000", "λ", ""});
  return table;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Table, IsWholeWhereThereIsNoTerminal) {
  EXPECT_EQ(Example().Render(Style{}),
            " run  sweep       reason\n"
            "   1  goldilocks  a very long reason that goes on and on\n"
            "1000  λ\n");
}

TEST(Table, ShrinksTheWidestColumnFirst) {
  const std::vector<std::string> lines = Lines(Example().Render(Style{false, 40}));
  EXPECT_EQ(lines[1], "   1  goldilocks  a very long reason th…");
}

TEST(Table, NeverExceedsTheTerminal) {
  for (int width = 1; width < 60; ++width) {
    for (const std::string& line : Lines(Example().Render(Style{false, width}))) {
      EXPECT_LE(DisplayWidth(line), width) << width << ": " << line;
    }
  }
}

TEST(Table, PaintsCellsWithoutMovingThem) {
  const std::vector<std::string> lines = Lines(Example().Render(Style{true, 80}));
  EXPECT_EQ(lines[1], "   1  \x1b[32mgoldilocks\x1b[0m  a very long reason that goes on and on");
}

TEST(Table, KeepsACellOnItsLine) {
  Table table({{"a"}, {"b"}});
  table.Add({"two\nlines", "\x1b[31m"});
  EXPECT_EQ(table.Render(Style{}), "a           b\ntwo\\nlines  \\x1b[31m\n");
}

}  // namespace
}  // namespace seedbed::cli
