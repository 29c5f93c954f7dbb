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

bool MetricNames::IsAsLast(const MetricRows& rows) const {
  return std::equal(rows.series.begin(), rows.series.end(), last_.begin(), last_.end(),
                    [](const MetricSeries& series, const std::string& name) { return series.metric == name; });
}

std::vector<std::string> MetricNames::NewNames(const MetricRows& rows) const {
  std::vector<std::string> added;
  if (IsAsLast(rows)) return added;
  for (const MetricSeries& series : rows.series) {
    std::string lower = absl::AsciiStrToLower(series.metric);
    if (!names_.contains(lower)) added.push_back(std::move(lower));
  }
  return added;
}

absl::Status MetricNames::Check(const MetricRows& rows) const {
  const std::vector<std::string> added = NewNames(rows);
  if (added.empty()) return absl::OkStatus();
  if (names_.size() + added.size() > kMost) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kMost, " different metric names (the next is '",
                                                   added.front(), "'); report a fixed set of metrics"));
  }
  const auto before = new_of_run_.find(rows.run);
  if (added.size() + (before == new_of_run_.end() ? 0 : before->second) > kMostNewOfRun) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kMostNewOfRun,
                                                   " metric names that no run had before (the next is '", added.front(),
                                                   "'); report a fixed set of metrics"));
  }
  return absl::OkStatus();
}

void MetricNames::Add(const MetricRows& rows) {
  if (IsAsLast(rows)) return;
  const std::vector<std::string> added = NewNames(rows);
  if (!added.empty()) {
    const size_t before = names_.size();
    names_.insert(added.begin(), added.end());
    new_of_run_[rows.run] += names_.size() - before;
  }
  last_.clear();
  for (const MetricSeries& series : rows.series) last_.push_back(series.metric);
}

}  // namespace seedbed
