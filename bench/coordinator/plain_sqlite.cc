#include "bench/coordinator/plain_sqlite.h"

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "bench/coordinator/figures.h"

namespace seedbed::bench {
namespace {

constexpr int kLogEvery = 100;  // steps between two rows
constexpr int kRowsAtOnce = 10;

struct Close {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

class Statement {
 public:
  Statement(sqlite3* database, const std::string& sql) : database_(database) {
    sqlite3_stmt* statement = nullptr;
    Expect(sqlite3_prepare_v2(database, sql.c_str(), -1, &statement, nullptr), SQLITE_OK);
    statement_.reset(statement);
  }
  // The next parameter.
  void Bind(int64_t value) { sqlite3_bind_int64(statement_.get(), ++position_, value); }
  void Bind(double value) { sqlite3_bind_double(statement_.get(), ++position_, value); }
  void Run() {
    Expect(sqlite3_step(statement_.get()), SQLITE_DONE);
    sqlite3_reset(statement_.get());
    position_ = 0;
  }
  int64_t Number() {
    Expect(sqlite3_step(statement_.get()), SQLITE_ROW);
    return sqlite3_column_int64(statement_.get(), 0);
  }

 private:
  void Expect(int result, int expected) {
    if (result == expected) return;
    Check(absl::UnavailableError(sqlite3_errmsg(database_)), "use SQLite");
  }

  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, Close> statement_;
  int position_ = 0;
};

class Database {
 public:
  explicit Database(const std::string& path) {
    sqlite3* database = nullptr;
    if (sqlite3_open(path.c_str(), &database) != SQLITE_OK) Check(absl::UnavailableError(path), "open SQLite");
    database_.reset(database);
  }
  void BecomeAResultsDatabase() {
    Execute("PRAGMA page_size = 8192");
    Execute("PRAGMA journal_mode = WAL");
    Execute("PRAGMA synchronous = FULL");
    Execute("PRAGMA wal_autocheckpoint = 0");
    Execute("PRAGMA cache_size = -65536");
  }
  void Execute(const std::string& sql) {
    char* message = nullptr;
    if (sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, &message) == SQLITE_OK) return;
    Check(absl::UnavailableError(message != nullptr ? message : sql), "use SQLite");
  }
  Statement Prepare(const std::string& sql) { return Statement(database_.get(), sql); }
  void MoveLog() { sqlite3_wal_checkpoint_v2(database_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr); }

 private:
  std::unique_ptr<sqlite3, Close> database_;
};

// store(run, first) stores the rows of a run in a commit, the first at step `first`. The log is moved between commits,
// untimed: a coordinator has a thread for it.
PlainSqliteFigures Measure(const std::string& path, Database* database, int runs, int rows, int values, double seconds,
                           const std::function<void(int64_t run, int64_t first)>& store) {
  double spent = 0;
  int64_t stored = 0;
  for (int64_t first = 0; spent < seconds; first += int64_t{rows} * kLogEvery) {
    const double start = Seconds();
    database->Execute("BEGIN IMMEDIATE");
    for (int64_t run = 1; run <= runs; ++run) store(run, first);
    database->Execute("COMMIT");
    spent += Seconds() - start;
    stored += int64_t{runs} * rows * values;
    database->MoveLog();
  }
  return {static_cast<double>(stored) / spent,
          static_cast<double>(std::filesystem::file_size(path)) / static_cast<double>(stored)};
}

// Doubles that have no short form.
class Numbers {
 public:
  double Next() { return distribution_(random_); }

