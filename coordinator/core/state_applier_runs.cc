#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "coordinator/core/state_applier.h"

// The transitions of runs, leases and workers, and the indexes that follow them.
namespace seedbed::core {

void StateApplier::Start(Run& run, const LeaseKey& lease, const WorkerId& worker_id, absl::Duration expires_at,
                         bool listed) {
  WorkerEntry& worker = Worker(worker_id);
  Require(StateOf(run) == RunState::kQueued, "the run is not queued");
  Require(worker.state != WorkerState::kGone, "the worker is gone");
  Require(lease.fence > run.fence, "the fence does not rise");
  LeaveIndexes(run);
  run.fence = lease.fence;
  run.attempt_fence = lease.fence;
  run.attempts = lease.attempt;
  run.last_end.reset();
  Running running;
  running.worker = &worker;
  running.expires_at = expires_at;
  running.listed = listed;
  run.state = running;
  EnterIndexes(run);
  RefreshRank(Sweep(run.sweep));
}

void StateApplier::operator()(const AttemptGranted& e) {
  Run& run = RunOf(e.lease.run);
  Require(Sweep(run.sweep).state == SweepState::kActive, "the sweep is not active");
  Require(Worker(e.worker).state == WorkerState::kActive, "the worker gets nothing new");
  Require(e.lease.attempt == run.attempts + 1, "not the next attempt");
  Start(run, e.lease, e.worker, e.expires_at, /*listed=*/false);
  run.last_acknowledged_sequence = 0;
  run.resume_step = e.resume_step.value_or(-1);
  const std::vector<Checkpoint>& checkpoints = state_.CheckpointsOf(run.id);
  Require(!e.resume_step || std::any_of(checkpoints.begin(), checkpoints.end(),
                                        [&](const Checkpoint& each) { return each.step == *e.resume_step; }),
          "there is no checkpoint of the step to resume from");
  DropCheckpointsBeyond(run.id, run.resume_step);
}

void StateApplier::operator()(const LeaseRestored& e) {
  Run& run = RunOf(e.lease.run);
  Require(e.lease.attempt == run.attempts, "not the latest attempt");
  Require(run.last_end == AttemptEnd::kLost, "the attempt was not lost");
  Start(run, e.lease, e.worker, e.expires_at, /*listed=*/true);
  run.counted_ends = e.counted_ends;
}

void StateApplier::operator()(const ReportAcknowledged& e) {
  Run& run = RunOf(e.run);
  Require(StateOf(run) == RunState::kRunning && e.attempt == run.attempts, "the attempt does not run");
  Require(e.sequence == run.last_acknowledged_sequence + 1, "not the next sequence");
  run.last_acknowledged_sequence = e.sequence;
}

void StateApplier::operator()(const CheckpointStored& e) {
  Run& run = RunOf(e.run);
  Require(StateOf(run) == RunState::kRunning && e.checkpoint.attempt == run.attempts, "the attempt does not run");
  Require(e.checkpoint.sequence <= run.last_acknowledged_sequence, "its report is not durable");
  Require(e.checkpoint.step >= 0 && e.checkpoint.bytes >= 0, "no step or no size");
  std::vector<Checkpoint>& checkpoints = state_.checkpoints_[e.run];
  Require(checkpoints.empty() || checkpoints.back().step < e.checkpoint.step, "not beyond the one before");
  checkpoints.push_back(e.checkpoint);
  std::get<Running>(run.state).checkpoint_wanted = false;
  state_.checkpoint_bytes_ += e.checkpoint.bytes;
}

void StateApplier::operator()(const CheckpointsDropped& e) {
  const auto found = state_.checkpoints_.find(e.run);
  Require(found != state_.checkpoints_.end(), "the run has no checkpoints");
  std::vector<Checkpoint>& checkpoints = found->second;
  for (const int64_t step : e.steps) {
    const auto place = std::find_if(checkpoints.begin(), checkpoints.end(),
                                    [step](const Checkpoint& each) { return each.step == step; });
    Require(place != checkpoints.end(), "no checkpoint of that step");
    state_.checkpoint_bytes_ -= place->bytes;
    checkpoints.erase(place);
  }
  if (checkpoints.empty()) state_.checkpoints_.erase(found);
}

void StateApplier::DropCheckpointsBeyond(RunId run, int64_t step) {
  const auto found = state_.checkpoints_.find(run);
  if (found == state_.checkpoints_.end()) return;
  std::vector<Checkpoint>& checkpoints = found->second;
  while (!checkpoints.empty() && checkpoints.back().step > step) {
    state_.checkpoint_bytes_ -= checkpoints.back().bytes;
    checkpoints.pop_back();
  }
  if (checkpoints.empty()) state_.checkpoints_.erase(found);
}

void StateApplier::operator()(const AttemptEnded& e) {
  Run& run = RunOf(e.run);
  Require(StateOf(run) == RunState::kRunning && e.attempt == run.attempts, "the attempt does not run");
  Require(e.next_fence > run.fence, "the fence does not rise");
  Require((e.end == AttemptEnd::kFinished) == (e.next_state == RunState::kFinished), "finished means finished");
  Require((e.end == AttemptEnd::kFinished) == e.result.has_value(), "a result stands for finished, and only for it");
  Require((e.end == AttemptEnd::kCancelled) == (e.next_state == RunState::kCancelled), "cancelled means cancelled");
  WorkerEntry& worker = Worker(std::get<Running>(run.state).worker->id);
  LeaveIndexes(run);
  run.fence = e.next_fence;
  run.counted_ends = e.counted_ends;
  run.failed_ends = e.failed_ends;
  run.pack_limit = static_cast<int16_t>(e.pack_limit);
  run.last_end = e.end;
  switch (e.next_state) {
    case RunState::kQueued:
      run.state = Queued{};
      break;
    case RunState::kRunning:
      Require(false, "an end is no beginning");
      break;
    case RunState::kFinished:
      run.state = Finished{};
      break;
    case RunState::kFailed:
      run.state = Failed{};
      break;
    case RunState::kCancelled:
      run.state = Cancelled{};
      break;
  }
  EnterIndexes(run);
  RefreshRank(Sweep(run.sweep));
  std::vector<RunId>& in_a_row = worker.counted_ends_in_a_row;
  if (e.end == AttemptEnd::kFinished) in_a_row.clear();
  if (e.blames_worker && std::find(in_a_row.begin(), in_a_row.end(), e.run) == in_a_row.end())
    in_a_row.push_back(e.run);
}

void StateApplier::operator()(const RunStateChanged& e) {
  Run& run = RunOf(e.run);
  Require(StateOf(run) == e.from, "the run is in another state");
  Require(e.next_fence > run.fence, "the fence does not rise");
  const bool cancelled = e.from == RunState::kQueued && e.to == RunState::kCancelled;
  const bool retried = (e.from == RunState::kFailed || e.from == RunState::kCancelled) && e.to == RunState::kQueued;
  Require(cancelled || retried, "a run that does not run may not change so");
  LeaveIndexes(run);
  run.fence = e.next_fence;
  if (cancelled) {
    run.state = Cancelled{};
  } else {
    run.state = Queued{};
    run.counted_ends = 0;
    run.failed_ends = 0;
    run.pack_limit = 0;
    if (e.delete_rows) DropCheckpointsBeyond(run.id, -1);
  }
  EnterIndexes(run);
  RefreshRank(Sweep(run.sweep));
}

void StateApplier::operator()(const WorkerRegistered& e) {
  Require(!e.worker.empty(), "a worker without an id");
  const bool is_new = state_.workers_.count(e.worker) == 0;
  WorkerEntry& worker = state_.workers_[e.worker];
  worker.id = e.worker;
  worker.name = e.name;
  worker.host = e.host;
  worker.slots = e.slots;
  worker.device = e.device;
  worker.version = e.version;
  worker.trainers = e.trainers;
  if (is_new) SetLastSeen(worker, absl::ZeroDuration());
}

void StateApplier::operator()(const WorkerStateChanged& e) {
  WorkerEntry& worker = Worker(e.worker);
  Require(worker.state == e.from && e.from != e.to, "the worker is in another state");
  if (e.to == WorkerState::kGone) {
    Require(worker.leases.empty(), "a worker that is gone holds leases");
    state_.worker_expiries_.erase({worker.last_seen + state_.settings_.lease_duration, worker.id});
    worker.free_slots = 0;
    worker.ForgetFacts();
  }
  worker.state = e.to;
  worker.state_before_gone = e.to == WorkerState::kGone ? e.from : WorkerState::kActive;
  if (e.from == WorkerState::kGone) SetLastSeen(worker, worker.last_seen);
  if (e.to == WorkerState::kActive && e.from != WorkerState::kGone) worker.counted_ends_in_a_row.clear();
}

void StateApplier::operator()(const WorkerSeen& e) {
  WorkerEntry& worker = Worker(e.worker);
  Require(worker.state != WorkerState::kGone, "the worker is gone");
  Require(e.synchronize_number >= worker.synchronize_number, "the number falls");
  worker.synchronize_number = e.synchronize_number;
  worker.free_slots = e.free_slots;
  SetLastSeen(worker, e.at);
}

void StateApplier::SetLastSeen(WorkerEntry& worker, absl::Duration at) {
  state_.worker_expiries_.erase({worker.last_seen + state_.settings_.lease_duration, worker.id});
  worker.last_seen = at;
  state_.worker_expiries_.insert({at + state_.settings_.lease_duration, worker.id});
}

void StateApplier::operator()(const LeaseRenewed& e) {
  Run& run = RunOf(e.run);
  Require(StateOf(run) == RunState::kRunning, "the run does not run");
  Running& running = std::get<Running>(run.state);
  state_.expiries_.erase({running.expires_at, run.id});
  running.expires_at = e.expires_at;
  running.listed = running.listed || e.listed;
  running.step = std::max(running.step, e.step);
  state_.expiries_.insert({running.expires_at, run.id});
}

void StateApplier::operator()(const CheckpointRequested& e) {
  Run& run = RunOf(e.run);
  Require(StateOf(run) == RunState::kRunning, "the run does not run");
  std::get<Running>(run.state).checkpoint_wanted = true;
}

void StateApplier::operator()(const LeasesExtended& e) {
  std::set<std::pair<absl::Duration, RunId>> expiries;
  for (const auto& [expires_at, id] : state_.expiries_) {
    std::get<Running>(RunOf(id).state).expires_at += e.by;
    expiries.insert(expiries.end(), {expires_at + e.by, id});
  }
  state_.expiries_ = std::move(expiries);
  std::set<std::pair<absl::Duration, WorkerId>> worker_expiries;
  for (const auto& [expires_at, id] : state_.worker_expiries_) {
    Worker(id).last_seen += e.by;
    worker_expiries.insert(worker_expiries.end(), {expires_at + e.by, id});
  }
  state_.worker_expiries_ = std::move(worker_expiries);
}

void StateApplier::operator()(const ClockTicked& e) {
  state_.last_tick_ = e.at;
}

QueuePosition StateApplier::PositionOf(const Run& run, const ConfigurationEntry& configuration) const {
  return {run.round, static_cast<int32_t>(configuration.ordinal), run.id};
}

void StateApplier::EnterIndexes(const Run& run) {
  EnterStateIndexes(run);
  if (StateOf(run) != RunState::kQueued) return;
  const ConfigurationEntry& configuration = *state_.configurations_.Find(run.configuration);
  Sweep(run.sweep).queue_by_pack.insert({configuration.pack_key, PositionOf(run, configuration)});
  state_.sweeps_by_pack_.insert({configuration.pack_key, run.sweep});
}

void StateApplier::EnterAll() {
  // Pack keys are hashes: in the order of the runs each would go to another place of its index, and none is in the
  // processor's cache.
  std::map<SweepId, std::vector<std::pair<Digest, QueuePosition>>> by_sweep;
  state_.runs_.ForEach([&](const Run& run) {
    EnterStateIndexes(run);
    if (StateOf(run) != RunState::kQueued) return;
    const ConfigurationEntry& configuration = *state_.configurations_.Find(run.configuration);
    by_sweep[run.sweep].emplace_back(configuration.pack_key, PositionOf(run, configuration));
  });
  for (auto& [id, packed] : by_sweep) {
    std::sort(packed.begin(), packed.end());
    SweepEntry& sweep = Sweep(id);
    for (const std::pair<Digest, QueuePosition>& each : packed) {
      sweep.queue_by_pack.insert(sweep.queue_by_pack.end(), each);
      state_.sweeps_by_pack_.insert({each.first, id});
    }
  }
}

void StateApplier::EnterStateIndexes(const Run& run) {
  SweepEntry& sweep = Sweep(run.sweep);
  switch (StateOf(run)) {
    case RunState::kQueued:
      sweep.queue.insert(PositionOf(run, *state_.configurations_.Find(run.configuration)));
      ++sweep.counts.queued;
      break;
    case RunState::kRunning: {
      const Running& running = std::get<Running>(run.state);
      Require(state_.workers_.at(running.worker->id).leases.insert(run.id).second, "the worker holds it already");
      state_.expiries_.insert({running.expires_at, run.id});
      sweep.running.insert(run.id);
      ++sweep.counts.running;
      break;
    }
    case RunState::kFinished:
      ++sweep.counts.finished;
      break;
    case RunState::kFailed:
      sweep.failed.insert(run.id);
      ++sweep.counts.failed;
      break;
    case RunState::kCancelled:
      sweep.cancelled.insert(run.id);
      ++sweep.counts.cancelled;
      break;
  }
}

void StateApplier::LeaveIndexes(const Run& run) {
  SweepEntry& sweep = Sweep(run.sweep);
  switch (StateOf(run)) {
    case RunState::kQueued: {
      const ConfigurationEntry& configuration = *state_.configurations_.Find(run.configuration);
      const QueuePosition position = PositionOf(run, configuration);
      sweep.queue.erase(position);
      const auto next = sweep.queue_by_pack.erase(sweep.queue_by_pack.find({configuration.pack_key, position}));
      const bool same_after = next != sweep.queue_by_pack.end() && next->first == configuration.pack_key;
      const bool same_before = next != sweep.queue_by_pack.begin() && std::prev(next)->first == configuration.pack_key;
      if (!same_after && !same_before) state_.sweeps_by_pack_.erase({configuration.pack_key, sweep.id});
      --sweep.counts.queued;
      break;
    }
    case RunState::kRunning: {
      const Running& running = std::get<Running>(run.state);
      state_.workers_.at(running.worker->id).leases.erase(run.id);
      state_.expiries_.erase({running.expires_at, run.id});
      sweep.running.erase(run.id);
      --sweep.counts.running;
      break;
    }
    case RunState::kFinished:
      --sweep.counts.finished;
      break;
    case RunState::kFailed:
      sweep.failed.erase(run.id);
      --sweep.counts.failed;
      break;
    case RunState::kCancelled:
      sweep.cancelled.erase(run.id);
      --sweep.counts.cancelled;
      break;
  }
}

void StateApplier::RefreshRank(SweepEntry& sweep) {
  std::optional<SweepRank> rank;
  if (sweep.state == SweepState::kActive && !sweep.queue.empty() &&
      (!sweep.max_concurrent || sweep.counts.running < *sweep.max_concurrent)) {
    rank = SweepRank{sweep.priority, sweep.counts.running, sweep.id};
  }
  if (!rank && !sweep.rank) return;
  absl::btree_set<SweepRank>& ready = state_.ready_[sweep.trainer];
  if (sweep.rank) ready.erase(*sweep.rank);
  if (rank) ready.insert(*rank);
  sweep.rank = rank;
}

}  // namespace seedbed::core
