#include "coordinator/core/attempt_end.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace seedbed::core {
namespace {

bool IsPacksDoing(AttemptEnd end, int pack) {
  return pack > 1 && (end == AttemptEnd::kCrashed || end == AttemptEnd::kOutOfMemory);
}

bool IsRunsOwnDoing(AttemptEnd end) {
  return end == AttemptEnd::kFailed || end == AttemptEnd::kTimedOut || end == AttemptEnd::kOutOfMemory;
}

}  // namespace

AttemptEnded EndAttempt(const State& state, const Run& run, EndFacts facts) {
  const SweepEntry& sweep = *state.FindSweep(run.sweep);
  AttemptEnded event;
  event.run = run.id;
  event.attempt = run.attempts;
  event.next_fence = facts.for_good ? run.fence.Next().Next() : run.fence.Next();
  event.end = facts.end;
  event.reason = std::move(facts.reason);
  event.result = std::move(facts.result);
  event.counted_ends = run.counted_ends;
  event.failed_ends = run.failed_ends;
  event.pack_limit = run.pack_limit;
  event.next_state = RunState::kQueued;
  if (facts.end == AttemptEnd::kFinished) {
    event.next_state = RunState::kFinished;
  } else if (facts.end == AttemptEnd::kCancelled) {
    event.next_state = RunState::kCancelled;
  } else if (IsPacksDoing(facts.end, facts.pack)) {
    event.pack_limit = std::max(1, facts.pack / 2);
    if (run.pack_limit > 0) event.pack_limit = std::min<int>(event.pack_limit, run.pack_limit);
  } else if (CountsAgainstRun(facts.end)) {
    if (facts.counts_for_run && ++event.counted_ends >= state.settings().most_counted_ends) {
      event.next_state = RunState::kFailed;
      absl::StrAppend(&event.reason, event.reason.empty() ? "" : "; ", "failed after ", event.counted_ends,
                      " attempts that crashed, stalled or were lost");
    }
    event.blames_worker = facts.counts_for_worker;
  } else if (IsRunsOwnDoing(facts.end)) {
    if (++event.failed_ends > sweep.retries) event.next_state = RunState::kFailed;
  }
  return event;
}

CountedEndsInARow::CountedEndsInARow(const State& state, const WorkerEntry& worker)
    : state_(state), worker_(worker), runs_(worker.counted_ends_in_a_row) {}

void CountedEndsInARow::Add(const AttemptEnded& event) {
  if (event.end == AttemptEnd::kFinished) runs_.clear();
  if (event.blames_worker && std::find(runs_.begin(), runs_.end(), event.run) == runs_.end()) {
    runs_.push_back(event.run);
  }
}

std::optional<WorkerStateChanged> CountedEndsInARow::Quarantine(WorkerState current) const {
  if (current != WorkerState::kActive || static_cast<int>(runs_.size()) < state_.settings().quarantine_after) {
    return std::nullopt;
  }
  std::string reason = absl::StrCat(runs_.size(), " different runs in a row crashed, stalled or were lost on it (runs");
  for (const RunId run : runs_) absl::StrAppend(&reason, " ", run.value());
  absl::StrAppend(&reason, "); look at their logs, then resume the worker");
  return WorkerStateChanged{worker_.id, current, WorkerState::kQuarantined, std::move(reason)};
}

}  // namespace seedbed::core
