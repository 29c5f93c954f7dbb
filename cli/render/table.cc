#include "cli/render/table.h"

#include <algorithm>
#include <utility>

#include "cli/render/text_width.h"

namespace seedbed::cli {
namespace {

constexpr int kGap = 2;
constexpr int kLeastShrunk = 8;  // a shrunk column keeps this many columns if it had them

int Total(const std::vector<int>& widths) {
  int total = 0;
  for (const int width : widths) total += width + kGap;
  return total - kGap;
}

}  // namespace

void Table::Add(std::vector<Cell> row) {
  for (Cell& cell : row) cell.text = Printable(cell.text);
  rows_.push_back(std::move(row));
}

std::vector<int> Table::Widths(const Style& style) const {
  std::vector<int> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    int width = DisplayWidth(columns_[i].title);
    for (const std::vector<Cell>& row : rows_) width = std::max(width, DisplayWidth(row[i].text));
    widths.push_back(width);
  }
  if (style.width == 0) return widths;
  // Takes from the widest shrinkable column until the table fits.
  while (Total(widths) > style.width) {
    size_t widest = columns_.size();
    for (size_t i = 0; i < columns_.size(); ++i) {
      const int least = std::max(kLeastShrunk, DisplayWidth(columns_[i].title));
      if (!columns_[i].may_shrink || widths[i] <= least) continue;
      if (widest == columns_.size() || widths[i] > widths[widest]) widest = i;
    }
    if (widest == columns_.size()) break;
    --widths[widest];
  }
  return widths;
}

std::string Table::Render(const Style& style) const {
  const std::vector<int> widths = Widths(style);
  std::string text;
  const auto add_line = [&](const std::vector<Cell>& cells) {
    int used = 0;
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      if (style.width > 0 && used >= style.width) break;
      int width = widths[i];
      if (style.width > 0) width = std::min(width, style.width - used);
      const std::string shown = Truncate(cells[i].text, width);
      const std::string spaces(std::max(0, width - DisplayWidth(shown)), ' ');
      const bool last = i + 1 == cells.size();
      if (columns_[i].align == Column::Align::kRight) line += spaces;
      line += Paint(style, cells[i].color, shown);
      if (columns_[i].align == Column::Align::kLeft && !last) line += spaces;
      used += width + kGap;
      if (!last && (style.width == 0 || used < style.width)) line += std::string(kGap, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  std::vector<Cell> titles;
  for (const Column& column : columns_) titles.emplace_back(Printable(column.title), Color::kBold);
  add_line(titles);
  for (const std::vector<Cell>& row : rows_) add_line(row);
  return text;
}

}  // namespace seedbed::cli
