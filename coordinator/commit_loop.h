#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "coordinator/batch_writer.h"
#include "coordinator/core/command.h"
#include "coordinator/core/scheduler.h"
#include "coordinator/core/state.h"
#include "coordinator/ended_leases.h"
#include "coordinator/held_calls.h"
#include "coordinator/lease_specifications.h"
#include "coordinator/metric_names.h"
#include "coordinator/progress.h"
#include "coordinator/run_logs.h"
#include "coordinator/storage/reader.h"
#include "coordinator/storage/store.h"

namespace seedbed {

using CommandDone = std::function<void(absl::StatusOr<core::Answer>)>;
using ReportDone = std::function<void(absl::StatusOr<core::ReportAnswer>)>;

// The committed state and what else is known, as one command would see it.
struct LiveView {
  const core::State& state;
  Progress& progress;
  absl::Duration now;  // monotonic
};

enum class LogLevel { kInfo, kWarning, kError };
using LogLine = std::function<void(LogLevel, const std::string&)>;

struct CommitLoopOptions {
  core::Settings settings;
  absl::Duration tick_every = absl::Milliseconds(250);
  absl::Duration metric_delay = absl::Milliseconds(250);  // how long a report may wait for others
  int64_t metric_bytes = 8 << 20;                         // or until so many bytes wait; a batch takes no more of them
  int64_t most_waiting_bytes = 256 << 20;                 // of reports; beyond it they are refused until there is room
  int64_t most_log_bytes = 8 << 20;                       // of log text in the queue; beyond it text is dropped
  // What a log has lost is told before its next text, at its attempt's end, and so often, for those that get no more.
  absl::Duration tell_losses_every = absl::Seconds(5);
  // After a failed commit, doubled up to last_retry, also if the next one fails within last_retry.
  absl::Duration first_retry = absl::Milliseconds(100);
  absl::Duration last_retry = absl::Seconds(5);
  LogLine log;  // never null
  // Removes checkpoints' files, by their paths below the data directory, after the commit that drops them; quick. None:
  // they stay.
  std::function<void(std::vector<std::string>)> remove_files;
  // Called when commits work again after one has failed; quick. None: nobody wants to know.
  std::function<void()> on_recovered;
  // For tests: called by the loop's thread after every batch, committed or volatile, with what memory and database say,
  // unless more has been decided since.
  std::function<void(const core::State&, Store&)> after_batch;
};

// Decide, persist, answer: one thread takes commands off a queue, decides each against the state in memory, has the
// events of all of them committed at once and only then answers. While one batch is written, by a thread of its own,
// the next is decided, upon a state that has the events of the first. What needs no commit, because it changed nothing
// and tells nothing, is answered at once. Everything public is thread-safe but for the constructor, and never blocks
// (but Stop). Callbacks run on the loop's thread: they must be quick and may call the loop again.
//
// Every callback is called exactly once. When a commit fails, its callers and all later ones get UNAVAILABLE, those of
// the batch that was decided upon it included; after a probe write succeeds the state is loaded anew and the loop goes
// on. Meanwhile no lease expires.
class CommitLoop {
 public:
  // `store` has just been opened and `state` loaded from it; `clock`, `reader` and `logs` outlive the loop.
  CommitLoop(CommitLoopOptions options, std::unique_ptr<Store> store, core::State state, Progress progress,
             const Clock* clock, Reader* reader, RunLogs* logs);
  ~CommitLoop();
  CommitLoop(const CommitLoop&) = delete;
  CommitLoop& operator=(const CommitLoop&) = delete;

  void Start();
  // Commits the reports that wait, answers held calls, then refuses (UNAVAILABLE) whatever comes. Callers of this get
  // their answers while the thread still runs.
  void PrepareToStop();
  void Stop();

