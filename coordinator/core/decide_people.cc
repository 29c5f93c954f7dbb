#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/core/attempt_end.h"
#include "coordinator/core/decide.h"

// What people ask of sweeps, runs and workers that exist.
namespace seedbed::core {
namespace {

absl::Status CheckMost(int64_t most) {
  if (most >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("A chunk of ", most, " runs cannot be worked on; expected at least 1"));
}

absl::StatusOr<const Run*> RunOfSweep(const State& state, const SweepEntry& sweep, RunId id) {
  const Run* run = state.FindRun(id);
  if (run == nullptr || run->sweep != sweep.id) {
    return absl::NotFoundError(absl::StrCat("Sweep '", sweep.name, "' has no run ", id.value(), "; `seedbed runs ",
                                            sweep.name, "` lists those it has"));
  }
  return run;
}

// Queued or running.
Event CancelRun(const State& state, const Run& run, const char* reason) {
  if (StateOf(run) == RunState::kRunning) {
    EndFacts facts;
    facts.end = AttemptEnd::kCancelled;
    facts.reason = reason;
    return EndAttempt(state, run, std::move(facts));
  }
  return RunStateChanged{run.id, StateOf(run), RunState::kCancelled, run.fence.Next()};
}

Event RetryRun(const Run& run, bool keep_rows) {
  return RunStateChanged{run.id, StateOf(run), RunState::kQueued, run.fence.Next(), !keep_rows};
}

// Whether `command` is about runs in this one's state, were it not named.
bool IsMeant(const Run& run, const RetryRuns& command) {
  const RunState state = StateOf(run);
  return state == RunState::kFailed || (state == RunState::kCancelled && command.include_cancelled);
}

Decision Changed(std::vector<Event> events, bool more, int64_t next = 0) {
  ChunkAnswer answer;
  answer.changed = static_cast<int64_t>(events.size());
  answer.more = more;
  answer.next = next;
  return {std::move(events), answer};
}

Decision ChangeSweep(const SweepEntry& sweep, SweepState to) {
  return {{SweepStateChanged{sweep.id, sweep.state, to}}, SweepStateAnswer{true, ""}};
}

Decision LeaveSweep(std::string why) {
  return {{}, SweepStateAnswer{false, std::move(why)}};
}

absl::Status CheckSubmitted(const SweepEntry& sweep) {
  if (sweep.state != SweepState::kSubmitting) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("Sweep '", sweep.name, "' is still being submitted; submit it again to complete it, or delete it"));
}

absl::Status CheckAllCancelled(const SweepEntry& sweep) {
  SEEDBED_RETURN_IF_ERROR(CheckSubmitted(sweep));
  const int64_t others = sweep.counts.total() - sweep.counts.cancelled;
  if (others == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("Sweep '", sweep.name, "' has ", others, " of ",
                                                    sweep.counts.total(), " runs that are not cancelled"));
}

absl::StatusOr<const WorkerEntry*> WorkerThatIsThere(const State& state, const WorkerId& id) {
  const WorkerEntry* worker = state.FindWorker(id);
  if (worker == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("There is no worker '", id.value(), "'; `seedbed workers` lists those there are"));
  }
  if (worker->state == WorkerState::kGone) {
    return absl::FailedPreconditionError(absl::StrCat("Worker '", worker->name, "' (", id.value(), ") is gone"));
  }
  return worker;
}

// Adds what one chunk of a deletion removes, from the back: `budget` runs at most.
void DeleteFromTheBack(const State& state, const SweepEntry& sweep, int64_t budget, Decision* decision, bool* all) {
  RunsDeleted deleted;
  deleted.sweep = sweep.id;
  size_t left = sweep.configurations.size();
  while (left > 0 && static_cast<int64_t>(deleted.runs.size()) < budget) {
    const ConfigurationEntry& configuration = *state.FindConfiguration(sweep.configurations[left - 1]);
    size_t runs = configuration.runs.size();
    while (runs > 0 && static_cast<int64_t>(deleted.runs.size()) < budget) {
      deleted.runs.push_back(configuration.runs[--runs].second);
    }
    if (runs > 0) break;
    deleted.configurations.push_back(configuration.id);
    --left;
  }
  *all = left == 0;
  if (!deleted.runs.empty() || !deleted.configurations.empty()) decision->events.push_back(std::move(deleted));
}

}  // namespace

absl::StatusOr<Decision> DecideOne(const State& state, const PauseSweep& command, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(const SweepEntry* sweep, UsableSweep(state, command.sweep));
  SEEDBED_RETURN_IF_ERROR(CheckSubmitted(*sweep));
  if (sweep->state == SweepState::kHalted || (sweep->state == SweepState::kPaused && !command.now)) {
    return LeaveSweep("paused already");
  }
  if (sweep->counts.queued + sweep->counts.running == 0) return LeaveSweep("all of its runs have ended");
  return ChangeSweep(*sweep, command.now ? SweepState::kHalted : SweepState::kPaused);
}

absl::StatusOr<Decision> DecideOne(const State& state, const ResumeSweep& command, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(const SweepEntry* sweep, UsableSweep(state, command.sweep));
  SEEDBED_RETURN_IF_ERROR(CheckSubmitted(*sweep));
  if (sweep->state == SweepState::kActive) return LeaveSweep("not paused");
  return ChangeSweep(*sweep, SweepState::kActive);
}

