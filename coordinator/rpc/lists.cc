#include "coordinator/rpc/lists.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/schema/run_specification.h"
#include "coordinator/lease_specifications.h"
#include "coordinator/operations.h"
#include "coordinator/rpc/convert.h"

namespace seedbed {
namespace {

constexpr int64_t kMostRuns = 20'000;
constexpr int64_t kMostConfigurations = 200'000;

// How many runs of each configuration wait while they are leased (Progress::Waiting).
std::map<ConfigurationId, int64_t> WaitingByConfiguration(LiveView view) {
  std::map<ConfigurationId, int64_t> counts;
  for (const RunId id : view.progress.Waiting()) {
    const core::Run* run = view.state.FindRun(id);
    if (run != nullptr) ++counts[run->configuration];
  }
  return counts;
}

// Adds what only memory knows of runs that run. A coordinator without a state (offline, degraded) knows nothing more.
void AddLiveFacts(Coordinator* coordinator, const std::vector<v1::RunSummary*>& runs) {
  const bool any = std::any_of(runs.begin(), runs.end(),
                               [](const v1::RunSummary* run) { return run->state() == v1::RUN_STATE_RUNNING; });
  if (!any) return;
  coordinator
      ->Inspect([&runs](LiveView view) {
        for (v1::RunSummary* run : runs) {
          const LiveRun* live = view.progress.FindLive(RunId(run->run_id()));
          if (run->state() != v1::RUN_STATE_RUNNING || live == nullptr) continue;
          run->set_last_step(std::max(run->last_step(), live->step));
          if (live->training) continue;
          run->set_prefetched(true);
          run->set_state(v1::RUN_STATE_QUEUED);
        }
      })
      .IgnoreError();
}

absl::StatusOr<RunFilter> FilterOf(const v1::ListRunsRequest& request) {
  RunFilter filter;
  for (const int state : request.states()) {
    SEEDBED_ASSIGN_OR_RETURN(const core::RunState known, FromProto(static_cast<v1::RunState>(state)));
    filter.states.push_back(known);
  }
  if (!request.outcome().empty()) filter.outcomes.push_back(request.outcome());
  const std::map<std::string, std::string> parameters(request.parameters().begin(), request.parameters().end());
  for (const auto& [name, value] : parameters) filter.parameters.emplace_back(name, ParameterValueJson(value));
  if (request.limit() < 0) return absl::InvalidArgumentError("limit: expected 0 (no limit) or more");
  filter.order = request.newest_first() ? RunFilter::Order::kNewest : RunFilter::Order::kRun;
  if (request.after_run_id() > 0) filter.after = RunId(request.after_run_id());
  // One more than is given out tells whether there are more.
  filter.limit = (request.limit() == 0 ? kMostRuns : std::min(request.limit(), kMostRuns)) + 1;
  return filter;
}

// Counts of a configuration's runs by state, and of the finished ones by outcome.
struct ConfigurationCounts {
  core::RunCounts runs;
  std::map<std::string, int64_t> outcomes;
};

void AddCount(core::RunState state, int64_t count, core::RunCounts* counts) {
  switch (state) {
    case core::RunState::kQueued:
      counts->queued += count;
      return;
    case core::RunState::kRunning:
      counts->running += count;
      return;
    case core::RunState::kFinished:
      counts->finished += count;
      return;
    case core::RunState::kFailed:
      counts->failed += count;
      return;
    case core::RunState::kCancelled:
      counts->cancelled += count;
      return;
  }
}

absl::StatusOr<std::map<int64_t, ConfigurationCounts>> CountByConfiguration(Reader* reader, SweepId sweep) {
  std::map<int64_t, ConfigurationCounts> counts;
  SEEDBED_RETURN_IF_ERROR(reader->Stream(
      absl::StrCat("SELECT configuration_id, state, outcome, count(*) FROM run_results WHERE sweep_id = ",
                   sweep.value(), " GROUP BY configuration_id, state, outcome"),
      absl::Seconds(10), [](const std::vector<std::string>&) {},
      [&counts](const std::vector<Value>& row) {
        const auto* configuration = std::get_if<int64_t>(&row[0]);
        const auto* state = std::get_if<std::string>(&row[1]);
        const auto* outcome = std::get_if<std::string>(&row[2]);
        const auto* count = std::get_if<int64_t>(&row[3]);
        if (configuration == nullptr || state == nullptr || count == nullptr) return true;
        ConfigurationCounts& entry = counts[*configuration];
        const std::optional<core::RunState> known = core::RunStateFromName(*state);
        if (known) AddCount(*known, *count, &entry.runs);
        if (outcome != nullptr && !outcome->empty()) entry.outcomes[*outcome] += *count;
        return true;
      }));
  return counts;
}

// The counts that memory has, where there is a state: the database would have to look at every run.
absl::StatusOr<std::vector<SweepRow>> SweepsWithCounts(Coordinator* coordinator) {
  SEEDBED_ASSIGN_OR_RETURN(std::vector<SweepRow> rows, coordinator->reader().ListSweeps(/*counted=*/false));
  const absl::Status looked = coordinator->Inspect([&rows](LiveView view) {
    const std::map<SweepId, int64_t> waiting = view.progress.WaitingBySweep();
    for (SweepRow& row : rows) {
      const core::SweepEntry* sweep = view.state.FindSweep(row.id);
      if (sweep == nullptr) continue;  // deleted meanwhile
      row.configurations = static_cast<int64_t>(sweep->configurations.size());
      const auto found = waiting.find(row.id);
      row.runs = WithWaiting(sweep->counts, found == waiting.end() ? 0 : found->second);
    }
  });
  if (looked.ok()) return rows;
  return coordinator->reader().ListSweeps();
}

}  // namespace

int64_t BudgetStepsOf(const std::string& template_json) {
  const absl::StatusOr<Json> json = ParseJson(template_json, "the template");
  if (!json.ok()) return 0;
  const absl::StatusOr<RunTemplate> shared = RunTemplateFromJson(*json);
  return shared.ok() ? shared->budget.steps : 0;
}

absl::Status ListSweeps(Coordinator* coordinator, const v1::ListSweepsRequest& request,
                        v1::ListSweepsResponse* response) {
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<SweepId> selected, SelectSweeps(coordinator, request.selector()));
  const std::set<SweepId> wanted(selected.begin(), selected.end());
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<SweepRow> rows, SweepsWithCounts(coordinator));
  for (const SweepRow& row : rows) {
    if (wanted.count(row.id) == 0) continue;
    v1::SweepSummary* sweep = response->add_sweeps();
    ToProto(row, sweep);
    const absl::StatusOr<std::string> shared = coordinator->reader().TemplateJson(row.id);
    if (shared.ok()) sweep->set_budget_steps(BudgetStepsOf(*shared));
  }
  return absl::OkStatus();
}

