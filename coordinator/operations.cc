#include "coordinator/operations.h"

#include <algorithm>
#include <deque>
#include <future>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"
#include "common/sweep_file/sweep.h"
#include "coordinator/selector.h"
#include "coordinator/sweep_growth.h"

namespace seedbed {
namespace {

constexpr size_t kMostSubmissionIdBytes = 128;

absl::StatusOr<core::BeginSubmissionAnswer> Begin(Coordinator* coordinator, const Submission& submission,
                                                  const Sweep& sweep) {
  core::BeginSubmission begin;
  begin.submission_id = submission.submission_id;
  begin.name = sweep.name;
  begin.description = sweep.description;
  begin.fixed_json = sweep.fixed_json;
  begin.template_json = CanonicalJson(ToJson(sweep.shared));
  begin.metric_json = CanonicalJson(sweep.metric);
  begin.source = submission.text;
  begin.priority = sweep.priority;
  begin.retries = static_cast<int>(sweep.retries);
  begin.max_concurrent = sweep.max_concurrent;
  begin.keep_checkpoints = core::KeepCheckpointsFromName(sweep.keep_checkpoints).value_or(core::KeepCheckpoints::kLast);
  begin.numerics = core::NumericsPolicyFromName(sweep.numerics).value_or(core::NumericsPolicy::kAny);
  SEEDBED_ASSIGN_OR_RETURN(const core::Answer answer, coordinator->ExecuteAndWait(std::move(begin)));
  return std::get<core::BeginSubmissionAnswer>(answer);
}

// The chunks of one submission that are under way: one is decided while the one before is written.
class Chunks {
 public:
  static constexpr size_t kMostUnderWay = 2;
  // Together they may come into one transaction, and nobody is to wait longer than for kMostRunsPerChunk.
  static constexpr size_t kMostRuns = static_cast<size_t>(core::kMostRunsPerChunk) / kMostUnderWay;

  Chunks(Coordinator* coordinator, SubmissionResult* result) : coordinator_(coordinator), result_(result) {}

  absl::Status Add(core::AddConfigurations chunk) {
    const auto promise = std::make_shared<std::promise<absl::StatusOr<core::Answer>>>();
    under_way_.push_back(promise->get_future());
    coordinator_->Execute(std::move(chunk),
                          [promise](absl::StatusOr<core::Answer> answer) { promise->set_value(std::move(answer)); });
    return WaitUntilAtMost(kMostUnderWay - 1);
  }
  absl::Status Finish() { return WaitUntilAtMost(0); }

 private:
  absl::Status WaitUntilAtMost(size_t most) {
    while (under_way_.size() > most) {
      const absl::StatusOr<core::Answer> answer = under_way_.front().get();
      under_way_.pop_front();
      SEEDBED_RETURN_IF_ERROR(answer.status());
      const auto& added = std::get<core::AddConfigurationsAnswer>(*answer);
      result_->configurations_added += added.configurations_added;
      result_->runs_added += added.runs_added;
    }
    return absl::OkStatus();
  }

