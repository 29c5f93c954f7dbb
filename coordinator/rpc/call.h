#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/access/authentication.h"
#include "coordinator/rpc/caller.h"
#include "coordinator/rpc/convert.h"
#include "coordinator/rpc/task_pool.h"

// The plumbing that all handlers share.
namespace seedbed {

// Answers a unary call of `method` (access_rules.h) from a thread of `pool`: `work` fills the response and may block.
template <typename Request, typename Response>
grpc::ServerUnaryReactor* AnswerFrom(TaskPool* pool, const Authenticator& authenticator, const std::string& method,
                                     grpc::CallbackServerContext* context, const Request* request, Response* response,
                                     std::function<absl::Status(const Request&, Response*)> work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::Status allowed = authenticator.Check(CallerOf(*context), method);
  if (!allowed.ok()) {
    reactor->Finish(ToGrpc(allowed));
    return reactor;
  }
  // Request and response live until the reactor is done.
  pool->Post(
      [reactor, request, response, work = std::move(work)] { reactor->Finish(ToGrpc(work(*request, response))); });
  return reactor;
}

// A stream of answers that other threads feed. Thread-safe; keeps itself alive until gRPC is done with it.
template <typename Response>
class ResponseStream final : public grpc::ServerWriteReactor<Response> {
 public:
  static std::shared_ptr<ResponseStream> Make() {
    const std::shared_ptr<ResponseStream> stream(new ResponseStream());
    stream->self_ = stream;
    return stream;
  }

  // Queues a message. With kMostQueuedBytes waiting already, blocks until the client has taken some, but not beyond
  // `patience`. False if the client is gone or too slow: then nothing more can be sent.
  bool Push(Response response, absl::Duration patience) {
    const int64_t bytes = static_cast<int64_t>(response.ByteSizeLong());
    const Response* next = nullptr;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      const bool room = taken_.wait_for(lock, absl::ToChronoNanoseconds(patience),
                                        [this] { return over_ || queued_bytes_ < kMostQueuedBytes; });
      if (!room || over_) return false;
      queued_bytes_ += bytes;
      queue_.push_back(Queued{std::move(response), bytes});
      if (writing_) return true;
      writing_ = true;
      next = &queue_.front().response;
    }
    this->StartWrite(next);
    return true;
  }

  // Ends the stream after what is queued; later calls do nothing.
  void End(const absl::Status& status) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (over_) return;
      over_ = true;
      status_ = status;
      taken_.notify_all();
      if (writing_) return;
      finished_ = true;
    }
    this->Finish(ToGrpc(status));
  }

  bool over() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return over_;
  }
  // Push would not block.
  bool has_room() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return queued_bytes_ < kMostQueuedBytes;
  }
  // Nothing waits to be taken by the client.
  bool idle() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return !writing_;
  }

  void OnWriteDone(bool ok) override {
    const Response* next = nullptr;
    bool finish = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      queued_bytes_ -= queue_.front().bytes;
      queue_.pop_front();
      if (!ok) {
        queue_.clear();
        over_ = true;
        if (status_.ok()) status_ = absl::CancelledError("the client is gone");
      }
      if (!queue_.empty()) next = &queue_.front().response;
      writing_ = next != nullptr;
      finish = !writing_ && over_ && !finished_;
      finished_ = finished_ || finish;
    }
    taken_.notify_all();
    if (next != nullptr) this->StartWrite(next);
    if (finish) this->Finish(ToGrpc(status_));
  }
  void OnCancel() override { End(absl::CancelledError("the call was cancelled")); }
  void OnDone() override { self_.reset(); }

 private:
  static constexpr int64_t kMostQueuedBytes = 4 << 20;
  struct Queued {
    Response response;
    int64_t bytes = 0;
  };
  ResponseStream() = default;

  mutable std::mutex mutex_;
  std::condition_variable taken_;
  std::deque<Queued> queue_;  // the front is being written while writing_
  int64_t queued_bytes_ = 0;
  bool writing_ = false;
  bool over_ = false;      // nothing more is taken
  bool finished_ = false;  // Finish was called
  absl::Status status_;
  std::shared_ptr<ResponseStream> self_;
};

}  // namespace seedbed
