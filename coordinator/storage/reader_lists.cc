#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"
#include "coordinator/storage/reader.h"
#include "coordinator/storage/reader_pool.h"
#include "coordinator/storage/run_counts.h"

namespace seedbed {
namespace {

constexpr char kRunColumns[] =
    "run_id, sweep_id, sweep, configuration_id, seed, parameters, varied, state, outcome, reason, attempts, worker_id, "
    "worker, last_step, t_train_50, t_train_90, t_train_95, t_train_99, t_test_50, t_test_90, t_test_95, t_test_99, "
    "delay, "
    "final_train_accuracy, final_test_accuracy, final_train_loss, final_test_loss, first_nonfinite_step, collapsed, "
    "wall_seconds, cpu_seconds, started_at, ended_at, summary";

// Counts rows as they are read, so that no list takes memory without end: a run's parameters may have some MiB.
class ListBytes {
 public:
  explicit ListBytes(int64_t most) : most_(most) {}
  absl::Status Add(const Statement& row, const char* rows) {
    for (int column = 0; column < row.ColumnCount(); ++column) bytes_ += row.Bytes(column);
    if (bytes_ <= most_) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("the ", rows, " of this list take more than ", most_ >> 20,
                     " MiB; ask for fewer at once, or query the columns that you need"));
  }

 private:
  const int64_t most_;
  int64_t bytes_ = 0;
};

// In the order of kRunColumns.
RunRow ReadRun(const Statement& row) {
  RunRow run;
  int i = 0;
  run.id = RunId(row.Int(i++));
  run.sweep = SweepId(row.Int(i++));
  run.sweep_name = row.Text(i++);
  run.configuration = ConfigurationId(row.Int(i++));
  run.seed = row.Int(i++);
  run.parameters_json = row.Text(i++);
  run.varied_json = row.Text(i++);
  run.state = row.Text(i++);
  run.outcome = row.Text(i++);
  run.reason = row.Text(i++);
  run.attempts = row.Int(i++);
  run.worker_id = row.Text(i++);
  run.worker = row.Text(i++);
  for (std::optional<int64_t>* field :
       {&run.last_step, &run.t_train_50, &run.t_train_90, &run.t_train_95, &run.t_train_99, &run.t_test_50,
        &run.t_test_90, &run.t_test_95, &run.t_test_99, &run.delay}) {
    *field = row.OptionalInt(i++);
  }
  for (std::optional<double>* field :
       {&run.final_train_accuracy, &run.final_test_accuracy, &run.final_train_loss, &run.final_test_loss}) {
    *field = row.OptionalReal(i++);
  }
  run.first_nonfinite_step = row.OptionalInt(i++);
  if (const std::optional<int64_t> collapsed = row.OptionalInt(i++)) run.collapsed = *collapsed != 0;
  run.wall_seconds = row.OptionalReal(i++);
  run.cpu_seconds = row.OptionalReal(i++);
  run.started_at = row.OptionalInt(i++);
  run.ended_at = row.OptionalInt(i++);
  run.summary_json = row.Text(i++);
  return run;
}

// A JSON list of anything that `to_json` makes, for "IN (SELECT value FROM json_each(?))": one text of SQL for any
// length.
template <typename List, typename ToJson>
std::string JsonList(const List& list, ToJson to_json) {
  Json json = Json::array();
  for (const auto& item : list) json.push_back(to_json(item));
  return json.dump();
}

// The WHERE clause of a filter and what is bound to it, in order.
struct Conditions {
  std::string sql;
  std::vector<Value> values;

