#include "coordinator/storage/metric_writer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"
#include "coordinator/storage/migrations.h"

namespace seedbed {
namespace {

constexpr size_t kMostColumnName = 64;
// Statements kept for different sets of columns, three for each. A trainer has two or three sets.
constexpr size_t kMostStatements = 96;
// A statement's own cost is about as much as a row's: with ten rows it hardly counts, and more are seldom full.
constexpr size_t kRowsAtOnce = 10;

// Narrower than a metric's name: what may stand, quoted, in the text of a statement.
bool MayBeColumn(const std::string& name) {
  if (name.empty() || name.size() > kMostColumnName || absl::ascii_isdigit(name[0])) return false;
  const std::string lower = absl::AsciiStrToLower(name);
  // The key of step_rows, and the columns that the view `curves` puts before a row's own.
  for (const char* taken : {"row_id", "sweep", "configuration_id", "seed"}) {
    if (lower == taken) return false;
  }
  return std::all_of(name.begin(), name.end(), [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

std::string Quoted(const std::string& column) {
  return absl::StrCat("\"", column, "\"");
}

std::string InsertSql(const std::vector<std::string>& columns, size_t rows) {
  std::string names, marks;
  for (const std::string& column : columns) {
    absl::StrAppend(&names, ", ", Quoted(column));
    marks += ", ?";
  }
  // OR ROLLBACK: a constraint that fails ends the whole transaction, which is what happens to it anyway; without it
  // SQLite would keep a journal of each statement of several rows.
  std::string sql = absl::StrCat("INSERT OR ROLLBACK INTO step_rows (row_id, run_id, step", names, ") VALUES ");
  for (size_t row = 0; row < rows; ++row) absl::StrAppend(&sql, row > 0 ? ", " : "", "(?, ?, ?", marks, ")");
  return sql;
}

std::string UpdateSql(const std::vector<std::string>& columns) {
  std::string values;
  for (const std::string& column : columns) {
    absl::StrAppend(&values, values.empty() ? "" : ", ", Quoted(column), " = ?");
  }
  return absl::StrCat("UPDATE step_rows SET ", values, " WHERE row_id = ?");
}

}  // namespace

absl::Status CheckMetricName(const std::string& name) {
  if (!IsPlainName(name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", name.substr(0, 128), "' cannot be the name of a metric; use 1 to 128 of A-Z a-z 0-9 _ . - and ",
        "start with a letter or digit"));
  }
  const std::string lower = absl::AsciiStrToLower(name);
  if (lower == "run_id" || lower == "step") {
    return absl::InvalidArgumentError(absl::StrCat("the metric name '", name, "' is reserved; choose another"));
  }
  return absl::OkStatus();
}

absl::Status MetricWriter::Load() {
  last_ = Shape();
  statements_.clear();
  places_.clear();
  views_are_stale_ = false;
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<std::string> columns, MetricColumns(database_));
  columns_ = static_cast<int>(columns.size());
  SEEDBED_ASSIGN_OR_RETURN(CachedStatement names,
                           database_->Cached("SELECT metric_id, name, in_steps FROM metric_names ORDER BY metric_id"));
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, names->Step());
    if (!row) return absl::OkStatus();
    const std::string name = names->Text(1);
    places_[absl::AsciiStrToLower(name)] = Place{names->Int(2) != 0 ? name : "", names->Int(0)};
  }
}

absl::Status MetricWriter::AddBuiltIn(const std::vector<MetricDefinition>& metrics) {
  for (const MetricDefinition& metric : metrics) {
    // Most runs are not analysed, and every column costs every row a byte; of a family the members are not known yet.
    if (metric.at_analyses_only || metric.is_family) continue;
    SEEDBED_RETURN_IF_ERROR(CheckMetricName(metric.name));
    SEEDBED_RETURN_IF_ERROR(PlaceOf(metric.name, metric.description).status());
  }
  return Write({});
}

absl::StatusOr<MetricWriter::Place> MetricWriter::PlaceOf(const std::string& name, const std::string& description) {
  const std::string lower = absl::AsciiStrToLower(name);
  const auto found = places_.find(lower);
  if (found != places_.end()) return found->second;
  if (description.empty()) {
    for (const std::string& trainer : TrainerNames()) {
      const MetricDefinition* definition = FindTrainer(trainer)->FindMetric(name);
      if (definition != nullptr) return PlaceOf(name, definition->description);
    }
  }
  Place place;
  if (columns_ < kMostColumns && MayBeColumn(name)) {
    place.column = name;
    SEEDBED_RETURN_IF_ERROR(
        database_->Execute(absl::StrCat("ALTER TABLE step_rows ADD COLUMN ", Quoted(name), " REAL")));
    ++columns_;
    views_are_stale_ = true;
  }
  SEEDBED_RETURN_IF_ERROR(database_
                              ->Change("INSERT INTO metric_names (name, in_steps, description) VALUES (?, ?, ?)", name,
                                       place.column.empty() ? 0 : 1, description)
                              .status());
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> id,
                           database_->QueryInt("SELECT metric_id FROM metric_names WHERE name = ?", name));
  place.metric_id = id.value_or(0);
  places_.emplace(lower, place);
  return place;
}

