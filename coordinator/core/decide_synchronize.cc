#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/schema/largest_step.h"
#include "coordinator/core/attempt_end.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/policy.h"
#include "coordinator/core/resume.h"

// Synchronize: a worker's facts against what the coordinator knows. Costs O(its leases · log n).
namespace seedbed::core {
namespace {

absl::Status CheckFacts(const Synchronize& facts) {
  if (facts.worker.empty()) return absl::InvalidArgumentError("A worker needs an id drawn at its start");
  if (facts.slots < 0 || facts.free_slots < 0) {
    return absl::InvalidArgumentError(absl::StrCat("Worker '", facts.name, "' says that it has ", facts.slots,
                                                   " slots, ", facts.free_slots, " free; expected at least 0"));
  }
  for (const HeldLease& held : facts.leases) {
    if (held.step >= -1 && held.step <= kLargestStep) continue;
    return absl::InvalidArgumentError(absl::StrCat("Worker '", facts.name, "' says that run ", held.lease.run.value(),
                                                   " is at step ", held.step, "; expected -1 to ", kLargestStep));
  }
  return absl::OkStatus();
}

bool SameOffers(const std::vector<TrainerOffer>& a, const std::vector<TrainerOffer>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const TrainerOffer& x, const TrainerOffer& y) {
    return x.trainer == y.trainer && x.numerics_json == y.numerics_json && x.pack_parameters == y.pack_parameters;
  });
}

bool SameFacts(const WorkerEntry& worker, const Synchronize& facts) {
  return worker.name == facts.name && worker.host == facts.host && worker.device == facts.device &&
         worker.version == facts.version && worker.slots == facts.slots && SameOffers(worker.trainers, facts.trainers);
}

class SynchronizeDecision {
 public:
  SynchronizeDecision(const State& state, const Synchronize& facts, const Moment& now)
      : state_(state),
        facts_(facts),
        now_(now),
        worker_(state.FindWorker(facts.worker)),
        expires_at_(now.monotonic + state.settings().lease_duration),
        resume_(state, facts.worker, facts.trainers) {}

  Decision Make() {
    if (IsOutdated()) {
      answer_.ignored = true;
      answer_.state = worker_ == nullptr ? WorkerState::kActive : worker_->state;
      return Finish();
    }
    if (facts_.goodbye) {
      SayGoodbye();
      return Finish();
    }
    worker_state_ = worker_ == nullptr ? WorkerState::kActive : worker_->state;
    if (!facts_.held_open) Welcome();
    for (const HeldLease& held : facts_.leases) JudgeListed(held);
    if (worker_ != nullptr) JudgeUnlisted();
    Grant();
    answer_.state = worker_state_;
    return Finish();
  }

 private:
  bool IsOutdated() const {
    if (worker_ == nullptr) return facts_.held_open;
    if (facts_.number < worker_->synchronize_number) return true;
    return facts_.held_open && worker_->state == WorkerState::kGone;
  }

  Decision Finish() {
    answer_.next_call_after = state_.settings().synchronize_every;
    return {std::move(events_), std::move(answer_)};
  }

  void SayGoodbye() {
    answer_.state = WorkerState::kGone;
    if (worker_ == nullptr || worker_->state == WorkerState::kGone) return;
    events_.push_back(WorkerSeen{worker_->id, facts_.number, now_.monotonic, 0});
    for (const RunId id : worker_->leases) {
      Preempt(*state_.FindRun(id), absl::StrCat("worker '", worker_->name, "' left and handed it back"));
    }
    events_.push_back(WorkerStateChanged{worker_->id, worker_->state, WorkerState::kGone, "it said goodbye"});
  }

  // Registers the worker, or what changed about it; takes it back if it was gone.
  void Welcome() {
    if (worker_ == nullptr || !SameFacts(*worker_, facts_)) {
      events_.push_back(WorkerRegistered{facts_.worker, facts_.name, facts_.host, facts_.slots, facts_.device,
                                         facts_.version, facts_.trainers});
    }
    if (worker_state_ == WorkerState::kGone) {
      worker_state_ = worker_->state_before_gone;
      events_.push_back(WorkerStateChanged{facts_.worker, WorkerState::kGone, worker_state_, "it was heard of again"});
    }
    events_.push_back(WorkerSeen{facts_.worker, facts_.number, now_.monotonic, facts_.free_slots});
  }

