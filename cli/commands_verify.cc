// verify: trains finished runs again, here, and compares every row with the database, bit for bit.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/commands.h"
#include "cli/engine_program.h"
#include "cli/render/format.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"

namespace seedbed::cli {
namespace {

struct VerifyOptions {
  std::string selector;
  int64_t sample = 5;
};

// A row's values by metric; one that is absent was not measured, or is not a number.
using MetricValues = std::map<std::string, double>;

struct Difference {
  int64_t step = 0;
  std::string metric;  // empty: the whole row
  std::optional<double> stored;
  std::optional<double> here;
};

struct Verdict {
  int64_t run = 0;
  std::string skipped;  // why; empty: it was compared
  int64_t rows = 0;
  std::vector<Difference> differences;  // the first few
  int64_t different = 0;                // how many there are
};

constexpr size_t kMostShown = 5;

uint64_t Bits(double value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

void Note(Difference difference, Verdict* verdict) {
  ++verdict->different;
  if (verdict->differences.size() < kMostShown) verdict->differences.push_back(std::move(difference));
}

void Compare(int64_t step, const MetricValues& stored, const MetricValues& here, Verdict* verdict) {
  for (const auto& [metric, value] : stored) {
    const auto other = here.find(metric);
    if (other == here.end()) {
      Note({step, metric, value, std::nullopt}, verdict);
    } else if (Bits(value) != Bits(other->second)) {
      Note({step, metric, value, other->second}, verdict);
    }
  }
  for (const auto& [metric, value] : here) {
    if (stored.count(metric) == 0) Note({step, metric, std::nullopt, value}, verdict);
  }
}

using Rows = std::map<int64_t, MetricValues>;

// Runs a query that is ordered by what `statement` compares with, piece by piece: it is asked for the next piece's
// text until nothing was left out.
absl::Status ReadPieces(Client& client, const std::function<std::string()>& statement,
                        const std::function<void(const std::string& column, const v1::Value&)>& take,
                        const std::function<void()>& end_of_row) {
  for (bool more = true; more;) {
    v1::QueryRequest request;
    request.set_sql(statement());
    std::vector<std::string> columns;
    more = false;
    SEEDBED_RETURN_IF_ERROR(client.Query(request, [&](const v1::QueryResponse& response) {
      columns.insert(columns.end(), response.columns().begin(), response.columns().end());
      for (const v1::Row& row : response.rows()) {
        for (int i = 0; i < row.values_size(); ++i) take(columns[static_cast<size_t>(i)], row.values(i));
        end_of_row();
      }
      more = more || response.truncated();
      return true;
    }));
  }
  return absl::OkStatus();
}

// The metrics that have columns, and then those that have none.
absl::Status ReadRows(Client& client, int64_t run, Rows* rows) {
  int64_t step = -1;
  int64_t metric = -1;
  std::string name;
  double number = 0;
  MetricValues values;
  SEEDBED_RETURN_IF_ERROR(ReadPieces(
      client,
      [&] { return absl::StrCat("SELECT * FROM steps WHERE run_id = ", run, " AND step > ", step, " ORDER BY step"); },
      [&](const std::string& column, const v1::Value& value) {
        if (column == "step") step = value.integer();
        if (value.kind_case() == v1::Value::kReal) values[column] = value.real();
      },
      [&] { (*rows)[step] = std::exchange(values, {}); }));
  step = -1;
  return ReadPieces(
      client,
      [&] {
        return absl::StrCat(
            "SELECT v.step AS step, v.metric_id AS metric_id, n.name AS name, v.value AS value FROM step_values v "
            "JOIN metric_names n USING (metric_id) WHERE v.run_id = ",
            run, " AND (v.metric_id, v.step) > (", metric, ", ", step, ") ORDER BY v.metric_id, v.step");
      },
      [&](const std::string& column, const v1::Value& value) {
        if (column == "step") step = value.integer();
        if (column == "metric_id") metric = value.integer();
        if (column == "name") name = value.text();
        if (column == "value") number = value.real();
      },
      [&] { (*rows)[step][name] = number; });
}

// Compares the rows of one of the engine's `metrics` messages, and takes those away that it has seen.
absl::Status TakeMetrics(const Json& message, Rows* stored, Verdict* verdict) {
  const std::vector<int64_t> steps = message.at("steps").get<std::vector<int64_t>>();
  for (size_t i = 0; i < steps.size(); ++i) {
    MetricValues here;
    for (const auto& [metric, values] : message.at("values").items()) {
      const Json& value = values.at(i);
      if (value.is_null()) continue;
      SEEDBED_ASSIGN_OR_RETURN(const double number, NumberFromJson(value));
      if (!std::isnan(number)) here[metric] = number;  // the database has no NaN
    }
    ++verdict->rows;
    const auto row = stored->find(steps[i]);
    if (row == stored->end()) {
      Note({steps[i], "", std::nullopt, std::nullopt}, verdict);
      continue;
    }
    Compare(steps[i], row->second, here, verdict);
    stored->erase(row);
  }
  return absl::OkStatus();
}

absl::Status TrainAgain(const std::string& specification, Rows stored, Verdict* verdict) {
  absl::Status problem;
  bool finished = false;
  SEEDBED_RETURN_IF_ERROR(RunEngine({"train", "--specification", "-"}, specification, [&](std::string_view line) {
    const Json message = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!message.is_object()) return true;
    const std::string type = message.value("type", "");
    try {
      if (type == "metrics") problem = TakeMetrics(message, &stored, verdict);
    } catch (const Json::exception& error) {
      problem = absl::InternalError(absl::StrCat("a message of the engine cannot be read: ", error.what()));
    }
    if (type == "failed") problem = absl::InternalError(message.value("reason", "the engine failed"));
    finished = finished || type == "finished";
    return problem.ok();
  }));
  SEEDBED_RETURN_IF_ERROR(problem);
  if (!finished) return absl::InternalError("the engine did not come to the end of the run");
  for (const auto& [step, values] : stored) Note({step, "", std::nullopt, std::nullopt}, verdict);
  return absl::OkStatus();
}

// This machine's numerics fingerprint, canonical.
absl::StatusOr<std::string> OwnNumerics() {
  std::string text;
  SEEDBED_RETURN_IF_ERROR(RunEngine({"version"}, "", [&text](std::string_view line) {
    text.append(line);
    return true;
  }));
  SEEDBED_ASSIGN_OR_RETURN(const Json json, ParseJson(text, "what `seedbed-engine version` prints"));
  return CanonicalJson(json.value("numerics", Json::object()));
}

// Why the run's rows cannot be expected here; empty if they can.
absl::StatusOr<std::string> WhyNot(Client& client, int64_t run, const std::string& specification,
                                   const std::string& numerics) {
  const Json json = Json::parse(specification, nullptr, /*allow_exceptions=*/false);
  const Json budget = json.is_object() ? json.value("budget", Json::object()) : Json::object();
  if (budget.is_object() && budget.value("seconds", Json()).is_number()) return std::string("its budget is in time");
  v1::QueryRequest request;
  request.set_sql(
      absl::StrCat("SELECT numerics FROM attempts WHERE run_id = ", run,
                   " AND last_step IS NOT NULL AND attempt >= (SELECT max(attempt) FROM attempts WHERE run_id = ", run,
                   " AND resume_step IS NULL)"));
  bool same = true;
  SEEDBED_RETURN_IF_ERROR(client.Query(request, [&](const v1::QueryResponse& response) {
    for (const v1::Row& row : response.rows()) same = same && row.values(0).text() == numerics;
    return true;
  }));
  return same ? std::string() : std::string("it was trained under another numerics fingerprint than this machine's");
}

absl::StatusOr<std::vector<int64_t>> Sample(Client& client, const VerifyOptions& options) {
  std::vector<int64_t> finished;
  v1::ListRunsRequest request;
  request.set_sweep(options.selector);
  request.add_states(v1::RUN_STATE_FINISHED);
  for (bool more = true; more;) {
    SEEDBED_ASSIGN_OR_RETURN(const v1::ListRunsResponse response, client.ListRuns(request));
    for (const v1::RunSummary& run : response.runs()) finished.push_back(run.run_id());
    more = response.more() && response.runs_size() > 0;
    if (more) request.set_after_run_id(finished.back());
  }
  const int64_t size = static_cast<int64_t>(finished.size());
  if (size <= options.sample) return finished;
  // Evenly over the sweep, so that the same runs are taken again.
  std::vector<int64_t> sample;
  for (int64_t i = 0; i < options.sample; ++i)
    sample.push_back(finished[static_cast<size_t>(i * size / options.sample)]);
  return sample;
}

std::string Shown(const std::optional<double>& value) {
  return value ? absl::StrFormat("%.17g", *value) : std::string("nothing");
}

OrderedJson ToJson(const Verdict& verdict) {
  OrderedJson differences = OrderedJson::array();
  for (const Difference& each : verdict.differences) {
    const auto value = [](const std::optional<double>& number) {
      return number ? OrderedJson(*number) : OrderedJson();
    };
    differences.push_back({{"step", each.step},
                           {"metric", each.metric.empty() ? OrderedJson() : OrderedJson(each.metric)},
                           {"stored", value(each.stored)},
                           {"here", value(each.here)}});
  }
  return {{"run_id", verdict.run},
          {"skipped", verdict.skipped.empty() ? OrderedJson() : OrderedJson(verdict.skipped)},
          {"rows", verdict.rows},
          {"different", verdict.different},
          {"differences", std::move(differences)}};
}

void Print(Context& context, const Verdict& verdict) {
  if (!verdict.skipped.empty()) {
    context.Print(absl::StrCat("run ", verdict.run, ": passed over: ", verdict.skipped, "\n"));
    return;
  }
  context.Print(absl::StrCat(
      "run ", verdict.run, ": ", FormatPlural(verdict.rows, "row"), ", ",
      verdict.different == 0 ? "the same bits" : absl::StrCat(FormatCount(verdict.different), " differences"), "\n"));
  for (const Difference& each : verdict.differences) {
    context.Print(each.metric.empty() ? absl::StrCat("  step ", each.step, ": the row is on one side only\n")
                                      : absl::StrCat("  step ", each.step, " ", each.metric, ": ", Shown(each.stored),
                                                     " in the database, ", Shown(each.here), " here\n"));
  }
}

absl::StatusOr<int> Verify(Context& context, const VerifyOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<int64_t> runs, Sample(*client, options));
  if (runs.empty()) return absl::NotFoundError(absl::StrCat("no run of ", options.selector, " has finished yet"));
  SEEDBED_ASSIGN_OR_RETURN(const std::string numerics, OwnNumerics());
  OrderedJson results = OrderedJson::array();
  int64_t compared = 0;
  int64_t different = 0;
  for (const int64_t run : runs) {
    Verdict verdict;
    verdict.run = run;
    SEEDBED_ASSIGN_OR_RETURN(const v1::GetRunResponse detail, client->GetRun(run));
    SEEDBED_ASSIGN_OR_RETURN(verdict.skipped, WhyNot(*client, run, detail.specification_json(), numerics));
    if (verdict.skipped.empty()) {
      Rows rows;
      SEEDBED_RETURN_IF_ERROR(ReadRows(*client, run, &rows));
      SEEDBED_RETURN_IF_ERROR(TrainAgain(detail.specification_json(), std::move(rows), &verdict));
      ++compared;
      different += verdict.different > 0 ? 1 : 0;
    }
    if (context.options.json) {
      results.push_back(ToJson(verdict));
    } else {
      Print(context, verdict);
      context.out().Flush();
    }
  }
  if (context.options.json) {
    context.PrintJson({{"compared", compared}, {"different", different}, {"runs", std::move(results)}});
  }
  if (compared == 0) return absl::FailedPreconditionError("none of these runs could be compared on this machine");
  return different == 0 ? kExitOk : kExitFailed;
}

}  // namespace

void AddVerifyCommand(Commands& commands) {
  const auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = commands.Add("verify", "Train finished runs again, here, and compare every row bit for bit",
                                   "seedbed verify quickstart --sample 3\n"
                                   "seedbed verify last --json");
  command->add_option("sweep", options->selector, "Sweeps")->required()->type_name("SELECTOR");
  command->add_option("--sample", options->sample, "How many runs, spread evenly over those that finished")
      ->check(WholeNumber(1))
      ->capture_default_str();
  commands.OnRun(command, [options](Context& context) { return Verify(context, *options); });
}

}  // namespace seedbed::cli
