#pragma once

#include <string>
#include <vector>

#include "cli/render/style.h"

namespace seedbed::cli {

struct Column {
  enum class Align { kLeft, kRight };
  std::string title;
  Align align = Align::kLeft;
  bool may_shrink = false;  // is cut, widest first, where the terminal is too narrow
};

struct Cell {
  Cell(std::string text,
       Color color = Color::kNone)  // NOLINT: a table of literals reads better without the type's name
      : text(std::move(text)), color(color) {}
  Cell(const char* text) : text(text) {}  // NOLINT
  std::string text;                       // any bytes: made printable here
  Color color = Color::kNone;
};

// Rows under one line of titles, columns two spaces apart, no rules: greps and cuts well. No cell contains a line
// break.
class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // `row` has as many cells as there are columns.
  void Add(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  // Lines with their line ends. On a terminal no line is wider than it; where even that cannot be had by shrinking,
  // lines are cut.
  std::string Render(const Style& style) const;

 private:
  std::vector<int> Widths(const Style& style) const;
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace seedbed::cli
