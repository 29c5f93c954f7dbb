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

struct Close {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

class Database {
 public:
  explicit Database(const std::string& path) {
    sqlite3* database = nullptr;
    Expect(sqlite3_open(path.c_str(), &database), SQLITE_OK);
    database_.reset(database);
    Execute("PRAGMA page_size = 8192");
    Execute("PRAGMA journal_mode = WAL");
    Execute("PRAGMA synchronous = FULL");
    Execute("PRAGMA wal_autocheckpoint = 0");
    Execute("PRAGMA cache_size = -65536");
  }

  void Execute(const std::string& sql) {
    Expect(sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  }
  void Prepare(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    Expect(sqlite3_prepare_v2(database_.get(), sql.c_str(), -1, &statement, nullptr), SQLITE_OK);
    statement_.reset(statement);
  }
  void Bind(int position, int64_t value) { sqlite3_bind_int64(statement_.get(), position, value); }
  void Bind(int position, double value) { sqlite3_bind_double(statement_.get(), position, value); }
  void Step() {
    Expect(sqlite3_step(statement_.get()), SQLITE_DONE);
    sqlite3_reset(statement_.get());
  }
  void MoveLog() { sqlite3_wal_checkpoint_v2(database_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr); }

 private:
  void Expect(int result, int expected) {
    if (result == expected) return;
    Check(absl::UnavailableError(sqlite3_errmsg(database_.get())), "use SQLite");
  }

  std::unique_ptr<sqlite3, Close> database_;
  std::unique_ptr<sqlite3_stmt, Close> statement_;
};

// insert(run, step) stores the values of one row. The log is moved between commits, untimed: a coordinator has a thread
// for it.
PlainSqliteFigures Measure(const std::string& path, Database* database, int runs, int rows, int values, double seconds,
                           const std::function<void(int run, int64_t step)>& insert) {
  double spent = 0;
  int64_t stored = 0;
  for (int64_t first = 0; spent < seconds; first += rows) {
    const double start = Seconds();
    database->Execute("BEGIN IMMEDIATE");
    for (int run = 1; run <= runs; ++run) {
      for (int row = 0; row < rows; ++row) insert(run, (first + row) * kLogEvery);
    }
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

}  // namespace

PlainSqliteFigures MeasureWideRows(const std::string& directory, int runs, int rows, int values, double seconds) {
  const std::string path = directory + "/wide.db";
  Database database(path);
  std::string columns, marks;
  for (int i = 0; i < values; ++i) {
    absl::StrAppend(&columns, ", value_", i, " REAL");
    marks += ", ?";
  }
  database.Execute(absl::StrCat("CREATE TABLE steps (run_id INTEGER NOT NULL, step INTEGER NOT NULL", columns,
                                ", PRIMARY KEY (run_id, step)) STRICT, WITHOUT ROWID"));
  database.Prepare(absl::StrCat("INSERT INTO steps VALUES (?, ?", marks, ")"));
  Numbers numbers;
  return Measure(path, &database, runs, rows, values, seconds, [&](int run, int64_t step) {
    database.Bind(1, int64_t{run});
    database.Bind(2, step);
    for (int i = 0; i < values; ++i) database.Bind(3 + i, numbers.Next());
    database.Step();
  });
}

PlainSqliteFigures MeasureRowPerValue(const std::string& directory, int runs, int rows, int values, double seconds) {
  const std::string path = directory + "/narrow.db";
  Database database(path);
  database.Execute(
      "CREATE TABLE step_values (run_id INTEGER NOT NULL, metric_id INTEGER NOT NULL, step INTEGER NOT NULL, "
      "value REAL NOT NULL, PRIMARY KEY (run_id, metric_id, step)) STRICT, WITHOUT ROWID");
  database.Prepare("INSERT INTO step_values VALUES (?, ?, ?, ?)");
  Numbers numbers;
  return Measure(path, &database, runs, rows, values, seconds, [&](int run, int64_t step) {
    for (int metric = 1; metric <= values; ++metric) {
      database.Bind(1, int64_t{run});
      database.Bind(2, int64_t{metric});
      database.Bind(3, step);
      database.Bind(4, numbers.Next());
      database.Step();
    }
  });
}

}  // namespace seedbed::bench
