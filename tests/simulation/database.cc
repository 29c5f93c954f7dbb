#include "tests/simulation/database.h"

#include <algorithm>
#include <set>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "tests/simulation/truth.h"

namespace seedbed::simulation {

using core::RunState;

// One event to rows.
class EventWriter {
 public:
  explicit EventWriter(Database& database) : database_(database) {}

  void operator()(const core::SweepCreated& e) {
    core::SweepEntry& sweep = database_.sweeps_[e.sweep];
    Expect(sweep.name.empty(), "the sweep exists");
    sweep.id = e.sweep;
    sweep.name = e.name;
    sweep.fixed_json = e.fixed_json;
    sweep.template_json = e.template_json;
    sweep.submission_id = e.submission_id;
    sweep.state = core::SweepState::kSubmitting;
    sweep.priority = e.priority;
    sweep.max_concurrent = e.max_concurrent;
    sweep.retries = e.retries;
    sweep.keep_checkpoints = e.keep_checkpoints;
    sweep.numerics = e.numerics;
    Raise(database_.next_sweep_id_, e.sweep);
  }
  void operator()(const core::SweepExtended& e) {
    core::SweepEntry* sweep = Find(database_.sweeps_, e.sweep);
    if (sweep == nullptr) return;
    sweep->submission_id = e.submission_id;
    sweep->priority = e.priority;
    sweep->max_concurrent = e.max_concurrent;
    sweep->keep_checkpoints = e.keep_checkpoints;
    sweep->numerics = e.numerics;
  }
  void operator()(const core::SweepStateChanged& e) {
    if (core::SweepEntry* sweep = Find(database_.sweeps_, e.sweep)) sweep->state = e.to;
  }
  void operator()(const core::ConfigurationAdded& e) {
    ConfigurationRow& row = database_.configurations_[e.configuration];
    Expect(!row.entry.id, "the configuration exists");
    row.entry.id = e.configuration;
    row.entry.sweep = e.sweep;
    row.entry.ordinal = e.ordinal;
    row.entry.digest = e.digest;
    row.entry.pack_key = e.pack_key;
    row.parameters_json = e.parameters_json;
    Raise(database_.next_configuration_id_, e.configuration);
  }
  void operator()(const core::VariedChanged& e) {
    Expect(database_.configurations_.count(e.configuration) == 1, "no such configuration");
  }
  void operator()(const core::SweepDeleted& e) { Expect(database_.sweeps_.erase(e.sweep) == 1, "no such sweep"); }

