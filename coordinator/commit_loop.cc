#include "coordinator/commit_loop.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/live_lease.h"

// The queue and the turns. commit_loop_decide.cc has what one command does, commit_loop_write.cc what becomes of a
// turn.
namespace seedbed {
namespace {

std::chrono::nanoseconds Nanoseconds(absl::Duration duration) {
  return absl::ToChronoNanoseconds(duration);
}

absl::Status Stopping() {
  return absl::UnavailableError("the coordinator is stopping; try again when it has been started again");
}

}  // namespace

CommitLoop::CommitLoop(CommitLoopOptions options, std::unique_ptr<Store> store, core::State state, Progress progress,
                       const Clock* clock, Reader* reader, RunLogs* logs)
    : options_(std::move(options)),
      store_(std::move(store)),
      clock_(clock),
      reader_(reader),
      logs_(logs),
      state_(std::move(state)),
      progress_(std::move(progress)),
      specifications_(reader),
      metric_names_(reader),
      next_tick_(std::chrono::steady_clock::now()),
      losses_due_(next_tick_ + Nanoseconds(options_.tell_losses_every)),
      probe_delay_(options_.first_retry),
      writer_(store_.get()) {}

CommitLoop::~CommitLoop() {
  Stop();
}

void CommitLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void CommitLoop::PrepareToStop() {
  if (!thread_.joinable()) return;
  std::unique_lock<std::mutex> lock(mutex_);
  preparing_to_stop_ = true;
  queued_.notify_all();
  queued_.wait(lock, [this] { return prepared_; });
}

void CommitLoop::Stop() {
  if (!thread_.joinable()) return;
  PrepareToStop();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  queued_.notify_all();
  thread_.join();
}

void CommitLoop::Execute(core::Command command, CommandDone done) {
  Push(CommandItem{std::move(command), std::move(done)});
}

void CommitLoop::Synchronize(core::Synchronize command, SynchronizeDone done) {
  Push(SynchronizeItem{std::move(command), std::move(done)});
}

void CommitLoop::ReleaseHeld(WorkerId worker, int64_t number) {
  Push(ReleaseItem{std::move(worker), number});
}

void CommitLoop::Report(core::Report report, std::optional<MetricRows> rows, int64_t bytes, ReportDone done) {
  if (waiting_bytes_.fetch_add(bytes) + bytes > options_.most_waiting_bytes) {
    waiting_bytes_.fetch_sub(bytes);
    done(absl::UnavailableError("too many reports wait to be written; send this one again later"));
    return;
  }
  Push(ReportItem{std::move(report), std::move(rows), bytes, std::move(done)});
}

void CommitLoop::AppendLog(WorkerId worker, core::LeaseKey lease, std::string text) {
  const int64_t bytes = static_cast<int64_t>(text.size());
  if (log_bytes_.fetch_add(bytes) + bytes > options_.most_log_bytes) {
    log_bytes_.fetch_sub(bytes);
    logs_->Lose(lease.run, lease.attempt, bytes);
    return;
  }
  Push(LogItem{std::move(worker), lease, std::move(text)});
}

void CommitLoop::Note(AuditNote note) {
  Push(std::move(note));
}

void CommitLoop::Inspect(std::function<void(absl::StatusOr<LiveView>)> look) {
  Push(InspectItem{std::move(look)});
}

void CommitLoop::HoldMetrics(bool hold) {
  metrics_held_ = hold;
}

std::string CommitLoop::degraded_reason() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return degraded_reason_;
}

void CommitLoop::Push(Item item) {
  bool late = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    late = stopping_;
    if (!late) queue_.push_back(std::move(item));
  }
  if (late) {
    // The thread may be gone, and every caller gets an answer.
    std::vector<Item> items;
    items.push_back(std::move(item));
    RefuseAll(std::move(items), Stopping());
    return;
  }
  queued_.notify_all();
}

CommitLoop::Wake CommitLoop::Await() {
  Wake wake;
  std::unique_lock<std::mutex> lock(mutex_);
  queued_.wait_until(lock, NextWake(), [this] {
    return written_.has_value() ||
           (!MustNotDecide() && (!queue_.empty() || stopping_ || (preparing_to_stop_ && !prepared_)));
  });
  wake.written = std::exchange(written_, std::nullopt);
  if (MustNotDecide() && !wake.written) return wake;
  wake.items.swap(queue_);
  wake.preparing = preparing_to_stop_ && !prepared_;
  wake.stopping = stopping_;
  return wake;
}