absl::Status ListConfigurations(Coordinator* coordinator, const v1::ListConfigurationsRequest& request,
                                v1::ListConfigurationsResponse* response) {
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<SweepId> sweeps, SelectSweeps(coordinator, request.sweep()));
  std::map<ConfigurationId, int64_t> waiting;
  // Without a state nothing runs.
  coordinator->Inspect([&waiting](LiveView view) { waiting = WaitingByConfiguration(view); }).IgnoreError();
  for (const SweepId sweep : sweeps) {
    SEEDBED_ASSIGN_OR_RETURN(const std::vector<ConfigurationRow> rows,
                             coordinator->reader().ListConfigurations(sweep, kMostConfigurations));
    SEEDBED_ASSIGN_OR_RETURN(const auto counts, CountByConfiguration(&coordinator->reader(), sweep));
    for (const ConfigurationRow& row : rows) {
      v1::ConfigurationSummary* configuration = response->add_configurations();
      ToProto(row, configuration);
      const auto counted = counts.find(row.id.value());
      if (counted == counts.end()) continue;
      ToProto(WithWaiting(counted->second.runs, waiting[row.id]), configuration->mutable_runs());
      for (const auto& [outcome, count] : counted->second.outcomes) {
        (*configuration->mutable_outcomes())[outcome] = count;
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ListRuns(Coordinator* coordinator, const v1::ListRunsRequest& request, v1::ListRunsResponse* response) {
  SEEDBED_ASSIGN_OR_RETURN(RunFilter filter, FilterOf(request));
  if (!filter.states.empty()) {
    coordinator->Inspect([&filter](LiveView view) { filter.waiting = view.progress.Waiting(); }).IgnoreError();
  }
  std::vector<RunRow> rows;
  if (request.sweep().empty() || request.sweep() == "all") {
    SEEDBED_ASSIGN_OR_RETURN(rows, coordinator->reader().ListRuns(filter));
  } else {
    SEEDBED_ASSIGN_OR_RETURN(const std::vector<SweepId> sweeps, SelectSweeps(coordinator, request.sweep()));
    for (const SweepId sweep : sweeps) {
      filter.sweep = sweep;
      SEEDBED_ASSIGN_OR_RETURN(std::vector<RunRow> some, coordinator->reader().ListRuns(filter));
      std::move(some.begin(), some.end(), std::back_inserter(rows));
    }
    std::sort(rows.begin(), rows.end(), [newest = request.newest_first()](const RunRow& a, const RunRow& b) {
      return newest ? b.id < a.id : a.id < b.id;
    });
  }
  const size_t most = static_cast<size_t>(filter.limit - 1);
  // A limit that the caller chose is no sign of more to fetch, but of enough.
  response->set_more(rows.size() > most);
  if (rows.size() > most) rows.resize(most);
  std::vector<v1::RunSummary*> runs;
  for (const RunRow& row : rows) {
    runs.push_back(response->add_runs());
    ToProto(row, runs.back());
  }
  AddLiveFacts(coordinator, runs);
  return absl::OkStatus();
}

absl::Status GetRun(Coordinator* coordinator, const v1::GetRunRequest& request, v1::GetRunResponse* response) {
  if (request.run_id() <= 0) return absl::InvalidArgumentError("run_id: expected the id of a run, above 0");
  SEEDBED_ASSIGN_OR_RETURN(const RunDetail detail, coordinator->reader().GetRun(RunId(request.run_id())));
  ToProto(detail.run, response->mutable_run());
  for (const AttemptRow& attempt : detail.attempts) ToProto(attempt, response->add_attempts());
  SEEDBED_ASSIGN_OR_RETURN(const std::string specification,
                           ComposeSpecification(detail.template_json, detail.run.parameters_json, detail.run.seed));
  response->set_specification_json(specification);
  AddLiveFacts(coordinator, {response->mutable_run()});
  return absl::OkStatus();
}

absl::Status ListWorkers(Coordinator* coordinator, const v1::ListWorkersRequest& request,
                         v1::ListWorkersResponse* response) {
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<WorkerRow> rows,
                           coordinator->reader().ListWorkers(request.include_gone()));
  for (const WorkerRow& row : rows) ToProto(row, response->add_workers());
  coordinator
      ->Inspect([response](LiveView view) {
        for (v1::WorkerSummary& worker : *response->mutable_workers()) {
          const core::WorkerEntry* entry = view.state.FindWorker(WorkerId(worker.worker_id()));
          if (entry == nullptr) continue;
          for (const RunId run : entry->leases) worker.add_leased_run_ids(run.value());
          if (entry->synchronize_number == 0) continue;  // not heard of since this coordinator started
          worker.set_seconds_since_seen(std::max<int64_t>(0, absl::ToInt64Seconds(view.now - entry->last_seen)));
        }
      })
      .IgnoreError();
  return absl::OkStatus();
}

}  // namespace seedbed
