#include "coordinator/rpc/untaken_answers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace seedbed {
namespace {

// Between two looks at all the clocks, which cost time in proportion to the calls.
constexpr std::chrono::milliseconds kShortestPause(50);

}  // namespace

std::string UntakenAnswers::KeyOf(const Caller& caller, Use use) {
  const char* const name = use == Use::kLeases ? "leases " : use == Use::kDownloads ? "downloads " : "";
  return absl::StrCat(name, caller.kind == Caller::Kind::kToken ? caller.token_sha256 : "");
}

absl::Status UntakenAnswers::Check(const Caller& caller, Use use) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = bytes_of_caller_.find(KeyOf(caller, use));
  if (found != bytes_of_caller_.end() && found->second >= most_bytes_of_caller_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("answers of ", found->second, " bytes to calls with this token wait to be taken, and at most ",
                     most_bytes_of_caller_, " may; take them or end those calls, and ask again"));
  }
  if (use == Use::kLeases || bytes_ < most_bytes_) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("answers of ", bytes_,
                                                   " bytes to all who asked wait to be taken, and at most ",
                                                   most_bytes_, " may; ask again in some seconds"));
}

UntakenAnswers::Id UntakenAnswers::Begin(const Caller& caller, Use use, std::function<void()> cancel) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Id id = next_id_++;
  Answer& answer = answers_[id];
  answer.caller = KeyOf(caller, use);
  answer.cancel = std::move(cancel);
  return id;
}

void UntakenAnswers::CountLocked(Answer* answer, int64_t bytes) {
  answer->bytes += bytes;
  bytes_ += bytes;
  const auto found = bytes_of_caller_.try_emplace(answer->caller, 0).first;
  found->second += bytes;
  if (found->second == 0) bytes_of_caller_.erase(found);
}

std::chrono::nanoseconds UntakenAnswers::TimeOf(int64_t bytes) const {
  return absl::ToChronoNanoseconds(absl::Seconds(static_cast<double>(bytes) / slow_link_));
}

UntakenAnswers::SteadyTime UntakenAnswers::DueOf(const Answer& answer) const {
  return std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(patience_) + TimeOf(answer.bytes);
}

void UntakenAnswers::Add(Id id, int64_t bytes) {
  SteadyTime due;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Answer& answer = answers_.at(id);
    CountLocked(&answer, bytes);
    // What is queued behind other bytes starts no clock anew: the client may be taking none of them.
    if (answer.due == SteadyTime::max()) {
      answer.due = DueOf(answer);
    } else {
      answer.due += TimeOf(bytes);
    }
    due = answer.due;
  }
  LookBy(due);
}

void UntakenAnswers::Take(Id id, int64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Answer& answer = answers_.at(id);
  CountLocked(&answer, -bytes);
  // Later than before: a look that comes too early looks again.
  answer.due = answer.bytes == 0 && !answer.finished ? SteadyTime::max() : DueOf(answer);
}

void UntakenAnswers::Finish(Id id) {
  SteadyTime due;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Answer& answer = answers_.at(id);
    answer.finished = true;
    answer.due = DueOf(answer);
    due = answer.due;
  }
  LookBy(due);
}

void UntakenAnswers::Done(Id id) {
  std::unique_lock<std::mutex> lock(mutex_);
  // The call lives until this returns.
  cancelled_.wait(lock, [&] { return !answers_.at(id).being_cancelled || canceller_ == std::this_thread::get_id(); });
  const auto found = answers_.find(id);
  CountLocked(&found->second, -found->second.bytes);
  answers_.erase(found);
}

void UntakenAnswers::LookBy(SteadyTime due) {
  const SteadyTime now = std::chrono::steady_clock::now();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (next_look_ <= due + kShortestPause) return;
    next_look_ = due;
  }
  // Run early only by a pool that stops; by then the server has ended its calls.
  timer_.PostAfter(absl::FromChrono(due - now), [this, due] {
    if (std::chrono::steady_clock::now() >= due) Look(due);
  });
}

void UntakenAnswers::Look(SteadyTime due) {
  const SteadyTime now = std::chrono::steady_clock::now();
  SteadyTime next = SteadyTime::max();
  std::vector<std::pair<Id, std::function<void()>>> late;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (next_look_ == due) next_look_ = SteadyTime::max();
    canceller_ = std::this_thread::get_id();
    for (auto& [id, answer] : answers_) {
      if (answer.due <= now && answer.cancel) {
        answer.being_cancelled = true;
        late.emplace_back(id, std::exchange(answer.cancel, nullptr));
      }
      if (answer.cancel) next = std::min(next, answer.due);
    }
  }
  // Without the lock: gRPC may begin another call from within a cancellation.
  for (const auto& [id, cancel] : late) {
    cancel();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = answers_.find(id); found != answers_.end()) found->second.being_cancelled = false;
    cancelled_.notify_all();
  }
  if (next != SteadyTime::max()) LookBy(std::max(next, now + kShortestPause));
}

}  // namespace seedbed
