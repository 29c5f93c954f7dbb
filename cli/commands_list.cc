// sweeps, runs and workers: lists.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/commands.h"
#include "cli/printed_command.h"
#include "cli/render/lists.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"
#include "common/schema/trainer_schema.h"

namespace seedbed::cli {
namespace {

constexpr int64_t kDefaultTableRows = 200;  // more than a screen or five; --json has no such limit
constexpr int64_t kPageRows = 5000;

absl::StatusOr<int> ListSweeps(Context& context, const std::string& selector) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListSweepsResponse sweeps, client->ListSweeps(selector));
  if (context.options.json) {
    OrderedJson list = OrderedJson::array();
    for (const v1::SweepSummary& sweep : sweeps.sweeps()) list.push_back(ToJson(sweep));
    context.PrintJson({{"sweeps", std::move(list)}});
  } else if (sweeps.sweeps_size() == 0) {
    context.Note(absl::StrCat("no sweeps yet: `", context.Command("run FILE"), "` or `", context.Command("submit FILE"),
                              "` makes one"));
  } else {
    context.Print(RenderSweeps(sweeps, absl::ToUnixMicros(absl::Now()), context.style()));
  }
  return kExitOk;
}

struct RunsOptions {
  std::string selector;
  std::vector<std::string> states;
  std::vector<std::string> outcomes;
  std::vector<std::string> where;
  std::optional<int64_t> limit;
  bool newest_first = false;
};

absl::Status AddState(const std::string& word, v1::ListRunsRequest* request) {
  v1::RunState state;
  if (RunStateFromName(word, &state)) {
    request->add_states(state);
    return absl::OkStatus();
  }
  const std::vector<std::string> known = {"queued", "running", "finished", "failed", "cancelled"};
  std::string message =
      absl::StrCat("\"", word, "\" is no state of a run: expected queued, running, finished, failed or cancelled");
  if (const std::optional<std::string> near = NearestWord(word, known))
    absl::StrAppend(&message, ". Did you mean ", *near, "?");
  return absl::InvalidArgumentError(message);
}

absl::Status CheckOutcome(const std::string& word) {
  std::vector<std::string> known;
  for (const std::string& trainer : TrainerNames()) {
    const std::vector<std::string>& outcomes = FindTrainer(trainer)->outcomes;
    known.insert(known.end(), outcomes.begin(), outcomes.end());
  }
  if (std::find(known.begin(), known.end(), word) != known.end()) return absl::OkStatus();
  const std::optional<std::string> near = NearestWord(word, known);
  return absl::InvalidArgumentError(absl::StrCat("\"", word, "\" is no outcome: expected ", absl::StrJoin(known, ", "),
                                                 near ? absl::StrCat(". Did you mean ", *near, "?") : ""));
}

absl::StatusOr<v1::ListRunsRequest> RequestOf(const RunsOptions& options) {
  v1::ListRunsRequest request;
  request.set_sweep(options.selector);
  for (const std::string& word : options.states) SEEDBED_RETURN_IF_ERROR(AddState(word, &request));
  for (const std::string& word : options.outcomes) SEEDBED_RETURN_IF_ERROR(CheckOutcome(word));
  request.set_outcome(absl::StrJoin(options.outcomes, ","));
  for (const std::string& word : options.where) {
    const size_t equals = word.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("--where ", word, ": expected KEY=VALUE, e.g. optimizer.weight_decay=0.3"));
    }
    (*request.mutable_parameters())[word.substr(0, equals)] = word.substr(equals + 1);
  }
  request.set_newest_first(options.newest_first);
  return request;
}

// Says which parameters of --where no run of the selection has, if one page holds all of them.
absl::StatusOr<std::string> MissingParameters(Client& client, const RunsOptions& options) {
  if (options.where.empty()) return std::string();
  v1::ListRunsRequest request;
  request.set_sweep(options.selector);
  request.set_limit(kPageRows);
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListRunsResponse selection, client.ListRuns(request));
  if (selection.runs_size() == 0 || selection.runs_size() == kPageRows) return std::string();
  std::string text;
  for (const std::string& word : options.where) {
    const std::string name = word.substr(0, word.find('='));
    const bool has = std::any_of(selection.runs().begin(), selection.runs().end(), [&name](const v1::RunSummary& run) {
      const OrderedJson parameters = ParsedOrText(run.parameters_json());
      return parameters.is_object() && parameters.contains(name);
    });
    if (!has) absl::StrAppend(&text, ": none of the runs has a parameter ", name);
  }
  return text;
}

// What a filter that matches nothing probably meant: names as tables show them.
std::string HintForFilter(const RunsOptions& options) {
  std::string hint;
  for (const std::string& trainer : TrainerNames()) {
    const TrainerSchema& schema = *FindTrainer(trainer);
    for (const std::string& word : options.where) {
      const std::string name = word.substr(0, word.find('='));
      if (schema.FindParameter(name) != nullptr) continue;
      if (const auto near = NearestParameter(schema, name)) {
        absl::StrAppend(&hint, ". Did you mean --where ", *near, word.substr(name.size()), "?");
      }
    }
  }
  return hint;
}

