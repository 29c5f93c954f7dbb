#include "coordinator/rpc/report_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/rpc/convert.h"

namespace seedbed {
namespace {

v1::ReportResponse::Verdict VerdictOf(core::ReportVerdict verdict) {
  switch (verdict) {
    case core::ReportVerdict::kAccepted:
    case core::ReportVerdict::kDuplicate:
      return v1::ReportResponse::VERDICT_ACKNOWLEDGED;
    case core::ReportVerdict::kRefused:
      return v1::ReportResponse::VERDICT_REFUSED;
    case core::ReportVerdict::kGap:
      return v1::ReportResponse::VERDICT_GAP;
  }
  return v1::ReportResponse::VERDICT_REFUSED;
}

bool SameLease(const v1::LeaseKey& a, const v1::LeaseKey& b) {
  return a.run_id() == b.run_id() && a.attempt() == b.attempt() && a.fence() == b.fence();
}

// What the core is told of a message that cannot be read: people find the reason at the attempt.
CheckedReport Malformed(const v1::ReportRequest& request, const core::LeaseKey& lease, const absl::Status& why) {
  CheckedReport checked;
  checked.report.worker = WorkerId(request.worker_id());
  checked.report.lease = lease;
  checked.report.sequence = request.sequence();
  checked.report.malformed = true;
  checked.report.end = core::Report::End{
      core::AttemptEnd::kFailed, absl::StrCat("its report ", request.sequence(), " cannot be read: ", why.message()), 1,
      std::nullopt, std::nullopt};
  checked.bytes = static_cast<int64_t>(checked.report.end->reason.size()) + 256;
  return checked;
}

// The message is at fault, not the coordinator: sending it again would not help.
bool IsAboutThisLease(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) || absl::IsFailedPrecondition(status);
}

}  // namespace

ReportStream* ReportStream::Make(Coordinator* coordinator, Authenticator::Again allowed) {
  const std::shared_ptr<ReportStream> stream(new ReportStream(coordinator, std::move(allowed)));
  stream->self_ = stream;
  const absl::Status refusal = stream->allowed_();
  if (!refusal.ok()) stream->End(refusal);
  stream->Continue();
  return stream.get();
}

void ReportStream::OnReadDone(bool ok) {
  // Kept alive by hand: Continue may finish the call, and OnDone drop the last other reference.
  const std::shared_ptr<ReportStream> self = shared_from_this();
  if (ok) {
    const absl::Status taken = Take();
    if (!taken.ok()) End(taken);
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    reading_ = false;
    read_all_ = read_all_ || !ok;
  }
  Continue();
}

absl::Status ReportStream::Take() {
  SEEDBED_RETURN_IF_ERROR(allowed_());
  const v1::LeaseKey lease = request_.lease();
  SEEDBED_ASSIGN_OR_RETURN(const core::LeaseKey key, FromProto(lease));
  if (!request_.log().empty()) {
    coordinator_->AppendLog(WorkerId(request_.worker_id()), key, std::move(*request_.mutable_log()));
  }
  if (request_.sequence() == 0 && !request_.has_rows() && !request_.has_ended()) return absl::OkStatus();
  absl::StatusOr<CheckedReport> checked = FromProto(request_, key);
  if (!checked.ok()) checked = Malformed(request_, key, checked.status());
  const int64_t bytes = checked->bytes;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++unanswered_;
    unanswered_bytes_ += bytes;
  }
  coordinator_->Report(std::move(checked->report), std::move(checked->rows), bytes,
                       [self = shared_from_this(), lease, bytes](const absl::StatusOr<core::ReportAnswer>& answer) {
                         self->Answer(lease, bytes, answer);
                       });
  return absl::OkStatus();
}

void ReportStream::Answer(const v1::LeaseKey& lease, int64_t bytes, const absl::StatusOr<core::ReportAnswer>& answer) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    --unanswered_;
    unanswered_bytes_ -= bytes;
  }
  if (answer.ok()) {
    v1::ReportResponse response;
    *response.mutable_lease() = lease;
    response.set_verdict(VerdictOf(answer->verdict));
    response.set_sequence(answer->acknowledged_sequence);
    response.set_reason(answer->reason);
    Queue(std::move(response));
  } else if (IsAboutThisLease(answer.status())) {
    Refuse(lease, 0, answer.status());
  } else {
    End(answer.status());
  }
  Continue();
}

void ReportStream::Refuse(const v1::LeaseKey& lease, int64_t sequence, const absl::Status& why) {
  v1::ReportResponse response;
  *response.mutable_lease() = lease;
  response.set_verdict(v1::ReportResponse::VERDICT_REFUSED);
  response.set_sequence(sequence);
  response.set_reason(std::string(why.message()));
  Queue(std::move(response));
}

void ReportStream::Queue(v1::ReportResponse response) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (ending_) return;
  // One acknowledgement says what several would.
  const bool repeats = !queue_.empty() && response.verdict() == v1::ReportResponse::VERDICT_ACKNOWLEDGED &&
                       queue_.back().verdict() == response.verdict() &&
                       SameLease(queue_.back().lease(), response.lease());
  if (repeats) {
    queue_.back().set_sequence(std::max(queue_.back().sequence(), response.sequence()));
  } else {
    queue_.push_back(std::move(response));
  }
}

void ReportStream::End(const absl::Status& status) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (ending_) return;
  ending_ = true;
  status_ = status;
}

void ReportStream::Continue() {
  grpc::Status status;
  {
    // Reads and writes are begun under the lock: the call may be gone as soon as another thread has called Finish,
    // which waits for those that it knows of. gRPC answers none of them from within StartRead or StartWrite.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (finished_) return;
    if (!writing_ && !queue_.empty()) {
      writing_response_ = std::move(queue_.front());
      queue_.pop_front();
      writing_ = true;
      // With more to come at once, the transport may wait for it and send both together.
      const bool more = !queue_.empty();
      StartWrite(&writing_response_, more ? grpc::WriteOptions().set_buffer_hint() : grpc::WriteOptions());
    }
    const bool done = ending_ || (read_all_ && unanswered_ == 0);
    const bool room = unanswered_bytes_ < kWindowBytes && queue_.size() < kMostQueued;
    if (!done && !reading_ && !read_all_ && room) {
      reading_ = true;
      StartRead(&request_);
    }
    if (!done || writing_) return;
    finished_ = true;
    status = ToGrpc(status_);
  }
  Finish(status);
}

void ReportStream::OnWriteDone(bool ok) {
  const std::shared_ptr<ReportStream> self = shared_from_this();
  if (!ok) End(absl::CancelledError("the worker is gone"));
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    if (!ok) queue_.clear();
  }
  Continue();
}

void ReportStream::OnCancel() {
  const std::shared_ptr<ReportStream> self = shared_from_this();
  End(absl::CancelledError("the call was cancelled"));
  Continue();
}

void ReportStream::OnDone() {
  self_.reset();
}

}  // namespace seedbed