  Coordinator* const coordinator_;
  SubmissionResult* const result_;
  std::deque<std::future<absl::StatusOr<core::Answer>>> under_way_;
};

// Sends every (configuration, seed) in chunks of at most Chunks::kMostRuns.
absl::Status AddAll(Coordinator* coordinator, const Sweep& sweep, SweepId id, SubmissionResult* result) {
  constexpr size_t kMost = Chunks::kMostRuns;
  const size_t seeds_at_once = std::min(sweep.seeds.size(), kMost);
  const size_t configurations_at_once = std::max<size_t>(1, kMost / std::max<size_t>(1, seeds_at_once));
  Chunks chunks(coordinator, result);
  for (size_t first = 0; first < sweep.configurations.size(); first += configurations_at_once) {
    const size_t end = std::min(first + configurations_at_once, sweep.configurations.size());
    for (size_t seed = 0; seed < sweep.seeds.size(); seed += seeds_at_once) {
      core::AddConfigurations add;
      add.sweep = id;
      for (size_t i = first; i < end; ++i) {
        Configuration each = sweep.configurations[i];
        core::NewConfiguration& added = add.configurations.emplace_back();
        added.digest = each.digest;
        added.parameters_json = std::move(each.parameters_json);
        added.varied_json = std::move(each.varied_json);
      }
      const auto from = sweep.seeds.begin() + static_cast<std::ptrdiff_t>(seed);
      add.seeds.assign(from, from + static_cast<std::ptrdiff_t>(std::min(seeds_at_once, sweep.seeds.size() - seed)));
      SEEDBED_RETURN_IF_ERROR(chunks.Add(std::move(add)));
    }
  }
  return chunks.Finish();
}

absl::StatusOr<std::vector<Selectable>> KnownSweeps(Coordinator* coordinator) {
  std::vector<Selectable> known;
  const absl::Status looked = coordinator->Inspect([&known](LiveView view) {
    for (const auto& [id, sweep] : view.state.sweeps()) {
      if (sweep.state != core::SweepState::kDeleting) known.push_back({id.value(), sweep.name});
    }
  });
  if (looked.ok()) return known;
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<SweepRow> rows, coordinator->reader().ListSweeps());
  for (const SweepRow& row : rows) known.push_back({row.id.value(), row.name});
  return known;
}

// The command for one sweep; `runs` is empty or a part of that sweep's runs.
core::Command CommandFor(const SweepAction& action, SweepId sweep, std::vector<RunId> runs) {
  if (const auto* pause = std::get_if<PauseAction>(&action)) return core::PauseSweep{sweep, pause->now};
  if (std::holds_alternative<ResumeAction>(action)) return core::ResumeSweep{sweep};
  if (const auto* retry = std::get_if<RetryAction>(&action)) {
    core::RetryRuns command;
    command.sweep = sweep;
    command.runs = std::move(runs);
    command.include_cancelled = retry->include_cancelled;
    command.keep_rows = retry->keep_rows;
    command.pass_over = retry->pass_over;
    return command;
  }
  if (const auto* extend = std::get_if<ExtendAction>(&action)) {
    core::ExtendSeeds command;
    command.sweep = sweep;
    command.seeds = extend->seeds;
    return command;
  }
  if (const auto* deletion = std::get_if<DeleteAction>(&action)) {
    core::DeleteSweep command;
    command.sweep = sweep;
    command.only_if_all_cancelled = deletion->only_if_all_cancelled;
    return command;
  }
  if (std::holds_alternative<CheckpointAction>(action)) return core::RequestCheckpoints{sweep, std::move(runs)};
  core::CancelRuns command;
  command.sweep = sweep;
  command.runs = std::move(runs);
  return command;
}

absl::StatusOr<std::map<SweepId, std::vector<RunId>>> GroupBySweep(Coordinator* coordinator,
                                                                   const std::vector<RunId>& runs) {
  std::map<SweepId, std::vector<RunId>> groups;
  RunId unknown;
  const std::set<RunId> distinct(runs.begin(), runs.end());
  SEEDBED_RETURN_IF_ERROR(coordinator->Inspect([&](LiveView view) {
    for (const RunId id : distinct) {
      const core::Run* run = view.state.FindRun(id);
      if (run == nullptr) {
        unknown = id;
        return;
      }
      groups[run->sweep].push_back(id);
    }
  }));
  if (unknown) {
    return absl::NotFoundError(absl::StrCat("there is no run ", unknown.value(), "; `seedbed runs` lists them"));
  }
  return groups;
}

// Pauses or resumes one sweep. Says why if that changed nothing.
absl::StatusOr<std::string> ChangeState(Coordinator* coordinator, const SweepAction& action, SweepId sweep) {
  SEEDBED_ASSIGN_OR_RETURN(const core::Answer answer, coordinator->ExecuteAndWait(CommandFor(action, sweep, {})));
  return std::get<core::SweepStateAnswer>(answer).why_not;
}

bool ChangesState(const SweepAction& action) {
  return std::holds_alternative<PauseAction>(action) || std::holds_alternative<ResumeAction>(action);
}

absl::StatusOr<std::vector<RunId>> RunsToRetry(Coordinator* coordinator, SweepId id, const RetryAction& action) {
  std::vector<RunId> runs;
  SEEDBED_RETURN_IF_ERROR(coordinator->Inspect([&](LiveView view) {
    const core::SweepEntry* sweep = view.state.FindSweep(id);
    if (sweep == nullptr) return;
    runs.assign(sweep->failed.begin(), sweep->failed.end());
    if (action.include_cancelled) runs.insert(runs.end(), sweep->cancelled.begin(), sweep->cancelled.end());
  }));
  return runs;
}

// Does `action` to `runs` of one sweep, or to all of it.
absl::StatusOr<int64_t> ControlRuns(Coordinator* coordinator, SweepAction action, SweepId sweep,
                                    std::vector<RunId> runs, const std::function<bool()>& is_wanted) {
  // What was begun otherwise is not to stay half done: a deletion, a cancellation.
  if (std::holds_alternative<ExtendAction>(action)) {
    return coordinator->ExecuteInChunks(CommandFor(action, sweep, {}), is_wanted);
  }
  if (auto* retry = std::get_if<RetryAction>(&action); retry != nullptr && runs.empty()) {
    // Those of now, each once: what fails again meanwhile would keep it busy for ever.
    SEEDBED_ASSIGN_OR_RETURN(runs, RunsToRetry(coordinator, sweep, *retry));
    retry->pass_over = true;
  }
  if (runs.empty()) return coordinator->ExecuteInChunks(CommandFor(action, sweep, {}));
  constexpr size_t kMost = static_cast<size_t>(core::kMostRunsPerChunk);
  int64_t changed = 0;
  for (size_t first = 0; first < runs.size(); first += kMost) {
    const auto from = runs.begin() + static_cast<std::ptrdiff_t>(first);
    std::vector<RunId> part(from, from + static_cast<std::ptrdiff_t>(std::min(kMost, runs.size() - first)));
    SEEDBED_ASSIGN_OR_RETURN(const int64_t some,
                             coordinator->ExecuteInChunks(CommandFor(action, sweep, std::move(part))));
    changed += some;
  }
  return changed;
}

absl::Status CheckListed(const SweepAction& action, SweepId sweep, const std::string& name) {
  const auto* deletion = std::get_if<DeleteAction>(&action);
  if (deletion == nullptr || deletion->listed.empty() || deletion->listed.count(sweep) > 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("Sweep '", name, "' is another one now, with the id ",
                                                    sweep.value(), ", than was listed; `seedbed sweeps` lists it"));
}

// Does `action` to one sweep, or to `runs` of it, and adds what came of it to `result`, also where it fails.
absl::Status ControlOne(Coordinator* coordinator, const SweepAction& action, SweepId sweep, std::string name,
                        const std::vector<RunId>& runs, const std::function<bool()>& is_wanted, ControlResult* result) {
  int64_t changed = 1;
  absl::Status status = CheckListed(action, sweep, name);
  std::string why_not;
  if (!status.ok()) {
    changed = 0;
  } else if (ChangesState(action)) {
    const absl::StatusOr<std::string> answer = ChangeState(coordinator, action, sweep);
    status = answer.status();
    if (answer.ok()) why_not = *answer;
  } else {
    const absl::StatusOr<int64_t> answer = ControlRuns(coordinator, action, sweep, runs, is_wanted);
    status = answer.status();
    if (answer.ok()) changed = *answer;
  }
  if (!status.ok()) why_not = std::string(status.message());
  if (!why_not.empty()) {
    result->unchanged.push_back({std::move(name), std::move(why_not)});
    return status;
  }
  result->changed += changed;
  result->sweeps.push_back(std::move(name));
  return absl::OkStatus();
}

absl::Status CheckAction(const std::string& selector, const std::vector<RunId>& runs, const SweepAction& action) {
  if (selector.empty() == runs.empty()) {
    return absl::InvalidArgumentError("name either sweeps (a name, an id, last, all) or runs, and not both");
  }
  const bool takes_runs = std::holds_alternative<CancelAction>(action) || std::holds_alternative<RetryAction>(action) ||
                          std::holds_alternative<CheckpointAction>(action);
  if (!runs.empty() && !takes_runs) {
    return absl::InvalidArgumentError(
        "only cancel, retry and checkpoint work on single runs; name a sweep for the rest");
  }
  const auto* extend = std::get_if<ExtendAction>(&action);
  if (extend != nullptr && (extend->seeds < 1 || extend->seeds > 1'000'000)) {
    return absl::InvalidArgumentError(
        absl::StrCat("extend needs the number of seeds to reach, from 1 to 1000000, not ", extend->seeds));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SubmissionResult> SubmitSweep(Coordinator* coordinator, const Submission& submission) {
  if (submission.submission_id.empty() || submission.submission_id.size() > kMostSubmissionIdBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a submission needs an id of 1 to ", kMostSubmissionIdBytes, " bytes, drawn by the client"));
  }
  SEEDBED_ASSIGN_OR_RETURN(Sweep sweep, ParseSweep(submission.text, submission.file_name, submission.overrides));
  SEEDBED_RETURN_IF_ERROR(CheckRoomFor(coordinator, sweep));
  SEEDBED_ASSIGN_OR_RETURN(const core::BeginSubmissionAnswer begun, Begin(coordinator, submission, sweep));
  SubmissionResult result;
  result.sweep = begun.sweep;
  result.name = sweep.name;
  result.created = begun.created;
  if (!begun.already_complete) {
    if (!begun.created) SEEDBED_RETURN_IF_ERROR(TellApart(coordinator, begun.sweep, &sweep));
    SEEDBED_RETURN_IF_ERROR(AddAll(coordinator, sweep, begun.sweep, &result));
    core::CompleteSubmission complete;
    complete.sweep = begun.sweep;
    complete.submission_id = submission.submission_id;
    SEEDBED_RETURN_IF_ERROR(coordinator->ExecuteAndWait(std::move(complete)).status());
  }
  SEEDBED_RETURN_IF_ERROR(coordinator->Inspect([&result](LiveView view) {
    const core::SweepEntry* entry = view.state.FindSweep(result.sweep);
    if (entry == nullptr) return;
    result.configurations_total = static_cast<int64_t>(entry->configurations.size());
    result.runs_total = entry->counts.total();
  }));
  return result;
}

absl::StatusOr<std::vector<SweepId>> SelectSweeps(Coordinator* coordinator, const std::string& selector) {
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<Selectable> known, KnownSweeps(coordinator));
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<int64_t> ids, Select(selector.empty() ? "all" : selector, known, "sweep"));
  std::vector<SweepId> sweeps;
  for (const int64_t id : ids) sweeps.emplace_back(id);
  return sweeps;
}

absl::StatusOr<ControlResult> ControlSweeps(Coordinator* coordinator, const std::string& selector,
                                            const std::vector<RunId>& runs, const SweepAction& action,
                                            const std::function<bool()>& is_wanted) {
  SEEDBED_RETURN_IF_ERROR(CheckAction(selector, runs, action));
  std::map<SweepId, std::vector<RunId>> groups;
  if (runs.empty()) {
    SEEDBED_ASSIGN_OR_RETURN(const std::vector<SweepId> sweeps, SelectSweeps(coordinator, selector));
    for (const SweepId sweep : sweeps) groups[sweep];
  } else {
    SEEDBED_ASSIGN_OR_RETURN(groups, GroupBySweep(coordinator, runs));
  }
  if (std::holds_alternative<ExtendAction>(action) && groups.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("extend takes one sweep; '", selector, "' names several"));
  }
  ControlResult result;
  absl::Status passed_over;
  size_t failures = 0;
  for (const auto& [sweep, part] : groups) {
    std::string name;
    SEEDBED_RETURN_IF_ERROR(coordinator->Inspect([&name, id = sweep](LiveView view) {
      const core::SweepEntry* entry = view.state.FindSweep(id);
      if (entry != nullptr) name = entry->name;
    }));
    const absl::Status done = ControlOne(coordinator, action, sweep, std::move(name), part, is_wanted, &result);
    if (absl::IsFailedPrecondition(done)) {
      passed_over.Update(done);
      ++failures;
      continue;
    }
    SEEDBED_RETURN_IF_ERROR(done);
  }
  if (failures > 0 && failures == groups.size()) return passed_over;
  return result;
}

