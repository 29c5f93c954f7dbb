#include "coordinator/core/scene.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace seedbed::core {

Scene::Scene(const Settings& given) : settings(given), state(given) {
  Do(Tick{});
}

Decision Scene::Do(const Command& command) {
  absl::StatusOr<Decision> decision = Decide(state, command, clock.Now());
  EXPECT_TRUE(decision.ok()) << decision.status();
  if (!decision.ok()) return {};
  for (const Event& event : decision->events) {
    EXPECT_FALSE(Describe(event).empty());
    state.Apply(event);
  }
  last_events = decision->events;
  const absl::Status checked = state.CheckInvariants();
  EXPECT_TRUE(checked.ok()) << checked;
  return *std::move(decision);
}

absl::Status Scene::Fails(const Command& command) {
  const absl::StatusOr<Decision> decision = Decide(state, command, clock.Now());
  EXPECT_FALSE(decision.ok());
  return decision.status();
}

void Scene::Pass(absl::Duration by) {
  for (absl::Duration passed = absl::ZeroDuration(); passed < by; passed += absl::Seconds(1)) {
    clock.Advance(std::min(absl::Seconds(1), by - passed));
    Do(Tick{});
  }
}

BeginSubmission Scene::Begin(const std::string& name, const std::string& submission_id, const SweepOptions& options) {
  BeginSubmission begin;
  begin.submission_id = submission_id;
  begin.name = name;
  begin.template_json = absl::StrCat(R"({"budget":{"steps":100},"trainer":")", options.trainer, "\"}");
  begin.fixed_json = begin.template_json;
  begin.metric_json = "null";
  begin.priority = options.priority;
  begin.max_concurrent = options.max_concurrent;
  begin.retries = options.retries;
  begin.keep_checkpoints = options.keep_checkpoints;
  begin.numerics = options.numerics;
  return begin;
}

AddConfigurations Scene::Add(SweepId sweep, int first_point, const SweepOptions& options) {
  AddConfigurations add;
  add.sweep = sweep;
  for (int point = first_point; point < first_point + options.points; ++point) {
    NewConfiguration configuration;
    configuration.parameters_json = absl::StrCat("{\"x\":", point, "}");
    configuration.varied_json = configuration.parameters_json;
    configuration.digest = DigestOf(configuration.parameters_json);
    if (options.packs > 0) configuration.pack_key = Digest{7, static_cast<uint64_t>(point % options.packs) + 1};
    add.configurations.push_back(configuration);
  }
  for (int64_t seed = 0; seed < options.seeds; ++seed) add.seeds.push_back(seed);
  return add;
}

SweepId Scene::Submit(const std::string& name, const SweepOptions& options) {
  const std::string submission = absl::StrCat("submission-", ++submissions_);
  const SweepId sweep = Ask<BeginSubmissionAnswer>(Begin(name, submission, options)).sweep;
  Do(Add(sweep, 0, options));
  Do(CompleteSubmission{sweep, submission});
  return sweep;
}

const Run& Scene::RunAt(SweepId sweep, int point, int round) const {
  const ConfigurationId id = state.FindSweep(sweep)->configurations.at(point);
  return *state.FindRun(state.FindConfiguration(id)->runs.at(round).second);
}

std::string Scene::Label(RunId id) const {
  const Run* run = state.FindRun(id);
  if (run == nullptr) return "none";
  return absl::StrCat(state.FindSweep(run->sweep)->name, ":", state.FindConfiguration(run->configuration)->ordinal, ".",
                      run->seed);
}

std::string Scene::Labels(const std::vector<LeaseToStart>& leases) const {
  std::string text;
  for (const LeaseToStart& start : leases) absl::StrAppend(&text, text.empty() ? "" : " ", Label(start.lease.run));
  return text;
}

std::string Scene::Counts(SweepId sweep) const {
  const RunCounts& counts = state.FindSweep(sweep)->counts;
  return absl::StrCat("q", counts.queued, " r", counts.running, " f", counts.finished, " x", counts.failed, " c",
                      counts.cancelled);
}