  void operator()(const core::RunAdded& e) {
    RunRow& run = database_.runs_[e.run];
    Expect(!run.id, "the run exists");
    run.id = e.run;
    run.sweep = e.sweep;
    run.configuration = e.configuration;
    run.seed = e.seed;
    run.round = e.round;
    const core::SweepEntry* sweep = Find(database_.sweeps_, e.sweep);
    const ConfigurationRow* configuration = Find(database_.configurations_, e.configuration);
    if (sweep == nullptr || configuration == nullptr) return;
    run.specification = SpecificationOf(sweep->name, configuration->parameters_json, e.seed);
    Raise(database_.next_run_id_, e.run);
  }
  void operator()(const core::AttemptGranted& e) {
    RunRow* run = Find(database_.runs_, e.lease.run);
    if (run == nullptr) return;
    database_.DeleteBeyond(*run, e.resume_step.value_or(-1));
    run->state = RunState::kRunning;
    run->fence = e.lease.fence;
    run->attempts.push_back({e.worker, e.lease.fence, e.resume_step, 0, std::nullopt});
    Expect(static_cast<int>(run->attempts.size()) == e.lease.attempt, "attempts are numbered without gaps");
  }
  void operator()(const core::LeaseRestored& e) {
    AttemptRow* attempt = Attempt(e.lease.run, e.lease.attempt);
    if (attempt == nullptr) return;
    attempt->fence = e.lease.fence;
    attempt->ended_as.reset();
    RunRow& run = database_.runs_.at(e.lease.run);
    run.state = RunState::kRunning;
    run.fence = e.lease.fence;
    run.counted_ends = e.counted_ends;
  }
  void operator()(const core::ReportAcknowledged& e) {
    AttemptRow* attempt = Attempt(e.run, e.attempt);
    if (attempt == nullptr) return;
    Expect(e.sequence > attempt->acknowledged_sequence, "an acknowledged sequence does not fall");
    attempt->acknowledged_sequence = e.sequence;
  }
  void operator()(const core::CheckpointStored& e) {
    if (RunRow* run = Find(database_.runs_, e.run)) run->checkpoints.push_back(e.checkpoint);
  }
  void operator()(const core::CheckpointsDropped& e) {
    RunRow* run = Find(database_.runs_, e.run);
    if (run == nullptr) return;
    for (const int64_t step : e.steps) {
      const auto place = std::find_if(run->checkpoints.begin(), run->checkpoints.end(),
                                      [step](const core::Checkpoint& each) { return each.step == step; });
      Expect(place != run->checkpoints.end(), "no such checkpoint");
      if (place == run->checkpoints.end()) return;
      database_.dropped_files_.push_back(place->path);
      run->checkpoints.erase(place);
    }
  }
  void operator()(const core::AttemptEnded& e) {
    AttemptRow* attempt = Attempt(e.run, e.attempt);
    if (attempt == nullptr) return;
    attempt->ended_as = e.end;
    RunRow& run = database_.runs_.at(e.run);
    run.state = e.next_state;
    run.fence = e.next_fence;
    run.counted_ends = e.counted_ends;
    run.failed_ends = e.failed_ends;
    if (e.result) run.result = e.result;
  }
  void operator()(const core::RunStateChanged& e) {
    RunRow* run = Find(database_.runs_, e.run);
    if (run == nullptr) return;
    run->state = e.to;
    run->fence = e.next_fence;
    if (e.to == RunState::kQueued) {
      run->counted_ends = 0;
      run->failed_ends = 0;
      run->result.reset();
    }
    if (e.delete_rows) database_.DeleteBeyond(*run, -1);
  }
  void operator()(const core::RunsDeleted& e) {
    for (const RunId id : e.runs) {
      RunRow* run = Find(database_.runs_, id);
      if (run == nullptr) return;
      database_.DeleteBeyond(*run, -1);
      database_.runs_.erase(id);
    }
    for (const ConfigurationId id : e.configurations) {
      Expect(database_.configurations_.erase(id) == 1, "no such configuration");
    }
  }

  void operator()(const core::WorkerRegistered& e) {
    core::WorkerEntry& worker = database_.workers_[e.worker];
    worker.id = e.worker;
    worker.name = e.name;
    worker.host = e.host;
    worker.device = e.device;
    worker.version = e.version;
    worker.slots = e.slots;
    worker.trainers = e.trainers;
  }
  void operator()(const core::WorkerStateChanged& e) {
    core::WorkerEntry* worker = Find(database_.workers_, e.worker);
    if (worker == nullptr) return;
    worker->state = e.to;
    worker->state_before_gone = e.to == core::WorkerState::kGone ? e.from : core::WorkerState::kActive;
  }

  // Memory only.
  void operator()(const core::SubmissionCompleted&) { Expect(false, "it is not durable"); }
  void operator()(const core::WorkerSeen&) { Expect(false, "it is not durable"); }
  void operator()(const core::LeaseRenewed&) { Expect(false, "it is not durable"); }
  void operator()(const core::CheckpointRequested&) { Expect(false, "it is not durable"); }
  void operator()(const core::LeasesExtended&) { Expect(false, "it is not durable"); }
  void operator()(const core::ClockTicked&) { Expect(false, "it is not durable"); }

  const std::string& problem() const { return problem_; }

 private:
  void Expect(bool holds, const char* what) {
    if (!holds && problem_.empty()) problem_ = what;
  }
  template <typename Id, typename Row>
  Row* Find(std::map<Id, Row>& rows, const Id& id) {
    const auto found = rows.find(id);
    Expect(found != rows.end(), "no such row");
    return found == rows.end() ? nullptr : &found->second;
  }
  AttemptRow* Attempt(RunId id, int attempt) {
    RunRow* run = Find(database_.runs_, id);
    const bool there = run != nullptr && attempt >= 1 && attempt <= static_cast<int>(run->attempts.size());
    Expect(there, "no such attempt");
    return there ? &run->attempts[static_cast<size_t>(attempt) - 1] : nullptr;
  }
  template <typename Id>
  static void Raise(Id& next, Id used) {
    if (next <= used) next = used.Next();
  }

