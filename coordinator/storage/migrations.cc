#include "coordinator/storage/migrations.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "coordinator/storage/schema.h"

namespace seedbed {
namespace {

// Up to version 3 `steps` was a table by (run_id, step), in which a metric might have the name of step_rows' key.
absl::Status MoveStepsToVersion4(Database* database) {
  SEEDBED_RETURN_IF_ERROR(database->Execute(R"sql(
INSERT INTO step_chunks (run_id, first_step, last_step, first_row, last_row)
SELECT run_id, first_step, last_step, up_to - count + 1, up_to FROM (
  SELECT run_id, first_step, last_step, count, sum(count) OVER (ORDER BY run_id ROWS UNBOUNDED PRECEDING) AS up_to
  FROM (SELECT run_id, min(step) AS first_step, max(step) AS last_step, count(*) AS count FROM steps GROUP BY run_id))
ORDER BY run_id;
)sql"));
  SEEDBED_ASSIGN_OR_RETURN(
      const std::vector<std::string> columns,
      database->QueryTexts(
          "SELECT name FROM pragma_table_info('steps') WHERE name NOT IN ('run_id', 'step') ORDER BY cid"));
  std::string names;
  for (const std::string& name : columns) {
    if (absl::EqualsIgnoreCase(name, "row_id")) {
      SEEDBED_RETURN_IF_ERROR(database->Execute(R"sql(
UPDATE metric_names SET in_steps = 0 WHERE name = 'row_id';
INSERT INTO step_values (run_id, metric_id, step, value)
SELECT s.run_id, n.metric_id, s.step, s.row_id FROM metric_names AS n CROSS JOIN steps AS s
WHERE n.name = 'row_id' AND s.row_id IS NOT NULL ORDER BY s.run_id, s.step;
)sql"));
      continue;
    }
    SEEDBED_RETURN_IF_ERROR(database->Execute(absl::StrCat("ALTER TABLE step_rows ADD COLUMN \"", name, "\" REAL")));
    absl::StrAppend(&names, ", \"", name, "\"");
  }
  // SQLite numbers them 1, 2, … as they come.
  SEEDBED_RETURN_IF_ERROR(
      database->Execute(absl::StrCat("INSERT INTO step_rows (run_id, step", names, ") SELECT run_id, step", names,
                                     " FROM steps ORDER BY run_id, step")));
  return database->Execute("DROP TABLE steps");
}

}  // namespace

const std::vector<Migration>& Migrations() {
  static const std::vector<Migration>& migrations =
      *new std::vector<Migration>{{1, TablesVersion1()},
                                  {2, StepToVersion2()},
                                  {3, StepToVersion3()},
                                  {4, StepToVersion4(), &MoveStepsToVersion4},
                                  {5, StepToVersion5()}};
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
  return database->QueryTexts(
      "SELECT name FROM pragma_table_info('step_rows') WHERE name NOT IN ('row_id', 'run_id', 'step') ORDER BY cid");
}

absl::Status DropViews(Database* database) {
  for (const std::string& view : ViewNames()) {
    // A table of that name (`steps` was one) is no view: to drop it as one is an error.
    SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> there,
                             database->QueryInt("SELECT 1 FROM sqlite_schema WHERE type = 'view' AND name = ?", view));
    if (there.has_value()) SEEDBED_RETURN_IF_ERROR(database->Execute(absl::StrCat("DROP VIEW ", view)));
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
    if (migration.version <= found) continue;
    SEEDBED_RETURN_IF_ERROR(database->Execute(migration.sql));
    if (migration.move_rows != nullptr) SEEDBED_RETURN_IF_ERROR(migration.move_rows(database));
  }
  SEEDBED_RETURN_IF_ERROR(CreateViews(database));
  // A pragma takes no bound parameters; both are integers of ours.
  SEEDBED_RETURN_IF_ERROR(database->Execute(absl::StrCat("PRAGMA user_version = ", migrations.back().version)));
  SEEDBED_RETURN_IF_ERROR(database->Execute(absl::StrCat("PRAGMA application_id = ", kApplicationId)));
  return transaction.Commit();
}

}  // namespace seedbed
