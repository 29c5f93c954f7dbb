#include "coordinator/storage/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "common/schema/trainer_schema.h"
#include "coordinator/storage/backup_file.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/storage/database.h"
#include "coordinator/storage/event_writer.h"
#include "coordinator/storage/load.h"
#include "coordinator/storage/metric_writer.h"
#include "coordinator/storage/migrations.h"

namespace seedbed {
namespace {

// Fixed when a database is created. Rows are appended and fill pages of any size; larger ones make the few changes of a
// commit in other tables write more of the log.
constexpr int kPageSize = 8192;
constexpr int kCacheKibibytes = 64 * 1024;
// In `meta` from the restore of a backup until the leases that it had are void: when it was restored, UTC microseconds.
constexpr char kRestoredAt[] = "restored_at";

// SQLite would create it with the umask's permissions; its log and shared memory take the file's.
absl::Status CreatePrivateFile(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    const std::string what = absl::StrCat("cannot create ", path, ": ", std::strerror(errno));
    if (errno == ENOSPC || errno == EDQUOT) return absl::ResourceExhaustedError(what + "; free some disk space");
    return absl::FailedPreconditionError(what + "; check that this user may write the data directory");
  }
  // One that was copied there may have come with wider permissions.
  const int error = ::fchmod(descriptor, 0600) == 0 ? 0 : errno;
  ::close(descriptor);
  if (error == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("cannot give ", path, " the mode 0600: ", std::strerror(error), "; make this user its owner"));
}

absl::Status SetPragmas(Database* database, const StoreOptions& options, bool is_new) {
  if (is_new) {
    SEEDBED_RETURN_IF_ERROR(database->Execute(absl::StrCat("PRAGMA page_size = ", kPageSize)));
    SEEDBED_RETURN_IF_ERROR(database->Execute("PRAGMA auto_vacuum = INCREMENTAL"));
  }
  const bool log = options.journal == StoreOptions::Journal::kWriteAheadLog;
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<std::string> mode,
                           database->QueryText(log ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode = DELETE"));
  if (mode.value_or("") != (log ? "wal" : "delete")) {
    return absl::FailedPreconditionError(
        absl::StrCat(database->path(), " stays in journal mode '", mode.value_or(""),
                     "'; close other programs that have it open, or use a file system with shared memory"));
  }
  // EXTRA syncs the directory too: in that mode the removal of the journal is the commit, and FULL leaves it to chance.
  const char* synchronous = log ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = EXTRA";
  if (options.synchronous == StoreOptions::Synchronous::kNormal) synchronous = "PRAGMA synchronous = NORMAL";
  if (options.synchronous == StoreOptions::Synchronous::kOff) synchronous = "PRAGMA synchronous = OFF";
  for (const std::string& pragma :
       {std::string(synchronous), std::string("PRAGMA wal_autocheckpoint = 0"), std::string("PRAGMA foreign_keys = ON"),
        std::string("PRAGMA secure_delete = OFF"), absl::StrCat("PRAGMA cache_size = -", kCacheKibibytes)}) {
    SEEDBED_RETURN_IF_ERROR(database->Execute(pragma));
  }
  if (options.most_pages.has_value()) {
    return database->Execute(absl::StrCat("PRAGMA max_page_count = ", *options.most_pages));
  }
  return absl::OkStatus();
}

absl::Status RaiseEpoch(Database* database, const std::string& database_id, int64_t now) {
  const std::pair<const char*, int64_t> numbers[] = {
      {"epoch", 0}, {"created_at", now}, {"next_sweep_id", 1}, {"next_configuration_id", 1}, {"next_run_id", 1}};
  for (const auto& [key, value] : numbers) {
    SEEDBED_RETURN_IF_ERROR(
        database->Change("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING", key, value).status());
  }
  SEEDBED_RETURN_IF_ERROR(
      database->Change("INSERT INTO meta (key, value) VALUES ('database_id', ?) ON CONFLICT DO NOTHING", database_id)
          .status());
  return database->Change("UPDATE meta SET value = value + 1 WHERE key = 'epoch'").status();
}

// If the file is a backup: gives it an identity of its own. Within the caller's transaction.
absl::Status TakeForRestored(Database* database, const std::string& new_id, int64_t now) {
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> taken_at,
                           database->QueryInt("SELECT value FROM meta WHERE key = ?", kBackupTakenAt));
  if (!taken_at.has_value()) return absl::OkStatus();
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<std::string> old_id,
                           database->QueryText("SELECT value FROM meta WHERE key = 'database_id'"));
  SEEDBED_RETURN_IF_ERROR(database->Change("UPDATE meta SET value = ? WHERE key = 'database_id'", new_id).status());
  SEEDBED_RETURN_IF_ERROR(database->Change("DELETE FROM meta WHERE key = ?", kBackupTakenAt).status());
  SEEDBED_RETURN_IF_ERROR(database->Change("REPLACE INTO meta (key, value) VALUES (?, ?)", kRestoredAt, now).status());
  // A report carries a fence and no id of a database: one of the original, or of another copy, must not fit here.
  SEEDBED_RETURN_IF_ERROR(database->Change("UPDATE runs SET fence = fence + ?", now).status());
  SEEDBED_RETURN_IF_ERROR(
      database->Change("UPDATE attempts SET fence = fence + ? WHERE ended_as IS NULL", now).status());
  AuditNote note;
  note.kind = "database_restored";
  note.detail = absl::StrCat("from a backup of database ", old_id.value_or(""), " taken at ",
                             absl::FormatTime(absl::RFC3339_sec, absl::FromUnixMicros(*taken_at), absl::UTCTimeZone()));
  return EventWriter(database, now).Note(note);
}

