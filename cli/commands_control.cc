// pause, resume, cancel, retry, extend, delete, prune and drain: what changes something.
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands.h"
#include "cli/render/format.h"
#include "common/base/status_macros.h"

namespace seedbed::cli {
namespace {

// So many take longer to delete than people wait without a word.
constexpr int64_t kManyRuns = 2000;

struct ControlOptions {
  std::string selector;
  std::string runs;
  int64_t seeds = 0;
  bool now = false;
  bool failed = false;
  bool include_cancelled = false;
  bool keep_rows = false;
  bool yes = false;
  bool dry_run = false;
};

// Sets whom the request is about: `--runs`, or the selector.
absl::Status SetTarget(const ControlOptions& options, v1::ControlSweepRequest* request) {
  if (options.runs.empty() && options.selector.empty()) {
    return absl::InvalidArgumentError(
        "which sweep? Give a name, an id, last, all or a range (or --runs 3-7,9 where runs can be named)");
  }
  if (!options.runs.empty() && !options.selector.empty()) {
    return absl::InvalidArgumentError("give either a sweep or --runs, not both");
  }
  request->set_sweep(options.selector);
  if (options.runs.empty()) return absl::OkStatus();
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<int64_t> ids, ParseRunIds(options.runs));
  for (const int64_t id : ids) request->add_run_ids(id);
  return absl::OkStatus();
}

// One line for each reason: "unchanged: a, b (paused already)".
std::string UnchangedText(const v1::ControlSweepResponse& response) {
  std::map<std::string, std::vector<std::string>> names;
  for (const v1::UnchangedSweep& each : response.unchanged()) names[each.reason()].push_back(each.sweep());
  std::string text;
  for (const auto& [reason, sweeps] : names) {
    absl::StrAppend(&text, "unchanged: ", absl::StrJoin(sweeps, ", "), " (", reason, ")\n");
  }
  return text;
}

// Does it and says "VERB 12 runs of a, b", or `nothing`, where that is given, if it changed nothing.
absl::StatusOr<int> Send(Context& context, const v1::ControlSweepRequest& request, const std::string& verb,
                         const std::string& noun, const std::string& nothing = "") {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client(Access::kChange));
  SEEDBED_ASSIGN_OR_RETURN(const v1::ControlSweepResponse response, client->ControlSweep(request));
  if (context.options.json) {
    OrderedJson unchanged = OrderedJson::array();
    for (const v1::UnchangedSweep& each : response.unchanged()) {
      unchanged.push_back({{"sweep", each.sweep()}, {"reason", each.reason()}});
    }
    context.PrintJson({{"changed", response.changed()},
                       {"sweeps", std::vector<std::string>(response.sweeps().begin(), response.sweeps().end())},
                       {"unchanged", std::move(unchanged)}});
    return kExitOk;
  }
  std::string text = absl::StrCat(verb, " ", FormatPlural(response.changed(), noun));
  if (response.changed() == 0 && (!nothing.empty() || response.unchanged_size() > 0)) {
    text = absl::StrCat("nothing was done", nothing.empty() ? "" : ": ", nothing);
  } else if (response.sweeps_size() > 0) {
    absl::StrAppend(&text, noun == "sweep" ? ": " : " of ", absl::StrJoin(response.sweeps(), ", "));
  }
  context.Print(text + "\n" + UnchangedText(response));
  return kExitOk;
}

absl::StatusOr<int> Pause(Context& context, const ControlOptions& options) {
  v1::ControlSweepRequest request;
  SEEDBED_RETURN_IF_ERROR(SetTarget(options, &request));
  request.mutable_pause()->set_now(options.now);
  return Send(context, request, "paused", "sweep");
}

absl::StatusOr<int> Resume(Context& context, const ControlOptions& options) {
  v1::ControlSweepRequest request;
  SEEDBED_RETURN_IF_ERROR(SetTarget(options, &request));
  request.mutable_resume();
  return Send(context, request, "resumed", "sweep");
}

absl::StatusOr<int> Cancel(Context& context, const ControlOptions& options) {
  v1::ControlSweepRequest request;
  SEEDBED_RETURN_IF_ERROR(SetTarget(options, &request));
  request.mutable_cancel();
  return Send(context, request, "cancelled", "run", "all of these runs had ended already");
}

absl::StatusOr<int> Retry(Context& context, ControlOptions options) {
  if (!options.failed && !options.include_cancelled && options.runs.empty()) {
    return absl::InvalidArgumentError("retry what? Give --failed, --cancelled too, or --runs 3-7,9");
  }
  if (options.runs.empty() && options.selector.empty()) options.selector = "last";
  v1::ControlSweepRequest request;
  SEEDBED_RETURN_IF_ERROR(SetTarget(options, &request));
  request.mutable_retry()->set_include_cancelled(options.include_cancelled);
  request.mutable_retry()->set_keep_rows(options.keep_rows);
  request.mutable_retry()->set_pass_over(options.failed || options.include_cancelled);
  return Send(context, request, "queued again:", "run",
              options.include_cancelled ? "none of these runs has failed or was cancelled"
                                        : "none of these runs has failed");
}

