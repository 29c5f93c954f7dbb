#include "worker/agent/report_queue.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"

namespace seedbed::agent {
namespace {

// A value and its flag on the wire, and a step.
constexpr int64_t kBytesPerValue = 9;
constexpr int64_t kBytesPerStep = 8;
constexpr int64_t kBytesPerReport = 64;

MetricSeries& SeriesOf(MetricRows& rows, const std::string& metric, size_t rows_before, int64_t* bytes) {
  for (MetricSeries& series : rows.series) {
    if (series.metric == metric) return series;
  }
  *bytes += static_cast<int64_t>(metric.size()) + kBytesPerReport + static_cast<int64_t>(rows_before) * kBytesPerValue;
  rows.series.push_back({metric, std::vector<double>(rows_before, 0.0), std::vector<bool>(rows_before, true)});
  return rows.series.back();
}

}  // namespace

void ReportQueue::AddRows(const AttemptMetrics& metrics, absl::Duration now) {
  const int64_t row_bytes = kBytesPerStep + kBytesPerValue * static_cast<int64_t>(metrics.columns.size());
  const size_t most_rows = static_cast<size_t>(std::max<int64_t>(1, kReportBytes / row_bytes));
  for (size_t begin = 0; begin < metrics.steps.size(); begin += most_rows) {
    const size_t end = std::min(metrics.steps.size(), begin + most_rows);
    if (GapBytes(metrics, end - begin) > kReportBytes) Seal();
    if (!gathering_since_) gathering_since_ = now;
    AddSlice(metrics, begin, end);
    if (gathered_bytes_ >= kReportBytes) Seal();
  }
}

int64_t ReportQueue::GapBytes(const AttemptMetrics& metrics, size_t rows) const {
  if (gathered_.steps.empty()) return 0;
  absl::flat_hash_set<std::string_view> known;
  for (const MetricSeries& series : gathered_.series) known.insert(series.metric);
  size_t common = 0;
  for (const MetricColumn& column : metrics.columns) common += known.count(column.name);
  // Those before lack the new metrics, and the new rows those that have not come again.
  const size_t gaps = gathered_.steps.size() * (metrics.columns.size() - common) + rows * (known.size() - common);
  return static_cast<int64_t>(gaps) * kBytesPerValue;
}

void ReportQueue::AddSlice(const AttemptMetrics& metrics, size_t begin, size_t end) {
  const size_t rows_before = gathered_.steps.size();
  const size_t rows_after = rows_before + (end - begin);
  gathered_.steps.insert(gathered_.steps.end(), metrics.steps.begin() + static_cast<std::ptrdiff_t>(begin),
                         metrics.steps.begin() + static_cast<std::ptrdiff_t>(end));
  gathered_bytes_ += static_cast<int64_t>(end - begin) * kBytesPerStep;
  std::optional<int64_t> nonfinite;
  for (const MetricColumn& column : metrics.columns) {
    MetricSeries& series = SeriesOf(gathered_, column.name, rows_before, &gathered_bytes_);
    series.values.resize(rows_before, 0.0);
    series.absent.resize(rows_before, true);
    for (size_t row = begin; row < end; ++row) {
      const std::optional<double>& value = column.values[row];
      const bool finite = value && std::isfinite(*value);
      if (value && !finite && (!nonfinite || metrics.steps[row] < *nonfinite)) nonfinite = metrics.steps[row];
      series.values.push_back(finite ? *value : 0.0);
      series.absent.push_back(!finite);
    }
  }
  for (MetricSeries& series : gathered_.series) {
    series.values.resize(rows_after, 0.0);
    series.absent.resize(rows_after, true);
  }
  gathered_bytes_ += static_cast<int64_t>((end - begin) * gathered_.series.size()) * kBytesPerValue;
  if (nonfinite && !nonfinite_seen_) {
    nonfinite_seen_ = true;
    gathered_.first_nonfinite_step = nonfinite;
  }
}

void ReportQueue::Seal() {
  if (gathered_.steps.empty()) return;
  ReportBody body;
  body.rows = std::exchange(gathered_, MetricRows());
  body.bytes = std::exchange(gathered_bytes_, 0) + kBytesPerReport;
  gathering_since_.reset();
  Keep(std::move(body));
}

void ReportQueue::AddEnd(EndOfAttempt end) {
  Seal();
  ReportBody body;
  body.bytes =
      kBytesPerReport + static_cast<int64_t>(end.reason.size() + (end.result ? end.result->summary_json.size() : 0));
  body.end = std::move(end);
  Keep(std::move(body));
  end_sequence_ = kept_.back()->sequence;
}

void ReportQueue::Keep(ReportBody body) {
  body.sequence = acknowledged_ + static_cast<int64_t>(kept_.size()) + 1;
  kept_bytes_ += body.bytes;
  kept_.push_back(std::make_shared<const ReportBody>(std::move(body)));
}

std::shared_ptr<const ReportBody> ReportQueue::NextToSend() const {
  return sent_ < kept_.size() ? kept_[sent_] : nullptr;
}

bool ReportQueue::Acknowledge(int64_t sequence) {
  bool news = false;
  while (!kept_.empty() && kept_.front()->sequence <= sequence) {
    kept_bytes_ -= kept_.front()->bytes;
    kept_.pop_front();
    ++acknowledged_;
    if (sent_ > 0) --sent_;
    news = true;
  }
  return news;
}

bool ReportQueue::Rewind(int64_t sequence) {
  if (sequence < acknowledged_) return false;
  Acknowledge(sequence);
  sent_ = 0;
  return true;
}

}  // namespace seedbed::agent