bool HasDurable(const Batch& batch) {
  return !batch.metrics.empty() || !batch.notes.empty() ||
         std::any_of(batch.events.begin(), batch.events.end(),
                     [](const core::Event& event) { return IsDurable(event); });
}

}  // namespace

struct Store::Parts {
  std::unique_ptr<DataLock> lock;  // outlives the connection
  std::unique_ptr<Database> database;
  std::unique_ptr<MetricWriter> metrics;
  bool metrics_are_stale = false;  // a transaction that may have added columns was rolled back
  std::string database_id;
  int64_t epoch = 0;
  bool restored = false;
  int64_t large_log_bytes = 0;
  absl::Duration busy_timeout;
  absl::Duration log_tried = -absl::InfiniteDuration();  // monotonic

  absl::Status Prepare(const StoreOptions& options, const Moment& now);
  absl::Status WriteInTransaction(const Batch& batch);
  void EmptyLargeLog(absl::Duration now);
};

absl::Status Store::Parts::Prepare(const StoreOptions& options, const Moment& now) {
  // Before anything is changed: the file may be another program's.
  SEEDBED_ASSIGN_OR_RETURN(const int64_t version, CheckSchema(database.get(), SchemaVersion()));
  SEEDBED_RETURN_IF_ERROR(SetPragmas(database.get(), options, version == 0));
  SEEDBED_RETURN_IF_ERROR(Migrate(database.get(), Migrations()));
  SEEDBED_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database.get()));
  SEEDBED_RETURN_IF_ERROR(RaiseEpoch(database.get(), options.database_id_if_created, now.utc_microseconds()));
  SEEDBED_RETURN_IF_ERROR(TakeForRestored(database.get(), options.database_id_if_created, now.utc_microseconds()));
  metrics = std::make_unique<MetricWriter>(database.get());
  SEEDBED_RETURN_IF_ERROR(metrics->Load());
  for (const std::string& name : TrainerNames()) {
    SEEDBED_RETURN_IF_ERROR(metrics->AddBuiltIn(FindTrainer(name)->metrics));
  }
  SEEDBED_RETURN_IF_ERROR(transaction.Commit());
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<std::string> id,
                           database->QueryText("SELECT value FROM meta WHERE key = 'database_id'"));
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> number,
                           database->QueryInt("SELECT value FROM meta WHERE key = 'epoch'"));
  database_id = id.value_or("");
  epoch = number.value_or(0);
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> restored_at,
                           database->QueryInt("SELECT value FROM meta WHERE key = ?", kRestoredAt));
  restored = restored_at.has_value();
  return absl::OkStatus();
}

Store::Store(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Store::~Store() {
  if (parts_->database != nullptr) {
    // So that results.db is whole by itself even where a reader outlives the store: only the last connection's end
    // would do it. Whoever reads at this moment is not waited for.
    parts_->database->SetBusyTimeout(absl::ZeroDuration());
    (void)parts_->database->Checkpoint(/*truncate=*/true);
  }
  // Statements go before their connection, and the lock after it.
  parts_->metrics.reset();
  parts_->database.reset();
}

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const StoreOptions& options, const Moment& now) {
  SEEDBED_RETURN_IF_ERROR(EnsureDataDirectory(options.directory));
  if (options.journal == StoreOptions::Journal::kWriteAheadLog) {
    SEEDBED_RETURN_IF_ERROR(CheckLocalFileSystem(options.directory));
  }
  std::unique_ptr<Store> store(new Store(std::make_unique<Parts>()));
  Parts& parts = *store->parts_;
  parts.large_log_bytes = options.large_log_bytes;
  parts.busy_timeout = options.busy_timeout;
  SEEDBED_ASSIGN_OR_RETURN(parts.lock, DataLock::Take(options.directory));
  const std::string path = DatabasePath(options.directory);
  SEEDBED_RETURN_IF_ERROR(CreatePrivateFile(path));
  Database::Options database_options;
  database_options.access = Database::Options::Access::kReadWrite;
  database_options.busy_timeout = options.busy_timeout;
  SEEDBED_ASSIGN_OR_RETURN(parts.database, Database::Open(path, database_options));
  SEEDBED_RETURN_IF_ERROR(parts.Prepare(options, now));
  return store;
}

