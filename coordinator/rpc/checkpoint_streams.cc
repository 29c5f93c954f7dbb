#include "coordinator/rpc/checkpoint_streams.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/rpc/convert.h"

namespace seedbed {
namespace {

// A commit that failed may have been written all the same; its row would then name the file.
bool MayBeCommitted(const absl::Status& failure) {
  return absl::IsUnavailable(failure);
}

// Of a database that is damaged nothing follows for the checkpoint's file.
absl::StatusOr<CheckpointRow> FindRow(Coordinator* coordinator, RunId run, std::optional<int64_t> step) {
  absl::StatusOr<CheckpointRow> row = coordinator->FindCheckpoint(run, step);
  if (absl::IsDataLoss(row.status())) return absl::UnavailableError(row.status().message());
  return row;
}

// The run's newest checkpoint is stored, says the core; so says the disk.
absl::Status CheckNewestFile(Coordinator* coordinator, RunId run) {
  SEEDBED_ASSIGN_OR_RETURN(const CheckpointRow row, FindRow(coordinator, run, std::nullopt));
  return CheckpointReader::Open(row).status();
}

}  // namespace

PutCheckpointCall* PutCheckpointCall::Make(Coordinator* coordinator, TaskPool* pool, absl::Duration patience,
                                           Authenticator::Again allowed, v1::PutCheckpointResponse* response) {
  const std::shared_ptr<PutCheckpointCall> call(
      new PutCheckpointCall(coordinator, pool, patience, std::move(allowed), response));
  call->self_ = call;
  const absl::Status refusal = call->allowed_();
  if (refusal.ok()) {
    call->ReadNext();
    call->WatchAfter(patience);
  } else {
    call->Finish(ToGrpc(refusal));
  }
  return call.get();
}

void PutCheckpointCall::ReadNext() {
  // The read is begun under the lock: a machine that slept may let Watch end the call, and gRPC free it, before.
  const std::lock_guard<std::mutex> lock(mutex_);
  reading_ = true;
  reading_since_ = std::chrono::steady_clock::now();
  StartRead(&request_);
}

void PutCheckpointCall::WatchAfter(absl::Duration delay) {
  const SteadyTime due = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(delay);
  // Not kept alive for it. Early only where the pool stops, and then the server ends the call.
  pool_->PostAfter(delay, [call = weak_from_this(), due] {
    const std::shared_ptr<PutCheckpointCall> alive = call.lock();
    if (alive != nullptr && std::chrono::steady_clock::now() >= due) alive->Watch();
  });
}

void PutCheckpointCall::Watch() {
  absl::Duration silent;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (reading_) silent = absl::FromChrono(std::chrono::steady_clock::now() - reading_since_);
    given_up_ = silent >= patience_;
  }
  if (silent < patience_) return WatchAfter(patience_ - silent);
  // No task has it while a read is under way. From here on what it claimed is free.
  writer_.reset();
  Finish(ToGrpc(absl::DeadlineExceededError(
      absl::StrCat("nothing came of the checkpoint for ", absl::FormatDuration(patience_), "; send it again"))));
}

void PutCheckpointCall::OnReadDone(bool ok) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (given_up_) return;
    reading_ = false;
  }
  // The worker's end, or its death: then what came is not whole, which Complete finds out.
  pool_->Post([self = shared_from_this(), ok] { ok ? self->Take() : self->Complete(); });
}

void PutCheckpointCall::Take() {
  const absl::Status taken = TakeMessage();
  if (taken.ok()) {
    ReadNext();
  } else {
    writer_.reset();
    Finish(ToGrpc(taken));
  }
}

absl::Status PutCheckpointCall::TakeMessage() {
  SEEDBED_RETURN_IF_ERROR(allowed_());
  if (request_.has_header()) {
    if (writer_ != nullptr) return absl::InvalidArgumentError("a second header in one PutCheckpoint");
    return Begin(request_.header());
  }
  if (writer_ == nullptr) return absl::InvalidArgumentError("the first message of PutCheckpoint has to be its header");
  return writer_->Append(request_.data());
}

absl::Status PutCheckpointCall::Begin(const v1::CheckpointHeader& header) {
  SEEDBED_ASSIGN_OR_RETURN(command_, FromProto(header));
  SEEDBED_ASSIGN_OR_RETURN(writer_, coordinator_->BeginCheckpoint(command_.worker, command_.lease, header.step(),
                                                                  header.size(), header.sha256()));
  return absl::OkStatus();
}

