// query and export: the results database from outside.

#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/export.h"
#include "cli/render/csv.h"
#include "cli/render/format.h"
#include "cli/render/table.h"
#include "cli/signals.h"
#include "common/base/atomic_file.h"
#include "common/base/status_macros.h"

namespace seedbed::cli {
namespace {

struct QueryOptions {
  std::string sql;
  int64_t limit = 0;
  bool csv = false;
};

// Rows in the three forms that `query` prints. JSON and CSV are written as rows come; a table needs all of them.
class QueryPrinter {
 public:
  QueryPrinter(Context& context, bool csv) : context_(context), csv_(csv && !context.options.json) {}

  bool Take(const v1::QueryResponse& response) {
    if (!started_) Start(response);
    truncated_ = truncated_ || response.truncated();
    for (const v1::Row& row : response.rows()) {
      if (context_.options.json) {
        OrderedJson json = OrderedJson::object();
        for (int i = 0; i < row.values_size(); ++i) json[columns_[i]] = ToJson(row.values(i));
        context_.Print((rows_ == 0 ? "\n" : ",\n") + Dump(json));
      } else if (csv_) {
        std::vector<std::string> fields;
        for (const v1::Value& value : row.values()) fields.push_back(CsvText(value));
        context_.Print(CsvRecord(fields));
      } else {
        table_rows_.push_back(row);
      }
      ++rows_;
    }
    return !context_.out().closed();
  }

  void Finish() {
    if (context_.options.json) {
      if (!started_) context_.Print("{\"columns\":[],\"rows\":[");
      context_.Print(absl::StrCat("\n],\"truncated\":", truncated_ ? "true" : "false", "}\n"));
    } else if (!csv_) {
      PrintTable();
    }
    if (truncated_) {
      context_.Note(absl::StrCat("cut off after ", FormatPlural(rows_, "row"),
                                 ": a limit was reached (--limit N asks for more; `seedbed export` has none)"));
    }
  }

 private:
  void Start(const v1::QueryResponse& response) {
    started_ = true;
    columns_.assign(response.columns().begin(), response.columns().end());
    if (context_.options.json) {
      // Two columns of one name would be one key of an object.
      std::map<std::string, int> seen;
      for (std::string& name : columns_) {
        const int count = ++seen[name];
        if (count > 1) absl::StrAppend(&name, ":", count);
      }
      context_.Print(absl::StrCat("{\"columns\":", Dump(OrderedJson(columns_)), ",\"rows\":["));
    } else if (csv_) {
      context_.Print(CsvRecord(columns_));
    }
  }

  void PrintTable() {
    if (columns_.empty()) return;
    std::vector<Column> columns;
    for (size_t i = 0; i < columns_.size(); ++i) {
      bool numbers = !table_rows_.empty();
      for (const v1::Row& row : table_rows_) {
        const v1::Value::KindCase kind = row.values(static_cast<int>(i)).kind_case();
        numbers = numbers && kind != v1::Value::kText && kind != v1::Value::kBlob;
      }
      columns.push_back({columns_[i], numbers ? Column::Align::kRight : Column::Align::kLeft, true});
    }
    Table table(columns);
    for (const v1::Row& row : table_rows_) {
      std::vector<Cell> cells;
      for (const v1::Value& value : row.values()) cells.emplace_back(CsvText(value));
      table.Add(std::move(cells));
    }
    context_.Print(table.Render(context_.style()));
  }

  Context& context_;
  const bool csv_;
  bool started_ = false;
  bool truncated_ = false;
  int64_t rows_ = 0;
  std::vector<std::string> columns_;
  std::vector<v1::Row> table_rows_;
};

absl::StatusOr<int> Query(Context& context, const QueryOptions& options) {
  v1::QueryRequest request;
  request.set_row_limit(options.limit);
  request.set_sql(options.sql);
  if (options.sql == "-") {
    request.set_sql(std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()));
  }
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  QueryPrinter printer(context, options.csv);
  SEEDBED_RETURN_IF_ERROR(
      client->Query(request, [&](const v1::QueryResponse& response) { return printer.Take(response); }));
  printer.Finish();
  return kExitOk;
}

struct ExportCommandOptions {
  std::string selector;
  std::string format = "csv";
  std::string what = "runs";
  std::string output;
  bool force = false;
};

// A file that appears under its name only when it is whole, and leaves nothing when interrupted.
class OutputFile {
 public:
  static absl::StatusOr<std::unique_ptr<OutputFile>> Create(const std::string& path) {
    SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<AtomicFile> file, AtomicFile::Create(path));
    return std::unique_ptr<OutputFile>(new OutputFile(std::move(file)));
  }

