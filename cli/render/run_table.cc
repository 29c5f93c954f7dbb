#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/render/format.h"
#include "cli/render/lists.h"
#include "cli/render/proto_json.h"
#include "cli/render/table.h"
#include "cli/render/text_width.h"
#include "common/base/json.h"

// The table of runs has more columns than a narrow terminal. What tells rows apart comes first there.
namespace seedbed::cli {
namespace {

constexpr Column::Align kRight = Column::Align::kRight;
constexpr Column::Align kLeft = Column::Align::kLeft;
constexpr int kGap = 2;

enum class Need {
  kAlways,
  kUnlessEqual,  // where all rows say the same, one line above the table says it
  kIfRoom,       // likewise, and left out where there is still no room
};

struct RunColumn {
  Column column;
  Need need = Need::kAlways;
  std::vector<Cell> cells;
  bool shown = true;

  int Width() const {
    int width = DisplayWidth(column.title);
    for (const Cell& cell : cells) width = std::max(width, DisplayWidth(Printable(cell.text)));
    return width;
  }
  // Once it is cut.
  int LeastWidth() const { return column.may_shrink ? std::min(Width(), kLeastShrunk) : Width(); }
  bool AllEqual() const {
    return cells.size() > 1 &&
           std::all_of(cells.begin(), cells.end(), [this](const Cell& cell) { return cell.text == cells[0].text; });
  }

  static constexpr int kLeastShrunk = 8;
};

// A run's varied parameters, by name.
using Point = std::vector<std::pair<std::string, std::string>>;

Point PointOf(const v1::RunSummary& run) {
  Point point;
  const Json varied = Json::parse(run.varied_json(), nullptr, /*allow_exceptions=*/false);
  if (!varied.is_object()) return point;
  for (const auto& entry : varied.items()) point.emplace_back(entry.key(), FormatValue(entry.value()));
  return point;
}

std::vector<std::string> NamesOf(const Point& point) {
  std::vector<std::string> names;
  for (const auto& parameter : point) names.push_back(parameter.first);
  const std::map<std::string, std::string> short_names = ShortNames(names);
  for (std::string& name : names) name = short_names.at(name);
  return names;
}

class RunTable {
 public:
  RunTable(const v1::ListRunsResponse& runs, const Style& style) : style_(style) {
    for (const v1::RunSummary& run : runs.runs()) {
      points_.push_back(PointOf(run));
      ids_.push_back(run.configuration_id());
    }
    AddColumns(runs);
    SetConfigurations(/*with_names=*/true);
  }

  std::string Render() {
    if (style_.width > 0) Fit();
    std::vector<Column> columns;
    for (const RunColumn& each : columns_) {
      if (each.shown) columns.push_back(each.column);
    }
    Table table(std::move(columns));
    for (size_t row = 0; row < points_.size(); ++row) {
      std::vector<Cell> cells;
      for (const RunColumn& each : columns_) {
        if (each.shown) cells.push_back(each.cells[row]);
      }
      table.Add(std::move(cells));
    }
    return Above() + table.Render(style_);
  }

 private:
  void AddColumns(const v1::ListRunsResponse& runs) {
    const auto add = [this](Column column, Need need) { columns_.push_back({std::move(column), need, {}, true}); };
    add({"run", kRight}, Need::kAlways);
    add({"sweep", kLeft, true}, Need::kUnlessEqual);
    configuration_ = columns_.size();
    add({"configuration", kLeft}, Need::kUnlessEqual);
    add({"seed", kRight}, Need::kAlways);
    add({"state"}, Need::kUnlessEqual);
    add({"outcome"}, Need::kUnlessEqual);
    add({"last step", kRight}, Need::kIfRoom);
    add({"attempts", kRight}, Need::kIfRoom);
    add({"took", kRight}, Need::kIfRoom);
    add({"worker", kLeft, true}, Need::kIfRoom);
    add({"reason", kLeft, true}, Need::kUnlessEqual);
    for (const v1::RunSummary& run : runs.runs()) {
      const std::string state = StateName(run.state());
      const bool ended = run.started_at() != 0 && run.ended_at() >= run.started_at();
      const std::vector<Cell> cells = {
          absl::StrCat(run.run_id()),
          run.sweep(),
          "",
          absl::StrCat(run.seed()),
          {state, ColorOfState(state)},
          {run.outcome(), ColorOfOutcome(run.outcome())},
          run.state() == v1::RUN_STATE_QUEUED ? std::string() : FormatStep(run.last_step()),
          run.attempts() == 0 ? std::string() : FormatCount(run.attempts()),
          ended ? FormatDuration(static_cast<double>(run.ended_at() - run.started_at()) / 1e6) : std::string(),
          run.worker(),
          run.reason()};
      for (size_t i = 0; i < cells.size(); ++i) columns_[i].cells.push_back(cells[i]);
    }
  }

