#include "cli/export.h"

#include <algorithm>
#include <cstdint>
#include <functional>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/render/csv.h"
#include "cli/render/format.h"
#include "cli/render/proto_json.h"
#include "common/base/status_macros.h"

namespace seedbed::cli {
namespace {

std::string Quoted(const std::string& text) {
  return "'" + absl::StrReplaceAll(text, {{"'", "''"}}) + "'";
}
std::string QuotedName(const std::string& name) {
  return "\"" + absl::StrReplaceAll(name, {{"\"", "\"\""}}) + "\"";
}

std::string NameList(const std::vector<std::string>& names) {
  std::vector<std::string> quoted;
  for (const std::string& name : names) quoted.push_back(Quoted(name));
  return absl::StrJoin(quoted, ", ");
}

// Columns whose text is JSON, in every table and view of ours.
bool HoldsJson(const std::string& column) {
  return column == "parameters" || column == "varied" || column == "summary" || column == "outcomes" ||
         absl::EndsWith(column, "_json");
}

class RowWriter {
 public:
  RowWriter(ExportOptions::Format format, std::vector<std::string> columns, Output& output)
      : format_(format), columns_(std::move(columns)), output_(output) {
    if (format_ == ExportOptions::Format::kCsv) output_.Write(CsvRecord(columns_));
  }

  void Write(const v1::Row& row) {
    if (format_ == ExportOptions::Format::kCsv) {
      std::vector<std::string> fields;
      for (const v1::Value& value : row.values()) fields.push_back(CsvText(value));
      output_.Write(CsvRecord(fields));
      return;
    }
    OrderedJson json = OrderedJson::object();
    for (int i = 0; i < row.values_size() && i < static_cast<int>(columns_.size()); ++i) {
      const bool parse = HoldsJson(columns_[i]) && row.values(i).kind_case() == v1::Value::kText;
      json[columns_[i]] = parse ? ParsedOrText(row.values(i).text()) : ToJson(row.values(i));
    }
    output_.Write(Dump(json) + "\n");
  }