void CommitLoop::Run() {
  while (true) {
    Wake wake = Await();
    NoticeSuspension();
    std::optional<Turn> written;
    if (wake.written) written = EndWrite(*wake.written);
    if (refusing_) {
      RefuseAll(std::move(wake.items), Stopping());
    } else if (!state_) {
      KeepNotesOf(wake.items);
      RefuseAll(std::move(wake.items), Unavailable());
      if (std::chrono::steady_clock::now() >= next_probe_) TryToRecover();
    } else if (MustNotDecide()) {
      AnswerOverdue();
    } else {
      Gather(std::move(wake.items), wake.preparing);
      if (!writing_) Dispatch();
    }
    // While the next batch is written already.
    if (written) Answer(*std::move(written));
    if (wake.preparing) {
      Flush();
      refusing_ = true;
      for (HeldCalls::Call& call : held_.TakeAll()) call.done(Compose(std::move(call.answer)));
      RefuseAll(std::exchange(reports_, {}), Stopping());
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        prepared_ = true;
      }
      queued_.notify_all();
    }
    if (wake.stopping) return;
  }
}

void CommitLoop::Flush() {
  while (writing_) {
    absl::Status status;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      queued_.wait(lock, [this] { return written_.has_value(); });
      status = *std::exchange(written_, std::nullopt);
    }
    std::optional<Turn> written = EndWrite(status);
    if (!written) return;
    Gather({}, /*flush_reports=*/true);
    Dispatch();
    Answer(*std::move(written));
  }
}

CommitLoop::SteadyTime CommitLoop::NextWake() const {
  const SteadyTime now = std::chrono::steady_clock::now();
  if (refusing_) return now + std::chrono::hours(1);
  if (!state_) return next_probe_;
  // No tick while a batch is written; only held calls have to be looked after.
  if (MustNotDecide()) return now + Nanoseconds(options_.tick_every);
  const SteadyTime wake = writing_ ? now + Nanoseconds(options_.tick_every) : next_tick_;
  if (reports_.empty() || metrics_held_ || next_.report_bytes >= options_.metric_bytes) return wake;
  return std::min(wake, reports_due_);
}

// What comes is queued, and heard, whenever this thread can run, be there a turn or not.
void CommitLoop::NoticeSuspension() {
  const absl::Duration now = clock_->Now().monotonic;
  if (now - last_turn_ > options_.settings.suspension_gap) was_deaf_ = true;
  last_turn_ = now;
}

void CommitLoop::Gather(std::vector<Item> items, bool flush_reports) {
  Turn& turn = next_;
  turn.batch.now = clock_->Now();
  for (AuditNote& note : std::exchange(notes_, {})) turn.batch.notes.push_back(std::move(note));
  AnswerOverdue();
  std::vector<Item> immediate;
  for (Item& item : items) {
    if (auto* report = std::get_if<ReportItem>(&item)) {
      AddReport(std::move(*report));
    } else if (auto* log = std::get_if<LogItem>(&item)) {
      TakeLog(std::move(*log));
    } else if (auto* look = std::get_if<InspectItem>(&item)) {
      turn.looks.push_back(std::move(look->look));
    } else if (auto* note = std::get_if<AuditNote>(&item)) {
      turn.batch.notes.push_back(std::move(*note));
    } else {
      const auto* synchronize = std::get_if<SynchronizeItem>(&item);
      if (synchronize != nullptr && synchronize->command.goodbye) goodbye_ = true;
      immediate.push_back(std::move(item));
    }
  }
  for (ReportItem& report : TakeDueReports(flush_reports)) DoReport(std::move(report), &turn);
  for (Item& item : immediate) {
    if (auto* command = std::get_if<CommandItem>(&item)) {
      DoCommand(std::move(*command), &turn);
    } else if (auto* synchronize = std::get_if<SynchronizeItem>(&item)) {
      DoSynchronize(std::move(*synchronize), &turn);
    } else if (auto* release = std::get_if<ReleaseItem>(&item)) {
      std::optional<HeldCalls::Call> call = held_.Take(release->worker, release->number);
      if (call) AnswerLater(&turn, release->worker, std::move(call->done), std::move(call->answer));
    }
  }
  // After the queued Synchronizes: a lease that is being renewed does not expire. Not while a batch is written: whoever
  // waits for it cannot call.
  if (!writing_ && std::chrono::steady_clock::now() >= next_tick_) DoTick(&turn);
  WakeHeld(&turn);
  turn.work_may_exist = false;
  turn.concerned.clear();
  turn.ended_number = progress_.last_ended_number();
}

