#include "coordinator/rpc/lists.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "coordinator/lease_specifications.h"
#include "coordinator/listing.h"
#include "coordinator/operations.h"
#include "coordinator/rpc/convert.h"

namespace seedbed {
namespace {

constexpr int64_t kMostRuns = 20'000;
constexpr int64_t kMostConfigurations = 200'000;

// Adds what only memory knows of runs that run.
void AddLiveFacts(Coordinator* coordinator, const std::vector<v1::RunSummary*>& runs) {
  std::vector<RunId> running;
  for (const v1::RunSummary* run : runs) {
    if (run->state() == v1::RUN_STATE_RUNNING) running.emplace_back(run->run_id());
  }
  const std::map<RunId, LiveFacts> facts = LiveFactsOf(coordinator, running);
  for (v1::RunSummary* run : runs) {
    const auto live = facts.find(RunId(run->run_id()));
    if (live == facts.end()) continue;
    if (live->second.training) {
      run->set_last_step(std::max(run->last_step(), live->second.step));
    } else {
      run->set_prefetched(true);
      run->set_state(v1::RUN_STATE_QUEUED);
    }
  }
}

absl::StatusOr<RunFilter> FilterOf(const v1::ListRunsRequest& request) {
  RunFilter filter;
  for (const int state : request.states()) {
    SEEDBED_ASSIGN_OR_RETURN(const core::RunState known, FromProto(static_cast<v1::RunState>(state)));
    filter.states.push_back(known);
  }
  for (const absl::string_view outcome : absl::StrSplit(request.outcome(), ',', absl::SkipEmpty())) {
    filter.outcomes.emplace_back(outcome);
  }
  const std::map<std::string, std::string> parameters(request.parameters().begin(), request.parameters().end());
  for (const auto& [name, value] : parameters) filter.parameters.emplace_back(name, ParameterValueJson(value));
  if (request.limit() < 0) return absl::InvalidArgumentError("limit: expected 0 (no limit) or more");
  filter.order = request.newest_first() ? RunFilter::Order::kNewest : RunFilter::Order::kRun;
  if (request.after_run_id() > 0) filter.after = RunId(request.after_run_id());
  // One more than is given out tells whether there are more.
  filter.limit = (request.limit() == 0 ? kMostRuns : std::min(request.limit(), kMostRuns)) + 1;
  return filter;
}

// Of several sweeps together; the reader bounds what each gives.
absl::Status CheckBytes(int64_t bytes, int64_t most, const char* rows) {
  if (bytes <= most) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the ", rows, " of these sweeps take more than ", most >> 20, " MiB; name fewer sweeps at once"));
}

int64_t BytesOf(const RunRow& row) {
  size_t bytes = sizeof(row);
  for (const std::string* text :
       {&row.sweep_name, &row.parameters_json, &row.varied_json, &row.reason, &row.worker, &row.summary_json}) {
    bytes += text->size();
  }
  return static_cast<int64_t>(bytes);
}

// The first of all of them, in the filter's order.
absl::Status KeepFirst(const RunFilter& filter, int64_t most_bytes, std::vector<RunRow>* rows) {
  std::sort(rows->begin(), rows->end(), [&filter](const RunRow& a, const RunRow& b) {
    return filter.order == RunFilter::Order::kNewest ? b.id < a.id : a.id < b.id;
  });
  if (rows->size() > static_cast<size_t>(filter.limit)) rows->resize(static_cast<size_t>(filter.limit));
  int64_t bytes = 0;
  for (const RunRow& row : *rows) bytes += BytesOf(row);
  return CheckBytes(bytes, most_bytes, "runs");
}

}  // namespace

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
  int64_t bytes = 0;
  for (const SweepId sweep : sweeps) {
    const int64_t room = kMostConfigurations - response->configurations_size();
    if (room == 0) {
      return absl::ResourceExhaustedError(absl::StrCat("these sweeps have more than ", kMostConfigurations,
                                                       " configurations; name fewer sweeps at once"));
    }
    SEEDBED_ASSIGN_OR_RETURN(const std::vector<ConfigurationRow> rows,
                             coordinator->reader().ListConfigurations(sweep, room));
    if (room < kMostConfigurations && static_cast<int64_t>(rows.size()) == room) {
      return absl::ResourceExhaustedError(absl::StrCat("these sweeps have ", kMostConfigurations,
                                                       " configurations or more; name fewer sweeps at once"));
    }
    SEEDBED_ASSIGN_OR_RETURN(const auto counts, CountByConfiguration(coordinator, sweep));
    for (const ConfigurationRow& row : rows) {
      v1::ConfigurationSummary* configuration = response->add_configurations();
      ToProto(row, configuration);
      bytes += static_cast<int64_t>(configuration->ByteSizeLong());
      SEEDBED_RETURN_IF_ERROR(CheckBytes(bytes, coordinator->reader().most_list_bytes(), "configurations"));
      const auto counted = counts.find(row.id);
      if (counted == counts.end()) continue;
      ToProto(counted->second.runs, configuration->mutable_runs());
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
      SEEDBED_RETURN_IF_ERROR(KeepFirst(filter, coordinator->reader().most_list_bytes(), &rows));
    }
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
  std::vector<WorkerId> ids;
  for (const WorkerRow& row : rows) ids.emplace_back(row.id);
  const std::map<WorkerId, LiveWorker> facts = LiveWorkersOf(coordinator, ids);
  for (const WorkerRow& row : rows) {
    v1::WorkerSummary* worker = response->add_workers();
    ToProto(row, worker);
    const auto live = facts.find(WorkerId(row.id));
    if (live == facts.end()) continue;
    for (const RunId run : live->second.leases) worker->add_leased_run_ids(run.value());
    if (live->second.seconds_since_seen >= 0) worker->set_seconds_since_seen(live->second.seconds_since_seen);
  }
  return absl::OkStatus();
}

}  // namespace seedbed