const std::string& Store::database_path() const {
  return parts_->database->path();
}
const std::string& Store::database_id() const {
  return parts_->database_id;
}
int64_t Store::epoch() const {
  return parts_->epoch;
}

bool Store::restored() const {
  return parts_->restored;
}

absl::Status Store::EndRestore() {
  SEEDBED_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(parts_->database.get()));
  SEEDBED_RETURN_IF_ERROR(parts_->database->Change("DELETE FROM meta WHERE key = ?", kRestoredAt).status());
  SEEDBED_RETURN_IF_ERROR(transaction.Commit());
  parts_->restored = false;
  return absl::OkStatus();
}

std::string Store::Pragma(const std::string& name) const {
  const absl::StatusOr<std::optional<std::string>> value = parts_->database->QueryText(absl::StrCat("PRAGMA ", name));
  return value.ok() ? value->value_or("") : value.status().ToString();
}

absl::StatusOr<core::State> Store::Load(const core::Settings& settings, absl::Duration now) {
  return LoadState(parts_->database.get(), settings, now);
}

absl::Status Store::Parts::WriteInTransaction(const Batch& batch) {
  SEEDBED_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database.get()));
  SEEDBED_RETURN_IF_ERROR(metrics->Write(batch.metrics));
  EventWriter writer(database.get(), batch.now.utc_microseconds());
  for (const core::Event& event : batch.events) SEEDBED_RETURN_IF_ERROR(writer.Write(event));
  for (const AuditNote& note : batch.notes) SEEDBED_RETURN_IF_ERROR(writer.Note(note));
  SEEDBED_RETURN_IF_ERROR(writer.Finish());
  return transaction.Commit();
}

void Store::Parts::EmptyLargeLog(absl::Duration now) {
  constexpr absl::Duration kBetweenTries = absl::Seconds(1);
  if (now < log_tried + kBetweenTries || WriteAheadLogBytes(database->path()) <= large_log_bytes) return;
  log_tried = now;
  // A reader, or the Checkpointer at its work, is not waited for.
  database->SetBusyTimeout(absl::ZeroDuration());
  (void)database->Checkpoint(/*truncate=*/true);
  database->SetBusyTimeout(busy_timeout);
}

absl::Status Store::Write(const Batch& batch) {
  if (!HasDurable(batch)) return absl::OkStatus();
  if (parts_->metrics_are_stale) {
    SEEDBED_RETURN_IF_ERROR(parts_->metrics->Load());
    parts_->metrics_are_stale = false;
  }
  SEEDBED_RETURN_IF_ERROR(parts_->metrics->Check(batch.metrics));
  const absl::Status written = parts_->WriteInTransaction(batch);
  if (!written.ok()) {
    parts_->metrics_are_stale = true;
    return written;
  }
  parts_->EmptyLargeLog(batch.now.monotonic);
  return absl::OkStatus();
}

absl::Status Store::ProbeWrite() {
  // Large enough to need new pages, so that a disk with a few bytes left is not taken for a healthy one.
  Database& database = *parts_->database;
  // Where memory was short the failed one may not have been rolled back either.
  if (database.InTransaction()) SEEDBED_RETURN_IF_ERROR(database.Execute("ROLLBACK"));
  {
    SEEDBED_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(&database));
    SEEDBED_RETURN_IF_ERROR(
        database.Change("REPLACE INTO meta (key, value) VALUES ('probe', zeroblob(262144))").status());
    SEEDBED_RETURN_IF_ERROR(transaction.Commit());
  }
  SEEDBED_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(&database));
  SEEDBED_RETURN_IF_ERROR(database.Change("DELETE FROM meta WHERE key = 'probe'").status());
  return transaction.Commit();
}

absl::StatusOr<int64_t> Store::ReclaimSpace(int64_t most_pages) {
  Database& database = *parts_->database;
  SEEDBED_RETURN_IF_ERROR(
      database.Execute(absl::StrCat("PRAGMA incremental_vacuum(", std::max<int64_t>(most_pages, 1), ")")));
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> left, database.QueryInt("PRAGMA freelist_count"));
  return left.value_or(0);
}

}  // namespace seedbed