  void Add(const char* condition, Value value) {
    absl::StrAppend(&sql, sql.empty() ? " WHERE " : " AND ", condition);
    values.push_back(std::move(value));
  }
  void BindTo(Statement* statement) const {
    for (size_t i = 0; i < values.size(); ++i) {
      const int position = static_cast<int>(i) + 1;
      if (const int64_t* number = std::get_if<int64_t>(&values[i])) statement->BindAt(position, *number);
      if (const std::string* text = std::get_if<std::string>(&values[i])) statement->BindAt(position, *text);
    }
  }
};

void AddStates(const RunFilter& filter, Conditions* conditions) {
  if (filter.states.empty()) return;
  const auto wants = [&filter](core::RunState state) {
    return std::find(filter.states.begin(), filter.states.end(), state) != filter.states.end();
  };
  const std::string states = JsonList(filter.states, [](core::RunState state) { return Json(core::Name(state)); });
  const std::string waiting = JsonList(filter.waiting, [](RunId run) { return Json(run.value()); });
  const bool queued = wants(core::RunState::kQueued);
  // Written so that the index of the states serves all three.
  if (filter.waiting.empty() || queued == wants(core::RunState::kRunning)) {
    conditions->Add("state IN (SELECT value FROM json_each(?))", states);
  } else if (queued) {
    conditions->Add("(state IN (SELECT value FROM json_each(?))", states);
    absl::StrAppend(&conditions->sql, " OR (state = 'running' AND run_id IN (SELECT value FROM json_each(?))))");
    conditions->values.emplace_back(waiting);
  } else {
    conditions->Add("state IN (SELECT value FROM json_each(?))", states);
    conditions->Add("run_id NOT IN (SELECT value FROM json_each(?))", waiting);
  }
}

absl::StatusOr<Conditions> ConditionsOf(const RunFilter& filter) {
  constexpr size_t kMostParameters = 32;
  Conditions conditions;
  if (filter.sweep) conditions.Add("sweep_id = ?", filter.sweep->value());
  if (filter.configuration) conditions.Add("configuration_id = ?", filter.configuration->value());
  if (!filter.runs.empty()) {
    conditions.Add("run_id IN (SELECT value FROM json_each(?))",
                   JsonList(filter.runs, [](RunId run) { return Json(run.value()); }));
  }
  AddStates(filter, &conditions);
  if (filter.after) {
    conditions.Add(filter.order == RunFilter::Order::kNewest ? "run_id < ?" : "run_id > ?", filter.after->value());
  }
  for (const std::string& outcome : filter.outcomes) {
    if (!IsValidUtf8(outcome)) return absl::InvalidArgumentError("an outcome of the filter is not valid UTF-8");
  }
  if (!filter.outcomes.empty()) {
    conditions.Add("outcome IN (SELECT value FROM json_each(?))",
                   JsonList(filter.outcomes, [](const std::string& outcome) { return Json(outcome); }));
  }
  if (filter.parameters.size() > kMostParameters) {
    return absl::InvalidArgumentError(absl::StrCat("a filter may name at most ", kMostParameters, " parameters"));
  }
  for (const auto& [name, value] : filter.parameters) {
    if (!IsPlainName(name)) return absl::InvalidArgumentError(absl::StrCat("'", name, "' is not a parameter's name"));
    SEEDBED_RETURN_IF_ERROR(ParseJson(value, absl::StrCat("the value of ", name)).status());
    conditions.Add("json_extract(parameters, ?)", absl::StrCat("$.\"", name, "\""));
    // Compared as SQL values: 1 equals 1.0, and null a parameter that does not exist.
    conditions.sql += " IS json_extract(?, '$')";
    conditions.values.push_back(value);
  }
  return conditions;
}

const char* OrderOf(RunFilter::Order order) {
  switch (order) {
    case RunFilter::Order::kNewest:
      return " ORDER BY run_id DESC";
    case RunFilter::Order::kConfiguration:
      return " ORDER BY sweep_id, ordinal, seed";
    case RunFilter::Order::kLastEnded:
      return " ORDER BY ended_at DESC, run_id DESC";
    case RunFilter::Order::kLastStarted:
      return " ORDER BY started_at DESC, run_id DESC";
    case RunFilter::Order::kRun:
      break;
  }
  return " ORDER BY run_id";
}

absl::Status AddRunCounts(Database* database, std::map<SweepId, SweepRow>* sweeps) {
  SEEDBED_ASSIGN_OR_RETURN(CachedStatement rows,
                           database->Cached("SELECT sweep_id, state, outcome, count(*) FROM runs "
                                            "GROUP BY sweep_id, state, outcome ORDER BY sweep_id, state, outcome"));
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return absl::OkStatus();
    const auto sweep = sweeps->find(SweepId(rows->Int(0)));
    if (sweep == sweeps->end()) continue;
    AddCount(rows->Text(1), rows->Int(3), &sweep->second.runs);
    if (!rows->IsNull(2)) sweep->second.outcomes.push_back({rows->Text(2), rows->Int(3)});
  }
}

