#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/commit_loop.h"
#include "coordinator/core/policy.h"

// What one command does to the state, and who is told about it.
namespace seedbed {
namespace {

bool HasNews(const core::SynchronizeAnswer& answer) {
  return answer.ignored || !answer.start.empty() || !answer.stop.empty() || !answer.restored.empty() ||
         !answer.checkpoint.empty() || answer.state != core::WorkerState::kActive;
}

}  // namespace

absl::StatusOr<core::Answer> CommitLoop::DecideAndApply(const core::Command& command, Turn* turn) {
  turn->registered = false;
  turn->durable = false;
  const Moment now = clock_->Now();
  SEEDBED_ASSIGN_OR_RETURN(core::Decision decision, core::Decide(*state_, command, now));
  for (core::Event& event : decision.events) {
    Observe(event, turn);
    ObserveCheckpoints(event, turn);
    progress_.Observe(*state_, event);
    state_->Apply(event);
    if (!core::IsDurable(event)) continue;
    turn->durable = true;
    turn->batch.events.push_back(std::move(event));
  }
  return std::move(decision.answer);
}

void CommitLoop::Observe(const core::Event& event, Turn* turn) {
  const auto concern = [&](RunId id) {
    const core::Run* run = state_->FindRun(id);
    if (run == nullptr) return;
    if (const auto* running = std::get_if<core::Running>(&run->state)) turn->concerned.push_back(running->worker->id);
  };
  if (const auto* ended = std::get_if<core::AttemptEnded>(&event)) {
    const core::Run& run = *state_->FindRun(ended->run);
    ended_leases_.Add(core::LeaseOf(run), std::get<core::Running>(run.state).worker->id);
    // The place that it leaves may be what a sweep's limit of runs at once was waiting for.
    turn->work_may_exist = true;
    if (!metrics_held_) logs_->TellLoss(ended->run, ended->attempt);
    if (ended->end != core::AttemptEnd::kFinished) concern(ended->run);
  } else if (std::holds_alternative<core::RunAdded>(event)) {
    turn->work_may_exist = true;
  } else if (const auto* changed = std::get_if<core::SweepStateChanged>(&event)) {
    turn->work_may_exist = turn->work_may_exist || changed->to == core::SweepState::kActive;
    const core::SweepEntry* sweep = state_->FindSweep(changed->sweep);
    if (changed->to == core::SweepState::kHalted && sweep != nullptr) {
      for (const RunId id : sweep->running) concern(id);
    }
  } else if (std::holds_alternative<core::SweepExtended>(event)) {
    turn->work_may_exist = true;  // its limit of runs at once may have been raised
  } else if (const auto* run = std::get_if<core::RunStateChanged>(&event)) {
    turn->work_may_exist = turn->work_may_exist || run->to == core::RunState::kQueued;
  } else if (const auto* worker = std::get_if<core::WorkerStateChanged>(&event)) {
    turn->concerned.push_back(worker->worker);
  } else if (std::holds_alternative<core::WorkerRegistered>(event)) {
    turn->registered = true;
  } else if (const auto* requested = std::get_if<core::CheckpointRequested>(&event)) {
    concern(requested->run);
  } else if (const auto* deleted = std::get_if<core::RunsDeleted>(&event)) {
    for (const RunId id : deleted->runs) {
      const core::Run* gone = state_->FindRun(id);
      if (gone != nullptr && gone->attempts > 0) turn->deleted_logs.emplace_back(id, gone->attempts);
    }
  }
}

void CommitLoop::ObserveCheckpoints(const core::Event& event, Turn* turn) const {
  const auto drop = [&](RunId run, const auto& condition) {
    for (const core::Checkpoint& each : state_->CheckpointsOf(run)) {
      if (condition(each.step)) turn->dropped_files.push_back(each.path);
    }
  };
  const auto all = [](int64_t) { return true; };
  if (const auto* dropped = std::get_if<core::CheckpointsDropped>(&event)) {
    drop(dropped->run, [&](int64_t step) {
      return std::find(dropped->steps.begin(), dropped->steps.end(), step) != dropped->steps.end();
    });
  } else if (const auto* granted = std::get_if<core::AttemptGranted>(&event)) {
    drop(granted->lease.run, [&](int64_t step) { return step > granted->resume_step.value_or(-1); });
  } else if (const auto* changed = std::get_if<core::RunStateChanged>(&event)) {
    if (changed->delete_rows) drop(changed->run, all);
  } else if (const auto* deleted = std::get_if<core::RunsDeleted>(&event)) {
    for (const RunId run : deleted->runs) drop(run, all);
  }
}

void CommitLoop::DoReport(ReportItem item, Turn* turn) {
  core::Report& report = item.report;
  const core::Run* run = state_->FindRun(report.lease.run);
  if (run != nullptr && run->fence == report.lease.fence && report.last_step >= 0) {
    progress_.ObserveStep(*state_, run->id, report.last_step, true, turn->batch.now.monotonic);
  }
  const absl::Status names = item.rows ? metric_names_.Check(*item.rows) : absl::OkStatus();
  // Were it refused anyway, the core still says so: it judges lease and fence first.
  if (absl::IsInvalidArgument(names)) {
    report.malformed = true;
    report.end = core::Report::End{core::AttemptEnd::kFailed, std::string(names.message()), 1, {}, {}};
  }
  const absl::StatusOr<core::Answer> answer =
      names.ok() || report.malformed ? DecideAndApply(report, turn) : absl::StatusOr<core::Answer>(names);
  absl::StatusOr<core::ReportAnswer> result = absl::InternalError("the core answered a report with something else");
  if (!answer.ok()) {
    result = answer.status();
  } else if (const auto* verdict = std::get_if<core::ReportAnswer>(&*answer)) {
    result = *verdict;
    if (verdict->verdict == core::ReportVerdict::kAccepted) {
      if (item.rows && !item.rows->steps.empty()) {
        metric_names_.Add(*item.rows);
        turn->batch.metrics.push_back(*std::move(item.rows));
      }
      HeldCalls::Call* held = report.end ? held_.Find(report.worker) : nullptr;
      if (held != nullptr) {
        // The held call was made before the end: asked again as it stands, it would name a lease that is over.
        std::vector<core::HeldLease>& leases = held->command.leases;
        leases.erase(std::remove_if(leases.begin(), leases.end(),
                                    [&](const core::HeldLease& each) { return each.lease == report.lease; }),
                     leases.end());
      }
    }
  }
  turn->answers.push_back(
      [this, bytes = item.bytes, done = std::move(item.done), result = std::move(result)](const absl::Status& commit) {
        waiting_bytes_.fetch_sub(bytes);
        done(commit.ok() ? result : absl::StatusOr<core::ReportAnswer>(commit));
      });
}

void CommitLoop::DoCommand(CommandItem item, Turn* turn) {
  absl::StatusOr<core::Answer> answer = DecideAndApply(item.command, turn);
  turn->answers.push_back([done = std::move(item.done), answer = std::move(answer)](const absl::Status& commit) {
    done(commit.ok() ? answer : absl::StatusOr<core::Answer>(commit));
  });
}

void CommitLoop::DoSynchronize(SynchronizeItem item, Turn* turn) {
  const core::Synchronize& command = item.command;
  const HeldCalls::Call* older = held_.Find(command.worker);
  if (older != nullptr && older->command.number <= command.number) {
    HeldCalls::Call call = *held_.Take(command.worker);
    AnswerLater(turn, command.worker, std::move(call.done), std::move(call.answer));
  }
  const absl::StatusOr<core::Answer> decided = DecideAndApply(command, turn);
  const bool registered = turn->registered;
  const bool durable = turn->durable;
  if (!decided.ok() || !std::holds_alternative<core::SynchronizeAnswer>(*decided)) {
    const absl::Status problem =
        decided.ok() ? absl::InternalError("the core answered a Synchronize with something else") : decided.status();
    turn->answers.push_back(
        [done = std::move(item.done), problem](const absl::Status& commit) { done(commit.ok() ? problem : commit); });
    return;
  }
  core::SynchronizeAnswer answer = std::get<core::SynchronizeAnswer>(*decided);
  if (!answer.ignored) {
    for (const core::HeldLease& held : command.leases) {
      const core::Run* run = state_->FindRun(held.lease.run);
      if (run == nullptr || run->fence != held.lease.fence) continue;
      progress_.ObserveStep(*state_, held.lease.run, held.step, held.training, turn->batch.now.monotonic);
    }
  }
  // The call that registers a worker is answered at once: it tells the worker that it has arrived.
  const bool wants_more = command.free_slots > 0 && !command.goodbye && !registered;
  if (!wants_more || HasNews(answer)) {
    if (durable || HasNews(answer)) {
      AnswerLater(turn, command.worker, std::move(item.done), std::move(answer));
    } else {
      // It changed nothing that is stored, and it tells nothing that could be taken back.
      item.done(Compose(std::move(answer)));
    }
    return;
  }
  HeldCalls::Call call;
  call.deadline = turn->batch.now.monotonic + options_.settings.lease_duration / 3;
  call.answer = std::move(answer);
  // It was waiting here: the worker may come back at once.
  call.answer.next_call_after = absl::ZeroDuration();
  call.command = std::move(item.command);
  call.command.held_open = true;
  call.done = std::move(item.done);
  held_.Hold(std::move(call));
}

void CommitLoop::DoTick(Turn* turn) {
  next_tick_ = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(options_.tick_every);
  core::Tick tick;
  tick.heard_meanwhile = !std::exchange(was_deaf_, false);
  tick.answered_now = std::exchange(answered_now_, {});
  tick.answered_now.insert(tick.answered_now.end(), turn->answered.begin(), turn->answered.end());
  const absl::StatusOr<core::Answer> answer = DecideAndApply(std::move(tick), turn);
  if (!answer.ok()) options_.log(LogLevel::kError, absl::StrCat("a tick failed: ", answer.status().ToString()));
  TellLosses();
}

void CommitLoop::TellLosses() {
  const SteadyTime now = std::chrono::steady_clock::now();
  // Even a mark takes a block of a disk that is nearly full.
  if (metrics_held_ || now < losses_due_) return;
  losses_due_ = now + absl::ToChronoNanoseconds(options_.tell_losses_every);
  logs_->TellLosses([this](RunId id) {
    const core::Run* run = state_->FindRun(id);
    return run == nullptr ? 0 : run->attempts;
  });
}

void CommitLoop::WakeHeld(Turn* turn) {
  if (held_.empty()) return;
  const bool everybody = turn->work_may_exist && state_->anything_ready();
  const std::vector<WorkerId> concerned = std::exchange(turn->concerned, {});
  const std::set<WorkerId> must_be_asked(concerned.begin(), concerned.end());
  for (const WorkerId& worker : held_.Waiting(everybody, concerned)) {
    const HeldCalls::Call* call = held_.Find(worker);
    // Many may wait for little: once it is taken, the rest are not decided one by one to be told so.
    if (must_be_asked.count(worker) == 0 && !core::HasWork(*state_, call->command.trainers)) continue;
    const absl::StatusOr<core::Answer> decided = DecideAndApply(call->command, turn);
    const auto* answer = decided.ok() ? std::get_if<core::SynchronizeAnswer>(&*decided) : nullptr;
    if (answer != nullptr && !HasNews(*answer)) continue;
    HeldCalls::Call taken = *held_.Take(worker);
    AnswerLater(turn, worker, std::move(taken.done), answer != nullptr ? *answer : std::move(taken.answer));
  }
}

void CommitLoop::AnswerLater(Turn* turn, const WorkerId& worker, SynchronizeDone done, core::SynchronizeAnswer answer) {
  turn->answered.push_back(worker);
  turn->answers.push_back([this, done = std::move(done), answer = std::move(answer)](const absl::Status& commit) {
    done(commit.ok() ? absl::StatusOr<SynchronizeReply>(Compose(answer)) : commit);
  });
}

void CommitLoop::AnswerOverdue() {
  if (held_.empty()) return;
  for (HeldCalls::Call& call : held_.TakeOverdue(clock_->Now().monotonic)) call.done(Compose(std::move(call.answer)));
}

SynchronizeReply CommitLoop::Compose(core::SynchronizeAnswer answer) {
  SynchronizeReply reply;
  std::vector<core::LeaseToStart> start;
  for (core::LeaseToStart& lease : answer.start) {
    const core::SweepEntry* sweep = state_->FindSweep(lease.sweep);
    const core::Run* run = state_->FindRun(lease.lease.run);
    // Ended or deleted by a command that was decided since.
    if (sweep == nullptr || run == nullptr || run->fence != lease.lease.fence) continue;
    GrantedLease granted;
    absl::StatusOr<std::string> specification = specifications_.Specification(*sweep, lease.configuration, lease.seed);
    if (!specification.ok()) {
      Withdraw(*run, lease, specification.status());
      continue;
    }
    granted.specification_json = *std::move(specification);
    granted.lease = lease;
    granted.sweep_name = sweep->name;
    reply.start.push_back(std::move(granted));
    start.push_back(lease);
  }
  answer.start = std::move(start);
  reply.answer = std::move(answer);
  return reply;
}

// Everything else that the answer brings reaches its worker all the same.
void CommitLoop::Withdraw(const core::Run& run, const core::LeaseToStart& lease, const absl::Status& why) {
  const std::string reason =
      absl::StrCat("run ", run.id.value(), " cannot be handed out: ", why.message(),
                   "; `seedbed doctor` says what else the database has lost, and whether a backup should be restored");
  options_.log(LogLevel::kError, reason);
  const auto* running = std::get_if<core::Running>(&run.state);
  const bool for_good = absl::IsDataLoss(why) || absl::IsNotFound(why);
  // Otherwise its lease runs out without blame, as the worker never hears of it, and it is tried again.
  if (running == nullptr || !for_good) return;
  ReportItem end;
  end.report.worker = running->worker->id;
  end.report.lease = lease.lease;
  end.report.malformed = true;  // the worker never sent it
  end.report.end = core::Report::End{core::AttemptEnd::kFailed, reason, 1, {}, {}};
  end.done = [](const absl::StatusOr<core::ReportAnswer>&) {};
  Push(std::move(end));
}

}  // namespace seedbed