  void JudgeListed(const HeldLease& held) {
    const LeaseKey& lease = held.lease;
    const Run* run = state_.FindRun(lease.run);
    if (run == nullptr) return Stop(lease, "the run does not exist any more");
    if (lease.attempt != run->attempts || lease.fence > run->fence) return Stop(lease, "the run was granted again");
    if (StateOf(*run) == RunState::kRunning && std::get<Running>(run->state).worker == worker_ && worker_ != nullptr) {
      return JudgeHeld(held, *run);
    }
    if (StateOf(*run) == RunState::kRunning) return Stop(lease, "the lease is another worker's");
    if (IsRestorable(*run, lease)) return Restore(held, *run);
    Stop(lease, absl::StrCat("the run is ", Name(StateOf(*run)), ", and this attempt of it has ended"));
  }

  // The worker holds the attempt, perhaps without having heard yet that its lease was restored under a newer fence.
  void JudgeHeld(const HeldLease& held, const Run& run) {
    if (!listed_.insert(run.id).second) return;
    const LeaseKey lease = LeaseOf(run);
    if (held.lease.fence != lease.fence) answer_.restored.push_back(lease);
    if (!facts_.held_open) events_.push_back(LeaseRenewed{run.id, expires_at_, true, held.step});
    const SweepEntry& sweep = *state_.FindSweep(run.sweep);
    if (sweep.state == SweepState::kHalted) {
      answer_.stop.push_back({lease, absl::StrCat("sweep '", sweep.name, "' is paused"), /*hand_back=*/true});
    } else if (std::get<Running>(run.state).checkpoint_wanted) {
      answer_.checkpoint.push_back(lease);
    }
  }

  // Only the loss of the lease came between: had the run been granted, cancelled or retried since, its fence would be
  // higher. The worker may not have heard of an earlier restoration of the same attempt, and then names an older fence.
  bool IsRestorable(const Run& run, const LeaseKey& lease) const {
    if (facts_.held_open || StateOf(run) != RunState::kQueued || run.last_end != AttemptEnd::kLost) return false;
    if (lease.fence > run.attempt_fence || run.fence != run.attempt_fence.Next()) return false;
    const SweepEntry& sweep = *state_.FindSweep(run.sweep);
    if (sweep.state != SweepState::kActive && sweep.state != SweepState::kPaused) return false;
    const auto restored = restored_of_sweep_.find(sweep.id);
    const int64_t running = sweep.counts.running + (restored == restored_of_sweep_.end() ? 0 : restored->second);
    return !sweep.max_concurrent || running < *sweep.max_concurrent;
  }

  void Restore(const HeldLease& held, const Run& run) {
    if (!listed_.insert(run.id).second) return;
    LeaseRestored restored;
    restored.lease = {run.id, run.attempts, run.fence.Next()};
    restored.worker = facts_.worker;
    restored.counted_ends = run.counted_ends - 1;  // the loss is taken back
    restored.expires_at = expires_at_;
    answer_.restored.push_back(restored.lease);
    restored_.push_back(run.id);
    ++restored_of_sweep_[run.sweep];
    events_.push_back(restored);
    events_.push_back(LeaseRenewed{run.id, expires_at_, true, held.step});
  }

  void Stop(const LeaseKey& lease, std::string reason) {
    answer_.stop.push_back({lease, std::move(reason), /*hand_back=*/false});
  }

  void Preempt(const Run& run, std::string reason) {
    EndFacts facts;
    facts.end = AttemptEnd::kPreempted;
    facts.reason = std::move(reason);
    events_.push_back(EndAttempt(state_, run, std::move(facts)));
  }

  // Leases that the worker does not name: lost if it had named them before; granted once more if it knows nothing of
  // them.
  void JudgeUnlisted() {
    CountedEndsInARow in_a_row(state_, *worker_);
    for (const RunId id : worker_->leases) {
      if (listed_.count(id) > 0) continue;
      const Run& run = *state_.FindRun(id);
      const SweepEntry& sweep = *state_.FindSweep(run.sweep);
      if (std::get<Running>(run.state).listed) {
        if (facts_.held_open) continue;
        EndFacts facts;
        facts.end = AttemptEnd::kLost;
        facts.reason = absl::StrCat("worker '", worker_->name, "' does not hold it any more");
        AttemptEnded ended = EndAttempt(state_, run, std::move(facts));
        in_a_row.Add(ended);
        events_.push_back(std::move(ended));
      } else if (run.last_acknowledged_sequence > 0) {
        // It was reported on, so the worker had it when this call was under way. Were it granted once more to one that
        // has forgotten it, reports that count from 1 again would be taken for repeated ones; so it is listed or
        // expires.
        repeated_.push_back(id);
      } else if (sweep.state == SweepState::kHalted) {
        Preempt(run, absl::StrCat("sweep '", sweep.name, "' was paused before it started"));
      } else {
        repeated_.push_back(id);
        answer_.start.push_back(Describe(run, LeaseOf(run), run.resume_step));
      }
    }
    if (auto quarantine = in_a_row.Quarantine(worker_state_)) {
      worker_state_ = quarantine->to;
      events_.push_back(*std::move(quarantine));
    }
  }

