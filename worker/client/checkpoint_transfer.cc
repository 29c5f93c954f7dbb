#include "worker/client/checkpoint_transfer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/client/convert.h"
#include "worker/client/report_stream.h"

namespace seedbed::client {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
// A transfer that takes longer is taken for dead; the agent tries again.
constexpr std::chrono::minutes kLimit(10);

}  // namespace

CheckpointTransfer::CheckpointTransfer(const std::string& token) {
  if (!token.empty()) context_.AddMetadata("authorization", "Bearer " + token);
  context_.set_deadline(std::chrono::system_clock::now() + kLimit);
}

// --- to the coordinator

CheckpointPutCall::CheckpointPutCall(const std::string& token, const std::string& server,
                                     agent::CheckpointUpload upload, OnDoneCallback on_done)
    : CheckpointTransfer(token), server_(server), upload_(std::move(upload)), on_done_(std::move(on_done)) {}

void CheckpointPutCall::Start(v1::WorkerService::Stub* stub) {
  file_.reset(open(upload_.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat found {};
  if (!file_ || fstat(file_.get(), &found) != 0) {
    problem_ = absl::StrCat("cannot read ", upload_.path, ": ", std::strerror(errno));
    is_lost_ = errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
  } else if (!S_ISREG(found.st_mode)) {
    problem_ = absl::StrCat("cannot read ", upload_.path, ": it is no file");
    is_lost_ = true;
  }
  size_ = static_cast<int64_t>(found.st_size);
  *request_.mutable_header() = ToProto(upload_, size_);
  const bool hopeless = !problem_.empty();  // once it is begun, OnWriteDone may find another problem meanwhile
  stub->async()->PutCheckpoint(&context_, &response_, this);
  StartWrite(&request_);
  StartCall();
  if (hopeless) context_.TryCancel();
}

void CheckpointPutCall::OnWriteDone(bool ok) {
  if (!ok || !problem_.empty()) return;  // OnDone follows
  std::string* data = request_.mutable_data();
  data->resize(kPieceBytes);
  ssize_t count = 0;
  do {
    count = read(file_.get(), data->data(), data->size());
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    problem_ = absl::StrCat("reading ", upload_.path, ": ", std::strerror(errno));
    context_.TryCancel();
    return;
  }
  if (count == 0) {
    StartWritesDone();
    return;
  }
  data->resize(static_cast<size_t>(count));
  StartWrite(&request_);
}

agent::CheckpointFate CheckpointPutCall::FateOf(const grpc::Status& status) const {
  using agent::CheckpointFate;
  if (!problem_.empty()) return is_lost_ ? CheckpointFate::kLost : CheckpointFate::kFailed;
  if (status.ok()) {
    switch (response_.verdict()) {
      case v1::PutCheckpointResponse::VERDICT_STORED:
        return CheckpointFate::kStored;
      case v1::PutCheckpointResponse::VERDICT_TOO_EARLY:
        return CheckpointFate::kTooEarly;
      default:
        return CheckpointFate::kRefused;
    }
  }
  switch (status.error_code()) {
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::UNIMPLEMENTED:  // an older coordinator
      return CheckpointFate::kNoRoom;
    case grpc::StatusCode::FAILED_PRECONDITION:  // the lease is over: said before its bytes were sent
      return CheckpointFate::kRefused;
    case grpc::StatusCode::DATA_LOSS:
    case grpc::StatusCode::INVALID_ARGUMENT:
      return CheckpointFate::kLost;
    default:
      return CheckpointFate::kFailed;
  }
}

void CheckpointPutCall::OnDone(const grpc::Status& status) {
  agent::CheckpointPut put;
  put.lease = upload_.lease;
  put.step = upload_.step;
  put.fate = FateOf(status);
  put.bytes = size_;
  put.reason = problem_;
  if (put.reason.empty())
    put.reason = status.ok() ? response_.reason() : std::string(StatusOf(status, server_).message());
  // Deletes this; `status` belongs to gRPC.
  const OnDoneCallback on_done = std::move(on_done_);
  on_done(std::move(put));
}

// --- from the coordinator

CheckpointGetCall::CheckpointGetCall(const std::string& token, const std::string& server,
                                     agent::CheckpointDownload download, OnDoneCallback on_done)
    : CheckpointTransfer(token), server_(server), download_(std::move(download)), on_done_(std::move(on_done)) {}

void CheckpointGetCall::Start(v1::WorkerService::Stub* stub) {
  request_ = ToProto(download_);
  file_.reset(open(download_.path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file_) {
    problem_ = absl::UnavailableError(absl::StrCat("cannot write ", download_.path, ": ", std::strerror(errno)));
  }
  stub->async()->GetCheckpoint(&context_, &request_, this);
  StartRead(&chunk_);
  StartCall();
}

absl::Status CheckpointGetCall::Take() {
  if (!begun_) {
    begun_ = true;
    size_ = chunk_.size();
    sha256_ = chunk_.sha256();
  }
  const std::string& data = chunk_.data();
  sum_.Update(data);
  taken_ += static_cast<int64_t>(data.size());
  for (size_t written = 0; written < data.size();) {
    const ssize_t count = write(file_.get(), data.data() + written, data.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      return absl::UnavailableError(absl::StrCat("writing ", download_.path, ": ", std::strerror(errno)));
    }
    written += static_cast<size_t>(count);
  }
  return absl::OkStatus();
}

void CheckpointGetCall::OnReadDone(bool ok) {
  if (!ok) return;  // OnDone follows
  if (problem_.ok()) problem_ = Take();
  if (!problem_.ok()) context_.TryCancel();
  StartRead(&chunk_);
}

// The coordinator compares what it reads with the sum, and says DATA_LOSS itself of a file that is damaged: what
// differs here was damaged on the way, and no reason to have the file dropped.
absl::Status CheckpointGetCall::Check() const {
  const std::string sum = HexOf(sum_.Finish());
  if (begun_ && taken_ == size_ && sum == sha256_) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the checkpoint of step ", download_.step, " came with ", taken_,
                                             " bytes and SHA-256 ", sum, " instead of ", size_, " bytes and ", sha256_,
                                             "; it is asked for again"));
}

void CheckpointGetCall::OnDone(const grpc::Status& status) {
  agent::CheckpointGot got;
  got.lease = download_.lease;
  got.step = download_.step;
  got.path = download_.path;
  got.status = problem_;
  if (got.status.ok()) got.status = StatusOf(status, server_);
  if (got.status.ok()) got.status = Check();
  const OnDoneCallback on_done = std::move(on_done_);
  on_done(std::move(got));
}

}  // namespace seedbed::client