 private:
  const ExportOptions::Format format_;
  const std::vector<std::string> columns_;
  Output& output_;
};

struct Page {
  int64_t rows = 0;
  bool truncated = false;  // by the server's limits
};

absl::StatusOr<Page> RunQuery(Client& client, const std::string& sql, int64_t limit,
                              const std::function<bool(const v1::Row&)>& on_row) {
  v1::QueryRequest request;
  request.set_sql(sql);
  request.set_row_limit(limit);
  Page page;
  const absl::Status status = client.Query(request, [&](const v1::QueryResponse& response) {
    page.truncated = page.truncated || response.truncated();
    for (const v1::Row& row : response.rows()) {
      ++page.rows;
      if (!on_row(row)) return false;
    }
    return true;
  });
  SEEDBED_RETURN_IF_ERROR(status);
  return page;
}

absl::StatusOr<std::vector<std::string>> ColumnsOf(Client& client, const std::string& table) {
  v1::QueryRequest request;
  request.set_sql(absl::StrCat("select * from ", table, " limit 0"));
  std::vector<std::string> columns;
  SEEDBED_RETURN_IF_ERROR(client.Query(request, [&](const v1::QueryResponse& response) {
    columns.insert(columns.end(), response.columns().begin(), response.columns().end());
    return true;
  }));
  if (columns.empty()) return absl::InternalError(absl::StrCat("the coordinator gave no columns of ", table));
  return columns;
}

// Named one by one: a metric that arrives meanwhile adds a column, and "*" would shift the rest.
std::string ColumnList(const std::vector<std::string>& columns, const std::string& table) {
  std::vector<std::string> named;
  for (const std::string& column : columns) named.push_back(absl::StrCat(table, ".", QuotedName(column)));
  return absl::StrJoin(named, ", ");
}

absl::StatusOr<int> IndexOf(const std::vector<std::string>& columns, const std::string& name) {
  const auto at = std::find(columns.begin(), columns.end(), name);
  if (at == columns.end())
    return absl::InternalError(absl::StrCat("the database has no column ", name, " where it should"));
  return static_cast<int>(at - columns.begin());
}

// A view with one row per `key`, an integer column, page by page.
absl::Status ExportView(Client& client, const std::string& view, const std::string& key, const ExportOptions& options,
                        Output& output) {
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<std::string> columns, ColumnsOf(client, view));
  SEEDBED_ASSIGN_OR_RETURN(const int key_index, IndexOf(columns, key));
  RowWriter writer(options.format, columns, output);
  int64_t last = -1;
  while (!output.closed()) {
    const std::string sql = absl::StrCat("select ", ColumnList(columns, view), " from ", view, " where sweep in (",
                                         NameList(options.sweeps), ") and ", QuotedName(key), " > ", last, " order by ",
                                         QuotedName(key), " limit ", options.page_rows);
    SEEDBED_ASSIGN_OR_RETURN(const Page page, RunQuery(client, sql, options.page_rows, [&](const v1::Row& row) {
                               last = row.values(key_index).integer();
                               writer.Write(row);
                               return !output.closed();
                             }));
    if (page.rows == 0 || (page.rows < options.page_rows && !page.truncated)) break;
  }
  return absl::OkStatus();
}

absl::Status ExportSteps(Client& client, const ExportOptions& options, Output& output) {
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<std::string> columns, ColumnsOf(client, "steps"));
  SEEDBED_ASSIGN_OR_RETURN(const int run_index, IndexOf(columns, "run_id"));
  SEEDBED_ASSIGN_OR_RETURN(const int step_index, IndexOf(columns, "step"));
  std::vector<std::string> titles = {"sweep"};
  titles.insert(titles.end(), columns.begin(), columns.end());
  RowWriter writer(options.format, titles, output);
  int64_t run = -1;
  int64_t step = -1;
  while (!output.closed()) {
    // The view is read by run, and a comparison of rows begins at its first run: a page costs its own rows and the
    // sorting of the run that it begins or ends with.
    const std::string sql =
        absl::StrCat("select sweeps.name, ", ColumnList(columns, "steps"),
                     " from steps join runs using (run_id) join sweeps using (sweep_id)",
                     " where (steps.run_id, steps.step) > (", run, ", ", step, ") and sweeps.name in (",
                     NameList(options.sweeps), ") order by steps.run_id, steps.step limit ", options.page_rows);
    SEEDBED_ASSIGN_OR_RETURN(const Page page, RunQuery(client, sql, options.page_rows, [&](const v1::Row& row) {
                               run = row.values(run_index + 1).integer();
                               step = row.values(step_index + 1).integer();
                               writer.Write(row);
                               return !output.closed();
                             }));
    if (page.rows == 0 || (page.rows < options.page_rows && !page.truncated)) break;
  }
  return absl::OkStatus();
}

}  // namespace

std::string CsvText(const v1::Value& value) {
  switch (value.kind_case()) {
    case v1::Value::kInteger:
      return absl::StrCat(value.integer());
    case v1::Value::kReal:
      return FormatNumber(value.real());
    case v1::Value::kText:
      return value.text();
    case v1::Value::kBlob:
      return absl::BytesToHexString(value.blob());
    case v1::Value::kIsNull:
    case v1::Value::KIND_NOT_SET:
      return "";
  }
  return "";
}

absl::Status Export(Client& client, const ExportOptions& options, Output& output) {
  switch (options.what) {
    case ExportOptions::What::kRuns:
      return ExportView(client, "run_results", "run_id", options, output);
    case ExportOptions::What::kConfigurations:
      return ExportView(client, "configuration_results", "configuration_id", options, output);
    case ExportOptions::What::kSteps:
      return ExportSteps(client, options, output);
  }
  return absl::OkStatus();
}

}  // namespace seedbed::cli