  // `resume_step`: -1 if from the start.
  LeaseToStart Describe(const Run& run, const LeaseKey& lease, int64_t resume_step) const {
    LeaseToStart start;
    start.lease = lease;
    start.sweep = run.sweep;
    start.configuration = run.configuration;
    start.seed = run.seed;
    if (resume_step >= 0) start.resume_step = resume_step;
    start.final_checkpoint = state_.FindSweep(run.sweep)->keep_checkpoints != KeepCheckpoints::kNone;
    start.pack_key = state_.FindConfiguration(run.configuration)->pack_key;
    start.pack_limit = run.pack_limit;
    return start;
  }

  // The room that is left once the repeated grants have taken theirs.
  std::vector<EngineRoom> RoomLeft() const {
    std::vector<EngineRoom> engines = facts_.engines;
    if (engines.empty()) {
      EngineRoom alone;
      alone.free_slots = 1;
      const size_t count = static_cast<size_t>(std::max(0, facts_.free_slots - static_cast<int>(repeated_.size())));
      return std::vector<EngineRoom>(count, alone);
    }
    for (const RunId id : repeated_) {
      const Digest& key = state_.FindConfiguration(state_.FindRun(id)->configuration)->pack_key;
      const auto fits = [&](const EngineRoom& engine) { return engine.free_slots > 0 && engine.pack_key == key; };
      const auto empty = [](const EngineRoom& engine) { return engine.free_slots > 0 && !engine.pack_key; };
      auto engine = std::find_if(engines.begin(), engines.end(), fits);
      if (engine == engines.end()) engine = std::find_if(engines.begin(), engines.end(), empty);
      if (engine == engines.end()) continue;
      engine->pack_key = key;
      --engine->free_slots;
      ++engine->occupied;
    }
    return engines;
  }

  void Grant() {
    const int most = facts_.free_slots - static_cast<int>(repeated_.size());
    if (worker_state_ != WorkerState::kActive || most <= 0) return;
    for (const RunId id : PickRuns(state_, facts_.trainers, RoomLeft(), most, restored_,
                                   [this](const Run& run) { return !resume_.For(run).waits; })) {
      const Run& run = *state_.FindRun(id);
      AttemptGranted granted;
      granted.lease = {id, run.attempts + 1, run.fence.Next()};
      granted.worker = facts_.worker;
      granted.expires_at = expires_at_;
      const ResumePoint resume = resume_.For(run);
      granted.resume_step = resume.step;
      granted.mixes_numerics = resume.mixes_numerics;
      answer_.start.push_back(Describe(run, granted.lease, resume.step.value_or(-1)));
      events_.push_back(granted);
    }
  }

  const State& state_;
  const Synchronize& facts_;
  const Moment& now_;
  const WorkerEntry* const worker_;  // null: not heard of before
  const absl::Duration expires_at_;
  ResumeChooser resume_;
  WorkerState worker_state_ = WorkerState::kActive;
  absl::flat_hash_set<RunId> listed_;  // and rightly so
  std::vector<RunId> restored_;
  absl::flat_hash_map<SweepId, int64_t> restored_of_sweep_;
  std::vector<RunId> repeated_;  // and those that take up room likewise
  std::vector<Event> events_;
  SynchronizeAnswer answer_;
};

}  // namespace

absl::StatusOr<Decision> DecideOne(const State& state, const Synchronize& command, const Moment& now) {
  const absl::Status checked = CheckFacts(command);
  if (!checked.ok()) return checked;
  const WorkerEntry* worker = state.FindWorker(command.worker);
  const bool is_there = worker != nullptr && worker->state != WorkerState::kGone;
  const int64_t there = static_cast<int64_t>(state.worker_expiries().size());
  if (!is_there && !command.goodbye && !command.held_open && there >= state.settings().most_workers) {
    return absl::ResourceExhaustedError(absl::StrCat("There are ", there, " workers, and no room for '", command.name,
                                                     "': stop some, or wait until the silent ones are gone"));
  }
  return SynchronizeDecision(state, command, now).Make();
}

}  // namespace seedbed::core