  Database& database_;
  std::string problem_;
};

void Database::DeleteBeyond(RunRow& run, int64_t step) {
  run.steps.erase(run.steps.upper_bound(step), run.steps.end());
  while (!run.checkpoints.empty() && run.checkpoints.back().step > step) {
    dropped_files_.push_back(run.checkpoints.back().path);
    run.checkpoints.pop_back();
  }
}

absl::Status Database::Write(const Batch& batch) {
  ++writes_;
  for (const MetricRows& metrics : batch.metrics) {
    const auto run = runs_.find(metrics.run);
    if (run == runs_.end()) return absl::InternalError(absl::StrCat("rows of the unknown run ", metrics.run.value()));
    for (size_t i = 0; i < metrics.rows.steps.size(); ++i) {
      run->second.steps[metrics.rows.steps[i]] = metrics.rows.values[i];
    }
  }
  EventWriter writer(*this);
  for (const core::Event& event : batch.events) {
    std::visit(writer, event);
    if (!writer.problem().empty()) {
      return absl::InternalError(absl::StrCat("{", core::Describe(event), "} does not fit: ", writer.problem()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<core::State> Database::Load(const core::Settings& settings, absl::Duration now) const {
  core::State state(settings);
  for (const auto& [id, sweep] : sweeps_) SEEDBED_RETURN_IF_ERROR(state.LoadSweep(sweep));
  for (const auto& [id, row] : configurations_) SEEDBED_RETURN_IF_ERROR(state.LoadConfiguration(row.entry));
  for (const auto& [id, worker] : workers_) SEEDBED_RETURN_IF_ERROR(state.LoadWorker(worker));
  for (const auto& [id, row] : runs_) {
    core::Run run;
    run.id = id;
    run.sweep = row.sweep;
    run.configuration = row.configuration;
    run.seed = row.seed;
    run.round = static_cast<int32_t>(row.round);
    run.fence = row.fence;
    run.attempts = static_cast<int32_t>(row.attempts.size());
    run.counted_ends = row.counted_ends;
    run.failed_ends = row.failed_ends;
    if (!row.attempts.empty()) {
      const AttemptRow& attempt = row.attempts.back();
      run.attempt_fence = attempt.fence;
      run.last_acknowledged_sequence = attempt.acknowledged_sequence;
      run.last_end = attempt.ended_as;
      run.resume_step = attempt.resume_step.value_or(-1);
    }
    if (row.state == RunState::kRunning) {
      SEEDBED_RETURN_IF_ERROR(state.LoadRun(std::move(run), row.attempts.back().worker));
    } else {
      if (row.state == RunState::kFinished) run.state = core::Finished{};
      if (row.state == RunState::kFailed) run.state = core::Failed{};
      if (row.state == RunState::kCancelled) run.state = core::Cancelled{};
      SEEDBED_RETURN_IF_ERROR(state.LoadRun(std::move(run)));
    }
    for (const core::Checkpoint& each : row.checkpoints) SEEDBED_RETURN_IF_ERROR(state.LoadCheckpoint(id, each));
  }
  state.LoadNextIds(next_sweep_id_, next_configuration_id_, next_run_id_);
  SEEDBED_RETURN_IF_ERROR(state.FinishLoading(now));
  return state;
}

const core::SweepEntry* Database::FindSweepByName(const std::string& name) const {
  for (const auto& [id, sweep] : sweeps_) {
    if (sweep.name == name) return &sweep;
  }
  return nullptr;
}

const core::Checkpoint* Database::FindCheckpoint(RunId id, int64_t step) const {
  const RunRow* run = FindRun(id);
  if (run == nullptr) return nullptr;
  for (const core::Checkpoint& each : run->checkpoints) {
    if (each.step == step) return &each;
  }
  return nullptr;
}

void Database::RemoveOrphans() {
  std::set<std::string> named;
  for (const auto& [id, run] : runs_) {
    for (const core::Checkpoint& each : run.checkpoints) named.insert(each.path);
  }
  for (auto file = files.begin(); file != files.end();) {
    file = named.count(file->first) > 0 ? std::next(file) : files.erase(file);
  }
}

}  // namespace seedbed::simulation
