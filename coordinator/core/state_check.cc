#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "coordinator/core/state.h"

namespace seedbed::core {

// Two parts. Rows: what each run, configuration and checkpoint says of itself and of those it names; a pass over them,
// without a look into an index. Indexes: recomputes from the runs alone what every index must hold, and compares.
class StateChecker {
 public:
  explicit StateChecker(const State& state) : state_(state) {}

  absl::Status CheckRows() {
    state_.runs_.ForEach([this](const Run& run) { CheckRow(run); });
    for (const auto& [id, sweep] : state_.sweeps_) {
      Expect(id < state_.next_sweep_id_, "sweep ", id.value(), " is below the next id");
    }
    CheckConfigurations();
    CheckCheckpoints();
    return Result();
  }

  absl::Status CheckAll() {
    const absl::Status rows = CheckRows();
    if (!rows.ok()) return rows;
    state_.runs_.ForEach([this](const Run& run) { CheckRun(run); });
    for (const auto& [id, sweep] : state_.sweeps_) CheckSweep(sweep);
    Expect(configurations_ == state_.configurations_.size(), "every configuration belongs to a sweep");
    Expect(packs_.size() == state_.sweeps_by_pack_.size(), "only pack keys with queued runs are indexed");
    CheckWorkers();
    Expect(state_.sweep_by_name_.size() == state_.sweeps_.size(), "as many names as sweeps");
    Expect(ranked_ == ready_size(), "only ranked sweeps stand among the ready");
    Expect(static_cast<int64_t>(state_.expiries_.size()) == running_, "one expiry for each running run");
    return Result();
  }

 private:
  absl::Status Result() const {
    return problem_.empty() ? absl::OkStatus() : absl::InternalError(absl::StrCat("Broken invariant: ", problem_));
  }

  // Keeps the first problem.
  template <typename... What>
  void Expect(bool holds, const What&... what) {
    if (!holds && problem_.empty()) problem_ = absl::StrCat(what...);
  }

  size_t ready_size() const {
    size_t size = 0;
    for (const auto& [trainer, ranks] : state_.ready_) size += ranks.size();
    return size;
  }

  void CheckRow(const Run& run) {
    const int64_t id = run.id.value();
    const ConfigurationEntry* configuration = state_.FindConfiguration(run.configuration);
    Expect(configuration != nullptr && configuration->sweep == run.sweep, "run ", id,
           " has a configuration of its sweep");
    if (!problem_.empty()) return;
    Expect(run.round < static_cast<int64_t>(configuration->runs.size()) &&
               configuration->runs[run.round] == std::make_pair(run.seed, run.id),
           "run ", id, " stands at its round");
    Expect(run.id < state_.next_run_id_, "run ", id, " is below the next id");
    Expect((run.attempts > 0) == (run.attempt_fence.value() > 0), "run ", id, " has a fence if it had an attempt");
    const RunState state = StateOf(run);
    if (state == RunState::kRunning) {
      Expect(run.attempts > 0 && run.fence == run.attempt_fence, "run ", id, " runs under its fence");
      Expect(!run.last_end.has_value(), "run ", id, " has an attempt that has not ended");
    } else {
      Expect(run.attempts == 0 || run.fence > run.attempt_fence, "run ", id,
             " raised its fence when its attempt ended");
      Expect((run.attempts > 0) == run.last_end.has_value(), "run ", id, " knows how its attempt ended");
    }
    Expect((state == RunState::kFinished) == (run.last_end == AttemptEnd::kFinished), "run ", id, " finished once");
  }

