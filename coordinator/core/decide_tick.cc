#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/attempt_end.h"
#include "coordinator/core/decide.h"

// Time: leases and workers of which nothing was heard.
namespace seedbed::core {
namespace {

// `blameless`: the run had no part in it, and nobody can come back with the lease.
AttemptEnded Lose(const State& state, const Run& run, std::string reason, bool blameless) {
  EndFacts facts;
  facts.end = AttemptEnd::kLost;
  facts.reason = std::move(reason);
  facts.counts_for_run = !blameless;
  facts.for_good = blameless;
  // A worker that is cut off from us loses all its leases at once: that says nothing about how it trains.
  facts.counts_for_worker = false;
  return EndAttempt(state, run, std::move(facts));
}

// As if it had called now, with what it said last.
void Renew(const State& state, const WorkerEntry& worker, absl::Duration now, std::vector<Event>* events) {
  events->push_back(WorkerSeen{worker.id, worker.synchronize_number, now, worker.free_slots});
  for (const RunId id : worker.leases) {
    const auto& running = std::get<Running>(state.FindRun(id)->state);
    events->push_back(LeaseRenewed{id, now + state.settings().lease_duration, running.listed, running.step});
  }
}

}  // namespace

absl::StatusOr<Decision> DecideOne(const State& state, const Tick& command, const Moment& now) {
  Decision decision;
  decision.answer = Done{};
  const auto last = state.last_tick();
  const absl::Duration gap = last ? now.monotonic - *last : absl::ZeroDuration();
  const bool is_long = gap > state.settings().suspension_gap;
  if (is_long && !command.heard_meanwhile) {
    // We were suspended, so we could not hear; nobody is blamed for the time.
    decision.events.push_back(LeasesExtended{gap});
    decision.events.push_back(ClockTicked{now.monotonic});
    return decision;
  }
  const absl::Duration lease_duration = state.settings().lease_duration;
  std::set<RunId> lost;
  std::vector<const WorkerEntry*> gone;
  std::set<WorkerId> spared;
  if (is_long) {
    for (const WorkerId& id : command.answered_now) {
      const WorkerEntry* worker = state.FindWorker(id);
      if (worker == nullptr || worker->state == WorkerState::kGone || !spared.insert(id).second) continue;
      Renew(state, *worker, now.monotonic, &decision.events);
    }
  }
  for (const auto& [expires_at, id] : state.expiries()) {
    if (expires_at > now.monotonic) break;
    if (spared.count(std::get<Running>(state.FindRun(id)->state).worker->id) == 0) lost.insert(id);
  }
  for (const auto& [expires_at, id] : state.worker_expiries()) {
    if (expires_at > now.monotonic) break;
    if (spared.count(id) > 0) continue;
    gone.push_back(state.FindWorker(id));
    lost.insert(gone.back()->leases.begin(), gone.back()->leases.end());
  }
  for (const RunId id : lost) {
    const Run& run = *state.FindRun(id);
    const Running& running = std::get<Running>(run.state);
    const std::string& name = running.worker->name;
    // The worker has called since the grant, and not named it: our answers do not reach it. Were that counted, a link
    // that is deaf in one direction would fail runs that were never started.
    const bool never_came = !running.listed && run.last_acknowledged_sequence == 0 &&
                            running.worker->last_seen + lease_duration > now.monotonic;
    decision.events.push_back(Lose(state, run,
                                   never_came ? absl::StrCat("worker '", name, "' lives and never took it up")
                                              : absl::StrCat("the lease of worker '", name, "' expired"),
                                   /*blameless=*/never_came));
  }
  for (const WorkerEntry* worker : gone) {
    decision.events.push_back(WorkerStateChanged{
        worker->id, worker->state, WorkerState::kGone,
        absl::StrCat("nothing was heard of it for ", absl::FormatDuration(now.monotonic - worker->last_seen))});
  }
  decision.events.push_back(ClockTicked{now.monotonic});
  return decision;
}

absl::StatusOr<Decision> DecideOne(const State& state, const VoidLeases& command, const Moment&) {
  Decision decision;
  decision.answer = Done{};
  std::set<WorkerId> seen;
  for (const WorkerId& id : command.workers) {
    const WorkerEntry* worker = state.FindWorker(id);
    if (worker == nullptr || worker->state == WorkerState::kGone || !seen.insert(id).second) continue;
    for (const RunId run : worker->leases) {
      decision.events.push_back(Lose(state, *state.FindRun(run), absl::StrCat("worker '", worker->name, "' is dead"),
                                     /*blameless=*/true));
    }
    decision.events.push_back(WorkerStateChanged{id, worker->state, WorkerState::kGone, "it is known to be dead"});
  }
  return decision;
}

}  // namespace seedbed::core
