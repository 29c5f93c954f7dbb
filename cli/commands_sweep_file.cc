// plan and submit: what needs a sweep file and trains nothing.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands.h"
#include "cli/render/format.h"
#include "cli/render/table.h"
#include "cli/sweep_file.h"
#include "common/base/status_macros.h"

namespace seedbed::cli {
namespace {

// Reading the points of a grid of millions takes seconds; axes are taken from this many.
constexpr size_t kMostPointsForAxes = 200'000;

struct PlanOptions {
  std::string file;
  std::vector<std::string> overrides;
  int64_t points = 10;
};

// The values of one varied parameter in order of first appearance.
struct Axis {
  std::string name;
  std::vector<Json> values;
};

std::vector<Axis> AxesOf(const Sweep& sweep) {
  std::vector<Axis> axes;
  std::map<std::string, size_t> index;
  std::vector<std::set<std::string>> seen;
  const size_t count = std::min(sweep.configurations.size(), kMostPointsForAxes);
  for (size_t i = 0; i < count; ++i) {
    const Json varied = Json::parse(sweep.configurations[i].varied_json, nullptr, false);
    if (!varied.is_object()) continue;
    for (const auto& entry : varied.items()) {
      const auto [at, is_new] = index.emplace(entry.key(), axes.size());
      if (is_new) {
        axes.push_back({entry.key(), {}});
        seen.emplace_back();
      }
      if (seen[at->second].insert(entry.value().dump()).second) axes[at->second].values.push_back(entry.value());
    }
  }
  return axes;
}

std::string RuleText(const StopRule& rule) {
  const std::string bound = absl::StrCat(rule.metric, rule.direction == StopRule::Direction::kAtLeast ? " ≥ " : " ≤ ",
                                         FormatNumber(rule.value));
  switch (rule.kind) {
    case StopRule::Kind::kThreshold:
      return rule.held_for == 1 ? bound : absl::StrCat(bound, " held for ", rule.held_for, " evaluations");
    case StopRule::Kind::kNotReached:
      return absl::StrCat("not ", bound, " by step ", FormatCount(rule.by_step));
    case StopRule::Kind::kNotFinite:
      return "the training loss is not finite";
  }
  return "";
}

OrderedJson PlanJson(const Sweep& sweep, int64_t points) {
  OrderedJson axes = OrderedJson::object();
  for (const Axis& axis : AxesOf(sweep)) {
    OrderedJson values = OrderedJson::array();
    for (const Json& value : axis.values) values.push_back(OrderedJson::parse(value.dump()));
    axes[axis.name] = std::move(values);
  }
  OrderedJson first = OrderedJson::array();
  for (size_t i = 0; i < sweep.configurations.size() && static_cast<int64_t>(i) < points; ++i) {
    first.push_back({{"varied", ParsedOrText(sweep.configurations[i].varied_json)},
                     {"parameters", ParsedOrText(sweep.configurations[i].parameters_json)}});
  }
  const OrderedJson shared = OrderedJson::parse(ToJson(sweep.shared).dump());
  return {{"name", sweep.name},
          {"description", sweep.description},
          {"trainer", sweep.shared.trainer},
          {"configurations", sweep.configurations.size()},
          {"seeds", sweep.seeds},
          {"runs", sweep.run_count()},
          {"budget", shared.value("budget", OrderedJson())},
          {"stop", shared.value("stop", OrderedJson())},
          {"metrics", shared.value("metrics", OrderedJson())},
          {"axes", std::move(axes)},
          {"points", std::move(first)},
          {"warnings", sweep.warnings}};
}

void PrintAxes(const std::vector<Axis>& axes, Context& context) {
  if (axes.empty()) return;
  Table table({{"varied parameter"}, {"values", Column::Align::kRight}, {"", Column::Align::kLeft, true}});
  for (const Axis& axis : axes) {
    std::vector<std::string> words;
    for (size_t i = 0; i < axis.values.size() && i < 20; ++i) words.push_back(FormatValue(axis.values[i]));
    if (axis.values.size() > words.size()) words.push_back("…");
    table.Add({axis.name, FormatCount(static_cast<int64_t>(axis.values.size())), absl::StrJoin(words, ", ")});
  }
  context.Print("\n" + table.Render(context.style()));
}

void PrintPoints(const Sweep& sweep, const std::vector<Axis>& axes, int64_t points, Context& context) {
  const int64_t total = static_cast<int64_t>(sweep.configurations.size());
  const int64_t shown = std::min(points, total);
  if (shown <= 0 || axes.empty()) return;
  context.Print(absl::StrCat("\n", shown < total ? absl::StrCat("first ", FormatCount(shown), " of ") : "",
                             FormatPlural(total, "configuration"), "\n"));
  std::vector<std::string> names;
  for (const Axis& axis : axes) names.push_back(axis.name);
  const std::map<std::string, std::string> short_names = ShortNames(names);
  std::vector<Column> columns;
  for (const Axis& axis : axes) {
    const bool numbers =
        std::all_of(axis.values.begin(), axis.values.end(), [](const Json& value) { return value.is_number(); });
    columns.push_back({short_names.at(axis.name), numbers ? Column::Align::kRight : Column::Align::kLeft, true});
  }
  Table table(columns);
  for (int64_t i = 0; i < shown; ++i) {
    const Json varied = Json::parse(sweep.configurations[i].varied_json, nullptr, false);
    std::vector<Cell> row;
    for (const std::string& name : names)
      row.push_back(varied.contains(name) ? FormatValue(varied.at(name)) : std::string());
    table.Add(std::move(row));
  }
  context.Print(table.Render(context.style()));
}

void PrintPlan(const Sweep& sweep, int64_t points, Context& context) {
  const Style style = context.style();
  context.Print(absl::StrCat(Paint(style, Color::kBold, sweep.name), ": ",
                             FormatPlural(static_cast<int64_t>(sweep.configurations.size()), "configuration"), " × ",
                             FormatPlural(static_cast<int64_t>(sweep.seeds.size()), "seed"), " = ",
                             FormatPlural(sweep.run_count(), "run"), "\n"));
  std::string budget = absl::StrCat(FormatCount(sweep.shared.budget.steps), " steps");
  if (sweep.shared.budget.seconds) absl::StrAppend(&budget, ", at most ", FormatDuration(*sweep.shared.budget.seconds));
  context.Print(absl::StrCat("trainer  ", sweep.shared.trainer, "\nseeds    ", FormatRanges(sweep.seeds), "\nbudget   ",
                             budget, " a run\nrows     every ", FormatCount(sweep.shared.metrics.log_every),
                             " steps, evaluated every ", FormatCount(sweep.shared.metrics.evaluate_every), "\n"));
  for (const StopRule& rule : sweep.shared.stop) context.Print(absl::StrCat("stops    ", RuleText(rule), "\n"));
  const std::vector<Axis> axes = AxesOf(sweep);
  PrintAxes(axes, context);
  PrintPoints(sweep, axes, points, context);
}

absl::StatusOr<int> Plan(Context& context, const PlanOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(const LoadedSweep loaded, LoadSweep(options.file, options.overrides));
  PrintWarnings(loaded.sweep, *context.environment().err);
  if (context.options.json) {
    context.PrintJson(PlanJson(loaded.sweep, options.points));
  } else {
    PrintPlan(loaded.sweep, options.points, context);
  }
  return kExitOk;
}

absl::StatusOr<int> Submit(Context& context, const PlanOptions& options) {
  // Checked here first: mistakes are found without a coordinator, and a file of 100 MB is not sent.
  SEEDBED_ASSIGN_OR_RETURN(const LoadedSweep loaded, LoadSweep(options.file, options.overrides));
  PrintWarnings(loaded.sweep, *context.environment().err);
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client(Access::kCreate));
  v1::SubmitSweepRequest request;
  request.set_submission_id(NewSubmissionId());
  request.set_text(loaded.text);
  request.set_file_name(loaded.file_name);
  for (const std::string& word : options.overrides) request.add_overrides(word);
  SEEDBED_ASSIGN_OR_RETURN(const v1::SubmitSweepResponse submitted, client->SubmitSweep(request));
  if (context.options.json) {
    context.PrintJson(ToJson(submitted));
    return kExitOk;
  }
  std::string change;
  if (submitted.created()) {
    change = "submitted";
  } else if (submitted.runs_added() > 0) {
    change = absl::StrCat("extended by ", FormatPlural(submitted.runs_added(), "run"));
  } else {
    change = "nothing new: every run of it was submitted before";
  }
  context.Print(absl::StrCat(submitted.name(), " (sweep ", submitted.sweep_id(), ") ", change, "; ",
                             FormatPlural(submitted.configurations_total(), "configuration"), ", ",
                             FormatPlural(submitted.runs_total(), "run"), "\n"));
  if (context.offline()) {
    context.Note("no coordinator is running on " + DataDirectory(context.options) + ": the runs wait there for one");
  }
  return kExitOk;
}

void AddFileArguments(CLI::App* command, PlanOptions& options) {
  command->add_option("file", options.file, "Sweep file (YAML); - reads standard input")->required()->type_name("FILE");
  command
      ->add_option("overrides", options.overrides, "Changes to the file, e.g. seeds=3 optimizer.weight_decay=1e-4,1e-3")
      ->type_name("KEY=VALUE");
}

}  // namespace

void AddSweepFileCommands(Commands& commands) {
  const auto plan_options = std::make_shared<PlanOptions>();
  CLI::App* plan = commands.Add("plan", "Show what a sweep file would run, and check it; needs no coordinator",
                                "seedbed plan studies/quickstart.yaml\n"
                                "seedbed plan sweep.yaml seeds=5 optimizer.weight_decay=1e-4,1e-3\n"
                                "seedbed plan sweep.yaml --json | jq .runs");
  AddFileArguments(plan, *plan_options);
  plan->add_option("--points", plan_options->points, "How many configurations to list")->capture_default_str();
  commands.OnRun(plan, [plan_options](Context& context) { return Plan(context, *plan_options); });

  const auto submit_options = std::make_shared<PlanOptions>();
  CLI::App* submit =
      commands.Add("submit", "Hand a sweep file to a coordinator and come back at once",
                   "seedbed submit sweep.yaml\n"
                   "seedbed submit sweep.yaml seeds=10     # the same sweep with more seeds: extends it\n"
                   "seedbed submit sweep.yaml && seedbed wait last");
  AddFileArguments(submit, *submit_options);
  commands.OnRun(submit, [submit_options](Context& context) { return Submit(context, *submit_options); });
}

}  // namespace seedbed::cli