  void CheckRun(const Run& run) {
    const int64_t id = run.id.value();
    const SweepEntry* sweep = state_.FindSweep(run.sweep);
    const ConfigurationEntry* configuration = state_.FindConfiguration(run.configuration);
    Expect(sweep != nullptr, "run ", id, " has a sweep");
    if (!problem_.empty()) return;
    RunCounts& counts = counts_[run.sweep];
    const RunState state = StateOf(run);
    const QueuePosition position{run.round, static_cast<int32_t>(configuration->ordinal), run.id};
    Expect((sweep->queue.count(position) == 1) == (state == RunState::kQueued), "run ", id, " queues if queued");
    Expect((sweep->queue_by_pack.count({configuration->pack_key, position}) == 1) == (state == RunState::kQueued),
           "run ", id, " queues by pack if queued");
    Expect((sweep->running.count(run.id) == 1) == (state == RunState::kRunning), "run ", id, " in running");
    Expect((sweep->failed.count(run.id) == 1) == (state == RunState::kFailed), "run ", id, " in failed");
    Expect((sweep->cancelled.count(run.id) == 1) == (state == RunState::kCancelled), "run ", id, " in cancelled");
    if (state == RunState::kRunning) CheckRunning(run);
    switch (state) {
      case RunState::kQueued:
        ++counts.queued;
        Expect(state_.sweeps_by_pack_.count({configuration->pack_key, run.sweep}) == 1, "run ", id,
               " is found by its pack key");
        packs_.insert({configuration->pack_key, run.sweep});
        break;
      case RunState::kRunning:
        ++counts.running;
        break;
      case RunState::kFinished:
        ++counts.finished;
        break;
      case RunState::kFailed:
        ++counts.failed;
        break;
      case RunState::kCancelled:
        ++counts.cancelled;
        break;
    }
  }

  void CheckRunning(const Run& run) {
    ++running_;
    const int64_t id = run.id.value();
    const Running& running = std::get<Running>(run.state);
    Expect(running.worker != nullptr && state_.FindWorker(running.worker->id) == running.worker, "run ", id,
           " has a worker of this state");
    if (!problem_.empty()) return;
    Expect(running.worker->state != WorkerState::kGone, "run ", id, " is held by a worker that is not gone");
    Expect(running.worker->leases.count(run.id) == 1, "run ", id, " is among its worker's leases");
    Expect(state_.expiries_.count({running.expires_at, run.id}) == 1, "run ", id, " has its expiry");
  }

  void CheckSweep(const SweepEntry& sweep) {
    const int64_t id = sweep.id.value();
    const RunCounts& counts = counts_[sweep.id];
    Expect(state_.FindSweepByName(sweep.name) == &sweep, "sweep ", id, " is found by its name");
    Expect(sweep.counts == counts, "sweep ", id, " counts its runs");
    Expect(static_cast<int64_t>(sweep.queue.size()) == counts.queued, "sweep ", id, " queues only queued runs");
    Expect(sweep.queue_by_pack.size() == sweep.queue.size(), "sweep ", id, " queues the same runs by pack");
    Expect(static_cast<int64_t>(sweep.running.size()) == counts.running, "sweep ", id, " lists its running runs");
    Expect(static_cast<int64_t>(sweep.failed.size()) == counts.failed, "sweep ", id, " lists its failed runs");
    Expect(static_cast<int64_t>(sweep.cancelled.size()) == counts.cancelled, "sweep ", id, " lists its cancelled runs");
    const bool ready = sweep.state == SweepState::kActive && counts.queued > 0 &&
                       (!sweep.max_concurrent || counts.running < *sweep.max_concurrent);
    Expect(sweep.rank.has_value() == ready, "sweep ", id, " is ranked if it has something to lease");
    if (sweep.rank) {
      ++ranked_;
      Expect(sweep.rank->priority == sweep.priority && sweep.rank->running == counts.running &&
                 sweep.rank->sweep == sweep.id && state_.ready(sweep.trainer).count(*sweep.rank) == 1,
             "sweep ", id, " stands at its rank");
    }
    Expect(sweep.by_digest.size() == sweep.configurations.size(), "sweep ", id, " has one digest per configuration");
    for (size_t i = 0; i < sweep.configurations.size() && problem_.empty(); ++i) {
      const ConfigurationEntry* configuration = state_.FindConfiguration(sweep.configurations[i]);
      Expect(configuration != nullptr && configuration->sweep == sweep.id &&
                 configuration->ordinal == static_cast<int64_t>(i),
             "sweep ", id, " has its configuration ", i);
      if (configuration == nullptr) return;
      const auto found = sweep.by_digest.find(configuration->digest);
      Expect(found != sweep.by_digest.end() && found->second == configuration->id, "sweep ", id,
             " finds configuration ", i, " by its digest");
    }
    configurations_ += static_cast<int64_t>(sweep.configurations.size());
  }

