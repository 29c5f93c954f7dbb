// status, watch and wait: how far everything is.
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/commands.h"
#include "cli/printed_command.h"
#include "cli/progress_display.h"
#include "cli/progress_feed.h"
#include "cli/render/format.h"
#include "cli/render/lists.h"
#include "common/base/status_macros.h"

namespace seedbed::cli {
namespace {

// A coordinator that is being restarted or moved is waited for; longer than this is somebody's to look at.
constexpr absl::Duration kPatience = absl::Minutes(5);

struct ProgressOptions {
  std::string selector;
  double timeout_seconds = 0;  // 0: none
  double interval_seconds = 1;
};

v1::ProgressResponse ProgressOf(const v1::ListSweepsResponse& sweeps) {
  v1::ProgressResponse progress;
  *progress.mutable_sweeps() = sweeps.sweeps();
  const ProgressTotals totals = Totals(progress);
  progress.set_done(totals.ended == totals.runs);
  return progress;
}

int ExitOfTotals(const v1::ProgressResponse& progress) {
  return Totals(progress).failed > 0 ? kExitFailed : kExitOk;
}

void PrintWaitResult(const v1::ProgressResponse& progress, Context& context) {
  if (context.options.json) {
    context.PrintJson(ToJson(progress));
    return;
  }
  for (const v1::SweepSummary& sweep : progress.sweeps()) {
    v1::ProgressResponse one;
    *one.add_sweeps() = sweep;
    context.Print(RenderPlainStatus(one) + "\n");
  }
}

// Says of each sweep that is paused, once, what its runs wait for. `told` remembers the names.
void NotePaused(const v1::ProgressResponse& progress, std::set<std::string>* told, Context& context) {
  for (const v1::SweepSummary& sweep : progress.sweeps()) {
    const bool waits = sweep.state() == v1::SWEEP_STATE_PAUSED && sweep.runs().queued() > 0;
    if (!waits) {
      told->erase(sweep.name());
    } else if (told->insert(sweep.name()).second) {
      context.Note(absl::StrCat(sweep.name(), " is paused: ", FormatPlural(sweep.runs().queued(), "run"),
                                " will not start before `", context.Command("resume " + sweep.name()), "`"));
    }
  }
}

absl::StatusOr<int> Wait(Context& context, const ProgressOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListSweepsResponse sweeps, client->ListSweeps(options.selector));
  v1::ProgressResponse latest = ProgressOf(sweeps);
  if (!latest.done() && context.offline()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no coordinator is running on ", DataDirectory(context.options), ", so its runs wait for ever.\n`",
        context.Command("run FILE"), "` goes on with a sweep; or start `",
        WithOptions("seedbed-coordinator", {{"--data", DataDirectory(context.options)}}), "` and workers."));
  }
  if (!latest.done()) {
    v1::WatchProgressRequest request;
    request.set_sweep(options.selector);
    request.set_interval_milliseconds(1000);
    request.set_until_done(true);
    ProgressFeed feed(client, request, kPatience);
    const absl::Time deadline =
        options.timeout_seconds > 0 ? absl::Now() + absl::Seconds(options.timeout_seconds) : absl::InfiniteFuture();
    bool warned = false;
    std::set<std::string> paused;
    std::string trouble;
    NotePaused(latest, &paused, context);
    while (true) {
      if (const std::optional<v1::ProgressResponse> message = feed.Next(absl::Milliseconds(250))) {
        latest = *message;
        NotePaused(latest, &paused, context);
        if (latest.active_workers() == 0 && !latest.done() && !warned) {
          warned = true;
          context.Note("no worker is connected: the runs wait for one");
        }
      }
      if (const std::string now = feed.trouble(); now != trouble) {
        trouble = now;
        context.Note(trouble.empty() ? "the coordinator is well again" : trouble);
      }
      if (const std::optional<absl::Status> end = feed.ended()) {
        SEEDBED_RETURN_IF_ERROR(*end);
        break;
      }
      if (absl::Now() >= deadline) {
        return absl::DeadlineExceededError(
            absl::StrCat("gave up after ", FormatDuration(options.timeout_seconds), ": ", RenderPlainStatus(latest)));
      }
    }
  }
  PrintWaitResult(latest, context);
  return ExitOfTotals(latest);
}

absl::StatusOr<int> Watch(Context& context, const ProgressOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  const Style style = context.style();
  const ProgressDisplay::Mode mode = context.options.json ? ProgressDisplay::Mode::kJsonLines
                                     : style.width > 0    ? ProgressDisplay::Mode::kLive
                                                          : ProgressDisplay::Mode::kPlain;
  ProgressDisplay display(context.out(), style, mode, absl::Now());
  if (context.offline()) {
    SEEDBED_ASSIGN_OR_RETURN(const v1::ListSweepsResponse sweeps, client->ListSweeps(options.selector));
    display.Update(ProgressOf(sweeps), absl::Now());
    display.Finish(absl::Now());
    context.Note("no coordinator is running on " + DataDirectory(context.options) + ": nothing will change");
    return kExitOk;
  }
  v1::WatchProgressRequest request;
  request.set_sweep(options.selector);
  request.set_interval_milliseconds(static_cast<int64_t>(options.interval_seconds * 1000));
  request.set_until_done(true);
  ProgressFeed feed(client, request, kPatience);
  while (!context.out().closed()) {
    const std::optional<v1::ProgressResponse> message = feed.Next(absl::Milliseconds(500));
    if (mode == ProgressDisplay::Mode::kLive) display.set_width(context.environment().current_width());
    if (message.has_value()) display.Update(*message, absl::Now());
    display.SetNote(feed.trouble(), absl::Now());
    display.Tick(absl::Now());
    if (const std::optional<absl::Status> end = feed.ended()) {
      display.Finish(absl::Now());
      SEEDBED_RETURN_IF_ERROR(*end);
      break;
    }
  }
  return kExitOk;
}

absl::StatusOr<int> ShowStatus(Context& context, const ProgressOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  SEEDBED_ASSIGN_OR_RETURN(const v1::GetServerInfoResponse info, client->GetServerInfo());
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListSweepsResponse sweeps, client->ListSweeps(options.selector));
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListWorkersResponse workers, client->ListWorkers(/*include_gone=*/false));
  if (context.options.json) {
    OrderedJson sweeps_json = OrderedJson::array();
    for (const v1::SweepSummary& sweep : sweeps.sweeps()) sweeps_json.push_back(ToJson(sweep));
    OrderedJson workers_json = OrderedJson::array();
    for (const v1::WorkerSummary& worker : workers.workers()) workers_json.push_back(ToJson(worker));
    context.PrintJson({{"server", ToJson(info)},
                       {"offline", context.offline()},
                       {"sweeps", std::move(sweeps_json)},
                       {"workers", std::move(workers_json)}});
    return kExitOk;
  }
  const int64_t now = absl::ToUnixMicros(absl::Now());
  if (context.offline()) {
    context.Print(absl::StrCat("no coordinator is running on ", DataDirectory(context.options), "\n"));
  } else {
    context.Print(absl::StrCat("coordinator  ", client->where(), ", version ", info.version(), ", started ",
                               FormatAgo(info.started_at(), now), "\n"));
  }
  context.Print(absl::StrCat("database     ", info.database_path(), "\n"));
  if (info.degraded()) {
    context.Print(Paint(context.style(), Color::kRed,
                        absl::StrCat("degraded     it cannot write: ", info.degraded_reason(),
                                     "\n             What follows is what was stored last: `running` counts runs "
                                     "that wait at a worker too.\n")));
  }
  if (info.metrics_held()) {
    context.Print(
        Paint(context.style(), Color::kRed, "disk         nearly full: metric rows wait until there is room\n"));
  }
  context.Print(absl::StrCat("progress     ", RenderPlainStatus(ProgressOf(sweeps)), "\n\n"));
  context.Print(sweeps.sweeps_size() == 0 ? absl::StrCat("no sweeps yet: `", context.Command("run FILE"), "` or `",
                                                         context.Command("submit FILE"), "` makes one\n")
                                          : RenderSweeps(sweeps, now, context.style()));
  if (!context.offline()) {
    context.Print("\n" + (workers.workers_size() == 0
                              ? absl::StrCat("no worker is connected: `", context.worker_command(), "` starts one\n")
                              : RenderWorkers(workers, now, context.style())));
  }
  return kExitOk;
}

}  // namespace

