#pragma once

#include <google/protobuf/message_lite.h>
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
#include "coordinator/rpc/untaken_answers.h"

// The plumbing that all handlers share.
namespace seedbed {

// A unary call whose answer does not wait for its client for ever. Deletes itself.
class UnaryCall : public grpc::ServerUnaryReactor {
 public:
  // `untaken` outlives the call.
  UnaryCall(UntakenAnswers* untaken, UntakenAnswers::Use use, grpc::CallbackServerContext* context)
      : untaken_(untaken), answer_(untaken->Begin(CallerOf(*context), use, [context] { context->TryCancel(); })) {}
  // The response is that of the handler, and is sent only if `status` is OK.
  void Answer(const absl::Status& status, const google::protobuf::MessageLite& response) {
    if (status.ok()) untaken_->Add(answer_, static_cast<int64_t>(response.ByteSizeLong()));
    untaken_->Finish(answer_);
    Finish(ToGrpc(status));
  }
  void OnDone() override {
    untaken_->Done(answer_);
    delete this;
  }

 protected:
  ~UnaryCall() override = default;

 private:
  UntakenAnswers* const untaken_;
  const UntakenAnswers::Id answer_;
};

// Answers a unary call of `method` (access_rules.h) from a thread of `pool`: `work` fills the response and may block.
template <typename Request, typename Response>
grpc::ServerUnaryReactor* AnswerFrom(TaskPool* pool, UntakenAnswers* untaken, const Authenticator& authenticator,
                                     const std::string& method, grpc::CallbackServerContext* context,
                                     const Request* request, Response* response,
                                     std::function<absl::Status(const Request&, Response*)> work) {
  auto* call = new UnaryCall(untaken, UntakenAnswers::Use::kReading, context);
  const absl::Status allowed = authenticator.Check(CallerOf(*context), method);
  if (!allowed.ok()) {
    call->Answer(allowed, *response);
    return call;
  }
  // Request and response live until the reactor is done.
  pool->Post([call, request, response, work = std::move(work)] { call->Answer(work(*request, response), *response); });
  return call;
}

// A stream of answers that other threads feed. Thread-safe; keeps itself alive until gRPC is done with it. A client
// that takes nothing of what waits for it has its call cancelled after a while, also when the stream has ended.
template <typename Response>
class ResponseStream final : public grpc::ServerWriteReactor<Response> {
 public:
  // `untaken` outlives the stream.
  static std::shared_ptr<ResponseStream> Make(UntakenAnswers* untaken, grpc::CallbackServerContext* context,
                                              UntakenAnswers::Use use = UntakenAnswers::Use::kReading) {
    const std::shared_ptr<ResponseStream> stream(new ResponseStream(untaken, context, use));
    stream->self_ = stream;
    return stream;
  }

  // RESOURCE_EXHAUSTED while so much waits for this caller, or for all, that this stream is not to add to it.
  absl::Status Room() const { return untaken_->Check(caller_, UntakenAnswers::Use::kReading); }

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
      untaken_->Add(answer_, bytes);
      queue_.push_back(Queued{std::move(response), bytes});
      if (writing_) return true;
      writing_ = true;
      next = &queue_.front().response;
    }
    this->StartWrite(next);
    return true;
  }

  // Calls `then`, which must not block, when a Push would not either: for want of room, or since the stream is over. At
  // once if so already; no other may be waited for.
  void OnRoom(std::function<void()> then) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!over_ && queued_bytes_ >= kMostQueuedBytes) {
        on_room_ = std::move(then);
        return;
      }
    }
    then();
  }

  // Lets go of it once gRPC is done with the call.
  void KeepUntilDone(std::shared_ptr<void> kept) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!done_) kept_ = std::move(kept);
  }

  // Ends the stream after what is queued; later calls do nothing.
  void End(const absl::Status& status) {
    std::function<void()> on_room;
    bool finish = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (over_) return;
      over_ = true;
      status_ = status;
      taken_.notify_all();
      on_room.swap(on_room_);
      finish = !writing_;
      finished_ = finish;
      if (finish) untaken_->Finish(answer_);
    }
    if (on_room) on_room();
    if (finish) this->Finish(ToGrpc(status));
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
    std::function<void()> on_room;
    bool finish = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      int64_t taken = queue_.front().bytes;
      queue_.pop_front();
      if (!ok) {
        taken = queued_bytes_;
        queue_.clear();
        over_ = true;
        if (status_.ok()) status_ = absl::CancelledError("the client is gone");
      }
      queued_bytes_ -= taken;
      untaken_->Take(answer_, taken);
      if (!queue_.empty()) next = &queue_.front().response;
      writing_ = next != nullptr;
      finish = !writing_ && over_ && !finished_;
      finished_ = finished_ || finish;
      if (finish) untaken_->Finish(answer_);
      if (over_ || queued_bytes_ < kMostQueuedBytes) on_room.swap(on_room_);
    }
    taken_.notify_all();
    if (on_room) on_room();
    if (next != nullptr) this->StartWrite(next);
    if (finish) this->Finish(ToGrpc(status_));
  }
  void OnCancel() override { End(absl::CancelledError("the call was cancelled")); }
  void OnDone() override {
    untaken_->Done(answer_);
    std::shared_ptr<void> kept;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      done_ = true;
      kept.swap(kept_);
    }
    self_.reset();
  }

 private:
  static constexpr int64_t kMostQueuedBytes = 4 << 20;
  struct Queued {
    Response response;
    int64_t bytes = 0;
  };
  ResponseStream(UntakenAnswers* untaken, grpc::CallbackServerContext* context, UntakenAnswers::Use use)
      : untaken_(untaken),
        caller_(CallerOf(*context)),
        answer_(untaken->Begin(caller_, use, [context] { context->TryCancel(); })) {}

  UntakenAnswers* const untaken_;
  const Caller caller_;
  const UntakenAnswers::Id answer_;
  mutable std::mutex mutex_;
  std::condition_variable taken_;
  std::deque<Queued> queue_;  // the front is being written while writing_
  int64_t queued_bytes_ = 0;
  bool writing_ = false;
  bool over_ = false;      // nothing more is taken
  bool finished_ = false;  // Finish was called
  bool done_ = false;      // gRPC's own last word
  absl::Status status_;
  std::function<void()> on_room_;
  std::shared_ptr<void> kept_;
  std::shared_ptr<ResponseStream> self_;
};

}  // namespace seedbed