// The last words of an attempt that ended before a restart come after it.
const WorkerId* CommitLoop::HolderOfEnded(const core::LeaseKey& lease) {
  if (const WorkerId* known = ended_leases_.HolderOf(lease)) return known;
  const core::Run* run = state_->FindRun(lease.run);
  if (run == nullptr || run->attempts == 0 || !(core::LeaseOf(*run) == lease)) return nullptr;
  if (std::holds_alternative<core::Running>(run->state)) return nullptr;
  const absl::StatusOr<RunDetail> detail = reader_->GetRun(lease.run);
  if (!detail.ok()) return nullptr;
  for (const AttemptRow& attempt : detail->attempts) {
    if (attempt.attempt == lease.attempt) ended_leases_.Add(lease, WorkerId(attempt.worker_id));
  }
  return ended_leases_.HolderOf(lease);
}

void CommitLoop::TakeLog(LogItem item) {
  const int64_t bytes = static_cast<int64_t>(item.text.size());
  log_bytes_.fetch_sub(bytes);
  // A worker's token is no right to write into the logs of what others train.
  if (!core::MayPrint(*state_, item.worker, item.lease, HolderOfEnded(item.lease))) return;
  if (metrics_held_) {
    // What is left of the disk is the database's.
    logs_->Lose(item.lease.run, item.lease.attempt, bytes);
  } else {
    logs_->Append(item.lease.run, item.lease.attempt, std::move(item.text));
  }
}

void CommitLoop::AddReport(ReportItem item) {
  if (reports_.empty()) reports_due_ = std::chrono::steady_clock::now() + Nanoseconds(options_.metric_delay);
  if (item.report.end) ending_.insert(item.report.lease.run);
  report_bytes_ += item.bytes;
  reports_.push_back(std::move(item));
}

std::vector<CommitLoop::ReportItem> CommitLoop::TakeDueReports(bool all) {
  std::vector<ReportItem> due;
  if (metrics_held_ || reports_.empty()) return due;
  const bool goodbye = std::exchange(goodbye_, false);
  const bool everything = all || goodbye;
  const bool some =
      everything || report_bytes_ >= options_.metric_bytes || std::chrono::steady_clock::now() >= reports_due_;
  if (!some && ending_.empty()) return due;
  std::deque<ReportItem> rest;
  for (ReportItem& each : reports_) {
    const bool room = everything || next_.report_bytes < options_.metric_bytes;
    if ((some && room) || ending_.count(each.report.lease.run) > 0) {
      report_bytes_ -= each.bytes;
      next_.report_bytes += each.bytes;
      due.push_back(std::move(each));
    } else {
      rest.push_back(std::move(each));
    }
  }
  reports_.swap(rest);
  ending_.clear();
  return due;
}

void CommitLoop::RefuseAll(std::deque<ReportItem> reports, const absl::Status& why) {
  report_bytes_ = 0;
  ending_.clear();
  for (ReportItem& report : reports) {
    waiting_bytes_.fetch_sub(report.bytes);
    report.done(why);
  }
}

void CommitLoop::RefuseAll(std::vector<Item> items, const absl::Status& why) {
  for (Item& item : items) {
    if (auto* command = std::get_if<CommandItem>(&item)) {
      command->done(why);
    } else if (auto* synchronize = std::get_if<SynchronizeItem>(&item)) {
      synchronize->done(why);
    } else if (auto* report = std::get_if<ReportItem>(&item)) {
      waiting_bytes_.fetch_sub(report->bytes);
      report->done(why);
    } else if (auto* look = std::get_if<InspectItem>(&item)) {
      look->look(why);
    } else if (auto* log = std::get_if<LogItem>(&item)) {
      log_bytes_.fetch_sub(static_cast<int64_t>(log->text.size()));
      logs_->Lose(log->lease.run, log->lease.attempt, static_cast<int64_t>(log->text.size()));
    }
  }
}

absl::Status CommitLoop::Unavailable() const {
  return absl::UnavailableError(absl::StrCat("the results database could not be written (", degraded_reason(),
                                             "); nothing of this call was done, try again"));
}

}  // namespace seedbed
