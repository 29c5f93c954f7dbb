#include "coordinator/core/state_applier.h"

#include <cstdio>
#include <cstdlib>

#include "common/base/json.h"

namespace seedbed::core {
namespace {

bool MayBecome(SweepState from, SweepState to) {
  switch (to) {
    case SweepState::kSubmitting:
      return false;
    case SweepState::kActive:
      return from == SweepState::kSubmitting || from == SweepState::kPaused || from == SweepState::kHalted;
    case SweepState::kPaused:
      return from == SweepState::kActive;
    case SweepState::kHalted:
      return from == SweepState::kActive || from == SweepState::kPaused;
    case SweepState::kDeleting:
      return from != SweepState::kDeleting;
  }
  return false;
}

}  // namespace

std::string TrainerOf(const std::string& template_json) {
  const absl::StatusOr<Json> json = ParseJson(template_json, "a sweep's template");
  if (!json.ok() || !json->is_object()) return "";
  const auto trainer = json->find("trainer");
  return trainer != json->end() && trainer->is_string() ? trainer->get<std::string>() : "";
}

void StateApplier::Require(bool legal, const char* why) const {
  if (legal) return;
  std::fprintf(stderr,
               "The coordinator's state met an illegal transition (%s): %s. The database is not touched by it.\n", why,
               event_ == nullptr ? "while loading" : Describe(*event_).c_str());
  std::abort();
}

SweepEntry& StateApplier::Sweep(SweepId id) {
  const auto found = state_.sweeps_.find(id);
  Require(found != state_.sweeps_.end(), "unknown sweep");
  return found->second;
}

Run& StateApplier::RunOf(RunId id) {
  Run* run = state_.runs_.Find(id);
  Require(run != nullptr, "unknown run");
  return *run;
}

WorkerEntry& StateApplier::Worker(const WorkerId& id) {
  const auto found = state_.workers_.find(id);
  Require(found != state_.workers_.end(), "unknown worker");
  return found->second;
}

void StateApplier::operator()(const SweepCreated& e) {
  Require(e.sweep.value() > 0 && state_.sweeps_.count(e.sweep) == 0, "the sweep exists");
  Require(state_.sweep_by_name_.count(e.name) == 0, "the name is taken");
  SweepEntry& sweep = state_.sweeps_[e.sweep];
  sweep.id = e.sweep;
  sweep.name = e.name;
  sweep.trainer = TrainerOf(e.template_json);
  sweep.fixed_json = e.fixed_json;
  sweep.template_json = e.template_json;
  sweep.submission_id = e.submission_id;
  sweep.priority = e.priority;
  sweep.max_concurrent = e.max_concurrent;
  sweep.retries = e.retries;
  sweep.keep_checkpoints = e.keep_checkpoints;
  sweep.numerics = e.numerics;
  Require(!sweep.trainer.empty(), "the template names no trainer");
  state_.sweep_by_name_[e.name] = e.sweep;
  if (state_.next_sweep_id_ <= e.sweep) state_.next_sweep_id_ = e.sweep.Next();
}

void StateApplier::operator()(const SweepExtended& e) {
  SweepEntry& sweep = Sweep(e.sweep);
  Require(sweep.state != SweepState::kDeleting, "the sweep is being deleted");
  sweep.submission_id = e.submission_id;
  sweep.priority = e.priority;
  sweep.max_concurrent = e.max_concurrent;
  sweep.keep_checkpoints = e.keep_checkpoints;
  sweep.numerics = e.numerics;
  RefreshRank(sweep);
}

void StateApplier::operator()(const SubmissionCompleted& e) {
  Sweep(e.sweep).completed_submission_id = e.submission_id;
}

void StateApplier::operator()(const SweepStateChanged& e) {
  SweepEntry& sweep = Sweep(e.sweep);
  Require(sweep.state == e.from, "the sweep is in another state");
  Require(MayBecome(e.from, e.to), "a sweep may not change so");
  sweep.state = e.to;
  RefreshRank(sweep);
}

void StateApplier::operator()(const ConfigurationAdded& e) {
  SweepEntry& sweep = Sweep(e.sweep);
  Require(sweep.state != SweepState::kDeleting, "the sweep is being deleted");
  Require(e.ordinal == static_cast<int64_t>(sweep.configurations.size()), "not the next ordinal");
  Require(sweep.by_digest.emplace(e.digest, e.configuration).second, "the configuration exists");
  ConfigurationEntry configuration;
  configuration.id = e.configuration;
  configuration.sweep = e.sweep;
  configuration.ordinal = e.ordinal;
  configuration.digest = e.digest;
  configuration.pack_key = e.pack_key;
  Require(state_.configurations_.Insert(std::move(configuration)), "the configuration's id is taken");
  sweep.configurations.push_back(e.configuration);
  if (state_.next_configuration_id_ <= e.configuration) state_.next_configuration_id_ = e.configuration.Next();
}

void StateApplier::operator()(const RunAdded& e) {
  SweepEntry& sweep = Sweep(e.sweep);
  Require(sweep.state != SweepState::kDeleting, "the sweep is being deleted");
  ConfigurationEntry* configuration = state_.configurations_.Find(e.configuration);
  Require(configuration != nullptr && configuration->sweep == e.sweep, "no such configuration in the sweep");
  Require(e.round == static_cast<int64_t>(configuration->runs.size()), "not the next round");
  Run run;
  run.id = e.run;
  run.sweep = e.sweep;
  run.configuration = e.configuration;
  run.seed = e.seed;
  run.round = static_cast<int32_t>(e.round);
  Require(state_.runs_.Insert(std::move(run)), "the run's id is taken");
  configuration->runs.emplace_back(e.seed, e.run);
  if (state_.next_run_id_ <= e.run) state_.next_run_id_ = e.run.Next();
  EnterIndexes(RunOf(e.run));
  RefreshRank(sweep);
}

void StateApplier::operator()(const RunsDeleted& e) {
  SweepEntry& sweep = Sweep(e.sweep);
  Require(sweep.state == SweepState::kDeleting, "the sweep is not being deleted");
  for (const RunId id : e.runs) {
    const Run& run = RunOf(id);
    Require(run.sweep == e.sweep, "a run of another sweep");
    Require(StateOf(run) != RunState::kRunning, "the run is running");
    ConfigurationEntry* configuration = state_.configurations_.Find(run.configuration);
    Require(!configuration->runs.empty() && configuration->runs.back().second == id, "not its configuration's last");
    LeaveIndexes(run);
    DropCheckpointsBeyond(id, -1);
    configuration->runs.pop_back();
    state_.runs_.Erase(id);
  }
  for (const ConfigurationId id : e.configurations) {
    const ConfigurationEntry* configuration = state_.configurations_.Find(id);
    Require(configuration != nullptr && configuration->runs.empty(), "the configuration has runs");
    Require(!sweep.configurations.empty() && sweep.configurations.back() == id, "not the sweep's last configuration");
    sweep.configurations.pop_back();
    sweep.by_digest.erase(configuration->digest);
    state_.configurations_.Erase(id);
  }
}

void StateApplier::operator()(const SweepDeleted& e) {
  const SweepEntry& sweep = Sweep(e.sweep);
  Require(sweep.state == SweepState::kDeleting && sweep.configurations.empty(), "something of the sweep is left");
  state_.sweep_by_name_.erase(sweep.name);
  state_.sweeps_.erase(e.sweep);
}

}  // namespace seedbed::core