absl::StatusOr<std::vector<EventRow>> ReadEvents(Statement* rows) {
  std::vector<EventRow> events;
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return events;
    EventRow event;
    event.id = rows->Int(0);
    event.at = rows->Int(1);
    event.kind = rows->Text(2);
    event.detail = rows->Text(3);
    event.sweep = SweepId(rows->Int(4));
    event.run = RunId(rows->Int(5));
    event.worker_id = rows->Text(6);
    events.push_back(std::move(event));
  }
}

}  // namespace

void AddCount(const std::string& state, int64_t count, core::RunCounts* counts) {
  const std::optional<core::RunState> known = core::RunStateFromName(state);
  if (!known) return;
  switch (*known) {
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

absl::StatusOr<std::vector<SweepRow>> Reader::ListSweeps(bool counted) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  std::map<SweepId, SweepRow> sweeps;
  {
    SEEDBED_ASSIGN_OR_RETURN(
        CachedStatement rows,
        database->Cached("SELECT s.sweep_id, s.name, s.description, s.trainer, s.state, s.metric, s.priority, "
                         "s.max_concurrent, s.retries, s.created_at, s.updated_at, "
                         "CASE WHEN ? THEN (SELECT count(*) FROM configurations AS c WHERE c.sweep_id = s.sweep_id) "
                         "ELSE 0 END FROM sweeps AS s WHERE s.state <> 'deleting' ORDER BY s.sweep_id"));
    rows->Bind(counted ? 1 : 0);
    while (true) {
      SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
      if (!row) break;
      SweepRow sweep;
      sweep.id = SweepId(rows->Int(0));
      sweep.name = rows->Text(1);
      sweep.description = rows->Text(2);
      sweep.trainer = rows->Text(3);
      sweep.state = rows->Text(4);
      sweep.metric_json = rows->Text(5);
      sweep.priority = rows->Int(6);
      sweep.max_concurrent = rows->OptionalInt(7);
      sweep.retries = rows->Int(8);
      sweep.created_at = rows->Int(9);
      sweep.updated_at = rows->Int(10);
      sweep.configurations = rows->Int(11);
      sweeps.emplace(sweep.id, std::move(sweep));
    }
  }
  if (counted) SEEDBED_RETURN_IF_ERROR(AddRunCounts(database.get(), &sweeps));
  std::vector<SweepRow> list;
  for (auto& [id, sweep] : sweeps) list.push_back(std::move(sweep));
  return list;
}

absl::StatusOr<std::vector<RunRow>> Reader::ListRuns(const RunFilter& filter) {
  SEEDBED_ASSIGN_OR_RETURN(const Conditions conditions, ConditionsOf(filter));
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(CachedStatement rows,
                           database->Cached(absl::StrCat("SELECT ", kRunColumns, " FROM run_results", conditions.sql,
                                                         OrderOf(filter.order), " LIMIT ? OFFSET ?")));
  conditions.BindTo(&*rows);
  const int bound = static_cast<int>(conditions.values.size());
  rows->BindAt(bound + 1, filter.limit);
  rows->BindAt(bound + 2, filter.offset);
  std::vector<RunRow> runs;
  ListBytes bytes(most_list_bytes_);
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return runs;
    SEEDBED_RETURN_IF_ERROR(bytes.Add(*rows, "runs"));
    runs.push_back(ReadRun(*rows));
  }
}

