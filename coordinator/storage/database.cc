#include "coordinator/storage/database.h"

#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/allocation_limit.h"
#include "coordinator/storage/log_check.h"
#include "coordinator/storage/query_authorizer.h"
#include "coordinator/storage/query_functions.h"
#include "coordinator/storage/sqlite_error.h"
#include "coordinator/storage/temporary_files.h"
#include "coordinator/storage/watchdog.h"

namespace seedbed {
namespace {

// The virtual machine's instructions between two looks at clock and memory: some microseconds, if none makes a long
// text.
constexpr int kInstructionsBetweenLooks = 200;
// Of a statement from outside, and of a LIKE or GLOB pattern in it.
constexpr int kMostSqlBytes = 1 << 20;
constexpr int kMostPatternBytes = 256;
constexpr int kMostColumns = 256;
// Of a prepared statement, which SQLite makes longer by doubling it: from 42. Between two jumps nothing looks at the
// clock but functions and what allocates much.
constexpr int kMostInstructions = 42 << 9;
constexpr int64_t kMostBytesToPrepare = int64_t{256} << 20;

}  // namespace

struct Database::Watch {
  bool limits = false;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  QueryFunctions functions{&deadline};
  int64_t most_memory_bytes = std::numeric_limits<int64_t>::max();
  bool too_much_memory = false;
  AllocationLimit allocations;

  // A progress handler: anything but 0 interrupts the statement.
  static int Look(void* self) {
    auto* const watch = static_cast<Watch*>(self);
    watch->too_much_memory = sqlite3_memory_used() > watch->most_memory_bytes;
    return watch->too_much_memory || std::chrono::steady_clock::now() > watch->deadline ? 1 : 0;
  }

