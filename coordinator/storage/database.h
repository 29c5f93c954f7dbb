#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"

struct sqlite3;
struct sqlite3_stmt;

// A thin, owning wrapper of SQLite: every error is a Status that says what failed on which file and what to do next.
// Private to this folder. A Database and its statements belong to one thread at a time.
namespace seedbed {

class Database;
class TemporaryFiles;
class Watchdog;

// A prepared statement. Parameters count from 1, columns from 0. A mistake in binding is kept and returned by the next
// Step.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  void BindAt(int position, int64_t value);
  void BindAt(int position, int value) { BindAt(position, static_cast<int64_t>(value)); }
  void BindAt(int position, double value);  // NaN becomes NULL
  void BindAt(int position, const std::string& value);
  void BindAt(int position, const char* value) { BindAt(position, std::string(value)); }
  void BindAt(int position, std::nullopt_t);
  template <typename Tag>
  void BindAt(int position, StrongInt<Tag> id) {
    BindAt(position, id.value());
  }
  void BindAt(int position, const WorkerId& id) { BindAt(position, id.value()); }
  template <typename T>
  void BindAt(int position, const std::optional<T>& value) {
    if (value.has_value()) {
      BindAt(position, *value);
    } else {
      BindAt(position, std::nullopt);
    }
  }
  // By name, with its colon: ":run".
  template <typename T>
  void BindNamed(const char* name, const T& value) {
    BindAt(PositionOf(name), value);
  }
  // All parameters from the first on.
  template <typename... Values>
  void Bind(const Values&... values) {
    int position = 0;
    (BindAt(++position, values), ...);
  }

  absl::StatusOr<bool> Step();  // true: a row is ready; false: done (and reset)
  absl::Status Run();           // steps to the end, passing over rows, and resets
  // Ends the statement (and with it the read transaction that it keeps open); parameters keep their values.
  void Reset();
  void ClearBindings();

  int ColumnCount() const;
  std::string ColumnName(int column) const;
  enum class Type { kNull, kInteger, kReal, kText, kBlob };
  Type TypeOf(int column) const;
  bool IsNull(int column) const { return TypeOf(column) == Type::kNull; }
  // Of the current row; a NULL reads as 0 or "".
  int64_t Int(int column) const;
  double Real(int column) const;
  std::string Text(int column) const;  // bytes, for a blob
  int64_t Bytes(int column) const;     // of a text or blob, without making it; else 0
  std::optional<int64_t> OptionalInt(int column) const;
  std::optional<double> OptionalReal(int column) const;
  bool IsReadOnly() const;
  bool IsEmpty() const { return handle_ == nullptr; }  // the text held only white space and comments

 private:
  friend class Database;
  Statement(Database* database, sqlite3_stmt* handle) : database_(database), handle_(handle) {}
  void Finalize();
  int PositionOf(const char* name);
  void KeepError(int code);
  std::string What() const;

  Database* database_;
  sqlite3_stmt* handle_;
  absl::Status bind_error_;
};

// A statement of the database's cache, reset and unbound again at the end of the scope.
class CachedStatement {
 public:
  explicit CachedStatement(Statement* statement) : statement_(statement) {}
  CachedStatement(CachedStatement&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}
  CachedStatement& operator=(CachedStatement&&) = delete;
  ~CachedStatement();
  Statement* operator->() const { return statement_; }
  Statement& operator*() const { return *statement_; }

 private:
  Statement* statement_;
};

class Database {
 public:
  struct Options {
    enum class Access { kReadOnly, kReadWrite, kCreate };
    Access access = Access::kReadOnly;
    absl::Duration busy_timeout = absl::Seconds(5);
    // Of all temporary files at a time (RESOURCE_EXHAUSTED); 0: as much as the disk holds.
    int64_t most_temporary_bytes = 0;
    Watchdog* watchdog = nullptr;  // interrupts what LimitTime's progress handler does not reach; outlives the database
  };
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path, const Options& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  const std::string& path() const { return path_; }