absl::StatusOr<int64_t> Reader::CountRuns(const RunFilter& filter) {
  SEEDBED_ASSIGN_OR_RETURN(const Conditions conditions, ConditionsOf(filter));
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(CachedStatement rows,
                           database->Cached(absl::StrCat("SELECT count(*) FROM run_results", conditions.sql)));
  conditions.BindTo(&*rows);
  SEEDBED_RETURN_IF_ERROR(rows->Step().status());
  return rows->Int(0);
}

absl::StatusOr<RunDetail> Reader::GetRun(RunId run) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  RunDetail detail;
  {
    SEEDBED_ASSIGN_OR_RETURN(CachedStatement rows, database->Cached(absl::StrCat(
                                                       "SELECT ", kRunColumns, " FROM run_results WHERE run_id = ?")));
    rows->Bind(run);
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return absl::NotFoundError(absl::StrCat("there is no run ", run.value()));
    detail.run = ReadRun(*rows);
  }
  SEEDBED_ASSIGN_OR_RETURN(std::optional<std::string> text,
                           database->QueryText("SELECT template FROM sweeps WHERE sweep_id = ?", detail.run.sweep));
  detail.template_json = text.value_or("");
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement rows,
      database->Cached("SELECT a.attempt, a.worker_id, w.name, w.host, a.ended_as, a.reason, a.acknowledged_sequence, "
                       "a.resume_step, a.last_step, a.started_at, a.ended_at FROM attempts AS a "
                       "JOIN workers AS w ON w.worker_id = a.worker_id WHERE a.run_id = ? ORDER BY a.attempt"));
  rows->Bind(run);
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return detail;
    AttemptRow attempt;
    attempt.attempt = rows->Int(0);
    attempt.worker_id = rows->Text(1);
    attempt.worker = rows->Text(2);
    attempt.host = rows->Text(3);
    attempt.end = rows->Text(4);
    attempt.reason = rows->Text(5);
    attempt.acknowledged_sequence = rows->Int(6);
    attempt.resume_step = rows->OptionalInt(7);
    attempt.last_step = rows->OptionalInt(8);
    attempt.started_at = rows->Int(9);
    attempt.ended_at = rows->OptionalInt(10);
    detail.attempts.push_back(std::move(attempt));
  }
}

absl::StatusOr<std::vector<CheckpointRow>> Reader::ListCheckpoints(RunId run) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement rows,
      database->Cached("SELECT step, attempt, path, sha256, bytes FROM checkpoints WHERE run_id = ? ORDER BY step"));
  rows->Bind(run);
  std::vector<CheckpointRow> checkpoints;
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return checkpoints;
    checkpoints.push_back({rows->Int(0), rows->Int(1), rows->Text(2), rows->Text(3), rows->Int(4)});
  }
}

absl::StatusOr<std::vector<StoredPoint>> Reader::ListPoints(SweepId sweep, int64_t ordinal, int64_t limit) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(CachedStatement rows,
                           database->Cached("SELECT configuration_id, ordinal, parameters, varied FROM configurations "
                                            "WHERE sweep_id = ? AND ordinal >= ? ORDER BY ordinal LIMIT ?"));
  rows->Bind(sweep, ordinal, limit);
  std::vector<StoredPoint> points;
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return points;
    points.push_back({ConfigurationId(rows->Int(0)), rows->Int(1), rows->Text(2), rows->Text(3)});
  }
}