absl::Status MetricWriter::Check(const std::vector<MetricRows>& batch) const {
  std::unordered_map<std::string, bool> new_names;
  for (const MetricRows& rows : batch) {
    for (size_t i = 0; i < rows.steps.size(); ++i) {
      if (rows.steps[i] < 0 || (i > 0 && rows.steps[i] <= rows.steps[i - 1])) {
        return absl::InvalidArgumentError(absl::StrCat("the metric rows of run ", rows.run.value(), " have step ",
                                                       rows.steps[i], " out of order; steps rise and start at 0"));
      }
    }
    const bool known = HasLastShape(rows);
    for (const MetricSeries& series : rows.series) {
      if (series.values.size() != rows.steps.size()) {
        return absl::InvalidArgumentError(absl::StrCat("the metric '", series.metric.substr(0, 128), "' of run ",
                                                       rows.run.value(), " has ", series.values.size(), " values for ",
                                                       rows.steps.size(), " steps"));
      }
      if (known) continue;
      const std::string lower = absl::AsciiStrToLower(series.metric);
      if (places_.count(lower) != 0 || new_names.count(lower) != 0) continue;
      SEEDBED_RETURN_IF_ERROR(CheckMetricName(series.metric));
      new_names.emplace(lower, true);
    }
  }
  if (places_.size() + new_names.size() > kMostMetrics && !new_names.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kMostMetrics, " different metric names (the next is '",
                                                   new_names.begin()->first, "'); report a fixed set of metrics"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Statement*> MetricWriter::Prepared(const std::string& sql) {
  const auto found = statements_.find(sql);
  if (found != statements_.end()) return &found->second;
  SEEDBED_ASSIGN_OR_RETURN(Statement statement, database_->Prepare(sql));
  return &statements_.emplace(sql, std::move(statement)).first->second;
}

absl::Status MetricWriter::Write(const std::vector<MetricRows>& batch) {
  std::vector<const MetricRows*> order;
  order.reserve(batch.size());
  for (const MetricRows& rows : batch) order.push_back(&rows);
  SEEDBED_ASSIGN_OR_RETURN(next_row_, log_.NextRow());
  // In the order of the chunks' key, so that neighbouring ones share a page while it is in the cache, and the reports
  // of a run one chunk.
  std::stable_sort(order.begin(), order.end(),
                   [](const MetricRows* a, const MetricRows* b) { return a->run < b->run; });
  for (const MetricRows* rows : order) SEEDBED_RETURN_IF_ERROR(WriteRun(*rows));
  if (views_are_stale_) {
    SEEDBED_RETURN_IF_ERROR(DropViews(database_));
    SEEDBED_RETURN_IF_ERROR(CreateViews(database_));
    views_are_stale_ = false;
  }
  return absl::OkStatus();
}

bool MetricWriter::HasLastShape(const MetricRows& rows) const {
  return last_.insert != nullptr &&
         std::equal(rows.series.begin(), rows.series.end(), last_.metrics.begin(), last_.metrics.end(),
                    [](const MetricSeries& series, const std::string& metric) { return series.metric == metric; });
}

absl::Status MetricWriter::MakeShape(const MetricRows& rows) {
  last_ = Shape();
  std::vector<std::string> columns;
  for (const MetricSeries& series : rows.series) {
    SEEDBED_ASSIGN_OR_RETURN(const Place place, PlaceOf(series.metric));
    const size_t index = last_.metrics.size();
    last_.metrics.push_back(series.metric);
    if (place.column.empty()) {
      last_.overflowing.emplace_back(index, place.metric_id);
    } else if (std::find(columns.begin(), columns.end(), place.column) == columns.end()) {
      columns.push_back(place.column);
      last_.in_steps.push_back(index);
    }
  }
  // Before the first is taken: the next must not drop it.
  if (statements_.size() + 3 > kMostStatements) statements_.clear();
  SEEDBED_ASSIGN_OR_RETURN(last_.insert_many, Prepared(InsertSql(columns, kRowsAtOnce)));
  if (!columns.empty()) {
    SEEDBED_ASSIGN_OR_RETURN(last_.update, Prepared(UpdateSql(columns)));
  }
  SEEDBED_ASSIGN_OR_RETURN(last_.insert, Prepared(InsertSql(columns, 1)));
  return absl::OkStatus();
}

void MetricWriter::BindValues(Statement* statement, int* position, const MetricRows& rows, size_t index) const {
  for (const size_t series : last_.in_steps) statement->BindAt(++*position, rows.series[series].values[index]);
}

absl::Status MetricWriter::Append(const MetricRows& rows, size_t first, const std::optional<StepChunk>& last) {
  const int64_t first_row = next_row_;
  size_t row = first;
  while (row < rows.steps.size()) {
    const size_t count = rows.steps.size() - row >= kRowsAtOnce ? kRowsAtOnce : 1;
    Statement& insert = count > 1 ? *last_.insert_many : *last_.insert;
    int position = 0;
    for (const size_t end = row + count; row < end; ++row) {
      insert.BindAt(++position, next_row_++);
      insert.BindAt(++position, rows.run);
      insert.BindAt(++position, rows.steps[row]);
      BindValues(&insert, &position, rows, row);
    }
    SEEDBED_RETURN_IF_ERROR(insert.Step().status());
  }
  return log_.Add(rows.run, last, {rows.steps[first], rows.steps.back(), first_row, next_row_ - 1});
}

absl::Status MetricWriter::Put(const MetricRows& rows, size_t index) {
  const int64_t step = rows.steps[index];
  SEEDBED_ASSIGN_OR_RETURN(std::optional<StepChunk> before, log_.ChunkUpTo(rows.run, step));
  if (before.has_value() && step <= before->last_step) {
    SEEDBED_ASSIGN_OR_RETURN(const StepLog::Row there, log_.FirstFrom(*before, step));
    if (there.step == step) {
      if (last_.update == nullptr) return absl::OkStatus();
      int position = 0;
      BindValues(last_.update, &position, rows, index);
      last_.update->BindAt(++position, there.row);
      return last_.update->Step().status();
    }
    SEEDBED_ASSIGN_OR_RETURN(before, log_.Split(rows.run, *before, there));
  }
  int position = 0;
  last_.insert->BindAt(++position, next_row_);
  last_.insert->BindAt(++position, rows.run);
  last_.insert->BindAt(++position, step);
  BindValues(last_.insert, &position, rows, index);
  SEEDBED_RETURN_IF_ERROR(last_.insert->Step().status());
  const int64_t row = next_row_++;
  return log_.Add(rows.run, before, {step, step, row, row});
}

absl::Status MetricWriter::WriteRun(const MetricRows& rows) {
  if (!HasLastShape(rows)) SEEDBED_RETURN_IF_ERROR(MakeShape(rows));
  for (const auto& [index, metric_id] : last_.overflowing) {
    SEEDBED_RETURN_IF_ERROR(WriteOverflow(rows, rows.series[index], metric_id));
  }
  constexpr int64_t kEver = std::numeric_limits<int64_t>::max();
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<StepChunk> last, log_.ChunkUpTo(rows.run, kEver));
  size_t index = 0;
  while (last.has_value() && index < rows.steps.size() && rows.steps[index] <= last->last_step) {
    SEEDBED_RETURN_IF_ERROR(Put(rows, index++));
  }
  // Where Put has parted that chunk it has appended a row behind it too, and this makes a chunk of its own.
  if (index < rows.steps.size()) SEEDBED_RETURN_IF_ERROR(Append(rows, index, last));
  if (!rows.first_nonfinite_step.has_value()) return absl::OkStatus();
  return database_
      ->Change("UPDATE runs SET first_nonfinite_step = ?1 WHERE run_id = ?2 AND coalesce(first_nonfinite_step > ?1, 1)",
               *rows.first_nonfinite_step, rows.run)
      .status();
}

absl::Status MetricWriter::WriteOverflow(const MetricRows& rows, const MetricSeries& series, int64_t metric_id) {
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement upsert,
      database_->Cached("INSERT INTO step_values (run_id, metric_id, step, value) VALUES (?, ?, ?, ?) "
                        "ON CONFLICT (run_id, metric_id, step) DO UPDATE SET value = excluded.value"));
  for (size_t row = 0; row < rows.steps.size(); ++row) {
    if (std::isnan(series.values[row])) continue;
    upsert->Bind(rows.run, metric_id, rows.steps[row], series.values[row]);
    SEEDBED_RETURN_IF_ERROR(upsert->Step().status());
  }
  return absl::OkStatus();
}

}  // namespace seedbed
