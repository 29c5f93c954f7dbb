#include "cli/render/configuration_table.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/render/format.h"
#include "cli/render/table.h"
#include "common/base/json.h"

namespace seedbed::cli {
namespace {

std::string MedianText(bool known, double median, int64_t reached, int64_t finished, int64_t budget_steps) {
  if (known) return FormatMedian(median);
  if (finished == 0) return "";
  if (reached == 0 || budget_steps == 0) return "—";
  return absl::StrCat(">", FormatCount(budget_steps));
}

Json ParsedObject(const std::string& text) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json::object();
}

Color OverallColor(const v1::ConfigurationSummary& configuration) {
  if (configuration.runs().failed() > 0) return Color::kRed;
  if (configuration.outcomes().size() == 1) return ColorOfOutcome(configuration.outcomes().begin()->first);
  return Color::kNone;
}

}  // namespace

std::string OutcomesText(const v1::ConfigurationSummary& configuration) {
  const std::map<std::string, int64_t> sorted(configuration.outcomes().begin(), configuration.outcomes().end());
  std::vector<std::string> parts;
  for (const auto& [outcome, count] : sorted) {
    if (!outcome.empty() && count > 0) parts.push_back(absl::StrCat(count, " ", outcome));
  }
  const v1::RunCounts& runs = configuration.runs();
  if (runs.failed() > 0) parts.push_back(absl::StrCat(runs.failed(), " failed"));
  if (runs.cancelled() > 0) parts.push_back(absl::StrCat(runs.cancelled(), " cancelled"));
  if (runs.running() > 0) parts.push_back(absl::StrCat(runs.running(), " running"));
  if (runs.queued() > 0) parts.push_back(absl::StrCat(runs.queued(), " queued"));
  return absl::StrJoin(parts, ", ");
}

std::string RenderConfigurations(const std::vector<v1::ConfigurationSummary>& configurations, int64_t budget_steps,
                                 const Style& style) {
  std::vector<Json> varied;
  std::vector<std::string> names;  // in order of first appearance
  for (const v1::ConfigurationSummary& configuration : configurations) {
    varied.push_back(ParsedObject(configuration.varied_json()));
    for (const auto& entry : varied.back().items()) {
      if (std::find(names.begin(), names.end(), entry.key()) == names.end()) names.push_back(entry.key());
    }
  }
  const std::map<std::string, std::string> short_names = ShortNames(names);

  std::vector<Column> columns;
  if (names.empty()) columns.push_back({"configuration"});
  for (const std::string& name : names) {
    bool numbers = true;
    for (const Json& point : varied) numbers = numbers && (!point.contains(name) || point.at(name).is_number());
    columns.push_back({short_names.at(name), numbers ? Column::Align::kRight : Column::Align::kLeft, true});
  }
  columns.push_back({"reached", Column::Align::kRight});
  columns.push_back({"T_train", Column::Align::kRight});
  columns.push_back({"T_grok", Column::Align::kRight});
  columns.push_back({"delay", Column::Align::kRight});
  columns.push_back({"outcomes", Column::Align::kLeft, true});

  Table table(columns);
  for (size_t i = 0; i < configurations.size(); ++i) {
    const v1::ConfigurationSummary& configuration = configurations[i];
    std::vector<Cell> row;
    if (names.empty()) row.push_back(absl::StrCat(configuration.configuration_id()));
    for (const std::string& name : names) {
      row.push_back(varied[i].contains(name) ? FormatValue(varied[i].at(name)) : std::string());
    }
    const int64_t finished = configuration.finished();
    row.push_back(absl::StrCat(configuration.reached_test(), "/", configuration.seeds()));
    row.push_back(MedianText(configuration.has_median_t_train(), configuration.median_t_train(),
                             configuration.reached_train(), finished, budget_steps));
    row.push_back(MedianText(configuration.has_median_t_test(), configuration.median_t_test(),
                             configuration.reached_test(), finished, budget_steps));
    row.push_back(MedianText(configuration.has_median_delay(), configuration.median_delay(),
                             configuration.reached_test(), finished, budget_steps));
    row.emplace_back(OutcomesText(configuration), OverallColor(configuration));
    table.Add(std::move(row));
  }
  return table.Render(style);
}

}  // namespace seedbed::cli
