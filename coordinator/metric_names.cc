#include "coordinator/metric_names.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace seedbed {

MetricNames::MetricNames(Reader* reader) {
  reader
      ->Stream(
          "SELECT name FROM metric_names", absl::Seconds(2), [](const std::vector<std::string>&) {},
          [this](const std::vector<Value>& row) {
            const auto* name = std::get_if<std::string>(&row[0]);
            if (name != nullptr) names_.insert(absl::AsciiStrToLower(*name));
            return true;
          })
      .IgnoreError();
}

absl::Status MetricNames::Admit(const MetricRows& rows) {
  const auto same = [](const MetricSeries& series, const std::string& name) { return series.metric == name; };
  if (std::equal(rows.series.begin(), rows.series.end(), last_.begin(), last_.end(), same)) return absl::OkStatus();
  std::vector<std::string> added;
  for (const MetricSeries& series : rows.series) {
    std::string lower = absl::AsciiStrToLower(series.metric);
    if (!names_.contains(lower)) added.push_back(std::move(lower));
  }
  if (!added.empty() && names_.size() + added.size() > kMost) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kMost, " different metric names (the next is '",
                                                   added.front(), "'); report a fixed set of metrics"));
  }
  names_.insert(added.begin(), added.end());
  last_.clear();
  for (const MetricSeries& series : rows.series) last_.push_back(series.metric);
  return absl::OkStatus();
}

}  // namespace seedbed