  // For an AllocationScope.
  AllocationLimit* WhilePreparing() {
    allocations.most_bytes = std::min(most_memory_bytes, allocations.bytes + kMostBytesToPrepare);
    return limits ? &allocations : nullptr;
  }
  AllocationLimit* WhileRunning() {
    allocations.most_bytes = most_memory_bytes;
    return limits ? &allocations : nullptr;
  }
};

// --- Statement

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      handle_(std::exchange(other.handle_, nullptr)),
      bind_error_(std::move(other.bind_error_)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  if (this != &other) {
    Finalize();
    database_ = other.database_;
    handle_ = std::exchange(other.handle_, nullptr);
    bind_error_ = std::move(other.bind_error_);
  }
  return *this;
}

Statement::~Statement() {
  Finalize();
}

void Statement::Finalize() {
  if (handle_ == nullptr) return;
  const AllocationScope scope(database_->watch_->WhileRunning());
  sqlite3_finalize(handle_);
}

std::string Statement::What() const {
  constexpr size_t kMost = 160;
  std::string sql = sqlite3_sql(handle_);
  if (sql.size() > kMost) sql = sql.substr(0, kMost) + "...";
  return absl::StrCat("run \"", sql, "\"");
}

void Statement::KeepError(int code) {
  if (code != SQLITE_OK && bind_error_.ok()) bind_error_ = database_->Error(code, "bind a value to " + What());
}

int Statement::PositionOf(const char* name) {
  const int position = sqlite3_bind_parameter_index(handle_, name);
  if (position == 0 && bind_error_.ok()) {
    bind_error_ = absl::InternalError(absl::StrCat("cannot ", What(), ": it has no parameter ", name));
  }
  return position;
}

void Statement::BindAt(int position, int64_t value) {
  KeepError(sqlite3_bind_int64(handle_, position, value));
}
void Statement::BindAt(int position, double value) {
  KeepError(sqlite3_bind_double(handle_, position, value));
}
void Statement::BindAt(int position, std::nullopt_t) {
  KeepError(sqlite3_bind_null(handle_, position));
}
void Statement::BindAt(int position, const std::string& value) {
  KeepError(sqlite3_bind_text64(handle_, position, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

absl::StatusOr<bool> Statement::Step() {
  if (!bind_error_.ok()) return bind_error_;
  const AllocationScope scope(database_->watch_->WhileRunning());
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    sqlite3_reset(handle_);
    return false;
  }
  const absl::Status error = database_->Error(code, What());
  sqlite3_reset(handle_);
  return error;
}

absl::Status Statement::Run() {
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

void Statement::Reset() {
  const AllocationScope scope(database_->watch_->WhileRunning());
  sqlite3_reset(handle_);
  bind_error_ = absl::OkStatus();
}

void Statement::ClearBindings() {
  sqlite3_clear_bindings(handle_);
}

int Statement::ColumnCount() const {
  return sqlite3_column_count(handle_);
}
std::string Statement::ColumnName(int column) const {
  return sqlite3_column_name(handle_, column);
}
bool Statement::IsReadOnly() const {
  return sqlite3_stmt_readonly(handle_) != 0;
}

Statement::Type Statement::TypeOf(int column) const {
  switch (sqlite3_column_type(handle_, column)) {
    case SQLITE_INTEGER:
      return Type::kInteger;
    case SQLITE_FLOAT:
      return Type::kReal;
    case SQLITE_TEXT:
      return Type::kText;
    case SQLITE_BLOB:
      return Type::kBlob;
    default:
      return Type::kNull;
  }
}

int64_t Statement::Int(int column) const {
  return sqlite3_column_int64(handle_, column);
}
double Statement::Real(int column) const {
  return sqlite3_column_double(handle_, column);
}

std::string Statement::Text(int column) const {
  const void* data = TypeOf(column) == Type::kBlob ? sqlite3_column_blob(handle_, column)
                                                   : static_cast<const void*>(sqlite3_column_text(handle_, column));
  if (data == nullptr) return "";
  return std::string(static_cast<const char*>(data), static_cast<size_t>(sqlite3_column_bytes(handle_, column)));
}

int64_t Statement::Bytes(int column) const {
  const Type type = TypeOf(column);
  return type == Type::kText || type == Type::kBlob ? sqlite3_column_bytes(handle_, column) : 0;
}

std::optional<int64_t> Statement::OptionalInt(int column) const {
  return IsNull(column) ? std::nullopt : std::optional<int64_t>(Int(column));
}

std::optional<double> Statement::OptionalReal(int column) const {
  return IsNull(column) ? std::nullopt : std::optional<double>(Real(column));
}

CachedStatement::~CachedStatement() {
  if (statement_ == nullptr) return;
  statement_->Reset();
  statement_->ClearBindings();
}

// --- Database

Database::Database(sqlite3* handle, std::string path, std::unique_ptr<TemporaryFiles> temporary_files)
    : handle_(handle),
      path_(std::move(path)),
      temporary_files_(std::move(temporary_files)),
      watch_(std::make_unique<Watch>()) {}

Database::~Database() {
  cache_.clear();
  if (watchdog_ != nullptr) watchdog_->LetGo(handle_);
  sqlite3_close_v2(handle_);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path, const Options& options) {
  SEEDBED_RETURN_IF_ERROR(LimitAllocations());
  SEEDBED_RETURN_IF_ERROR(CheckLog(path));
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  switch (options.access) {
    case Options::Access::kReadOnly:
      flags |= SQLITE_OPEN_READONLY;
      break;
    case Options::Access::kReadWrite:
      flags |= SQLITE_OPEN_READWRITE;
      break;
    case Options::Access::kCreate:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      break;
  }
  std::unique_ptr<TemporaryFiles> temporary_files;
  if (options.most_temporary_bytes > 0) {
    temporary_files = std::make_unique<TemporaryFiles>(options.most_temporary_bytes);
  }
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags,
                                   temporary_files != nullptr ? temporary_files->vfs_name().c_str() : nullptr);
  std::unique_ptr<Database> database(new Database(handle, path, std::move(temporary_files)));
  if (code != SQLITE_OK) return database->Error(code, "open the database");
  database->watchdog_ = options.watchdog;
  database->SetBusyTimeout(options.busy_timeout);
  // A file from elsewhere must not run code of its choice through its views or triggers.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0, nullptr);
  return database;
}

absl::StatusOr<std::vector<std::string>> Database::QueryTexts(const std::string& sql) {
  SEEDBED_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  std::vector<std::string> texts;
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return texts;
    texts.push_back(statement.Text(0));
  }
}

absl::Status Database::Error(int code, const std::string& what) const {
  if (handle_ == nullptr) return SqliteError(code, sqlite3_errstr(code), 0, what, path_);
  // The connection's message belongs to its last failure; a call that failed before reaching it has only its code.
  const bool same = (sqlite3_extended_errcode(handle_) & 0xff) == (code & 0xff);
  const int primary = code & 0xff;
  if (temporary_files_ != nullptr && temporary_files_->TakeRefused() && primary == SQLITE_FULL) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot ", what, ": it sorts, groups or joins so much that its temporary files would grow beyond ",
                     temporary_files_->most_bytes() >> 20, " MiB [", path_,
                     "]; narrow it with WHERE, sort fewer columns, or copy the database and query the copy"));
  }
  if (primary == SQLITE_INTERRUPT && std::exchange(watch_->too_much_memory, false)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "cannot ", what, ": the queries under way take more than ", watch_->most_memory_bytes >> 20, " MiB of memory [",
        path_, "]; ask for shorter or fewer texts at once, or copy the database and query the copy"));
  }
  const AllocationLimit::Refused refused =
      std::exchange(watch_->allocations.refused, AllocationLimit::Refused::kNothing);
  if (primary == SQLITE_NOMEM && refused == AllocationLimit::Refused::kMemory) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot ", what, ": it takes more than ", watch_->allocations.most_bytes >> 20, " MiB of memory [",
                     path_, "]; ask for less at once, and let common table expressions name each other less often"));
  }
  if (primary == SQLITE_NOMEM && refused == AllocationLimit::Refused::kTime) {
    return absl::DeadlineExceededError(absl::StrCat("cannot ", what, ": its time is over [", path_,
                                                    "]; narrow the query, or copy the database and query the copy"));
  }
  // SQLite's word for a statement of too many instructions.
  if (primary == SQLITE_NOMEM && watch_->limits) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot ", what, ": it becomes more than ", kMostInstructions, " instructions [", path_,
                     "]; write fewer or simpler expressions, and a long list as IN (SELECT value FROM "
                     "json_each('[1, 2]'))"));
  }
  const bool from_system = primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN || primary == SQLITE_FULL;
  return SqliteError(code, same ? sqlite3_errmsg(handle_) : sqlite3_errstr(code),
                     from_system ? sqlite3_system_errno(handle_) : 0, what, path_);
}