void AddProgressCommands(Commands& commands) {
  const std::string selector_help = "Sweeps: a name, an id, last, all, 3-7, or several with commas (default: all)";
  const auto status_options = std::make_shared<ProgressOptions>();
  CLI::App* status =
      commands.Add("status", "Overview: coordinator, sweeps, workers", "seedbed status\nseedbed status last --json");
  status->add_option("sweep", status_options->selector, selector_help)->type_name("SELECTOR");
  commands.OnRun(status, [status_options](Context& context) { return ShowStatus(context, *status_options); });

  const auto watch_options = std::make_shared<ProgressOptions>();
  CLI::App* watch =
      commands.Add("watch", "Follow sweeps live until all of their runs have ended",
                   "seedbed watch\nseedbed watch goldilocks\nseedbed watch --json | jq .steps_per_second");
  watch->add_option("sweep", watch_options->selector, selector_help)->type_name("SELECTOR");
  watch->add_option("--interval", watch_options->interval_seconds, "Seconds between updates")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  commands.OnRun(watch, [watch_options](Context& context) { return Watch(context, *watch_options); });

  const auto wait_options = std::make_shared<ProgressOptions>();
  CLI::App* wait = commands.Add("wait", "Wait until all runs of sweeps have ended; exit code 1 if one has failed",
                                "seedbed wait last && seedbed show last\nseedbed wait all --timeout 3600");
  wait->add_option("sweep", wait_options->selector, selector_help)->type_name("SELECTOR");
  wait->add_option("--timeout", wait_options->timeout_seconds, "Give up after so many seconds (exit code 1)")
      ->check(NumberFrom(0));
  commands.OnRun(wait, [wait_options](Context& context) { return Wait(context, *wait_options); });
}

}  // namespace seedbed::cli
