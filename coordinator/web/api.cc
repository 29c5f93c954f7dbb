#include "coordinator/web/api.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/schema/trainer_schema.h"
#include "coordinator/lease_specifications.h"
#include "coordinator/listing.h"
#include "coordinator/operations.h"
#include "coordinator/web/curve.h"
#include "coordinator/web/json_views.h"

namespace seedbed {
namespace {

constexpr int64_t kStepsAtOnce = 20'000;

std::string TextOf(const httplib::Params& parameters, const std::string& name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? "" : found->second;
}

// Within [least, most]; `otherwise` if it is not given.
absl::StatusOr<int64_t> NumberOf(const httplib::Params& parameters, const std::string& name, int64_t otherwise,
                                 int64_t least, int64_t most) {
  const std::string text = TextOf(parameters, name);
  if (text.empty()) return otherwise;
  int64_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < least || number > most) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": expected a number from ", least, " to ", most));
  }
  return number;
}

absl::Status CheckNames(const httplib::Params& parameters, const std::set<std::string>& known) {
  for (const auto& [name, value] : parameters) {
    if (known.count(name) == 0) {
      std::string list;
      for (const std::string& each : known) absl::StrAppend(&list, list.empty() ? "" : ", ", each);
      return absl::InvalidArgumentError(absl::StrCat("there is no parameter '", name, "' here; ",
                                                     list.empty() ? "there is none at all" : "expected " + list));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RunId> RunOf(const std::string& text) {
  int64_t id = 0;
  if (!absl::SimpleAtoi(text, &id) || id <= 0) return absl::InvalidArgumentError("expected a run's id, above 0");
  return RunId(id);
}

absl::Status CheckOutcome(absl::string_view word) {
  std::string list;
  for (const std::string& trainer : TrainerNames()) {
    for (const std::string& known : FindTrainer(trainer)->outcomes) {
      if (known == word) return absl::OkStatus();
      absl::StrAppend(&list, list.empty() ? "" : ", ", known);
    }
  }
  return absl::InvalidArgumentError("outcome: expected " + list);
}

absl::Status CheckMetric(const std::string& name) {
  std::vector<std::string> known;
  for (const std::string& trainer : TrainerNames()) {
    const TrainerSchema& schema = *FindTrainer(trainer);
    if (schema.FindMetric(name) != nullptr) return absl::OkStatus();
    for (const MetricDefinition& metric : schema.metrics) known.push_back(metric.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("metrics: there is no metric '", name, "'; expected of ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<RunFilter> FilterOf(const httplib::Params& parameters, int64_t most) {
  RunFilter filter;
  const std::string state = TextOf(parameters, "state");
  for (const absl::string_view each : absl::StrSplit(state, ',', absl::SkipEmpty())) {
    const std::optional<core::RunState> known = core::RunStateFromName(std::string(each));
    if (!known) {
      return absl::InvalidArgumentError("state: expected queued, running, finished, failed or cancelled");
    }
    filter.states.push_back(*known);
  }
  const std::string outcome = TextOf(parameters, "outcome");
  for (const absl::string_view each : absl::StrSplit(outcome, ',', absl::SkipEmpty())) {
    SEEDBED_RETURN_IF_ERROR(CheckOutcome(each));
    filter.outcomes.emplace_back(each);
  }
  SEEDBED_ASSIGN_OR_RETURN(const int64_t configuration,
                           NumberOf(parameters, "configuration", 0, 1, std::numeric_limits<int64_t>::max()));
  if (configuration > 0) filter.configuration = ConfigurationId(configuration);
  SEEDBED_ASSIGN_OR_RETURN(const int64_t after,
                           NumberOf(parameters, "after", 0, 1, std::numeric_limits<int64_t>::max()));
  if (after > 0) filter.after = RunId(after);
  const std::string order = TextOf(parameters, "order");
  if (order == "newest") filter.order = RunFilter::Order::kNewest;
  if (!order.empty() && order != "newest" && order != "run") {
    return absl::InvalidArgumentError("order: expected run or newest");
  }
  SEEDBED_ASSIGN_OR_RETURN(filter.limit, NumberOf(parameters, "limit", std::min<int64_t>(100, most), 1, most));
  return filter;
}

}  // namespace

absl::StatusOr<Json> Api::Get(const std::string& route, const httplib::Params& parameters) {
  const std::vector<std::string> parts = absl::StrSplit(route, '/');
  const size_t count = parts.size();
  if (count == 1 && parts[0] == "runs") return Runs(parameters);
  if (count == 1 && parts[0] == "workers") return Workers(parameters);
  if (count == 1 && parts[0] == "query") return Query(parameters);
  if (count == 3 && parts[0] == "sweeps" && parts[2] == "configurations") return Configurations(parts[1], parameters);
  if (count == 3 && parts[0] == "runs" && parts[2] == "curve") {
    SEEDBED_ASSIGN_OR_RETURN(const RunId run, RunOf(parts[1]));
    return Curve(run, parameters);
  }
  SEEDBED_RETURN_IF_ERROR(CheckNames(parameters, {}));
  if (count == 1 && parts[0] == "server") return Server();
  if (count == 1 && parts[0] == "sweeps") return Sweeps();
  if (count == 2 && parts[0] == "sweeps") return Sweep(parts[1]);
  if (count == 2 && parts[0] == "runs") {
    SEEDBED_ASSIGN_OR_RETURN(const RunId run, RunOf(parts[1]));
    return Run(run);
  }
  return absl::NotFoundError("there is nothing here; docs/dashboard.md lists what there is");
}

absl::StatusOr<Json> Api::Server() const {
  const CoordinatorInfo info = coordinator_->Info();
  Json json = Json::object();
  json["version"] = info.version;
  json["database_id"] = info.database_id;
  json["epoch"] = info.epoch;
  json["started_at"] = info.started_at;
  json["degraded"] = info.degraded;
  json["degraded_reason"] = info.degraded_reason;
  json["metrics_held"] = info.metrics_held;
  return json;
}

Json Api::SweepView(const SweepRow& row) {
  const absl::StatusOr<std::string> shared = coordinator_->reader().TemplateJson(row.id);
  return ViewOf(row, shared.ok() ? BudgetStepsOf(*shared) : 0);
}

absl::StatusOr<Json> Api::Sweeps() {
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<SweepRow> rows, SweepsWithCounts(coordinator_));
  Json list = Json::array();
  // The newest ones, if there are more than anybody looks at.
  const size_t most = static_cast<size_t>(limits_.list_rows);
  for (size_t i = rows.size() > most ? rows.size() - most : 0; i < rows.size(); ++i) list.push_back(SweepView(rows[i]));
  Json json = Json::object();
  json["more"] = rows.size() > most;
  json["sweeps"] = std::move(list);
  return json;
}

absl::StatusOr<SweepRow> Api::FindSweep(const std::string& selector) {
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<SweepId> selected, SelectSweeps(coordinator_, selector));
  if (selector.empty() || selected.size() != 1) return absl::InvalidArgumentError("expected one sweep's name or id");
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<SweepRow> rows, SweepsWithCounts(coordinator_));
  for (const SweepRow& row : rows) {
    if (row.id == selected.front()) return row;
  }
  return absl::NotFoundError("that sweep was just deleted");
}

absl::StatusOr<Json> Api::Sweep(const std::string& selector) {
  SEEDBED_ASSIGN_OR_RETURN(const SweepRow row, FindSweep(selector));
  Json json = SweepView(row);
  SEEDBED_ASSIGN_OR_RETURN(json["source"], coordinator_->reader().SweepSource(row.id));
  return json;
}

absl::StatusOr<Json> Api::Configurations(const std::string& selector, const httplib::Params& parameters) {
  SEEDBED_RETURN_IF_ERROR(CheckNames(parameters, {"limit", "offset"}));
  SEEDBED_ASSIGN_OR_RETURN(const SweepRow sweep, FindSweep(selector));
  SEEDBED_ASSIGN_OR_RETURN(const int64_t limit, NumberOf(parameters, "limit", std::min<int64_t>(500, limits_.list_rows),
                                                         1, limits_.list_rows));
  SEEDBED_ASSIGN_OR_RETURN(const int64_t offset, NumberOf(parameters, "offset", 0, 0, 1'000'000'000));
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<ConfigurationRow> rows,
                           coordinator_->reader().ListConfigurations(sweep.id, limit, offset));
  SEEDBED_ASSIGN_OR_RETURN(const auto counts, CountByConfiguration(coordinator_, sweep.id));
  Json list = Json::array();
  for (const ConfigurationRow& row : rows) {
    const auto counted = counts.find(row.id);
    list.push_back(ViewOf(row, counted == counts.end() ? ConfigurationCounts() : counted->second));
  }
  Json json = Json::object();
  json["sweep"] = sweep.name;
  json["more"] = offset + static_cast<int64_t>(rows.size()) < sweep.configurations;
  json["configurations"] = std::move(list);
  return json;
}

// What only memory knows of runs that run.
void Api::AddLiveFacts(Json* runs) {
  std::vector<RunId> running;
  for (const Json& run : *runs) {
    if (run["state"] == "running") running.emplace_back(run["run_id"].get<int64_t>());
  }
  const std::map<RunId, LiveFacts> facts = LiveFactsOf(coordinator_, running);
  for (Json& run : *runs) {
    const auto live = facts.find(RunId(run["run_id"].get<int64_t>()));
    if (live == facts.end()) continue;
    const int64_t known = run["last_step"].is_null() ? -1 : run["last_step"].get<int64_t>();
    if (live->second.training && live->second.step > known) run["last_step"] = live->second.step;
    run["waiting_for_slot"] = !live->second.training;
    if (!live->second.training) run["state"] = std::string(core::Name(core::RunState::kQueued));
  }
}

absl::StatusOr<Json> Api::Runs(const httplib::Params& parameters) {
  SEEDBED_RETURN_IF_ERROR(
      CheckNames(parameters, {"sweep", "configuration", "state", "outcome", "after", "order", "limit"}));
  SEEDBED_ASSIGN_OR_RETURN(RunFilter filter, FilterOf(parameters, limits_.list_rows));
  if (const std::string sweep = TextOf(parameters, "sweep"); !sweep.empty()) {
    SEEDBED_ASSIGN_OR_RETURN(const SweepRow row, FindSweep(sweep));
    filter.sweep = row.id;
  }
  if (!filter.states.empty()) {
    coordinator_->Inspect([&filter](LiveView view) { filter.waiting = view.progress.Waiting(); }).IgnoreError();
  }
  ++filter.limit;  // one more tells whether there are more
  SEEDBED_ASSIGN_OR_RETURN(std::vector<RunRow> rows, coordinator_->reader().ListRuns(filter));
  const bool more = static_cast<int64_t>(rows.size()) == filter.limit;
  if (more) rows.pop_back();
  Json list = Json::array();
  for (const RunRow& row : rows) list.push_back(ViewOf(row));
  AddLiveFacts(&list);
  Json json = Json::object();
  json["more"] = more;
  json["runs"] = std::move(list);
  return json;
}

absl::StatusOr<Json> Api::Run(RunId run) {
  SEEDBED_ASSIGN_OR_RETURN(const RunDetail detail, coordinator_->reader().GetRun(run));
  Json list = Json::array({ViewOf(detail.run)});
  AddLiveFacts(&list);
  Json json = std::move(list[0]);
  SEEDBED_ASSIGN_OR_RETURN(const std::string specification,
                           ComposeSpecification(detail.template_json, detail.run.parameters_json, detail.run.seed));
  SEEDBED_ASSIGN_OR_RETURN(json["specification"], ParseJson(specification, "the specification"));
  const absl::StatusOr<Json> summary = ParseJson(detail.run.summary_json, "the summary");
  json["summary"] = summary.ok() ? *summary : Json();
  json["attempt_list"] = Json::array();
  for (const AttemptRow& attempt : detail.attempts) json["attempt_list"].push_back(ViewOf(attempt));
  return json;
}

absl::StatusOr<Json> Api::Curve(RunId run, const httplib::Params& parameters) {
  SEEDBED_RETURN_IF_ERROR(CheckNames(parameters, {"metrics", "points"}));
  const auto most = static_cast<int64_t>(limits_.curve_points);
  SEEDBED_ASSIGN_OR_RETURN(const int64_t points, NumberOf(parameters, "points", std::min<int64_t>(500, most), 4, most));
  const std::string text = TextOf(parameters, "metrics");
  const std::set<std::string> wanted = absl::StrSplit(text, ',', absl::SkipEmpty());
  for (const std::string& metric : wanted) SEEDBED_RETURN_IF_ERROR(CheckMetric(metric));
  SEEDBED_RETURN_IF_ERROR(coordinator_->reader().GetRun(run).status());
  const absl::Time deadline = absl::Now() + limits_.query_time;
  std::map<std::string, CurveSampler> samplers;
  int64_t rows = 0;
  int64_t after = -1;
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const MetricTable table, coordinator_->reader().StepsOf(run, after, kStepsAtOnce));
    for (const auto& [metric, values] : table.series) {
      if (!wanted.empty() && wanted.count(metric) == 0) continue;
      CurveSampler& sampler = samplers.try_emplace(metric, static_cast<size_t>(points)).first->second;
      for (size_t i = 0; i < values.size(); ++i) sampler.Add(table.steps[i], values[i]);
    }
    rows += static_cast<int64_t>(table.steps.size());
    if (!table.more || table.steps.empty()) break;
    after = table.steps.back();
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          "this run has too many rows to read within the time limit; query some of them");
    }
  }
  Json json = Json::object();
  json["run_id"] = run.value();
  json["rows"] = rows;
  json["series"] = Json::array();
  for (const auto& [metric, sampler] : samplers) {
    Json series = Json::object();
    series["metric"] = metric;
    series["steps"] = Json::array();
    series["values"] = Json::array();
    for (const CurveSampler::Point& point : sampler.Points()) {
      series["steps"].push_back(point.step);
      series["values"].push_back(JsonNumber(point.value));
    }
    json["series"].push_back(std::move(series));
  }
  return json;
}