absl::Status Database::Execute(const std::string& sql) {
  std::string rest = sql;
  while (rest.find_first_not_of(" \n\t;") != std::string::npos) {
    const std::string now = std::move(rest);
    rest.clear();
    SEEDBED_ASSIGN_OR_RETURN(Statement statement, Prepare(now, &rest));
    if (statement.handle_ == nullptr) break;  // only a comment was left
    SEEDBED_RETURN_IF_ERROR(statement.Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<Statement> Database::Prepare(const std::string& sql, std::string* rest) {
  if (sql.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return absl::InvalidArgumentError("the SQL text is longer than 2 GiB");
  }
  sqlite3_stmt* handle = nullptr;
  const char* tail = nullptr;
  int code = SQLITE_OK;
  {
    const AllocationScope scope(watch_->WhilePreparing());
    code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), 0, &handle, &tail);
  }
  if (code != SQLITE_OK) {
    constexpr size_t kMost = 160;
    return Error(code, absl::StrCat("prepare \"", sql.substr(0, kMost), sql.size() > kMost ? "..." : "", "\""));
  }
  if (rest != nullptr) *rest = std::string(tail, sql.data() + sql.size());
  return Statement(this, handle);
}

absl::StatusOr<CachedStatement> Database::Cached(const std::string& sql) {
  auto found = cache_.find(sql);
  if (found == cache_.end()) {
    SEEDBED_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
    found = cache_.emplace(sql, std::move(statement)).first;
  }
  return CachedStatement(&found->second);
}

int64_t Database::Changes() const {
  return sqlite3_changes64(handle_);
}
bool Database::InTransaction() const {
  return sqlite3_get_autocommit(handle_) == 0;
}

void Database::SetBusyTimeout(absl::Duration timeout) {
  sqlite3_busy_timeout(handle_, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
}

void Database::LimitTime(absl::Duration limit) {
  watch_->limits = limit != absl::InfiniteDuration();
  watch_->allocations = AllocationLimit();
  if (limit == absl::InfiniteDuration()) {
    watch_->deadline = std::chrono::steady_clock::time_point::max();
    if (watchdog_ != nullptr) watchdog_->LetGo(handle_);
    sqlite3_progress_handler(handle_, 0, nullptr, nullptr);
    return;
  }
  watch_->deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(limit);
  watch_->allocations.deadline = watch_->deadline;
  sqlite3_progress_handler(handle_, kInstructionsBetweenLooks, &Watch::Look, watch_.get());
  if (watchdog_ != nullptr) watchdog_->Watch(handle_, watch_->deadline);
}

void Database::AllowOnlySelect(int most_value_bytes, int64_t most_memory_bytes) {
  watch_->most_memory_bytes = most_memory_bytes;
  watch_->functions.UseOn(handle_);
  AllowOnlySelectOn(handle_);
  sqlite3_limit(handle_, SQLITE_LIMIT_LENGTH, most_value_bytes);
  sqlite3_limit(handle_, SQLITE_LIMIT_SQL_LENGTH, kMostSqlBytes);
  sqlite3_limit(handle_, SQLITE_LIMIT_COLUMN, kMostColumns);
  sqlite3_limit(handle_, SQLITE_LIMIT_VDBE_OP, kMostInstructions);
  // What one function does is not cut off by LimitTime; a pattern's length multiplies the text's.
  sqlite3_limit(handle_, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, kMostPatternBytes);
  sqlite3_limit(handle_, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(handle_, SQLITE_LIMIT_TRIGGER_DEPTH, 0);
}

absl::StatusOr<Database::CheckpointCounts> Database::Checkpoint(bool truncate) {
  CheckpointCounts counts;
  const int mode = truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
  const int code = sqlite3_wal_checkpoint_v2(handle_, "main", mode, &counts.log_frames, &counts.moved_frames);
  if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED) {
    counts.busy = true;
  } else if (code != SQLITE_OK) {
    return Error(code, "checkpoint the write-ahead log");
  }
  return counts;
}

// --- Transaction

absl::StatusOr<Transaction> Transaction::Begin(Database* database) {
  SEEDBED_RETURN_IF_ERROR(database->Change("BEGIN IMMEDIATE").status());
  return Transaction(database);
}

Transaction::~Transaction() {
  // SQLite itself rolls back on some errors (disk full, I/O): then there is nothing left to do.
  if (database_ != nullptr && database_->InTransaction()) (void)database_->Change("ROLLBACK");
}

absl::Status Transaction::Commit() {
  SEEDBED_RETURN_IF_ERROR(database_->Change("COMMIT").status());
  database_ = nullptr;
  return absl::OkStatus();
}

}  // namespace seedbed