absl::StatusOr<int> Extend(Context& context, ControlOptions options) {
  if (options.selector.empty()) options.selector = "last";
  v1::ControlSweepRequest request;
  SEEDBED_RETURN_IF_ERROR(SetTarget(options, &request));
  request.mutable_extend()->set_seeds(options.seeds);
  return Send(context, request, "added", "run", "every configuration has that many seeds already");
}

std::string Describe(const std::vector<v1::SweepSummary>& sweeps) {
  std::vector<std::string> names;
  int64_t runs = 0;
  for (const v1::SweepSummary& sweep : sweeps) {
    names.push_back(sweep.name());
    runs += TotalRuns(sweep.runs());
  }
  if (names.size() > 10) {
    const size_t hidden = names.size() - 10;
    names.resize(10);
    names.push_back(absl::StrCat("and ", hidden, " more"));
  }
  return absl::StrCat(absl::StrJoin(names, ", "), " with ", FormatPlural(runs, "run"));
}

// Asks, then deletes of these sweeps what is still the same.
absl::StatusOr<int> DeleteSweeps(Context& context, const std::vector<v1::SweepSummary>& sweeps,
                                 bool only_if_all_cancelled, bool yes) {
  context.Disconnect();  // an answer may take long: nothing is held meanwhile
  SEEDBED_RETURN_IF_ERROR(
      context.Confirm(absl::StrCat("Delete ", Describe(sweeps), ", their rows, logs and checkpoints?"), yes));
  // By exact name, which a selector tries first: a sweep may be named like another's id. And by id, as by now others
  // may have these names.
  std::vector<std::string> names;
  v1::ControlSweepRequest request;
  for (const v1::SweepSummary& sweep : sweeps) {
    names.push_back(sweep.name());
    request.mutable_delete_()->add_listed_sweep_ids(sweep.sweep_id());
  }
  request.set_sweep(absl::StrJoin(names, ","));
  request.mutable_delete_()->set_only_if_all_cancelled(only_if_all_cancelled);
  const int64_t runs = std::accumulate(
      sweeps.begin(), sweeps.end(), int64_t{0},
      [](int64_t sum, const v1::SweepSummary& sweep) { return sum + TotalRuns(sweep.runs()); });
  if (runs >= kManyRuns) context.Note(absl::StrCat("deleting ", FormatPlural(runs, "run"), "; this takes a while"));
  return Send(context, request, "deleted", "run");
}

absl::StatusOr<int> Delete(Context& context, const ControlOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client(Access::kRead));
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListSweepsResponse sweeps, client->ListSweeps(options.selector));
  if (sweeps.sweeps_size() == 0) {
    return absl::NotFoundError(absl::StrCat("no sweep is named by \"", options.selector, "\""));
  }
  return DeleteSweeps(context, {sweeps.sweeps().begin(), sweeps.sweeps().end()}, /*only_if_all_cancelled=*/false,
                      options.yes);
}

absl::StatusOr<int> Prune(Context& context, const ControlOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client(Access::kRead));
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListSweepsResponse sweeps, client->ListSweeps(options.selector));
  std::vector<v1::SweepSummary> worthless;
  for (const v1::SweepSummary& sweep : sweeps.sweeps()) {
    if (sweep.state() == v1::SWEEP_STATE_SUBMITTING) continue;
    if (sweep.runs().cancelled() == TotalRuns(sweep.runs())) worthless.push_back(sweep);
  }
  if (options.dry_run || worthless.empty()) {
    if (context.options.json) {
      OrderedJson names = OrderedJson::array();
      for (const v1::SweepSummary& sweep : worthless) names.push_back(sweep.name());
      context.PrintJson({{"changed", 0}, {"sweeps", std::move(names)}});
    } else {
      context.Print(worthless.empty() ? "nothing to prune: every sweep has a run that was not cancelled\n"
                                      : absl::StrCat("would delete ", Describe(worthless), "\n"));
    }
    return kExitOk;
  }
  return DeleteSweeps(context, worthless, /*only_if_all_cancelled=*/true, options.yes);
}

struct DrainOptions {
  std::string worker;
  bool undo = false;
};

absl::StatusOr<int> Drain(Context& context, const DrainOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client(Access::kChange));
  v1::ControlWorkerRequest request;
  request.set_worker(options.worker);
  request.set_action(options.undo ? v1::ControlWorkerRequest::ACTION_RESUME : v1::ControlWorkerRequest::ACTION_DRAIN);
  SEEDBED_ASSIGN_OR_RETURN(const v1::ControlWorkerResponse response, client->ControlWorker(request));
  if (context.options.json) {
    context.PrintJson({{"changed", response.changed()}});
  } else {
    context.Print(
        absl::StrCat(FormatPlural(response.changed(), "worker"),
                     options.undo ? " may lease runs again\n" : " will finish what it holds and get nothing new\n"));
  }
  return kExitOk;
}

