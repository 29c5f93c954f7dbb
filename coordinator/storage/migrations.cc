#include "coordinator/storage/migrations.h"

#include "absl/strings/str_cat.h"
#include "coordinator/storage/schema.h"

namespace seedbed {

const std::vector<Migration>& Migrations() {
  static const std::vector<Migration>& migrations =
      *new std::vector<Migration>{{1, TablesVersion1()}, {2, StepToVersion2()}, {3, StepToVersion3()}};
  return migrations;
}

int64_t SchemaVersion() {
  return Migrations().back().version;
}

absl::StatusOr<int64_t> CheckSchema(Database* database, int64_t newest) {
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> application, database->QueryInt("PRAGMA application_id"));
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> version, database->QueryInt("PRAGMA user_version"));
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> objects,
                           database->QueryInt("SELECT count(*) FROM sqlite_schema"));
  if (application.value_or(0) != kApplicationId) {
    if (application.value_or(0) == 0 && version.value_or(0) == 0 && objects.value_or(0) == 0) return 0;
    return absl::FailedPreconditionError(absl::StrCat(
        database->path(), " is an SQLite database of another program; choose another data directory with --data"));
  }
  if (version.value_or(0) > newest) {
    return absl::FailedPreconditionError(absl::StrCat(database->path(), " has schema version ", *version,
                                                      ", written by a newer Seedbed; this one knows versions up to ",
                                                      newest, "; use the newer program, or another data directory"));
  }
  return version.value_or(0);
}

absl::StatusOr<std::vector<std::string>> MetricColumns(Database* database) {
  SEEDBED_ASSIGN_OR_RETURN(
      Statement statement,
      database->Prepare(
          "SELECT name FROM pragma_table_info('steps') WHERE name NOT IN ('run_id', 'step') ORDER BY cid"));
  std::vector<std::string> columns;
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return columns;
    columns.push_back(statement.Text(0));
  }
}

absl::Status DropViews(Database* database) {
  for (const std::string& view : ViewNames()) {
    SEEDBED_RETURN_IF_ERROR(database->Execute(absl::StrCat("DROP VIEW IF EXISTS ", view)));
  }
  return absl::OkStatus();
}

absl::Status CreateViews(Database* database) {
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<std::string> columns, MetricColumns(database));
  return database->Execute(ViewsSql(columns));
}

absl::Status Migrate(Database* database, const std::vector<Migration>& migrations) {
  SEEDBED_ASSIGN_OR_RETURN(const int64_t found, CheckSchema(database, migrations.back().version));
  if (found == migrations.back().version) return absl::OkStatus();
  SEEDBED_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database));
  SEEDBED_RETURN_IF_ERROR(DropViews(database));
  for (const Migration& migration : migrations) {
    if (migration.version > found) SEEDBED_RETURN_IF_ERROR(database->Execute(migration.sql));
  }
  SEEDBED_RETURN_IF_ERROR(CreateViews(database));
  // A pragma takes no bound parameters; both are integers of ours.
  SEEDBED_RETURN_IF_ERROR(database->Execute(absl::StrCat("PRAGMA user_version = ", migrations.back().version)));
  SEEDBED_RETURN_IF_ERROR(database->Execute(absl::StrCat("PRAGMA application_id = ", kApplicationId)));
  return transaction.Commit();
}

}  // namespace seedbed
