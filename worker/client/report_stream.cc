#include "worker/client/report_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/client/convert.h"

namespace seedbed::client {

absl::Status StatusOf(const grpc::Status& status, const std::string& server) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return absl::Status(code, absl::StrCat("cannot reach the coordinator at ", server, ": ", status.error_message()));
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return absl::Status(code,
                          absl::StrCat("the coordinator at ", server, " refuses this worker: ", status.error_message(),
                                       "; give a token of role worker with --token-file FILE or SEEDBED_TOKEN"));
    case grpc::StatusCode::UNIMPLEMENTED:
      return absl::Status(
          code,
          absl::StrCat(server, " is no Seedbed coordinator, or one of another version: ", status.error_message()));
    default:
      return absl::Status(code, absl::StrCat("the coordinator at ", server, ": ", status.error_message()));
  }
}

ReportStream::ReportStream(const std::string& token, OnAnswer on_answer, OnDoneCallback on_done)
    : on_answer_(std::move(on_answer)), on_done_(std::move(on_done)) {
  if (!token.empty()) context_.AddMetadata("authorization", "Bearer " + token);
}

void ReportStream::Start(v1::WorkerService::Stub* stub) {
  stub->async()->Report(&context_, this);
  // Writes begin in Send, outside of the reactor's callbacks, at any time until the read fails: the hold allows that.
  AddHold();
  StartRead(&read_);
  StartCall();
}

void ReportStream::Send(agent::Report report) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (broken_) return;
  bytes_waiting_ += report.body->bytes;
  waiting_.push_back(std::move(report));
  if (!writing_) WriteNext();
}

int64_t ReportStream::bytes_waiting() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return bytes_waiting_;
}

void ReportStream::WriteNext() {
  if (waiting_.empty() || broken_) return;
  written_ = ToProto(waiting_.front());
  bytes_written_ = waiting_.front().body->bytes;
  waiting_.pop_front();
  writing_ = true;
  StartWrite(&written_);
}

void ReportStream::OnWriteDone(bool ok) {
  std::lock_guard<std::mutex> lock(mutex_);
  writing_ = false;
  bytes_waiting_ -= bytes_written_;
  // A failed write is followed by a failed read, which ends the stream.
  if (ok) WriteNext();
}

void ReportStream::OnReadDone(bool ok) {
  if (ok) {
    on_answer_(read_);
    StartRead(&read_);
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    broken_ = true;
    waiting_.clear();
  }
  // The server may have ended the stream in good order while we would go on: end our half too.
  context_.TryCancel();
  RemoveHold();
}

void ReportStream::OnDone(const grpc::Status& status) {
  // Deletes this; `status` belongs to gRPC.
  const OnDoneCallback on_done = std::move(on_done_);
  on_done(status);
}

}  // namespace seedbed::client