using OptionsPointer = std::shared_ptr<ControlOptions>;

CLI::Option* AddSelector(CLI::App* command, const OptionsPointer& options) {
  return command
      ->add_option("sweep", options->selector, "Sweeps: a name, an id, last, all, 3-7, or several with commas")
      ->type_name("SELECTOR");
}

void AddRuns(CLI::App* command, const OptionsPointer& options) {
  command->add_option("--runs", options->runs, "Only these runs, instead of a sweep: 17, 3-7, 3,5")->type_name("IDS");
}

template <typename Function>
void OnRun(Commands& commands, CLI::App* command, const OptionsPointer& options, Function function) {
  commands.OnRun(command, [options, function](Context& context) { return function(context, *options); });
}

void AddDeletingCommands(Commands& commands) {
  const auto delete_options = std::make_shared<ControlOptions>();
  CLI::App* remove = commands.Add("delete", "Delete sweeps with all of their rows, logs and checkpoints",
                                  "seedbed delete goldilocks\nseedbed delete 3-7 --yes");
  AddSelector(remove, delete_options)->required();
  remove->add_flag("-y,--yes", delete_options->yes, "Do not ask");
  OnRun(commands, remove, delete_options, Delete);

  const auto prune_options = std::make_shared<ControlOptions>();
  CLI::App* prune = commands.Add("prune", "Delete the sweeps of which every run was cancelled",
                                 "seedbed prune --dry-run\nseedbed prune --yes");
  AddSelector(prune, prune_options);
  prune->add_flag("--dry-run", prune_options->dry_run, "Only say what would be deleted");
  prune->add_flag("-y,--yes", prune_options->yes, "Do not ask");
  OnRun(commands, prune, prune_options, Prune);
}

}  // namespace

void AddControlCommands(Commands& commands) {
  const auto pause_options = std::make_shared<ControlOptions>();
  CLI::App* pause =
      commands.Add("pause", "Start no further runs of sweeps", "seedbed pause goldilocks\nseedbed pause all --now");
  AddSelector(pause, pause_options);
  pause->add_flag("--now", pause_options->now, "Stop what runs too; it goes on after `resume`");
  OnRun(commands, pause, pause_options, Pause);

  const auto resume_options = std::make_shared<ControlOptions>();
  CLI::App* resume = commands.Add("resume", "Go on with paused sweeps", "seedbed resume goldilocks");
  AddSelector(resume, resume_options);
  OnRun(commands, resume, resume_options, Resume);

  const auto cancel_options = std::make_shared<ControlOptions>();
  CLI::App* cancel = commands.Add("cancel", "Cancel every run that has not ended; rows stay",
                                  "seedbed cancel goldilocks\nseedbed cancel --runs 17,20-24");
  AddSelector(cancel, cancel_options);
  AddRuns(cancel, cancel_options);
  OnRun(commands, cancel, cancel_options, Cancel);

  const auto retry_options = std::make_shared<ControlOptions>();
  CLI::App* retry =
      commands.Add("retry", "Queue failed runs again, from the start (default: of the last sweep)",
                   "seedbed retry --failed\nseedbed retry goldilocks --failed --cancelled\n"
                   "seedbed retry --runs 17\nseedbed retry --runs 3-70 --failed   # those of them that failed");
  AddSelector(retry, retry_options);
  AddRuns(retry, retry_options);
  retry->add_flag("--failed", retry_options->failed, "Every failed run");
  retry->add_flag("--cancelled", retry_options->include_cancelled, "Failed and cancelled runs");
  retry->add_flag("--resume", retry_options->keep_rows,
                  "Keep rows and checkpoints, and go on from the last checkpoint");
  OnRun(commands, retry, retry_options, Retry);

  const auto extend_options = std::make_shared<ControlOptions>();
  CLI::App* extend = commands.Add("extend", "Bring every configuration of a sweep to N seeds (default: the last sweep)",
                                  "seedbed extend goldilocks --seeds 10");
  AddSelector(extend, extend_options);
  extend->add_option("--seeds", extend_options->seeds, "Seeds that each configuration shall have")
      ->required()
      ->check(WholeNumber(1))
      ->type_name("N");
  OnRun(commands, extend, extend_options, Extend);

  AddDeletingCommands(commands);

  const auto drain_options = std::make_shared<DrainOptions>();
  CLI::App* drain = commands.Add("drain", "Let a worker finish what it holds and give it nothing new",
                                 "seedbed drain node7\nseedbed drain node7 --undo   # also out of quarantine");
  drain->add_option("worker", drain_options->worker, "Name or id")->required()->type_name("WORKER");
  drain->add_flag("--undo", drain_options->undo, "Give it runs again");
  commands.OnRun(drain, [drain_options](Context& context) { return Drain(context, *drain_options); });
}

}  // namespace seedbed::cli
