#include "coordinator/storage/schema_inspection.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/storage/migrations.h"

namespace seedbed {
namespace {

// By its name for people, what it is made of.
using Parts = std::map<std::string, std::string>;

absl::Status AddParts(Database* database, const std::string& sql, Parts* parts) {
  SEEDBED_ASSIGN_OR_RETURN(Statement statement, database->Prepare(sql));
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return absl::OkStatus();
    (*parts)[statement.Text(0)] = statement.Text(1);
  }
}

// ANALYZE makes tables sqlite_stat*, which change no result. A table's text depends on the order in which its columns
// came, so those are compared one by one.
absl::StatusOr<Parts> PartsOf(Database* database) {
  Parts parts;
  SEEDBED_RETURN_IF_ERROR(
      AddParts(database,
               "SELECT type || ' ' || name, CASE type WHEN 'table' THEN '' ELSE coalesce(sql, '') END "
               "FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'",
               &parts));
  SEEDBED_RETURN_IF_ERROR(
      AddParts(database,
               "SELECT 'column ' || t.name || '.' || c.name, c.type || ' ' || c.\"notnull\" || ' ' || c.pk || ' ' || "
               "c.hidden || ' ' || coalesce(c.dflt_value, '') FROM sqlite_schema AS t, pragma_table_xinfo(t.name) AS c "
               "WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
               &parts));
  SEEDBED_RETURN_IF_ERROR(
      AddParts(database,
               "SELECT 'table ' || name, type || ' ' || wr || ' ' || strict FROM pragma_table_list "
               "WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
               &parts));
  return parts;
}

// The metrics' columns in the order in which the database got them; those that it lost come last.
absl::StatusOr<std::vector<std::string>> ColumnsDue(Database* database) {
  SEEDBED_ASSIGN_OR_RETURN(std::vector<std::string> columns,
                           database->QueryTexts("SELECT name FROM metric_names WHERE in_steps = 1 ORDER BY metric_id"));
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<std::string> found, MetricColumns(database));
  const auto place = [&found](const std::string& name) { return std::find(found.begin(), found.end(), name); };
  std::stable_sort(columns.begin(), columns.end(),
                   [&place](const std::string& a, const std::string& b) { return place(a) < place(b); });
  return columns;
}

absl::StatusOr<Parts> PartsDue(const std::vector<std::string>& metric_columns) {
  Database::Options options;
  options.access = Database::Options::Access::kCreate;
  SEEDBED_ASSIGN_OR_RETURN(const std::unique_ptr<Database> fresh, Database::Open(":memory:", options));
  SEEDBED_RETURN_IF_ERROR(Migrate(fresh.get(), Migrations()));
  SEEDBED_RETURN_IF_ERROR(DropViews(fresh.get()));
  for (const std::string& name : metric_columns) {
    SEEDBED_RETURN_IF_ERROR(fresh->Execute(absl::StrCat("ALTER TABLE step_rows ADD COLUMN \"", name, "\" REAL")));
  }
  SEEDBED_RETURN_IF_ERROR(CreateViews(fresh.get()));
  return PartsOf(fresh.get());
}

// The columns of a table that is named itself, and the indexes that SQLite made for it, are not named beside it.
bool GoesWithItsTable(const std::string& part, const Parts& others) {
  constexpr std::string_view kColumn = "column ";
  constexpr std::string_view kIndex = "index sqlite_autoindex_";
  std::string table;
  if (part.rfind(kColumn, 0) == 0) table = part.substr(kColumn.size(), part.find('.') - kColumn.size());
  if (part.rfind(kIndex, 0) == 0) table = part.substr(kIndex.size(), part.rfind('_') - kIndex.size());
  return !table.empty() && others.count("table " + table) == 0;
}

}  // namespace

absl::StatusOr<SchemaDifferences> CompareSchema(Database* database) {
  SEEDBED_ASSIGN_OR_RETURN(const Parts found, PartsOf(database));
  SchemaDifferences differences;
  std::vector<std::string> metric_columns;
  // Without that table nobody knows which columns there were, and it is named itself.
  if (found.count("table metric_names") != 0 && found.count("table step_rows") != 0) {
    SEEDBED_ASSIGN_OR_RETURN(metric_columns, ColumnsDue(database));
  } else {
    SEEDBED_ASSIGN_OR_RETURN(metric_columns, MetricColumns(database));
  }
  SEEDBED_ASSIGN_OR_RETURN(const Parts due, PartsDue(metric_columns));
  for (const auto& [name, content] : due) {
    const auto same = found.find(name);
    if (same == found.end() && !GoesWithItsTable(name, found)) differences.missing.push_back(name);
    if (same != found.end() && same->second != content) differences.changed.push_back(name);
  }
  for (const auto& [name, content] : found) {
    if (due.count(name) == 0 && !GoesWithItsTable(name, due)) differences.foreign.push_back(name);
  }
  return differences;
}

}  // namespace seedbed
