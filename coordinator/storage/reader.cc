#include "coordinator/storage/reader.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/storage/migrations.h"
#include "coordinator/storage/reader_pool.h"
#include "coordinator/storage/watchdog.h"

namespace seedbed {
namespace {

std::string Hex(const std::string& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const char c : bytes) {
    hex.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    hex.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
  }
  return hex;
}

Value ValueOf(const Statement& row, int column) {
  switch (row.TypeOf(column)) {
    case Statement::Type::kInteger:
      return row.Int(column);
    case Statement::Type::kReal:
      return row.Real(column);
    case Statement::Type::kText:
      return row.Text(column);
    case Statement::Type::kBlob:
      return Hex(row.Text(column));
    case Statement::Type::kNull:
      break;
  }
  return std::monostate();
}

// As ValueOf makes them, before it does.
int64_t BytesOf(const Statement& row) {
  int64_t bytes = 0;
  for (int column = 0; column < row.ColumnCount(); ++column) {
    bytes += static_cast<int64_t>(sizeof(Value));
    bytes += row.Bytes(column) * (row.TypeOf(column) == Statement::Type::kBlob ? 2 : 1);
  }
  return bytes;
}

absl::StatusOr<std::vector<std::string>> ColumnsOf(const Statement& statement) {
  std::vector<std::string> columns;
  int64_t bytes = 0;
  for (int i = 0; i < statement.ColumnCount(); ++i) {
    columns.push_back(statement.ColumnName(i));
    bytes += static_cast<int64_t>(columns.back().size());
    if (bytes > kMostRowBytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the names of the query's columns take more than ", kMostRowBytes, " bytes; give shorter ones"));
    }
  }
  return columns;
}

// The row's `number` counts from 1.
absl::Status CheckRow(const Statement& statement, int64_t number) {
  const int64_t bytes = BytesOf(statement);
  if (bytes <= kMostRowBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("row ", number, " of the query takes ", bytes,
                                                   " bytes (a blob two for each of its own), above ", kMostRowBytes,
                                                   "; select less of it: fewer columns, length(...) or substr(...)"));
}

std::vector<Value> RowOf(const Statement& statement) {
  std::vector<Value> values;
  for (int i = 0; i < statement.ColumnCount(); ++i) values.push_back(ValueOf(statement, i));
  return values;
}

absl::StatusOr<Statement> PrepareSelect(Database* database, const std::string& sql) {
  std::string rest;
  SEEDBED_ASSIGN_OR_RETURN(Statement statement, database->Prepare(sql, &rest));
  if (statement.IsEmpty()) return absl::InvalidArgumentError("the query is empty; write one SELECT statement");
  if (statement.ColumnCount() == 0 || !statement.IsReadOnly()) {
    return absl::PermissionDeniedError("only SELECT statements that read the database are allowed here");
  }
  if (!rest.empty()) {
    // A comment or white space prepares to nothing.
    const absl::StatusOr<Statement> second = database->Prepare(rest);
    if (!second.ok() || !second->IsEmpty()) {
      return absl::InvalidArgumentError("there is more than one statement; send them one at a time");
    }
  }
  return statement;
}

}  // namespace

Reader::Reader(const std::string& database_path, const ReaderOptions& options)
    : longest_stream_(options.longest_stream),
      most_list_bytes_(options.most_list_bytes),
      watchdog_(std::make_unique<Watchdog>()),
      pool_(std::make_unique<ReaderPool>(database_path, options)),
      query_pool_(std::make_unique<ReaderPool>(database_path, options, watchdog_.get())) {}
Reader::~Reader() = default;

absl::StatusOr<std::unique_ptr<Reader>> Reader::Open(const std::string& database_path, const ReaderOptions& options) {
  std::unique_ptr<Reader> reader(new Reader(database_path, options));
  // So that a missing or foreign file is an error here and not at the first query.
  SEEDBED_RETURN_IF_ERROR(reader->pool_->Borrow().status());
  return reader;
}

absl::StatusOr<DatabaseInfo> Reader::Info() {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  DatabaseInfo info;
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<std::string> id,
                           database->QueryText("SELECT value FROM meta WHERE key = 'database_id'"));
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> epoch,
                           database->QueryInt("SELECT value FROM meta WHERE key = 'epoch'"));
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> created,
                           database->QueryInt("SELECT value FROM meta WHERE key = 'created_at'"));
  info.database_id = id.value_or("");
  info.epoch = epoch.value_or(0);
  info.created_at = created.value_or(0);
  return info;
}

absl::StatusOr<std::string> Reader::TemplateJson(SweepId sweep) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(std::optional<std::string> text,
                           database->QueryText("SELECT template FROM sweeps WHERE sweep_id = ?", sweep));
  if (!text.has_value()) return absl::NotFoundError(absl::StrCat("there is no sweep ", sweep.value()));
  return *std::move(text);
}

absl::StatusOr<std::string> Reader::ParametersJson(ConfigurationId configuration) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(
      std::optional<std::string> text,
      database->QueryText("SELECT parameters FROM configurations WHERE configuration_id = ?", configuration));
  if (!text.has_value()) return absl::NotFoundError(absl::StrCat("there is no configuration ", configuration.value()));
  return *std::move(text);
}

absl::StatusOr<std::vector<std::pair<ConfigurationId, std::string>>> Reader::ParametersJson(ConfigurationId first,
                                                                                            ConfigurationId end) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(CachedStatement rows,
                           database->Cached("SELECT configuration_id, parameters FROM configurations "
                                            "WHERE configuration_id >= ? AND configuration_id < ? "
                                            "ORDER BY configuration_id"));
  rows->Bind(first, end);
  std::vector<std::pair<ConfigurationId, std::string>> list;
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return list;
    list.emplace_back(ConfigurationId(rows->Int(0)), rows->Text(1));
  }
}

