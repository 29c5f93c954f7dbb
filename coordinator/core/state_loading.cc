#include "absl/strings/str_cat.h"
#include "coordinator/core/state_applier.h"

namespace seedbed::core {
namespace {

// No database of ours comes near; a damaged one must not make tables of that size.
constexpr int64_t kLargestId = int64_t{1} << 33;
constexpr int64_t kLargestPlace = int64_t{1} << 24;  // of a configuration in its sweep, of a run in its configuration
// Of what rises by one and must go on rising.
constexpr int64_t kLargestCount = int64_t{1} << 62;
constexpr int64_t kMostBytes = int64_t{1} << 50;  // of one checkpoint: all of them are added up

absl::Status Damaged(const std::string& what) {
  return absl::DataLossError(
      absl::StrCat("The results database contradicts itself: ", what, ". Restore it from a backup."));
}

bool IsId(int64_t value) {
  return value > 0 && value <= kLargestId;
}

bool IsPlace(int64_t value) {
  return value >= 0 && value <= kLargestPlace;
}

bool IsCount(int64_t value) {
  return value >= 0 && value <= kLargestCount;
}

}  // namespace

absl::Status State::LoadSweep(SweepEntry sweep) {
  if (!IsId(sweep.id.value())) return Damaged(absl::StrCat("a sweep has the id ", sweep.id.value()));
  sweep.trainer = TrainerOf(sweep.template_json);
  if (sweep.trainer.empty())
    return Damaged(absl::StrCat("the template of sweep ", sweep.id.value(), " names no trainer"));
  if (!sweep_by_name_.emplace(sweep.name, sweep.id).second) {
    return Damaged(absl::StrCat("two sweeps are named '", sweep.name, "'"));
  }
  const SweepId id = sweep.id;
  if (!sweeps_.emplace(id, std::move(sweep)).second)
    return Damaged(absl::StrCat("sweep ", id.value(), " stands twice"));
  return absl::OkStatus();
}

absl::Status State::LoadConfiguration(ConfigurationEntry configuration) {
  const int64_t id = configuration.id.value();
  const auto sweep = sweeps_.find(configuration.sweep);
  if (sweep == sweeps_.end()) {
    return Damaged(absl::StrCat("configuration ", id, " names the unknown sweep ", configuration.sweep.value()));
  }
  if (!IsPlace(configuration.ordinal)) {
    return Damaged(absl::StrCat("configuration ", id, " has the ordinal ", configuration.ordinal));
  }
  std::vector<ConfigurationId>& ordered = sweep->second.configurations;
  const size_t place = static_cast<size_t>(configuration.ordinal);
  if (place >= ordered.size()) ordered.resize(place + 1);
  if (ordered[place] || !sweep->second.by_digest.emplace(configuration.digest, configuration.id).second) {
    return Damaged(absl::StrCat("configuration ", id, " has the ordinal or the digest of another of its sweep"));
  }
  ordered[place] = configuration.id;
  if (!IsId(id) || !configurations_.Insert(std::move(configuration))) {
    return Damaged(absl::StrCat("configuration id ", id, " stands twice or is none"));
  }
  return absl::OkStatus();
}

absl::Status State::LoadWorker(WorkerEntry worker) {
  const WorkerId id = worker.id;
  const bool is_gone = worker.state == WorkerState::kGone;
  if (worker.state_before_gone == WorkerState::kGone ||
      (!is_gone && worker.state_before_gone != WorkerState::kActive)) {
    return Damaged(absl::StrCat("worker '", id.value(), "' is ", Name(worker.state), " and was ",
                                Name(worker.state_before_gone), " before it was gone"));
  }
  if (worker.state == WorkerState::kGone) worker.ForgetFacts();
  if (id.empty() || !workers_.emplace(id, std::move(worker)).second) {
    return Damaged(absl::StrCat("worker id '", id.value(), "' stands twice or is empty"));
  }
  return absl::OkStatus();
}

absl::Status State::LoadRun(Run run) {
  const int64_t id = run.id.value();
  ConfigurationEntry* configuration = configurations_.Find(run.configuration);
  if (configuration == nullptr || configuration->sweep != run.sweep) {
    return Damaged(absl::StrCat("run ", id, " names no configuration of sweep ", run.sweep.value()));
  }
  if (!IsPlace(run.round)) return Damaged(absl::StrCat("run ", id, " has the round ", run.round));
  if (!IsCount(run.fence.value()) || !IsCount(run.attempt_fence.value())) {
    return Damaged(absl::StrCat("run ", id, " has the fence ", run.fence.value(), " and its latest attempt ",
                                run.attempt_fence.value()));
  }
  if (!IsCount(run.last_acknowledged_sequence)) {
    return Damaged(absl::StrCat("run ", id, " has acknowledged the report ", run.last_acknowledged_sequence));
  }
  const size_t place = static_cast<size_t>(run.round);
  if (place >= configuration->runs.size()) configuration->runs.resize(place + 1);
  if (configuration->runs[place].second) {
    return Damaged(
        absl::StrCat("run ", id, " has the round of another run of configuration ", run.configuration.value()));
  }
  configuration->runs[place] = {run.seed, run.id};
  if (!IsId(id) || !runs_.Insert(std::move(run))) {
    return Damaged(absl::StrCat("run id ", id, " stands twice or is none"));
  }
  return absl::OkStatus();
}

absl::Status State::LoadRun(Run run, const WorkerId& lease_holder) {
  const auto worker = workers_.find(lease_holder);
  if (worker == workers_.end() || worker->second.state == WorkerState::kGone) {
    return Damaged(absl::StrCat("run ", run.id.value(), " is leased to '", lease_holder.value(),
                                "', a worker that is unknown or gone"));
  }
  Running running;
  running.worker = &worker->second;
  // A report proves that the worker has the lease: were it granted again, its reports would be taken for repeated ones.
  running.listed = run.last_acknowledged_sequence > 0;
  run.state = running;
  return LoadRun(std::move(run));
}

absl::Status State::LoadCheckpoint(RunId run, Checkpoint checkpoint) {
  if (runs_.Find(run) == nullptr) return Damaged(absl::StrCat("a checkpoint names the unknown run ", run.value()));
  std::vector<Checkpoint>& checkpoints = checkpoints_[run];
  if (!IsCount(checkpoint.step) || !IsCount(checkpoint.sequence) || checkpoint.attempt < 1 || checkpoint.bytes < 0 ||
      checkpoint.bytes > kMostBytes || (!checkpoints.empty() && checkpoints.back().step >= checkpoint.step)) {
    return Damaged(absl::StrCat("run ", run.value(), " has the checkpoint of step ", checkpoint.step));
  }
  checkpoint_bytes_ += checkpoint.bytes;
  checkpoints.push_back(std::move(checkpoint));
  return absl::OkStatus();
}

void State::LoadNextIds(SweepId sweep, ConfigurationId configuration, RunId run) {
  next_sweep_id_ = sweep;
  next_configuration_id_ = configuration;
  next_run_id_ = run;
}

absl::Status State::FinishLoading(absl::Duration now) {
  for (const int64_t next : {next_sweep_id_.value(), next_configuration_id_.value(), next_run_id_.value()}) {
    if (!IsId(next)) return Damaged(absl::StrCat("the next id is ", next));
  }
  for (const auto& [id, sweep] : sweeps_) {
    for (const ConfigurationId configuration : sweep.configurations) {
      if (!configuration) return Damaged(absl::StrCat("an ordinal is missing in sweep ", id.value()));
      for (const auto& seed_and_run : configurations_.Find(configuration)->runs) {
        if (!seed_and_run.second) {
          return Damaged(absl::StrCat("a round is missing in configuration ", configuration.value()));
        }
      }
    }
  }
  StateApplier applier(*this, nullptr);
  for (auto& [id, worker] : workers_) {
    if (worker.state != WorkerState::kGone) applier.SetLastSeen(worker, now);
  }
  runs_.ForEach([&](const Run& run) {
    if (StateOf(run) != RunState::kRunning) return;
    std::get<Running>(runs_.Find(run.id)->state).expires_at = now + settings_.lease_duration;
  });
  applier.EnterAll();
  for (auto& [id, sweep] : sweeps_) applier.RefreshRank(sweep);
  last_tick_ = now;
  // The indexes were made here, from the rows, and agree with them. Only the rows are others' work.
  const absl::Status checked = CheckRows();
  return checked.ok() ? checked : Damaged(std::string(checked.message()));
}

}  // namespace seedbed::core