State Scene::Reloaded(absl::Duration now) const {
  State loaded(settings);
  const auto expect_ok = [](const absl::Status& status) { EXPECT_TRUE(status.ok()) << status; };
  for (const auto& [id, sweep] : state.sweeps()) {
    SweepEntry row;
    row.id = id;
    row.name = sweep.name;
    row.fixed_json = sweep.fixed_json;
    row.template_json = sweep.template_json;
    row.submission_id = sweep.submission_id;
    row.state = sweep.state;
    row.priority = sweep.priority;
    row.max_concurrent = sweep.max_concurrent;
    row.retries = sweep.retries;
    row.keep_checkpoints = sweep.keep_checkpoints;
    row.numerics = sweep.numerics;
    expect_ok(loaded.LoadSweep(row));
  }
  for (const auto& [id, worker] : state.workers()) {
    WorkerEntry row;
    row.id = id;
    row.name = worker.name;
    row.host = worker.host;
    row.device = worker.device;
    row.version = worker.version;
    row.slots = worker.slots;
    row.trainers = worker.trainers;
    row.state = worker.state;
    row.state_before_gone = worker.state_before_gone;
    expect_ok(loaded.LoadWorker(row));
  }
  for (const auto& [id, sweep] : state.sweeps()) {
    // From the back: rows come in any order.
    for (auto it = sweep.configurations.rbegin(); it != sweep.configurations.rend(); ++it) {
      ConfigurationEntry row = *state.FindConfiguration(*it);
      row.runs.clear();
      expect_ok(loaded.LoadConfiguration(row));
      for (const auto& seed_and_run : state.FindConfiguration(*it)->runs) {
        Run run = *state.FindRun(seed_and_run.second);
        run.pack_limit = 0;
        const Running* running = std::get_if<Running>(&run.state);
        expect_ok(running == nullptr ? loaded.LoadRun(run) : loaded.LoadRun(run, running->worker->id));
        for (const Checkpoint& checkpoint : state.CheckpointsOf(run.id)) {
          expect_ok(loaded.LoadCheckpoint(run.id, checkpoint));
        }
      }
    }
  }
  loaded.LoadNextIds(state.next_sweep_id(), state.next_configuration_id(), state.next_run_id());
  expect_ok(loaded.FinishLoading(now));
  return loaded;
}

void Scene::Restart() {
  State loaded = Reloaded(clock.Now().monotonic);
  std::string difference;
  EXPECT_TRUE(loaded.DurablyEquals(state, &difference)) << difference;
  state = std::move(loaded);
  const absl::Status checked = state.CheckInvariants();
  EXPECT_TRUE(checked.ok()) << checked;
}

SceneWorker::SceneWorker(Scene& scene, const std::string& worker_id, int worker_slots)
    : id(worker_id), slots(worker_slots), scene_(scene) {}

Synchronize SceneWorker::Facts() {
  core::Synchronize facts;
  facts.worker = id;
  facts.name = absl::StrCat("name-", id.value());
  facts.host = "node";
  facts.device = "cpu";
  facts.version = "1";
  facts.slots = slots;
  facts.free_slots = std::max(0, slots - static_cast<int>(held.size()));
  facts.engines = engines;
  facts.number = ++number;
  facts.trainers = trainers;
  for (const auto& [run, lease] : held) facts.leases.push_back({lease, 10, true});
  return facts;
}

SynchronizeAnswer SceneWorker::SynchronizeAnswerLost() {
  return scene_.Ask<SynchronizeAnswer>(Facts());
}

SynchronizeAnswer SceneWorker::Synchronize() {
  const SynchronizeAnswer answer = SynchronizeAnswerLost();
  Take(answer);
  return answer;
}

void SceneWorker::Take(const SynchronizeAnswer& answer) {
  for (const LeaseToStart& start : answer.start) {
    if (held.count(start.lease.run) == 0) sequences[start.lease.run] = 0;
    held[start.lease.run] = start.lease;
  }
  for (const LeaseKey& lease : answer.restored) held[lease.run] = lease;
  for (const LeaseToStop& stop : answer.stop) {
    if (!stop.hand_back) held.erase(stop.lease.run);
  }
}

SynchronizeAnswer SceneWorker::Goodbye() {
  core::Synchronize facts = Facts();
  facts.goodbye = true;
  held.clear();
  return scene_.Ask<SynchronizeAnswer>(facts);
}

Report SceneWorker::NextReport(RunId run, int64_t step) {
  core::Report report;
  report.worker = id;
  report.lease = held.at(run);
  report.sequence = ++sequences[run];
  report.last_step = step;
  return report;
}

ReportAnswer SceneWorker::SendRows(RunId run, int64_t step) {
  return scene_.Ask<ReportAnswer>(NextReport(run, step));
}

StoreCheckpoint SceneWorker::NextCheckpoint(RunId run, int64_t step) {
  StoreCheckpoint command;
  command.worker = id;
  command.lease = held.at(run);
  command.checkpoint.step = step;
  command.checkpoint.sequence = sequences[run];
  command.checkpoint.path = absl::StrCat("checkpoints/", run.value(), "-", step);
  command.checkpoint.sha256 = std::string(64, 'a');
  command.checkpoint.bytes = 1000 + step;
  command.numerics_json = trainers.front().numerics_json;
  return command;
}

CheckpointVerdict SceneWorker::Save(RunId run, int64_t step) {
  return scene_.Ask<CheckpointAnswer>(NextCheckpoint(run, step)).verdict;
}

ReportAnswer SceneWorker::End(RunId run, AttemptEnd end, int pack) {
  core::Report report = NextReport(run, 100);
  report.end = core::Report::End{};
  report.end->end = end;
  report.end->reason = "so it was";
  report.end->pack = pack;
  if (end == AttemptEnd::kFinished) report.end->result = RunResult{"grokked", "budget", 100, "{}"};
  held.erase(run);
  return scene_.Ask<ReportAnswer>(report);
}

LeaseKey Lease(SceneWorker& worker) {
  const SynchronizeAnswer answer = worker.Synchronize();
  EXPECT_FALSE(answer.start.empty()) << "nothing was leased";
  return answer.start.empty() ? LeaseKey{} : answer.start.front().lease;
}

}  // namespace seedbed::core