  void CheckConfigurations() {
    int64_t runs = 0;
    std::vector<int64_t> seeds;
    state_.configurations_.ForEach([&](const ConfigurationEntry& configuration) {
      runs += static_cast<int64_t>(configuration.runs.size());
      Expect(configuration.id < state_.next_configuration_id_, "configuration ", configuration.id.value(),
             " is below the next id");
      if (configuration.runs.size() < 2) return;
      seeds.clear();
      for (const auto& seed_and_run : configuration.runs) seeds.push_back(seed_and_run.first);
      std::sort(seeds.begin(), seeds.end());
      Expect(std::adjacent_find(seeds.begin(), seeds.end()) == seeds.end(), "configuration ", configuration.id.value(),
             " has each seed once");
    });
    Expect(runs == state_.runs_.size(), "every run belongs to a configuration");
  }

  void CheckWorkers() {
    int64_t leases = 0;
    size_t here = 0;
    for (const auto& [id, worker] : state_.workers_) {
      leases += static_cast<int64_t>(worker.leases.size());
      if (worker.state == WorkerState::kGone) {
        Expect(worker.trainers.empty() && worker.host.empty() && worker.device.empty() && worker.version.empty(),
               "of worker ", id.value(), ", which is gone, nothing is kept but its name");
        continue;
      }
      ++here;
      Expect(state_.worker_expiries_.count({worker.last_seen + state_.settings_.lease_duration, id}) == 1, "worker ",
             id.value(), " has its expiry");
    }
    Expect(state_.worker_expiries_.size() == here, "one expiry for each worker that is not gone");
    Expect(leases == running_, "workers hold the running runs and nothing else");
  }

  void CheckCheckpoints() {
    int64_t bytes = 0;
    for (const auto& [id, checkpoints] : state_.checkpoints_) {
      const Run* run = state_.FindRun(id);
      Expect(run != nullptr && run->attempts > 0 && !checkpoints.empty(), "checkpoints of run ", id.value(),
             " belong to a run that was started");
      if (!problem_.empty()) return;
      for (size_t i = 0; i < checkpoints.size(); ++i) {
        bytes += checkpoints[i].bytes;
        Expect(i == 0 || checkpoints[i - 1].step < checkpoints[i].step, "checkpoints of run ", id.value(), " rise");
        Expect(checkpoints[i].attempt >= 1 && checkpoints[i].attempt <= run->attempts, "a checkpoint of run ",
               id.value(), " is of one of its attempts");
      }
      // What an attempt goes on from was there when it was granted, and nothing newer: later ones are its own.
      for (const Checkpoint& each : checkpoints) {
        Expect(each.attempt == run->attempts || each.step <= run->resume_step || run->attempts == 0 ||
                   StateOf(*run) != RunState::kRunning,
               "run ", id.value(), " has no checkpoint of an earlier attempt beyond its resume step");
      }
    }
    Expect(bytes == state_.checkpoint_bytes_, "the checkpoints' bytes are counted");
  }

  const State& state_;
  std::string problem_;
  absl::flat_hash_map<SweepId, RunCounts> counts_;
  std::set<std::pair<Digest, SweepId>> packs_;
  int64_t running_ = 0;
  int64_t configurations_ = 0;
  size_t ranked_ = 0;
};

absl::Status State::CheckInvariants() const {
  return StateChecker(*this).CheckAll();
}

absl::Status State::CheckRows() const {
  return StateChecker(*this).CheckRows();
}

}  // namespace seedbed::core