absl::StatusOr<int64_t> ControlWorkers(Coordinator* coordinator, const std::string& worker, WorkerAction action) {
  std::vector<WorkerId> matching;
  std::vector<std::string> names;
  SEEDBED_RETURN_IF_ERROR(coordinator->Inspect([&](LiveView view) {
    for (const auto& [id, entry] : view.state.workers()) {
      if (entry.state == core::WorkerState::kGone) continue;
      if (id.value() == worker || entry.name == worker) matching.push_back(id);
      names.push_back(entry.name);
    }
  }));
  if (matching.empty()) {
    std::string message = absl::StrCat("there is no worker '", worker, "'");
    if (const std::optional<std::string> nearest = NearestWord(worker, names)) {
      absl::StrAppend(&message, "; did you mean '", *nearest, "'?");
    } else {
      absl::StrAppend(&message, "; `seedbed workers` lists them");
    }
    return absl::NotFoundError(message);
  }
  for (const WorkerId& id : matching) {
    core::Command command = core::DrainWorker{id};
    if (action == WorkerAction::kResume) command = core::ResumeWorker{id};
    if (action == WorkerAction::kKnownDead) command = core::VoidLeases{{id}};
    SEEDBED_RETURN_IF_ERROR(coordinator->ExecuteAndWait(std::move(command)).status());
  }
  return static_cast<int64_t>(matching.size());
}

}  // namespace seedbed