  Output& output() { return output_; }

  absl::Status Finish() {
    output_.Flush();
    SEEDBED_RETURN_IF_ERROR(output_.status());
    return file_->Commit();
  }

 private:
  explicit OutputFile(std::unique_ptr<AtomicFile> file)
      : interrupt_(file->partial_path()), file_(std::move(file)), output_(file_->descriptor()) {}
  const RemoveFileAtInterrupt interrupt_;  // outlives the file
  const std::unique_ptr<AtomicFile> file_;
  DescriptorOutput output_;
};

absl::StatusOr<int> ExportCommand(Context& context, const ExportCommandOptions& given) {
  ExportOptions options;
  options.format =
      given.format == "csv" && !context.options.json ? ExportOptions::Format::kCsv : ExportOptions::Format::kJsonLines;
  options.what = given.what == "steps"            ? ExportOptions::What::kSteps
                 : given.what == "configurations" ? ExportOptions::What::kConfigurations
                                                  : ExportOptions::What::kRuns;
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  // Before anything is asked: a place where nothing can be written is told at once.
  std::unique_ptr<OutputFile> file;
  if (!given.output.empty() && given.output != "-") {
    if (!given.force) SEEDBED_RETURN_IF_ERROR(CheckThatNothingIsAt(given.output));
    SEEDBED_ASSIGN_OR_RETURN(file, OutputFile::Create(given.output));
  }
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListSweepsResponse sweeps, client->ListSweeps(given.selector));
  for (const v1::SweepSummary& sweep : sweeps.sweeps()) options.sweeps.push_back(sweep.name());
  if (file == nullptr) {
    SEEDBED_RETURN_IF_ERROR(Export(*client, options, context.out()));
    return kExitOk;
  }
  SEEDBED_RETURN_IF_ERROR(Export(*client, options, file->output()));
  SEEDBED_RETURN_IF_ERROR(file->Finish());
  return kExitOk;
}

}  // namespace

void AddDataCommands(Commands& commands) {
  const auto query_options = std::make_shared<QueryOptions>();
  CLI::App* query =
      commands.Add("query", "Run one SELECT over the results database",
                   "seedbed query \"select varied, seeds, reached_test_99, median_t_grok from configuration_results\"\n"
                   "seedbed query \"select outcome, count(*) as runs from run_results group by 1\" --csv\n"
                   "seedbed query - < question.sql");
  query->add_option("sql", query_options->sql, "The SELECT; - reads it from standard input")
      ->required()
      ->type_name("SQL");
  query->add_option("--limit", query_options->limit, "Most rows (default: the coordinator's limit)")
      ->check(WholeNumber(0));
  query->add_flag("--csv", query_options->csv, "Print CSV instead of a table");
  commands.OnRun(query, [query_options](Context& context) { return Query(context, *query_options); });

  const auto options = std::make_shared<ExportCommandOptions>();
  CLI::App* export_command = commands.Add("export", "Write results as CSV or JSON lines",
                                          "seedbed export goldilocks --format csv > runs.csv\n"
                                          "seedbed export last --what steps --format jsonl --output curves.jsonl\n"
                                          "seedbed export all --what configurations");
  export_command->add_option("sweep", options->selector, "Sweeps (default: all)")->type_name("SELECTOR");
  export_command->add_option("--format", options->format, "csv or jsonl")
      ->check(CLI::IsMember({"csv", "jsonl"}))
      ->capture_default_str();
  export_command->add_option("--what", options->what, "runs, steps or configurations")
      ->check(CLI::IsMember({"runs", "steps", "configurations"}))
      ->capture_default_str();
  export_command->add_option("-o,--output", options->output, "File to write (default: standard output)")
      ->type_name("FILE");
  export_command->add_flag("--force", options->force, "Write over a file that is there");
  commands.OnRun(export_command, [options](Context& context) { return ExportCommand(context, *options); });
}

}  // namespace seedbed::cli