  // Statements of ours without parameters or results, one or more.
  absl::Status Execute(const std::string& sql);
  // `rest`, if given, receives what stands after the first statement.
  absl::StatusOr<Statement> Prepare(const std::string& sql, std::string* rest = nullptr);
  // Prepared once for the life of the connection. The same text must not be in use twice at a time.
  absl::StatusOr<CachedStatement> Cached(const std::string& sql);
  // A cached statement, bound and run to its end; returns the number of rows that it changed.
  template <typename... Values>
  absl::StatusOr<int64_t> Change(const std::string& sql, const Values&... values) {
    SEEDBED_ASSIGN_OR_RETURN(CachedStatement statement, Cached(sql));
    statement->Bind(values...);
    SEEDBED_RETURN_IF_ERROR(statement->Run());
    return Changes();
  }
  // The first column of the first row as an integer; nullopt without a row or for NULL.
  template <typename... Values>
  absl::StatusOr<std::optional<int64_t>> QueryInt(const std::string& sql, const Values&... values) {
    SEEDBED_ASSIGN_OR_RETURN(CachedStatement statement, Cached(sql));
    statement->Bind(values...);
    SEEDBED_ASSIGN_OR_RETURN(const bool row, statement->Step());
    return row ? statement->OptionalInt(0) : std::optional<int64_t>();
  }
  // The same for text.
  template <typename... Values>
  absl::StatusOr<std::optional<std::string>> QueryText(const std::string& sql, const Values&... values) {
    SEEDBED_ASSIGN_OR_RETURN(CachedStatement statement, Cached(sql));
    statement->Bind(values...);
    SEEDBED_ASSIGN_OR_RETURN(const bool row, statement->Step());
    if (!row || statement->IsNull(0)) return std::optional<std::string>();
    return std::optional<std::string>(statement->Text(0));
  }
  // The first column of every row as text.
  absl::StatusOr<std::vector<std::string>> QueryTexts(const std::string& sql);

  int64_t Changes() const;  // rows of the last INSERT, UPDATE or DELETE
  bool InTransaction() const;
  void SetBusyTimeout(absl::Duration timeout);
  // From now on every statement ends with DEADLINE_EXCEEDED once `limit` from now has passed, while it is prepared too;
  // InfiniteDuration() lifts it.
  void LimitTime(absl::Duration limit);
  // From now on nothing but SELECT over the database's own tables and views can be prepared (PERMISSION_DENIED). No
  // text or blob may be longer than `most_value_bytes`, no statement than 1 MiB, no LIKE pattern than 256 bytes, no row
  // wider than 256 columns (INVALID_ARGUMENT), none become more than 21,504 instructions (RESOURCE_EXHAUSTED), and no
  // function takes much longer than to read its arguments a few times (QueryFunctions). A statement ends with
  // RESOURCE_EXHAUSTED while LimitTime holds and SQLite has more than `most_memory_bytes` in this process, or if this
  // connection asks for more, or for more than 256 MiB to prepare it.
  void AllowOnlySelect(int most_value_bytes, int64_t most_memory_bytes);

  // Of one wal_checkpoint. `truncate`: also empties the log if every frame was moved and no reader is in the way.
  struct CheckpointCounts {
    int log_frames = 0;  // -1: there is no write-ahead log
    int moved_frames = 0;
    bool busy = false;
  };
  absl::StatusOr<CheckpointCounts> Checkpoint(bool truncate);

  // SQLite's last error on this connection as a Status; `code` is the result code that a call returned.
  absl::Status Error(int code, const std::string& what) const;

 private:
  friend class Statement;
  Database(sqlite3* handle, std::string path, std::unique_ptr<TemporaryFiles> temporary_files);

  struct Watch;
  sqlite3* handle_;
  std::string path_;
  std::unique_ptr<TemporaryFiles> temporary_files_;  // none: without a limit
  std::unique_ptr<Watch> watch_;
  Watchdog* watchdog_ = nullptr;
  std::unordered_map<std::string, Statement> cache_;
};

// BEGIN IMMEDIATE … COMMIT; rolled back at the end of the scope unless Commit returned OK.
class Transaction {
 public:
  static absl::StatusOr<Transaction> Begin(Database* database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  absl::Status Commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace seedbed