// All runs that match, a page at a time, so that no message grows with the sweep. `on_page` returns false to end.
absl::Status ForEachPage(Client& client, v1::ListRunsRequest request, int64_t limit,
                         const std::function<bool(const v1::ListRunsResponse&)>& on_page) {
  int64_t left = limit;
  while (true) {
    const int64_t page = limit == 0 ? kPageRows : std::min(left, kPageRows);
    request.set_limit(page);
    SEEDBED_ASSIGN_OR_RETURN(const v1::ListRunsResponse runs, client.ListRuns(request));
    if (!on_page(runs) || runs.runs_size() < page) return absl::OkStatus();
    left -= runs.runs_size();
    if (limit != 0 && left <= 0) return absl::OkStatus();
    request.set_after_run_id(runs.runs(runs.runs_size() - 1).run_id());
  }
}

absl::StatusOr<int> ListRuns(Context& context, const RunsOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListRunsRequest request, RequestOf(options));
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  if (context.options.json) {
    context.Print("{\"runs\":[");
    bool first = true;
    const absl::Status status =
        ForEachPage(*client, request, options.limit.value_or(0), [&](const v1::ListRunsResponse& page) {
          for (const v1::RunSummary& run : page.runs()) {
            context.Print((first ? "\n" : ",\n") + Dump(ToJson(run)));
            first = false;
          }
          return !context.out().closed();
        });
    SEEDBED_RETURN_IF_ERROR(status);
    context.Print("\n]}\n");
    return kExitOk;
  }
  // One more than is shown tells whether there are more.
  const int64_t limit = options.limit.value_or(kDefaultTableRows);
  v1::ListRunsResponse all;
  SEEDBED_RETURN_IF_ERROR(
      ForEachPage(*client, request, limit == 0 ? 0 : limit + 1, [&](const v1::ListRunsResponse& page) {
        all.MergeFrom(page);
        return true;
      }));
  const bool more = limit != 0 && all.runs_size() > limit;
  if (more) all.mutable_runs()->RemoveLast();
  if (all.runs_size() == 0) {
    SEEDBED_ASSIGN_OR_RETURN(const std::string missing, MissingParameters(*client, options));
    context.Note(absl::StrCat("no runs match", missing, HintForFilter(options)));
    return kExitOk;
  }
  context.Print(RenderRuns(all, context.style()));
  if (more && !options.limit) context.Note(absl::StrCat("the first ", limit, " runs; --limit 0 shows all"));
  return kExitOk;
}

absl::StatusOr<int> ListWorkers(Context& context, bool include_gone) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListWorkersResponse workers, client->ListWorkers(include_gone));
  if (context.options.json) {
    OrderedJson list = OrderedJson::array();
    for (const v1::WorkerSummary& worker : workers.workers()) list.push_back(ToJson(worker));
    context.PrintJson({{"workers", std::move(list)}});
  } else if (workers.workers_size() == 0) {
    context.Note(context.offline()
                     ? absl::StrCat("no coordinator is running on ", DataDirectory(context.options),
                                    ": start one, for workers to connect to, with `",
                                    WithOptions("seedbed-coordinator", {{"--data", DataDirectory(context.options)}}),
                                    "`")
                     : absl::StrCat("no worker is connected: start one with `", context.worker_command(), "`"));
  } else {
    context.Print(RenderWorkers(workers, absl::ToUnixMicros(absl::Now()), context.style()));
    if (context.offline()) {
      context.Note("no coordinator is running on " + DataDirectory(context.options) +
                   ": nobody is connected, and this is what was known last");
    }
  }
  return kExitOk;
}

}  // namespace

void AddListCommands(Commands& commands) {
  const auto selector = std::make_shared<std::string>();
  CLI::App* sweeps = commands.Add("sweeps", "List sweeps", "seedbed sweeps\nseedbed sweeps 3-7 --json");
  sweeps->add_option("sweep", *selector, "A name, an id, last, all, 3-7, or several with commas (default: all)")
      ->type_name("SELECTOR");
  commands.OnRun(sweeps, [selector](Context& context) { return ListSweeps(context, *selector); });

  const auto options = std::make_shared<RunsOptions>();
  CLI::App* runs = commands.Add("runs", "List runs",
                                "seedbed runs goldilocks --state failed,cancelled\n"
                                "seedbed runs last --outcome grokked --where optimizer.weight_decay=0.3\n"
                                "seedbed runs all --newest-first --limit 20\n"
                                "seedbed runs --json | jq '.runs[].summary.delay'");
  runs->add_option("sweep", options->selector, "Sweeps (default: all)")->type_name("SELECTOR");
  runs->add_option("--state", options->states, "Only these: queued, running, finished, failed, cancelled")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("STATE");
  runs->add_option("--outcome", options->outcomes, "Only these outcomes, e.g. grokked,memorised")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("OUTCOME");
  runs->add_option("--where", options->where, "Only runs whose parameter has this value; may be given several times")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  runs->add_option("--limit", options->limit, "Most rows; 0: all (default: 200 in a table, all with --json)")
      ->check(WholeNumber(0));
  runs->add_flag("--newest-first", options->newest_first, "Highest run id first");
  commands.OnRun(runs, [options](Context& context) { return ListRuns(context, *options); });

  const auto include_gone = std::make_shared<bool>(false);
  CLI::App* workers = commands.Add("workers", "List workers", "seedbed workers\nseedbed workers --all --json");
  workers->add_flag("--all", *include_gone, "Those that have left too");
  commands.OnRun(workers, [include_gone](Context& context) { return ListWorkers(context, *include_gone); });
}

}  // namespace seedbed::cli
