#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "absl/time/time.h"
#include "worker/agent/messages.h"
#include "worker/process/engine_events.h"

namespace seedbed::agent {

// The reports of one attempt: rows are gathered into reports of bounded size, numbered from 1 without gaps, and kept
// until they are acknowledged. Not thread-safe.
class ReportQueue {
 public:
  // Rows gathered beyond this many bytes become a report at once, so one report is at most a few times as long, and
  // gRPC takes it: one that it refused would end the stream of all runs, again and again.
  static constexpr int64_t kReportBytes = 256 * 1024;

  // Takes the rows of `metrics`. Values that are not finite are sent as absent and remembered in first_nonfinite_step.
  void AddRows(const AttemptMetrics& metrics, absl::Duration now);
  // Makes a report of the rows gathered so far, if there are any.
  void Seal();
  // The last report. Nothing may be added after it.
  void AddEnd(EndOfAttempt end);

  // The first report that was not sent yet, or nullptr; MarkSent moves on to the next.
  std::shared_ptr<const ReportBody> NextToSend() const;
  void MarkSent() { ++sent_; }

  // Everything up to `sequence` is durable. True if that was news.
  bool Acknowledge(int64_t sequence);
  // The next to be sent is sequence + 1, or the first one kept. False if sequence + 1 is no longer kept: it was
  // acknowledged, and the coordinator has forgotten it.
  bool Rewind(int64_t sequence);
  // Everything kept is to be sent again.
  void RewindAll() { sent_ = 0; }

  // When the oldest of the rows not yet in a report came.
  std::optional<absl::Duration> gathering_since() const { return gathering_since_; }
  bool empty() const { return kept_.empty() && gathered_.steps.empty(); }
  bool waits_for_acknowledgement() const { return sent_ > 0; }
  bool all_sent() const { return sent_ == kept_.size(); }
  bool end_acknowledged() const { return end_sequence_ && acknowledged_ >= *end_sequence_; }
  int64_t acknowledged() const { return acknowledged_; }
  // Of the last report made; 0 if there is none.
  int64_t last_sequence() const { return acknowledged_ + static_cast<int64_t>(kept_.size()); }
  int64_t bytes() const { return kept_bytes_ + gathered_bytes_; }

 private:
  // How many bytes would say of a metric that rows lack it, were `rows` of `metrics` gathered with those before.
  int64_t GapBytes(const AttemptMetrics& metrics, size_t rows) const;
  void AddSlice(const AttemptMetrics& metrics, size_t begin, size_t end);
  void Keep(ReportBody body);

  MetricRows gathered_;
  int64_t gathered_bytes_ = 0;
  std::optional<absl::Duration> gathering_since_;
  bool nonfinite_seen_ = false;

  std::deque<std::shared_ptr<const ReportBody>> kept_;  // sequences acknowledged_ + 1, acknowledged_ + 2, …
  int64_t kept_bytes_ = 0;
  size_t sent_ = 0;  // of kept_, from the front
  int64_t acknowledged_ = 0;
  std::optional<int64_t> end_sequence_;
};

}  // namespace seedbed::agent
