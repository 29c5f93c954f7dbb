#include "coordinator/rpc/checkpoint_download.h"

#include <algorithm>
#include <iterator>

#include "common/base/status_macros.h"
#include "coordinator/rpc/checkpoint_streams.h"

namespace seedbed {

bool DownloadTurns::TakeLocked(const WorkerId& worker) {
  if (under_way_ >= most_) return false;
  const auto found = of_worker_.find(worker);
  if (found != of_worker_.end() && found->second >= most_of_worker_) return false;
  ++under_way_;
  ++of_worker_[worker];
  return true;
}

void DownloadTurns::Ask(const WorkerId& worker, std::function<void()> start, std::function<bool()> gone) {
  std::deque<Waiting> left;  // destroyed without the lock
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!TakeLocked(worker)) {
      const auto end =
          std::stable_partition(waiting_.begin(), waiting_.end(), [](const Waiting& each) { return !each.gone(); });
      std::move(end, waiting_.end(), std::back_inserter(left));
      waiting_.erase(end, waiting_.end());
      waiting_.push_back({worker, std::move(start), std::move(gone)});
      return;
    }
  }
  start();
}

void DownloadTurns::Done(const WorkerId& worker) {
  std::function<void()> start;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    --under_way_;
    if (--of_worker_.at(worker) == 0) of_worker_.erase(worker);
    const auto next = std::find_if(waiting_.begin(), waiting_.end(),
                                   [this](const Waiting& each) { return !each.gone() && TakeLocked(each.worker); });
    if (next == waiting_.end()) return;
    start = std::move(next->start);
    waiting_.erase(next);
  }
  start();
}

void CheckpointDownload::Start(Coordinator* coordinator, DownloadTurns* turns, TaskPool* pool, Request request,
                               Authenticator::Again allowed, std::shared_ptr<Stream> stream) {
  pool->Post([=] {
    // A worker's token is no right to read what others train, nor to a turn.
    if (const absl::Status problem = coordinator->CheckLease(request.worker, request.lease); !problem.ok()) {
      return stream->End(problem);
    }
    const auto start = [=] {
      const std::shared_ptr<CheckpointDownload> download(
          new CheckpointDownload(coordinator, turns, pool, request, allowed, stream));
      // Its turn lasts until gRPC is done with the call: what waits to be taken after the last piece takes room too.
      stream->KeepUntilDone(download);
      pool->Post([download] { download->Begin(); });
    };
    turns->Ask(request.worker, start, [stream] { return stream->over(); });
  });
}

void CheckpointDownload::Begin() {
  if (stream_->over()) return;
  // It may have waited for its turn for long.
  absl::Status problem = coordinator_->CheckLease(request_.worker, request_.lease);
  if (problem.ok()) problem = OpenCheckpoint(coordinator_, request_.lease.run, request_.step, &reader_, &chunk_);
  if (!problem.ok()) return stream_->End(problem);
  SendNext();
}

void CheckpointDownload::SendNext() {
  if (stream_->over()) return;
  bool last = false;
  const absl::Status status = NextPiece(reader_.get(), allowed_, &chunk_, &last);
  if (!status.ok() || last) return stream_->End(status);
  // There is room, and it is asked again by nobody else.
  stream_->Push(std::exchange(chunk_, {}), absl::ZeroDuration());
  stream_->OnRoom([self = shared_from_this()] { self->pool_->Post([self] { self->SendNext(); }); });
}

}  // namespace seedbed
