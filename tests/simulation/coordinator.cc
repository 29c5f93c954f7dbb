#include "tests/simulation/coordinator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

// The process, its turns and their commits. coordinator_decide.cc has what one command does.
namespace seedbed::simulation {
namespace {

constexpr absl::Duration kFirstProbe = absl::Milliseconds(100);
constexpr absl::Duration kLastProbe = absl::Seconds(5);

absl::Status Unavailable() {
  return absl::UnavailableError("nothing of this call was done, try again");
}

}  // namespace

Coordinator::Coordinator(World* world, const Scenario* scenario, const Faults* faults, Database* database,
                         Ledger* ledger)
    : world_(*world),
      scenario_(*scenario),
      faults_(*faults),
      database_(*database),
      ledger_(*ledger),
      dice_(scenario->seed, Dice::kCoordinator),
      disk_(scenario->seed, Dice::kDisk) {}

Moment Coordinator::Now() const {
  return {world_.queue.now() + monotonic_offset_,
          absl::FromUnixSeconds(1'700'000'000) + world_.queue.now() + wall_offset_};
}

void Coordinator::Start() {
  up_ = true;
  // Another boot's origin; it may lie before the last one's.
  monotonic_offset_ = dice_.Time(absl::ZeroDuration(), absl::Hours(1));
  database_.RemoveOrphans();
  if (!Load()) return;
  next_tick_ = world_.queue.now();
  world_.Trace("coordinator", "starts; ", database_.runs().size(), " runs");
  WakeAfter(absl::ZeroDuration());
}

bool Coordinator::Load() {
  absl::StatusOr<core::State> loaded = database_.Load(scenario_.settings, Now().monotonic);
  world_.Expect(loaded.ok(), "loading fails: ", loaded.status().ToString());
  if (!loaded.ok()) return false;
  state_.emplace(*std::move(loaded));
  ledger_.Loaded(*state_, Now().monotonic);
  return true;
}

void Coordinator::Kill(absl::Duration down_for, const char* when) {
  if (!up_) return;
  world_.Trace("coordinator", "is killed ", when);
  ++world_.tally.coordinator_crashes;
  // Connections of a killed process are reset; those of a machine without power fall silent.
  const bool resets = faults_.lose_message == 0 || dice_.Chance(0.5);
  if (resets) ResetConnections();
  up_ = false;
  ++process_;
  state_.reset();
  inbox_.clear();
  reports_.clear();
  ending_.clear();
  goodbye_ = false;
  held_ = HeldCalls();
  answered_now_.clear();
  next_ = Turn();
  writing_.reset();
  suspended_until_ = -absl::InfiniteDuration();
  world_.queue.After(down_for, [this] { Start(); });
}

void Coordinator::ResetConnections() {
  if (writing_) {
    for (const Answering& answer : writing_->answers) answer(Unavailable());
  }
  for (const Answering& answer : next_.answers) answer(Unavailable());
  for (ReportItem& report : reports_) report.done(Unavailable());
  for (HeldCalls::Call& call : held_.TakeAll()) call.done(Unavailable());
  RefuseAll(std::exchange(inbox_, {}));
}

void Coordinator::Suspend(absl::Duration time, bool clock_stands) {
  if (!up_ || suspended_until_ > world_.queue.now()) return;
  world_.Trace("coordinator", "is suspended for ", absl::FormatDuration(time));
  suspended_until_ = world_.queue.now() + time;
  world_.queue.After(time, [this, process = process_, time, clock_stands] {
    if (process != process_) return;
    if (clock_stands) monotonic_offset_ -= time;
    TakeTurn();
  });
}

void Coordinator::Receive(Item item) {
  if (!up_) return std::visit([](auto& each) { each.done(Unavailable()); }, item);
  inbox_.push_back(std::move(item));
  WakeAfter(absl::ZeroDuration());
}

void Coordinator::ReceiveCheckpoint(core::StoreCheckpoint command, const CheckpointFile& file,
                                    std::function<void(const absl::StatusOr<core::CheckpointAnswer>&)> done) {
  if (!up_) return done(Unavailable());
  const std::string path = absl::StrCat("checkpoints/", command.lease.run.value(), "-", command.lease.attempt, "-",
                                        command.checkpoint.step, "-", ++files_);
  command.checkpoint.path = path;
  database_.files[path] = file;
  Receive(CommandItem{command, [this, command, done](const absl::StatusOr<core::Answer>& answer) {
                        // A commit that failed may be durable: the next start knows, and removes the file if it is not.
                        if (!answer.ok()) return done(answer.status());
                        const auto& judged = std::get<core::CheckpointAnswer>(*answer);
                        if (judged.verdict != core::CheckpointVerdict::kStored) {
                          database_.files.erase(command.checkpoint.path);
                        }
                        ledger_.Answered(command, judged);
                        done(judged);
                      }});
}

void Coordinator::FetchCheckpoint(RunId run, int64_t step,
                                  const std::function<void(const absl::StatusOr<CheckpointFile>&)>& done) const {
  if (!up_) return done(Unavailable());
  if (suspended_until_ > world_.queue.now()) return;
  const core::Checkpoint* row = database_.FindCheckpoint(run, step);
  const auto file = row == nullptr ? database_.files.end() : database_.files.find(row->path);
  if (row == nullptr) return done(absl::NotFoundError("no such checkpoint"));
  if (file == database_.files.end()) return done(absl::DataLossError("its file is not there"));
  done(file->second);
}

void Coordinator::WakeAfter(absl::Duration delay) {
  world_.queue.After(delay, [this, process = process_, wake = ++wake_] {
    if (process == process_ && wake == wake_) TakeTurn();
  });
}

void Coordinator::ScheduleNext() {
  if (!state_) return;
  // No tick while a batch is written; only held calls have to be looked after.
  absl::Duration next = writing_ ? world_.queue.now() + scenario_.tick_every : next_tick_;
  if (!reports_.empty()) next = std::min(next, reports_due_);
  if (!inbox_.empty()) next = world_.queue.now();
  WakeAfter(next - world_.queue.now());
}

void Coordinator::TakeTurn() {
  if (!up_ || suspended_until_ > world_.queue.now() || world_.failed()) return;
  if (!state_) return RefuseAll(std::exchange(inbox_, {}));
  Gather();
  if (world_.failed()) return;
  if (!writing_) Dispatch();
  ScheduleNext();
}

void Coordinator::Gather() {
  const absl::Duration now = world_.queue.now();
  const absl::Duration monotonic = Now().monotonic;
  if (monotonic - last_turn_ > scenario_.settings.suspension_gap) was_deaf_ = true;
  last_turn_ = monotonic;
  std::vector<Item> items = std::exchange(inbox_, {});
  AnswerOverdue();
  std::vector<Item> immediate;
  for (Item& item : items) {
    if (auto* report = std::get_if<ReportItem>(&item)) {
      AddReport(std::move(*report));
      continue;
    }
    const auto* synchronize = std::get_if<SynchronizeItem>(&item);
    if (synchronize != nullptr && synchronize->command.goodbye) goodbye_ = true;
    immediate.push_back(std::move(item));
  }
  for (ReportItem& report : TakeDueReports()) DoReport(std::move(report), &next_);
  for (Item& item : immediate) {
    if (auto* command = std::get_if<CommandItem>(&item)) {
      DoCommand(std::move(*command), &next_);
    } else {
      DoSynchronize(std::move(std::get<SynchronizeItem>(item)), &next_);
    }
  }
  if (!writing_ && now >= next_tick_) {
    next_tick_ = now + scenario_.tick_every;
    core::Tick tick;
    tick.heard_meanwhile = !std::exchange(was_deaf_, false);
    tick.answered_now = std::exchange(answered_now_, {});
    tick.answered_now.insert(tick.answered_now.end(), next_.answered.begin(), next_.answered.end());
    const auto ticked = DecideAndApply(tick, &next_);
    world_.Expect(ticked.ok(), "a tick fails: ", ticked.status().ToString());
  }
  WakeHeld(&next_);
  next_.work_may_exist = false;
}

void Coordinator::AddReport(ReportItem item) {
  if (reports_.empty()) reports_due_ = world_.queue.now() + scenario_.metric_delay;
  if (item.report.end) ending_.insert(item.report.lease.run);
  reports_.push_back(std::move(item));
}

std::vector<ReportItem> Coordinator::TakeDueReports() {
  std::vector<ReportItem> due;
  if (reports_.empty()) return due;
  const bool all = std::exchange(goodbye_, false) || world_.queue.now() >= reports_due_;
  std::deque<ReportItem> rest;
  for (ReportItem& each : reports_) {
    const bool now = all || ending_.count(each.report.lease.run) > 0;
    if (now) {
      due.push_back(std::move(each));
    } else {
      rest.push_back(std::move(each));
    }
  }
  reports_.swap(rest);
  ending_.clear();
  return due;
}

void Coordinator::Dispatch() {
  if (next_.batch.empty()) {
    for (const Answering& answer : std::exchange(next_, Turn()).answers) answer(absl::OkStatus());
    return;
  }
  ++commits_;
  if (scenario_.planted == Planted::kAcknowledgedBeforeCommit) {
    for (const Answering& answer : std::exchange(next_.answers, {})) answer(absl::OkStatus());
  }
  absl::Duration time = disk_.Time(absl::Microseconds(200), absl::Milliseconds(5));
  if (disk_.Chance(faults_.slow_commit)) time = disk_.Time(absl::ZeroDuration(), faults_.slowest_commit);
  writing_ = std::exchange(next_, Turn());
  world_.queue.After(time, [this, process = process_] {
    if (process == process_) EndCommit();
  });
}

bool Coordinator::CrashesHere(bool after) {
  const bool asked = scenario_.crash_at_commit == commits_ && scenario_.crash_after_it == after;
  return asked || disk_.Chance(after ? faults_.crash_after_commit : faults_.crash_before_commit);
}

void Coordinator::EndCommit() {
  if (suspended_until_ > world_.queue.now()) {
    world_.queue.After(suspended_until_ - world_.queue.now(), [this, process = process_] {
      if (process == process_) EndCommit();
    });
    return;
  }
  if (!next_.batch.empty()) ++world_.tally.decided_ahead;
  const absl::Duration down_for = disk_.Time(absl::Milliseconds(100), absl::Seconds(10));
  if (CrashesHere(/*after=*/false)) return Kill(down_for, "before a commit");
  const bool fails = disk_.Chance(faults_.fail_commit);
  if (!fails || disk_.Chance(faults_.fail_commit_but_write)) {
    ++world_.tally.commits;
    const absl::Status written = database_.Write(writing_->batch);
    world_.Expect(written.ok(), written.ToString());
    if (written.ok()) ledger_.Committed(writing_->batch);
    if (world_.failed()) return;
    if (CrashesHere(/*after=*/true)) return Kill(down_for, "after a commit, before the answers");
  }
  const Turn written = *std::exchange(writing_, std::nullopt);
  answered_now_.insert(answered_now_.end(), written.answered.begin(), written.answered.end());
  if (fails) return EnterDegraded(written);
  // Unless memory is ahead.
  if (next_.batch.events.empty()) CompareWithDatabase();
  // The answers go out while the next batch is written already.
  TakeTurn();
  if (world_.failed()) return;
  for (const Answering& answer : written.answers) answer(absl::OkStatus());
  for (const std::string& path : database_.TakeDroppedFiles()) database_.files.erase(path);
}

void Coordinator::CompareWithDatabase() {
  const absl::StatusOr<core::State> loaded = database_.Load(scenario_.settings, Now().monotonic);
  world_.Expect(loaded.ok(), "loading fails: ", loaded.status().ToString());
  std::string difference;
  const bool same = loaded.ok() && loaded->DurablyEquals(*state_, &difference);
  world_.Expect(same, "database and memory differ: ", difference);
}

void Coordinator::EnterDegraded(const Turn& failed) {
  world_.Trace("coordinator", "a commit failed");
  ++world_.tally.failed_commits;
  state_.reset();
  // What was decided meanwhile was decided upon what is not there.
  const bool built_upon = scenario_.planted == Planted::kFailedCommitBuiltUpon;
  const Turn upon_it = built_upon ? Turn() : std::exchange(next_, Turn());
  for (const Turn* turn : {&failed, &upon_it}) {
    for (const Answering& answer : turn->answers) answer(Unavailable());
  }
  for (ReportItem& report : std::exchange(reports_, {})) report.done(Unavailable());
  ending_.clear();
  for (HeldCalls::Call& call : held_.TakeAll()) call.done(Unavailable());
  RefuseAll(std::exchange(inbox_, {}));
  probe_delay_ = kFirstProbe;
  world_.queue.After(probe_delay_, [this, process = process_] {
    if (process == process_) TryToRecover();
  });
}

void Coordinator::TryToRecover() {
  if (disk_.Chance(faults_.fail_commit > 0 ? 0.5 : 0)) {
    probe_delay_ = std::min(probe_delay_ * 2, kLastProbe);
    world_.queue.After(probe_delay_, [this, process = process_] {
      if (process == process_) TryToRecover();
    });
    return;
  }
  if (!Load()) return;
  next_tick_ = world_.queue.now();
  world_.Trace("coordinator", "commits work again");
  WakeAfter(absl::ZeroDuration());
}

void Coordinator::RefuseAll(std::vector<Item> items) {
  for (Item& item : items) std::visit([](auto& each) { each.done(Unavailable()); }, item);
}

}  // namespace seedbed::simulation
