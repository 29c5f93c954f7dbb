#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/commit_loop.h"

// What was gathered is written and answered; and what is done when it cannot be written.
namespace seedbed {
namespace {

constexpr size_t kMostKeptNotes = 1000;

}  // namespace

void CommitLoop::Dispatch() {
  if (!next_.HasDurable()) {
    Turn turn = std::exchange(next_, Turn());
    committed_ended_number_ = turn.ended_number;
    Look(&turn);
    Answer(std::move(turn));
    Reclaim();
    return;
  }
  // Rows lie in the file by run: neighbours are written together.
  std::stable_sort(next_.batch.metrics.begin(), next_.batch.metrics.end(),
                   [](const MetricRows& a, const MetricRows& b) {
                     if (a.run != b.run) return a.run < b.run;
                     return !a.steps.empty() && !b.steps.empty() && a.steps.front() < b.steps.front();
                   });
  writing_ = std::exchange(next_, Turn());
  writing_->notes = writing_->batch.notes;
  writer_.Write(std::move(writing_->batch), [this](absl::Status status) {
    const std::lock_guard<std::mutex> lock(mutex_);
    written_ = std::move(status);
    queued_.notify_all();
  });
}

std::optional<CommitLoop::Turn> CommitLoop::EndWrite(const absl::Status& status) {
  Turn turn = *std::exchange(writing_, std::nullopt);
  answered_now_.insert(answered_now_.end(), turn.answered.begin(), turn.answered.end());
  if (!status.ok()) {
    EnterDegraded(status, std::move(turn));
    return std::nullopt;
  }
  ++commits_;
  committed_ended_number_ = turn.ended_number;
  Look(&turn);
  return turn;
}

void CommitLoop::Look(Turn* turn) {
  for (const auto& look : turn->looks) look(LiveView{*state_, progress_, clock_->Now().monotonic});
  if (options_.after_batch && next_.batch.events.empty()) options_.after_batch(*state_, *store_);
}

void CommitLoop::Answer(Turn turn) {
  for (const Answering& answer : turn.answers) answer(absl::OkStatus());
  for (const auto& [run, attempts] : turn.deleted_logs) logs_->Delete(run, attempts);
  if (!turn.dropped_files.empty() && options_.remove_files) options_.remove_files(std::move(turn.dropped_files));
  reclaim_ = reclaim_ || !turn.deleted_logs.empty();
}

void CommitLoop::Reclaim() {
  if (!reclaim_) return;
  // In small steps between batches, so that nobody waits for it.
  const absl::StatusOr<int64_t> left = store_->ReclaimSpace();
  reclaim_ = left.ok() && *left > 0;
}

void CommitLoop::EnterDegraded(const absl::Status& failure, Turn failed) {
  state_.reset();
  progress_.ForgetLive();
  progress_.ForgetEndedAfter(committed_ended_number_);
  degraded_ = true;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    degraded_reason_ = std::string(failure.message());
  }
  // What failed may be what comes again at once, such as a worker's report.
  const SteadyTime now = std::chrono::steady_clock::now();
  const bool again = recovered_at_ && now - *recovered_at_ < absl::ToChronoNanoseconds(options_.last_retry);
  probe_delay_ = again ? std::min(probe_delay_ * 2, options_.last_retry) : options_.first_retry;
  next_probe_ = now + absl::ToChronoNanoseconds(probe_delay_);
  options_.log(LogLevel::kError,
               absl::StrCat("a commit failed, only reading goes on until one succeeds: ", failure.ToString()));
  KeepNotes(std::move(failed.notes));
  KeepNotes(std::move(next_.batch.notes));
  // What was decided meanwhile was decided upon what is not there.
  for (const Turn& turn : {std::cref(failed), std::cref(next_)}) {
    for (const Answering& answer : turn.answers) answer(Unavailable());
    for (const auto& look : turn.looks) look(Unavailable());
  }
  next_ = Turn();
  RefuseAll(std::exchange(reports_, {}), Unavailable());
  for (HeldCalls::Call& call : held_.TakeAll()) call.done(Unavailable());
}

void CommitLoop::KeepNotes(std::vector<AuditNote> notes) {
  for (AuditNote& note : notes) {
    if (notes_.size() < kMostKeptNotes) notes_.push_back(std::move(note));
  }
}

void CommitLoop::KeepNotesOf(const std::vector<Item>& items) {
  for (const Item& item : items) {
    if (const auto* note = std::get_if<AuditNote>(&item)) KeepNotes({*note});
  }
}

void CommitLoop::SayItCannotBeLoaded(const absl::Status& problem) {
  std::string reason = absl::StrCat("commits would work again, but the database cannot be loaded: ", problem.message());
  const std::lock_guard<std::mutex> lock(mutex_);
  if (reason == degraded_reason_) return;  // it is tried every few seconds
  options_.log(LogLevel::kError, reason);
  degraded_reason_ = std::move(reason);
}

void CommitLoop::TryToRecover() {
  absl::Status status = store_->ProbeWrite();
  if (status.ok()) {
    absl::StatusOr<core::State> state = store_->Load(options_.settings, clock_->Now().monotonic);
    status = state.status();
    if (status.ok()) {
      state_.emplace(*std::move(state));
    } else {
      SayItCannotBeLoaded(status);
    }
  }
  if (!status.ok()) {
    probe_delay_ = std::min(probe_delay_ * 2, options_.last_retry);
    next_probe_ = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(probe_delay_);
    return;
  }
  notes_.push_back(AuditNote{"commits_resumed", absl::StrCat("after: ", degraded_reason()), {}, {}, {}});
  degraded_ = false;
  recovered_at_ = std::chrono::steady_clock::now();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    degraded_reason_.clear();
  }
  next_tick_ = std::chrono::steady_clock::now();
  options_.log(LogLevel::kWarning, "commits work again; every lease has a fresh grace period");
  if (options_.on_recovered) options_.on_recovered();
}

}  // namespace seedbed