 private:
  std::mt19937_64 random_{1};
  std::uniform_real_distribution<double> distribution_{0, 1};
};

// "(?, ?, …)" for each of `rows` rows, with commas between them.
std::string Marks(int columns, int rows) {
  std::string row = "(?";
  for (int i = 1; i < columns; ++i) row += ", ?";
  std::string marks = row + ")";
  for (int i = 1; i < rows; ++i) absl::StrAppend(&marks, ", ", row, ")");
  return marks;
}

std::string ValueColumns(int values) {
  std::string columns;
  for (int i = 0; i < values; ++i) absl::StrAppend(&columns, ", value_", i, " REAL");
  return columns;
}

}  // namespace

PlainSqliteFigures MeasureAppendedRows(const std::string& directory, int runs, int rows, int values, double seconds) {
  const std::string path = directory + "/appended.db";
  Database database(path);
  database.BecomeAResultsDatabase();
  database.Execute(
      absl::StrCat("CREATE TABLE step_rows (row_id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, step INTEGER NOT NULL",
                   ValueColumns(values), ") STRICT"));
  database.Execute(
      "CREATE TABLE step_chunks (run_id INTEGER NOT NULL, first_step INTEGER NOT NULL, last_step INTEGER NOT NULL, "
      "first_row INTEGER NOT NULL, last_row INTEGER NOT NULL, PRIMARY KEY (run_id, first_step)) STRICT, WITHOUT ROWID");
  Statement one = database.Prepare(absl::StrCat("INSERT INTO step_rows VALUES ", Marks(3 + values, 1)));
  Statement many = database.Prepare(absl::StrCat("INSERT INTO step_rows VALUES ", Marks(3 + values, kRowsAtOnce)));
  Statement chunk = database.Prepare(absl::StrCat("INSERT INTO step_chunks VALUES ", Marks(5, 1)));
  Numbers numbers;
  int64_t next_row = 1;
  return Measure(path, &database, runs, rows, values, seconds, [&](int64_t run, int64_t first) {
    for (const int64_t value : {run, first, first + int64_t{rows - 1} * kLogEvery, next_row, next_row + rows - 1}) {
      chunk.Bind(value);
    }
    chunk.Run();
    for (int row = 0; row < rows;) {
      const int count = rows - row >= kRowsAtOnce ? kRowsAtOnce : 1;
      Statement& insert = count > 1 ? many : one;
      for (const int end = row + count; row < end; ++row) {
        for (const int64_t value : {next_row++, run, first + int64_t{row} * kLogEvery}) insert.Bind(value);
        for (int i = 0; i < values; ++i) insert.Bind(numbers.Next());
      }
      insert.Run();
    }
  });
}

PlainSqliteFigures MeasureRowsByRun(const std::string& directory, int runs, int rows, int values, double seconds) {
  const std::string path = directory + "/by_run.db";
  Database database(path);
  database.BecomeAResultsDatabase();
  database.Execute(absl::StrCat("CREATE TABLE steps (run_id INTEGER NOT NULL, step INTEGER NOT NULL",
                                ValueColumns(values), ", PRIMARY KEY (run_id, step)) STRICT, WITHOUT ROWID"));
  Statement one = database.Prepare(absl::StrCat("INSERT INTO steps VALUES ", Marks(2 + values, 1)));
  Statement many = database.Prepare(absl::StrCat("INSERT INTO steps VALUES ", Marks(2 + values, kRowsAtOnce)));
  Numbers numbers;
  return Measure(path, &database, runs, rows, values, seconds, [&](int64_t run, int64_t first) {
    for (int row = 0; row < rows;) {
      const int count = rows - row >= kRowsAtOnce ? kRowsAtOnce : 1;
      Statement& insert = count > 1 ? many : one;
      for (const int end = row + count; row < end; ++row) {
        for (const int64_t value : {run, first + int64_t{row} * kLogEvery}) insert.Bind(value);
        for (int i = 0; i < values; ++i) insert.Bind(numbers.Next());
      }
      insert.Run();
    }
  });
}

PlainSqliteFigures MeasureRowPerValue(const std::string& directory, int runs, int rows, int values, double seconds) {
  const std::string path = directory + "/narrow.db";
  Database database(path);
  database.BecomeAResultsDatabase();
  database.Execute(
      "CREATE TABLE step_values (run_id INTEGER NOT NULL, metric_id INTEGER NOT NULL, step INTEGER NOT NULL, "
      "value REAL NOT NULL, PRIMARY KEY (run_id, metric_id, step)) STRICT, WITHOUT ROWID");
  Statement insert = database.Prepare("INSERT INTO step_values VALUES (?, ?, ?, ?)");
  Numbers numbers;
  return Measure(path, &database, runs, rows, values, seconds, [&](int64_t run, int64_t first) {
    for (int64_t metric = 1; metric <= values; ++metric) {
      for (int row = 0; row < rows; ++row) {
        for (const int64_t value : {run, metric, first + int64_t{row} * kLogEvery}) insert.Bind(value);
        insert.Bind(numbers.Next());
        insert.Run();
      }
    }
  });
}

int64_t NumberIn(const std::string& path, const std::string& sql) {
  Database database(path);
  return database.Prepare(sql).Number();
}

}  // namespace seedbed::bench