  // Any command but Synchronize and Report.
  void Execute(core::Command command, CommandDone done);
  // May be held until there is work; ReleaseHeld answers it early (the caller has gone).
  void Synchronize(core::Synchronize command, SynchronizeDone done);
  void ReleaseHeld(WorkerId worker, int64_t number);
  // `rows` are those of the report, checked (CheckMetricName, shapes); `bytes` is their size in memory, about.
  void Report(core::Report report, std::optional<MetricRows> rows, int64_t bytes, ReportDone done);
  // What a run prints; dropped unless core::MayPrint, and while metrics are held, which the log then says.
  void AppendLog(WorkerId worker, core::LeaseKey lease, std::string text);
  void Note(AuditNote note);
  // Calls `look` between two batches, when all that was decided is durable, or with UNAVAILABLE while there is no state
  // to look at.
  void Inspect(std::function<void(absl::StatusOr<LiveView>)> look);

  // While held, reports wait (their streams then push back); control goes on.
  void HoldMetrics(bool hold);
  bool metrics_held() const { return metrics_held_; }
  bool degraded() const { return degraded_; }
  std::string degraded_reason() const;
  int64_t commits() const { return commits_; }  // that succeeded

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  struct CommandItem {
    core::Command command;
    CommandDone done;
  };
  struct SynchronizeItem {
    core::Synchronize command;
    SynchronizeDone done;
  };
  struct ReportItem {
    core::Report report;
    std::optional<MetricRows> rows;
    int64_t bytes = 0;
    ReportDone done;
  };
  struct ReleaseItem {
    WorkerId worker;
    int64_t number = 0;
  };
  struct LogItem {
    WorkerId worker;
    core::LeaseKey lease;
    std::string text;
  };
  struct InspectItem {
    std::function<void(absl::StatusOr<LiveView>)> look;
  };
  using Item = std::variant<CommandItem, SynchronizeItem, ReportItem, ReleaseItem, LogItem, AuditNote, InspectItem>;
  // Told how the commit went, once it is known.
  using Answering = std::function<void(const absl::Status&)>;

  // What is committed at once: gathered by one turn of the loop or more, while the one before is written.
  struct Turn {
    Batch batch;
    std::vector<AuditNote> notes;  // of batch, once the writer has that
    std::vector<Answering> answers;
    std::vector<std::function<void(absl::StatusOr<LiveView>)>> looks;
    bool work_may_exist = false;                      // a run was queued, or a place came free
    bool registered = false;                          // the command decided last registered a worker
    bool durable = false;                             // the command decided last has to be committed
    std::vector<WorkerId> concerned;                  // workers to which something happened
    std::vector<std::pair<RunId, int>> deleted_logs;  // run and its number of attempts
    std::vector<std::string> dropped_files;           // of checkpoints
    std::vector<WorkerId> answered;                   // their calls are answered with the turn
    int64_t report_bytes = 0;
    int64_t ended_number = 0;  // of progress_.ended(), as of the end of the turn
    bool HasDurable() const { return !batch.metrics.empty() || !batch.events.empty() || !batch.notes.empty(); }
  };

  // Why the thread goes on.
  struct Wake {
    std::vector<Item> items;
    std::optional<absl::Status> written;  // how the write that was under way ended
    bool preparing = false;
    bool stopping = false;
  };

  void Push(Item item);
  void Run();
  Wake Await();
  SteadyTime NextWake() const;
  void NoticeSuspension();
  // Somebody will look at the state that is being written: nothing may be decided upon it before.
  bool MustNotDecide() const { return writing_.has_value() && !writing_->looks.empty(); }
  // All that waits is decided and written.
  void Flush();
  void Gather(std::vector<Item> items, bool flush_reports);
  void AddReport(ReportItem item);
  void TakeLog(LogItem item);
  const WorkerId* HolderOfEnded(const core::LeaseKey& lease);
  std::vector<ReportItem> TakeDueReports(bool all);