absl::StatusOr<Json> Api::Workers(const httplib::Params& parameters) {
  SEEDBED_RETURN_IF_ERROR(CheckNames(parameters, {"gone"}));
  SEEDBED_ASSIGN_OR_RETURN(const int64_t gone, NumberOf(parameters, "gone", 0, 0, 1));
  SEEDBED_ASSIGN_OR_RETURN(std::vector<WorkerRow> rows, coordinator_->reader().ListWorkers(gone == 1));
  const bool more = static_cast<int64_t>(rows.size()) > limits_.list_rows;
  if (more) rows.resize(static_cast<size_t>(limits_.list_rows));
  std::vector<WorkerId> ids;
  for (const WorkerRow& row : rows) ids.emplace_back(row.id);
  const std::map<WorkerId, LiveWorker> facts = LiveWorkersOf(coordinator_, ids);
  Json list = Json::array();
  for (const WorkerRow& row : rows) {
    Json worker = ViewOf(row);
    worker["leased_runs"] = Json::array();
    worker["training"] = 0;
    worker["seconds_since_seen"] = nullptr;
    if (const auto live = facts.find(WorkerId(row.id)); live != facts.end()) {
      for (const RunId run : live->second.leases) worker["leased_runs"].push_back(run.value());
      worker["training"] = live->second.training;
      if (live->second.seconds_since_seen >= 0) worker["seconds_since_seen"] = live->second.seconds_since_seen;
    }
    list.push_back(std::move(worker));
  }
  Json json = Json::object();
  json["more"] = more;
  json["workers"] = std::move(list);
  return json;
}