absl::StatusOr<Decision> DecideOne(const State& state, const CancelRuns& command, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(const SweepEntry* sweep, UsableSweep(state, command.sweep));
  SEEDBED_RETURN_IF_ERROR(CheckMost(command.most));
  constexpr char kReason[] = "cancelled by hand";
  std::vector<Event> events;
  const auto full = [&] { return static_cast<int64_t>(events.size()) >= command.most; };
  if (command.runs.empty()) {
    for (auto it = sweep->queue.begin(); it != sweep->queue.end() && !full(); ++it) {
      events.push_back(CancelRun(state, *state.FindRun(it->run), kReason));
    }
    for (auto it = sweep->running.begin(); it != sweep->running.end() && !full(); ++it) {
      events.push_back(CancelRun(state, *state.FindRun(*it), kReason));
    }
    const int64_t open = sweep->counts.queued + sweep->counts.running;
    const bool more = static_cast<int64_t>(events.size()) < open;
    return Changed(std::move(events), more);
  }
  bool more = false;
  absl::flat_hash_set<RunId> seen;
  for (const RunId id : command.runs) {
    SEEDBED_ASSIGN_OR_RETURN(const Run* run, RunOfSweep(state, *sweep, id));
    if (IsTerminal(StateOf(*run)) || !seen.insert(id).second) continue;
    more = full();
    if (more) break;
    events.push_back(CancelRun(state, *run, kReason));
  }
  return Changed(std::move(events), more);
}

absl::StatusOr<Decision> DecideOne(const State& state, const RetryRuns& command, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(const SweepEntry* sweep, UsableSweep(state, command.sweep));
  SEEDBED_RETURN_IF_ERROR(CheckMost(command.most));
  std::vector<Event> events;
  const auto full = [&] { return static_cast<int64_t>(events.size()) >= command.most; };
  if (command.runs.empty()) {
    for (auto it = sweep->failed.begin(); it != sweep->failed.end() && !full(); ++it) {
      events.push_back(RetryRun(*state.FindRun(*it), command.keep_rows));
    }
    int64_t open = sweep->counts.failed;
    if (command.include_cancelled) {
      open += sweep->counts.cancelled;
      for (auto it = sweep->cancelled.begin(); it != sweep->cancelled.end() && !full(); ++it) {
        events.push_back(RetryRun(*state.FindRun(*it), command.keep_rows));
      }
    }
    const bool more = static_cast<int64_t>(events.size()) < open;
    return Changed(std::move(events), more);
  }
  std::optional<int64_t> left_at;
  absl::flat_hash_set<RunId> seen;
  for (size_t i = 0; i < command.runs.size(); ++i) {
    const RunId id = command.runs[i];
    SEEDBED_ASSIGN_OR_RETURN(const Run* run, RunOfSweep(state, *sweep, id));
    if (command.pass_over && !IsMeant(*run, command)) continue;
    if (StateOf(*run) == RunState::kFinished) {
      return absl::FailedPreconditionError(
          absl::StrCat("Run ", id.value(), " of sweep '", sweep->name,
                       "' is finished; only failed and cancelled runs can be retried"));
    }
    if (!IsTerminal(StateOf(*run)) || !seen.insert(id).second) continue;
    if (full()) {
      if (!left_at) left_at = static_cast<int64_t>(i);
      continue;  // the rest is still checked
    }
    events.push_back(RetryRun(*run, command.keep_rows));
  }
  return Changed(std::move(events), left_at.has_value(), left_at.value_or(0));
}

absl::StatusOr<Decision> DecideOne(const State& state, const DeleteSweep& command, const Moment&) {
  SEEDBED_RETURN_IF_ERROR(CheckMost(command.most));
  const SweepEntry* sweep = state.FindSweep(command.sweep);
  if (sweep == nullptr) return UsableSweep(state, command.sweep).status();
  Decision decision;
  if (sweep->state != SweepState::kDeleting) {
    if (command.only_if_all_cancelled) SEEDBED_RETURN_IF_ERROR(CheckAllCancelled(*sweep));
    decision.events.push_back(SweepStateChanged{sweep->id, sweep->state, SweepState::kDeleting});
  }
  int64_t budget = command.most;
  for (auto it = sweep->running.begin(); it != sweep->running.end() && budget > 0; ++it, --budget) {
    decision.events.push_back(CancelRun(state, *state.FindRun(*it), "the sweep is deleted"));
  }
  ChunkAnswer answer;
  answer.changed = command.most - budget;
  answer.more = true;
  if (budget > 0) {
    bool all = false;
    DeleteFromTheBack(state, *sweep, budget, &decision, &all);
    if (const auto* deleted = std::get_if<RunsDeleted>(&decision.events.back())) {
      answer.changed += static_cast<int64_t>(deleted->runs.size());
    }
    if (all) decision.events.push_back(SweepDeleted{sweep->id});
    answer.more = !all;
  }
  decision.answer = answer;
  return decision;
}

absl::StatusOr<Decision> DecideOne(const State& state, const DrainWorker& command, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(const WorkerEntry* worker, WorkerThatIsThere(state, command.worker));
  if (worker->state == WorkerState::kDraining) return Decision{{}, Done{}};
  return Decision{{WorkerStateChanged{worker->id, worker->state, WorkerState::kDraining, "drained by hand"}}, Done{}};
}

absl::StatusOr<Decision> DecideOne(const State& state, const ResumeWorker& command, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(const WorkerEntry* worker, WorkerThatIsThere(state, command.worker));
  if (worker->state == WorkerState::kActive) return Decision{{}, Done{}};
  return Decision{{WorkerStateChanged{worker->id, worker->state, WorkerState::kActive, "resumed by hand"}}, Done{}};
}

}  // namespace seedbed::core