  absl::StatusOr<core::Answer> DecideAndApply(const core::Command& command, Turn* turn);
  void Observe(const core::Event& event, Turn* turn);
  void ObserveCheckpoints(const core::Event& event, Turn* turn) const;
  void DoReport(ReportItem item, Turn* turn);
  void DoCommand(CommandItem item, Turn* turn);
  void DoSynchronize(SynchronizeItem item, Turn* turn);
  void DoTick(Turn* turn);
  void TellLosses();
  void WakeHeld(Turn* turn);
  void AnswerLater(Turn* turn, const WorkerId& worker, SynchronizeDone done, core::SynchronizeAnswer answer);
  void AnswerOverdue();
  // Has what was gathered written, or completes it where there is nothing to write. Nothing is under way.
  void Dispatch();
  // The write under way has ended. nullopt if it failed.
  std::optional<Turn> EndWrite(const absl::Status& status);
  void Look(Turn* turn);
  void Answer(Turn turn);
  void Reclaim();
  SynchronizeReply Compose(core::SynchronizeAnswer answer);
  void Withdraw(const core::Run& run, const core::LeaseToStart& lease, const absl::Status& why);

  void EnterDegraded(const absl::Status& failure, Turn failed);
  // For the first batch after commits work again.
  void KeepNotes(std::vector<AuditNote> notes);
  void KeepNotesOf(const std::vector<Item>& items);
  void TryToRecover();
  void SayItCannotBeLoaded(const absl::Status& problem);
  // Answers everybody in them with `why`.
  void RefuseAll(std::vector<Item> items, const absl::Status& why);
  void RefuseAll(std::deque<ReportItem> reports, const absl::Status& why);
  absl::Status Unavailable() const;

  const CommitLoopOptions options_;
  const std::unique_ptr<Store> store_;
  const Clock* const clock_;
  Reader* const reader_;
  RunLogs* const logs_;

  mutable std::mutex mutex_;
  std::condition_variable queued_;
  std::vector<Item> queue_;              // guarded by mutex_
  std::optional<absl::Status> written_;  // guarded by mutex_: of writing_
  bool preparing_to_stop_ = false;       // guarded by mutex_
  bool prepared_ = false;                // guarded by mutex_
  bool stopping_ = false;                // guarded by mutex_
  std::string degraded_reason_;          // guarded by mutex_
  std::atomic<bool> degraded_{false};
  std::atomic<bool> metrics_held_{false};
  std::atomic<int64_t> waiting_bytes_{0};  // of reports
  std::atomic<int64_t> log_bytes_{0};      // of log text in the queue
  std::atomic<int64_t> commits_{0};

  // The loop thread's own.
  Turn next_;                         // is being gathered
  std::optional<Turn> writing_;       // its batch is with writer_
  std::optional<core::State> state_;  // none while it cannot be trusted
  Progress progress_;
  LeaseSpecifications specifications_;
  EndedLeases ended_leases_;
  MetricNames metric_names_;
  HeldCalls held_;
  std::deque<ReportItem> reports_;  // not yet decided, in order of arrival
  int64_t report_bytes_ = 0;
  SteadyTime reports_due_;  // when the oldest has waited long enough
  std::set<RunId> ending_;  // runs whose waiting reports hold an end
  bool goodbye_ = false;    // a worker is leaving: its reports go first
  SteadyTime next_tick_;
  SteadyTime losses_due_;                                // when logs are told what they have lost
  absl::Duration last_turn_ = absl::InfiniteDuration();  // monotonic: when what had come was looked at last
  bool was_deaf_ = false;                                // since the last tick: for longer than the suspension gap
  std::vector<WorkerId> answered_now_;                   // since the last tick, after a write
  SteadyTime next_probe_;
  absl::Duration probe_delay_;
  std::optional<SteadyTime> recovered_at_;
  bool reclaim_ = false;                // pages were freed
  bool refusing_ = false;               // after PrepareToStop
  int64_t committed_ended_number_ = 0;  // of progress_.ended()
  std::vector<AuditNote> notes_;        // for the next batch
  BatchWriter writer_;
  std::thread thread_;
};

}  // namespace seedbed