absl::StatusOr<Json> Api::Query(const httplib::Params& parameters) {
  SEEDBED_RETURN_IF_ERROR(CheckNames(parameters, {"sql", "limit"}));
  SEEDBED_ASSIGN_OR_RETURN(
      const int64_t most_rows,
      NumberOf(parameters, "limit", std::min<int64_t>(1000, limits_.query_rows), 1, limits_.query_rows));
  struct UnderWay {
    std::atomic<int>* count;
    const int number;
    explicit UnderWay(std::atomic<int>* all) : count(all), number(++*all) {}
    ~UnderWay() { --*count; }
  } const under_way(&queries_);
  if (under_way.number > limits_.queries) {
    return absl::UnavailableError(absl::StrCat(limits_.queries, " queries are under way already; ask again later"));
  }
  Json json = Json::object();
  Json rows = Json::array();
  int64_t bytes = 0;
  bool truncated = false;
  SEEDBED_RETURN_IF_ERROR(coordinator_->reader().Stream(
      TextOf(parameters, "sql"), limits_.query_time,
      [&json](const std::vector<std::string>& columns) { json["columns"] = columns; },
      [&](const std::vector<Value>& values) {
        Json row = Json::array();
        for (const Value& value : values) row.push_back(ViewOf(value));
        bytes += static_cast<int64_t>(JsonText(row).size()) + 1;  // and a comma
        truncated = static_cast<int64_t>(rows.size()) >= most_rows || bytes > limits_.query_bytes;
        if (truncated) return false;
        rows.push_back(std::move(row));
        return true;
      }));
  json["rows"] = std::move(rows);
  json["truncated"] = truncated;
  return json;
}

}  // namespace seedbed
