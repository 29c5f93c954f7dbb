#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/client.h"
#include "cli/output.h"

namespace seedbed::cli {

struct ExportOptions {
  enum class What { kRuns, kSteps, kConfigurations };
  enum class Format { kCsv, kJsonLines };
  What what = What::kRuns;
  Format format = Format::kCsv;
  std::vector<std::string> sweeps;  // names
  int64_t page_rows = 20'000;       // of one query, which the server limits in time and size
};

// Writes rows of the results database as they come, in pages, so that memory does not grow with them:
//  runs            the view run_results, by run_id
//  steps           the table steps with `sweep` before it, by (run_id, step)
//  configurations  the view configuration_results
// CSV: one line of titles, NULL empty, RFC 4180 quoting. JSON lines: one object a row; columns that hold JSON are
// values. Rows that arrive while it runs may be missing. Ends early, with OK, when `output` is closed.
absl::Status Export(Client& client, const ExportOptions& options, Output& output);

// A value of the database as one field of CSV, unquoted: NULL is "", a blob is hexadecimal.
std::string CsvText(const v1::Value& value);

}  // namespace seedbed::cli