  void SetConfigurations(bool with_names) {
    std::vector<Cell>& cells = columns_[configuration_].cells;
    for (size_t row = 0; row < points_.size(); ++row) {
      const std::vector<std::string> names = NamesOf(points_[row]);
      std::vector<std::string> words;
      for (size_t i = 0; i < names.size(); ++i) {
        words.push_back(with_names ? absl::StrCat(names[i], "=", points_[row][i].second) : points_[row][i].second);
      }
      cells[row] = words.empty() ? absl::StrCat(ids_[row]) : absl::StrJoin(words, with_names ? " " : ", ");
    }
  }

  // What stands above the table, as many of it on a line as there is room for, and an empty line.
  std::string Above() const {
    std::string text;
    int used = 0;
    for (const std::string& each : above_) {
      const std::string shown = Truncate(Printable(each), style_.width);
      const int width = DisplayWidth(shown);
      const bool same_line = used > 0 && used + 3 + width <= style_.width;
      if (used > 0) text += same_line ? " · " : "\n";
      used = same_line ? used + 3 + width : width;
      text += shown;
    }
    return text.empty() ? "" : text + "\n\n";
  }

  bool Fits(int (RunColumn::*width_of)() const = &RunColumn::LeastWidth) const {
    int width = -kGap;
    for (const RunColumn& each : columns_) {
      if (each.shown) width += kGap + (each.*width_of)();
    }
    return width <= style_.width;
  }

  // Step by step, until it fits.
  void Fit() {
    for (RunColumn& each : columns_) {
      if (Fits(&RunColumn::Width)) return;
      if (each.need != Need::kAlways && each.AllEqual()) SayAbove(each);
    }
    if (columns_[configuration_].shown) {
      if (!Fits()) SaySharedParameters();
      if (!Fits()) SayNames();
    }
    for (auto each = columns_.rbegin(); each != columns_.rend() && !Fits(); ++each) {
      if (each->need == Need::kIfRoom) each->shown = false;
    }
    // Even so there may be too many parameters.
    columns_[configuration_].column.may_shrink = !Fits();
  }

  void SayAbove(RunColumn& column) {
    column.shown = false;
    if (!column.cells[0].text.empty()) above_.push_back(absl::StrCat(column.column.title, " ", column.cells[0].text));
  }

  // Those that have one value in all rows.
  void SaySharedParameters() {
    Point shared = points_[0];
    for (const Point& point : points_) {
      const auto differs = [&point](const auto& parameter) {
        return std::find(point.begin(), point.end(), parameter) == point.end();
      };
      shared.erase(std::remove_if(shared.begin(), shared.end(), differs), shared.end());
    }
    const bool all = std::all_of(points_.begin(), points_.end(),
                                 [&shared](const Point& point) { return point.size() == shared.size(); });
    if (shared.empty() || all) return;
    const std::vector<std::string> names = NamesOf(shared);
    for (size_t i = 0; i < shared.size(); ++i) above_.push_back(absl::StrCat(names[i], "=", shared[i].second));
    for (Point& point : points_) {
      const auto is_shared = [&shared](const auto& parameter) {
        return std::find(shared.begin(), shared.end(), parameter) != shared.end();
      };
      point.erase(std::remove_if(point.begin(), point.end(), is_shared), point.end());
    }
    SetConfigurations(/*with_names=*/true);
  }

  // Above the table instead of in each row, if all rows have the same.
  void SayNames() {
    const std::vector<std::string> names = NamesOf(points_[0]);
    const bool same =
        std::all_of(points_.begin(), points_.end(), [&](const Point& point) { return NamesOf(point) == names; });
    if (names.empty() || !same) return;
    above_.push_back(absl::StrCat("configuration: ", absl::StrJoin(names, ", ")));
    SetConfigurations(/*with_names=*/false);
  }

  const Style style_;
  std::vector<Point> points_;  // of each row
  std::vector<int64_t> ids_;   // of its configuration
  std::vector<RunColumn> columns_;
  size_t configuration_ = 0;  // its column
  std::vector<std::string> above_;
};

}  // namespace

std::string RenderRuns(const v1::ListRunsResponse& runs, const Style& style) {
  return RunTable(runs, style).Render();
}

}  // namespace seedbed::cli