void PutCheckpointCall::Complete() {
  absl::Status status;
  if (writer_ == nullptr) {
    status = absl::InvalidArgumentError("PutCheckpoint ended before its header");
  } else {
    status = writer_->Finish();
  }
  // The last piece may be long ago.
  if (status.ok()) status = allowed_();
  if (!status.ok()) {
    writer_.reset();
    return Finish(ToGrpc(status));
  }
  command_.checkpoint.path = writer_->path();
  coordinator_->Execute(command_, [this, self = shared_from_this()](absl::StatusOr<core::Answer> answer) {
    if (const auto* stored = answer.ok() ? std::get_if<core::CheckpointAnswer>(&*answer) : nullptr) {
      // At once: from the commit on the file is not ours to remove.
      if (stored->verdict == core::CheckpointVerdict::kStored) writer_->Keep();
    } else if (MayBeCommitted(answer.status())) {
      writer_->Keep();
    }
    pool_->Post([self, answer = std::move(answer)] { self->Answer(answer); });
  });
}

void PutCheckpointCall::Answer(const absl::StatusOr<core::Answer>& answer) {
  writer_.reset();
  if (!answer.ok()) return Finish(ToGrpc(answer.status()));
  const auto* checkpoint = std::get_if<core::CheckpointAnswer>(&*answer);
  if (checkpoint == nullptr) return Finish(ToGrpc(absl::InternalError("the core answered with something else")));
  response_->set_reason(checkpoint->reason);
  switch (checkpoint->verdict) {
    case core::CheckpointVerdict::kDuplicate:
      if (const absl::Status there = CheckNewestFile(coordinator_, command_.lease.run); !there.ok()) {
        return Finish(ToGrpc(there));
      }
      [[fallthrough]];
    case core::CheckpointVerdict::kStored:
      response_->set_verdict(v1::PutCheckpointResponse::VERDICT_STORED);
      break;
    case core::CheckpointVerdict::kRefused:
      response_->set_verdict(v1::PutCheckpointResponse::VERDICT_REFUSED);
      break;
    case core::CheckpointVerdict::kTooEarly:
      response_->set_verdict(v1::PutCheckpointResponse::VERDICT_TOO_EARLY);
      break;
  }
  Finish(grpc::Status::OK);
}

absl::Status OpenCheckpoint(Coordinator* coordinator, RunId run, std::optional<int64_t> step,
                            std::unique_ptr<CheckpointReader>* reader, v1::CheckpointChunk* chunk) {
  SEEDBED_ASSIGN_OR_RETURN(const CheckpointRow row, FindRow(coordinator, run, step));
  SEEDBED_ASSIGN_OR_RETURN(*reader, CheckpointReader::Open(row));
  chunk->set_size(row.bytes);
  chunk->set_sha256(row.sha256);
  return absl::OkStatus();
}

absl::Status NextPiece(CheckpointReader* reader, const Authenticator::Again& allowed, v1::CheckpointChunk* chunk,
                       bool* end) {
  SEEDBED_RETURN_IF_ERROR(allowed());
  SEEDBED_ASSIGN_OR_RETURN(std::string piece, reader->Next(kCheckpointPieceBytes));
  // An empty file has a first message too.
  *end = piece.empty() && chunk->sha256().empty();
  chunk->set_data(std::move(piece));
  return absl::OkStatus();
}

void SendCheckpoint(Coordinator* coordinator, RunId run, std::optional<int64_t> step, absl::Duration patience,
                    const Authenticator::Again& allowed, ResponseStream<v1::CheckpointChunk>* stream) {
  std::unique_ptr<CheckpointReader> reader;
  v1::CheckpointChunk chunk;
  absl::Status status = OpenCheckpoint(coordinator, run, step, &reader, &chunk);
  bool end = false;
  while (status.ok()) {
    status = NextPiece(reader.get(), allowed, &chunk, &end);
    if (!status.ok() || end) break;
    if (!stream->Push(std::exchange(chunk, {}), patience)) {
      status = absl::DeadlineExceededError("the checkpoint was not taken in time; ask for it again");
    }
  }
  stream->End(status);
}

}  // namespace seedbed
