#include "coordinator/progress.h"

#include <algorithm>
#include <utility>

#include "common/base/json.h"
#include "common/schema/run_specification.h"

namespace seedbed {
namespace {

constexpr size_t kMostEnded = 1024;
constexpr absl::Duration kShortestWindow = absl::Seconds(1);

int64_t SecondOf(absl::Duration monotonic) {
  return absl::ToInt64Seconds(monotonic);
}

}  // namespace

void Progress::Observe(const core::State& state, const core::Event& event) {
  if (core::IsDurable(event)) ++revision_;
  if (const auto* granted = std::get_if<core::AttemptGranted>(&event)) {
    const core::Run* run = state.FindRun(granted->lease.run);
    if (run == nullptr) return;
    // Training starts from the checkpoint, or from step 0.
    live_[granted->lease.run] = {run->sweep, granted->resume_step.value_or(0), false};
  } else if (const auto* ended = std::get_if<core::AttemptEnded>(&event)) {
    if (core::IsTerminal(ended->next_state)) {
      ObserveEnd(state, ended->run, ended->next_state, ended->reason, ended->result);
    }
    live_.erase(ended->run);
  } else if (const auto* changed = std::get_if<core::RunStateChanged>(&event)) {
    if (core::IsTerminal(changed->to)) ObserveEnd(state, changed->run, changed->to, "", std::nullopt);
  } else if (const auto* deleted = std::get_if<core::SweepDeleted>(&event)) {
    ended_steps_.erase(deleted->sweep);
    budgets_.erase(deleted->sweep);
  }
}

void Progress::ObserveEnd(const core::State& state, RunId id, core::RunState next, const std::string& reason,
                          const std::optional<core::RunResult>& result) {
  const core::Run* run = state.FindRun(id);
  if (run == nullptr) return;
  EndedRun ended;
  ended.number = ++last_ended_number_;
  ended.run = id;
  ended.sweep = run->sweep;
  ended.configuration = run->configuration;
  ended.seed = run->seed;
  ended.state = next;
  ended.reason = reason;
  if (result) {
    ended.outcome = result->outcome;
    ended.reason = result->reason;
    ended.last_step = result->last_step;
    EndedSteps& steps = ended_steps_[run->sweep];
    ++steps.runs;
    steps.steps += static_cast<double>(result->last_step);
  } else if (const LiveRun* live = FindLive(id)) {
    ended.last_step = live->step;
  }
  ended_.push_back(std::move(ended));
  if (ended_.size() > kMostEnded) ended_.pop_front();
}

void Progress::ObserveStep(const core::State& state, RunId id, int64_t step, bool training, absl::Duration now) {
  const core::Run* run = state.FindRun(id);
  if (run == nullptr || core::StateOf(*run) != core::RunState::kRunning) return;
  const auto [position, fresh] = live_.try_emplace(id, LiveRun{run->sweep, step, training});
  LiveRun& live = position->second;
  if (live.training != training) {
    live.training = training;
    ++revision_;
  }
  // The first word on a run that was granted by an earlier process says where it stands, not how fast it went.
  if (fresh || step <= live.step) return;
  steps_by_second_[SecondOf(now)] += static_cast<double>(step - std::max<int64_t>(live.step, 0));
  if (!first_step_at_) first_step_at_ = now;
  live.step = step;
  ++revision_;
  while (!steps_by_second_.empty() && steps_by_second_.begin()->first < SecondOf(now - kWindow)) {
    steps_by_second_.erase(steps_by_second_.begin());
  }
}

void Progress::LoadEnded(SweepId sweep, int64_t runs, double steps) {
  EndedSteps& entry = ended_steps_[sweep];
  entry.runs += runs;
  entry.steps += steps;
}

void Progress::ForgetLive() {
  live_.clear();
  ++revision_;
}

void Progress::ForgetEndedAfter(int64_t number) {
  while (!ended_.empty() && ended_.back().number > number) ended_.pop_back();
}

double Progress::StepsPerSecond(absl::Duration now) const {
  if (!first_step_at_) return 0;
  double steps = 0;
  for (const auto& [second, count] : steps_by_second_) {
    if (second >= SecondOf(now - kWindow)) steps += count;
  }
  const absl::Duration window = std::clamp(now - *first_step_at_, kShortestWindow, kWindow);
  return steps / absl::ToDoubleSeconds(window);
}

int64_t Progress::BudgetSteps(const core::SweepEntry& sweep) {
  const auto known = budgets_.find(sweep.id);
  if (known != budgets_.end()) return known->second;
  int64_t steps = 0;
  const absl::StatusOr<Json> json = ParseJson(sweep.template_json, "the sweep's template");
  if (json.ok()) {
    const absl::StatusOr<RunTemplate> shared = RunTemplateFromJson(*json);
    if (shared.ok()) steps = shared->budget.steps;
  }
  budgets_[sweep.id] = steps;
  return steps;
}

std::optional<double> Progress::SecondsLeft(const core::State& state, const std::set<SweepId>& sweeps,
                                            absl::Duration now) {
  struct Lengths {
    double typical = 0;
    double budget = 0;
  };
  absl::flat_hash_map<SweepId, Lengths> lengths;
  double left = 0;
  bool unfinished = false;
  for (const SweepId id : sweeps) {
    const core::SweepEntry* sweep = state.FindSweep(id);
    if (sweep == nullptr || sweep->counts.queued + sweep->counts.running == 0) continue;
    unfinished = true;
    Lengths& length = lengths[id];
    length.budget = static_cast<double>(BudgetSteps(*sweep));
    if (length.budget <= 0) return std::nullopt;
    const auto ended = ended_steps_.find(id);
    length.typical = ended != ended_steps_.end() && ended->second.runs > 0
                         ? ended->second.steps / static_cast<double>(ended->second.runs)
                         : length.budget;
    left += static_cast<double>(sweep->counts.queued) * length.typical;
  }
  if (!unfinished) return 0;
  for (const auto& [run, live] : live_) {
    const auto length = lengths.find(live.sweep);
    if (length == lengths.end()) continue;
    const double step = static_cast<double>(std::max<int64_t>(live.step, 0));
    // A run that outlasts the typical one may end at any step of what is left of its budget: half of it, on average.
    left += step < length->second.typical ? length->second.typical - step
                                          : std::max(0.0, (length->second.budget - step) / 2);
  }
  const double speed = StepsPerSecond(now);
  if (speed <= 0) return std::nullopt;
  return left / speed;
}

std::vector<RunId> Progress::Waiting() const {
  std::vector<RunId> waiting;
  for (const auto& [run, live] : live_) {
    if (!live.training) waiting.push_back(run);
  }
  std::sort(waiting.begin(), waiting.end());
  return waiting;
}

std::map<SweepId, int64_t> Progress::WaitingBySweep() const {
  std::map<SweepId, int64_t> counts;
  for (const auto& [run, live] : live_) counts[live.sweep] += live.training ? 0 : 1;
  return counts;
}

const LiveRun* Progress::FindLive(RunId run) const {
  const auto found = live_.find(run);
  return found == live_.end() ? nullptr : &found->second;
}

}  // namespace seedbed