absl::StatusOr<std::vector<ConfigurationRow>> Reader::ListConfigurations(SweepId sweep, int64_t limit, int64_t offset) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement rows,
      database->Cached(
          "SELECT configuration_id, sweep, ordinal, parameters, varied, seeds, finished, failed, cancelled, "
          "reached_train_99, reached_test_99, median_t_train, median_t_grok, median_delay, survivors_mean_t_grok, "
          "survivors_sd_t_grok, survivors_mean_delay, survivors_sd_delay, mean_final_test_accuracy, minimum_delay, "
          "maximum_delay FROM configuration_results WHERE sweep_id = ? ORDER BY ordinal LIMIT ? OFFSET ?"));
  rows->Bind(sweep, limit, offset);
  std::vector<ConfigurationRow> configurations;
  ListBytes bytes(most_list_bytes_);
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return configurations;
    SEEDBED_RETURN_IF_ERROR(bytes.Add(*rows, "configurations"));
    ConfigurationRow configuration;
    int i = 0;
    configuration.id = ConfigurationId(rows->Int(i++));
    configuration.sweep = sweep;
    configuration.sweep_name = rows->Text(i++);
    configuration.ordinal = rows->Int(i++);
    configuration.parameters_json = rows->Text(i++);
    configuration.varied_json = rows->Text(i++);
    for (int64_t* field : {&configuration.seeds, &configuration.finished, &configuration.failed,
                           &configuration.cancelled, &configuration.reached_train_99, &configuration.reached_test_99}) {
      *field = rows->Int(i++);
    }
    for (std::optional<double>* field :
         {&configuration.median_t_train, &configuration.median_t_grok, &configuration.median_delay,
          &configuration.survivors_mean_t_grok, &configuration.survivors_sd_t_grok, &configuration.survivors_mean_delay,
          &configuration.survivors_sd_delay, &configuration.mean_final_test_accuracy}) {
      *field = rows->OptionalReal(i++);
    }
    configuration.minimum_delay = rows->OptionalInt(i++);
    configuration.maximum_delay = rows->OptionalInt(i++);
    configurations.push_back(std::move(configuration));
  }
}

absl::StatusOr<std::vector<WorkerRow>> Reader::ListWorkers(bool include_gone) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement rows,
      database->Cached(
          "SELECT w.worker_id, w.name, w.host, w.device, w.version, w.slots, w.state, w.reason, w.trainers, "
          "(SELECT count(*) FROM attempts AS a WHERE a.worker_id = w.worker_id AND a.ended_as IS NULL), "
          "w.registered_at, w.changed_at FROM workers AS w WHERE ?1 OR w.state <> 'gone' "
          "ORDER BY w.name, w.registered_at, w.worker_id"));
  rows->Bind(include_gone ? 1 : 0);
  std::vector<WorkerRow> workers;
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return workers;
    WorkerRow worker;
    worker.id = rows->Text(0);
    worker.name = rows->Text(1);
    worker.host = rows->Text(2);
    worker.device = rows->Text(3);
    worker.version = rows->Text(4);
    worker.slots = rows->Int(5);
    worker.state = rows->Text(6);
    worker.reason = rows->Text(7);
    worker.trainers_json = rows->Text(8);
    worker.running = rows->Int(9);
    worker.registered_at = rows->Int(10);
    worker.changed_at = rows->Int(11);
    workers.push_back(std::move(worker));
  }
}

absl::StatusOr<std::vector<EventRow>> Reader::ListEvents(int64_t after, std::optional<SweepId> sweep, int64_t limit) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement rows,
      database->Cached("SELECT event_id, at, kind, detail, sweep_id, run_id, worker_id FROM events "
                       "WHERE event_id > ?1 AND (?2 IS NULL OR sweep_id = ?2) ORDER BY event_id LIMIT ?3"));
  rows->Bind(after, sweep, limit);
  return ReadEvents(&*rows);
}

absl::StatusOr<std::vector<EventRow>> Reader::LatestEvents(int64_t limit) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement rows,
      database->Cached(
          "SELECT event_id, at, kind, detail, sweep_id, run_id, worker_id FROM (SELECT event_id, at, kind, "
          "detail, sweep_id, run_id, worker_id FROM events ORDER BY event_id DESC LIMIT ?) ORDER BY event_id"));
  rows->Bind(limit);
  return ReadEvents(&*rows);
}

}  // namespace seedbed
