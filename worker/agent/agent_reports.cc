// Rows, ends and logs on their way to the coordinator.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/agent/agent.h"

namespace seedbed::agent {
namespace {

// With more than this on its way, the log text of a run waits where it is counted.
constexpr int64_t kMostBytesBeforeLogs = 1 << 20;

}  // namespace

// While the leases may have expired, reports would be refused, and a refusal ends what the next Synchronize may still
// restore.
bool Agent::CanSend(absl::Duration now) const {
  return stream_open_ && !synchronizer_.LeasesInDoubt(now);
}

void Agent::SendReports(absl::Duration now) {
  const bool something_to_say = std::any_of(leases_.begin(), leases_.end(), [](const auto& entry) {
    return !entry.second.reports.empty() || !entry.second.log.empty();
  });
  if (!stream_open_ && something_to_say && now >= stream_not_before_ && !synchronizer_.LeasesInDoubt(now)) {
    link_->OpenReports(++stream_);
    stream_open_ = true;
  }
  if (!CanSend(now)) return;
  const int64_t bytes_waiting = link_->ReportBytesWaiting();
  for (auto& [name, lease] : leases_) {
    SendLog(lease, /*stream_is_behind=*/bytes_waiting > kMostBytesBeforeLogs, now);
    const std::optional<absl::Duration> since = lease.reports.gathering_since();
    if (since && now >= *since + options_.gather_rows_for) lease.reports.Seal();
    if (now >= ResendAt(lease)) {
      if (bytes_waiting > 0) {
        // None of them is lost on the way: sent again they would only lengthen the queue.
        lease.heard_at = now;
      } else {
        ++lease.resends;
        lease.reports.RewindAll();
      }
    }
    if (!lease.reports.waits_for_acknowledgement()) lease.heard_at = now;
    while (auto body = lease.reports.NextToSend()) {
      lease.reports.MarkSent();
      Send(lease, std::move(body));
    }
  }
}

void Agent::SendLog(Lease& lease, bool stream_is_behind, absl::Duration now) {
  if (lease.log.empty()) return;
  if (lease.phase != LeasePhase::kEnded) {
    if (now < lease.log_not_before) return;
    lease.log_not_before = now + options_.log_every;
    // The stream would keep whatever it is given; the buffer is bounded, and says what it leaves out.
    if (stream_is_behind) return;
  }
  ReportBody body;
  body.log = lease.log.Take(lease.reports.last_sequence() + 1);
  body.bytes = static_cast<int64_t>(body.log.size());
  Send(lease, std::make_shared<const ReportBody>(std::move(body)));
}

void Agent::Send(const Lease& lease, std::shared_ptr<const ReportBody> body) {
  link_->SendReport({options_.worker, lease.key, std::move(body)});
}

void Agent::OnReportAnswer(const ReportAnswer& answer, absl::Duration now) {
  stream_backoff_.Reset();
  const auto found = leases_.find(NameOf(answer.lease));
  if (found == leases_.end()) return;
  Lease& lease = found->second;
  switch (answer.verdict) {
    case ReportVerdict::kAcknowledged:
      if (lease.reports.Acknowledge(answer.sequence)) {
        lease.heard_at = now;
        lease.resends = 0;
        lease.log.Acknowledge(answer.sequence);
      }
      if (lease.reports.end_acknowledged()) {
        leases_.erase(found);
      } else {
        BoundUnacknowledged(lease);
      }
      return;
    case ReportVerdict::kRefused:
      // A refusal of an older fence crossed a restoration.
      if (answer.lease.fence == lease.key.fence) Drop(found->first, absl::StrCat("report refused: ", answer.reason));
      return;
    case ReportVerdict::kGap:
      // All that was sent after the gap is answered alike; the first such answer is enough.
      if (lease.resends > 0 && now < lease.heard_at + absl::Seconds(1)) return;
      if (!lease.reports.Rewind(answer.sequence)) {
        Drop(found->first, "the coordinator has lost reports that it had acknowledged");
        return;
      }
      lease.heard_at = now;
      ++lease.resends;
      return;
  }
}

void Agent::OnStreamBroken(const ReportStreamBroken& broken, absl::Duration now) {
  if (!stream_open_ || broken.stream != stream_) return;
  stream_open_ = false;
  if (stream_backoff_.failures() == 0) {
    observer_->Warning(absl::StrCat("the report stream broke: ", broken.status.ToString()));
  }
  stream_not_before_ = now + stream_backoff_.Next();
  for (auto& [name, lease] : leases_) {
    lease.reports.RewindAll();
    lease.log.StreamBroke();
  }
}

void Agent::BoundUnacknowledged(Lease& lease) {
  if (lease.phase != LeasePhase::kTraining) return;
  const int64_t bytes = lease.reports.bytes();
  if (!lease.reading_paused && bytes > options_.most_unacknowledged_bytes) {
    lease.reading_paused = true;
    pool_->PauseReading(lease.attempt);
  } else if (lease.reading_paused && bytes < options_.most_unacknowledged_bytes / 2) {
    lease.reading_paused = false;
    pool_->ResumeReading(lease.attempt);
  }
}

absl::Duration Agent::ResendAt(const Lease& lease) const {
  if (!lease.reports.waits_for_acknowledgement()) return absl::InfiniteDuration();
  return lease.heard_at + std::min(absl::Minutes(1), options_.resend_after * (1 << std::min(lease.resends, 10)));
}

std::optional<absl::Duration> Agent::NextReportWake(absl::Duration now) const {
  absl::Duration wake = absl::InfiniteDuration();
  const bool can_send = CanSend(now);
  for (const auto& [name, lease] : leases_) {
    if (!stream_open_ && !synchronizer_.LeasesInDoubt(now) && (!lease.reports.empty() || !lease.log.empty())) {
      wake = std::min(wake, stream_not_before_);
    }
    if (!can_send) continue;
    if (lease.reports.gathering_since()) {
      wake = std::min(wake, *lease.reports.gathering_since() + options_.gather_rows_for);
    }
    if (!lease.log.empty()) wake = std::min(wake, lease.log_not_before);
    wake = std::min(wake, ResendAt(lease));
  }
  if (wake == absl::InfiniteDuration()) return std::nullopt;
  return wake;
}

}  // namespace seedbed::agent