absl::StatusOr<std::string> Reader::SweepSource(SweepId sweep) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(std::optional<std::string> text,
                           database->QueryText("SELECT source FROM sweeps WHERE sweep_id = ?", sweep));
  if (!text.has_value()) return absl::NotFoundError(absl::StrCat("there is no sweep ", sweep.value()));
  return *std::move(text);
}

namespace {

constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();

// The wide part of MetricTable: one series per column of `steps`, absent values as NaN.
absl::Status ReadColumns(Database* database, RunId run, int64_t after_step, int64_t limit, MetricTable* table) {
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<std::string> columns, MetricColumns(database));
  std::string sql = "SELECT r.step";
  for (const std::string& column : columns) {
    absl::StrAppend(&sql, ", r.\"", column, "\"");
    table->series.push_back({column, {}});
  }
  // The view's join, in an order that needs no sorting: the steps of a chunk rise with its rows' numbers.
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement rows,
      database->Cached(
          sql + " FROM step_chunks AS c CROSS JOIN step_rows AS r WHERE r.row_id BETWEEN c.first_row AND c.last_row"
                " AND c.run_id = ?1 AND c.last_step > ?2 AND r.step > ?2 ORDER BY c.first_step, r.row_id"
                " LIMIT ?3"));
  rows->Bind(run, after_step, limit + 1);
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return absl::OkStatus();
    if (static_cast<int64_t>(table->steps.size()) == limit) {
      table->more = true;
      return absl::OkStatus();
    }
    table->steps.push_back(rows->Int(0));
    for (size_t i = 0; i < table->series.size(); ++i) {
      table->series[i].second.push_back(rows->OptionalReal(static_cast<int>(i) + 1).value_or(kAbsent));
    }
  }
}

// Metrics beyond the columns; every step of theirs has a row in `steps` too.
absl::Status ReadOverflow(Database* database, RunId run, MetricTable* table) {
  if (table->steps.empty()) return absl::OkStatus();
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement rows,
      database->Cached("SELECT n.name, v.step, v.value FROM step_values AS v JOIN metric_names AS n ON n.metric_id = "
                       "v.metric_id WHERE v.run_id = ?1 AND v.step BETWEEN ?2 AND ?3 ORDER BY v.metric_id, v.step"));
  rows->Bind(run, table->steps.front(), table->steps.back());
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return absl::OkStatus();
    const std::string name = rows->Text(0);
    if (table->series.empty() || table->series.back().first != name) {
      table->series.push_back({name, std::vector<double>(table->steps.size(), kAbsent)});
    }
    const auto place = std::lower_bound(table->steps.begin(), table->steps.end(), rows->Int(1));
    if (place == table->steps.end() || *place != rows->Int(1)) continue;
    table->series.back().second[static_cast<size_t>(place - table->steps.begin())] = rows->Real(2);
  }
}

}  // namespace

absl::StatusOr<MetricTable> Reader::StepsOf(RunId run, int64_t after_step, int64_t limit) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, pool_->Borrow());
  MetricTable table;
  SEEDBED_RETURN_IF_ERROR(ReadColumns(database.get(), run, after_step, std::max<int64_t>(limit, 0), &table));
  SEEDBED_RETURN_IF_ERROR(ReadOverflow(database.get(), run, &table));
  table.series.erase(std::remove_if(table.series.begin(), table.series.end(),
                                    [](const auto& series) {
                                      return std::all_of(series.second.begin(), series.second.end(),
                                                         [](double value) { return value != value; });
                                    }),
                     table.series.end());
  return table;
}

absl::StatusOr<QueryResult> Reader::Query(const std::string& sql, const QueryLimits& limits) {
  SEEDBED_ASSIGN_OR_RETURN(const ReaderPool::Loan database, query_pool_->Borrow());
  SEEDBED_ASSIGN_OR_RETURN(Statement statement, PrepareSelect(database.get(), sql));
  QueryResult result;
  SEEDBED_ASSIGN_OR_RETURN(result.columns, ColumnsOf(statement));
  int64_t bytes = 0;
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return result;
    SEEDBED_RETURN_IF_ERROR(CheckRow(statement, static_cast<int64_t>(result.rows.size()) + 1));
    bytes += BytesOf(statement);
    if (static_cast<int64_t>(result.rows.size()) >= limits.most_rows || bytes > limits.most_bytes) {
      result.truncated = true;
      return result;
    }
    result.rows.push_back(RowOf(statement));
  }
}

absl::Status Reader::Stream(const std::string& sql, absl::Duration allowed_time,
                            const std::function<void(const std::vector<std::string>&)>& on_columns,
                            const std::function<bool(const std::vector<Value>&)>& on_row) {
  SEEDBED_ASSIGN_OR_RETURN(const std::unique_ptr<Database> database, query_pool_->OpenConnection());
  const absl::Duration time_limit = StreamLimit(allowed_time);
  database->LimitTime(time_limit);
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(time_limit);
  SEEDBED_ASSIGN_OR_RETURN(Statement statement, PrepareSelect(database.get(), sql));
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<std::string> columns, ColumnsOf(statement));
  on_columns(columns);
  for (int64_t number = 1;; ++number) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return absl::OkStatus();
    // SQLite looks at its own limit only once in many instructions, which slow takers of rows stretch.
    if (std::chrono::steady_clock::now() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat(
          "the query took longer than ", absl::FormatDuration(time_limit),
          ", the taking of its rows included; ask for fewer rows, or copy the database and query the copy"));
    }
    SEEDBED_RETURN_IF_ERROR(CheckRow(statement, number));
    if (!on_row(RowOf(statement))) return absl::OkStatus();
  }
}

}  // namespace seedbed
