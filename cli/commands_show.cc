// show and logs: one run, or one sweep's results.
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/commands.h"
#include "cli/render/configuration_table.h"
#include "cli/render/lists.h"
#include "cli/render/text_width.h"
#include "common/base/status_macros.h"

namespace seedbed::cli {
namespace {

OrderedJson DetailJson(const v1::GetRunResponse& detail) {
  OrderedJson attempts = OrderedJson::array();
  for (const v1::AttemptSummary& attempt : detail.attempts()) attempts.push_back(ToJson(attempt));
  return {{"run", ToJson(detail.run())},
          {"attempts", std::move(attempts)},
          {"specification", ParsedOrText(detail.specification_json())}};
}

absl::StatusOr<int> ShowRuns(Context& context, const std::vector<int64_t>& ids) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  bool first = true;
  for (const int64_t id : ids) {
    if (context.out().closed()) break;
    SEEDBED_ASSIGN_OR_RETURN(const v1::GetRunResponse detail, client->GetRun(id));
    if (context.options.json) {
      context.PrintJson(DetailJson(detail));
    } else {
      context.Print((first ? "" : "\n") + RenderRun(detail, context.style()));
    }
    first = false;
  }
  return kExitOk;
}

absl::StatusOr<int> ShowSweeps(Context& context, const std::string& selector) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListSweepsResponse sweeps, client->ListSweeps(selector));
  OrderedJson list = OrderedJson::array();
  std::string text;
  for (const v1::SweepSummary& sweep : sweeps.sweeps()) {
    SEEDBED_ASSIGN_OR_RETURN(const v1::ListConfigurationsResponse configurations,
                             client->ListConfigurations(sweep.name()));
    if (context.options.json) {
      OrderedJson json = ToJson(sweep);
      OrderedJson rows = OrderedJson::array();
      for (const v1::ConfigurationSummary& row : configurations.configurations()) rows.push_back(ToJson(row));
      json["results"] = std::move(rows);
      list.push_back(std::move(json));
      continue;
    }
    v1::ListSweepsResponse one;
    *one.add_sweeps() = sweep;
    const std::vector<v1::ConfigurationSummary> rows(configurations.configurations().begin(),
                                                     configurations.configurations().end());
    if (!text.empty()) text += "\n";
    absl::StrAppend(&text, RenderSweeps(one, absl::ToUnixMicros(absl::Now()), context.style()), "\n",
                    RenderConfigurations(rows, sweep.budget_steps(), context.style()));
  }
  if (context.options.json) {
    context.PrintJson({{"sweeps", std::move(list)}});
  } else {
    context.Print(text);
  }
  return kExitOk;
}

struct ShowOptions {
  std::string what;
  bool sweep = false;
};

absl::StatusOr<int> Show(Context& context, const ShowOptions& options) {
  if (options.sweep || !LooksLikeRunIds(options.what)) return ShowSweeps(context, options.what);
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<int64_t> ids, ParseRunIds(options.what));
  return ShowRuns(context, ids);
}

struct LogsOptions {
  int64_t run = 0;
  int32_t attempt = 0;
  bool follow = false;
};

// `unfinished`: what a terminal gets with the next part, or with the last.
void PrintLog(Context& context, int64_t run, const std::string& part, bool last, std::string* unfinished) {
  if (context.options.json) {
    if (!last) context.PrintJson({{"run_id", run}, {"text", part}});
    return;
  }
  if (context.style().width == 0) {
    context.Print(part);
  } else {
    const std::string text = *unfinished + part;
    const size_t whole = text.size() - (last ? 0 : UnfinishedBytes(text));
    context.Print(PrintableLines(std::string_view(text).substr(0, whole)));
    *unfinished = text.substr(whole);
  }
  context.out().Flush();
}

absl::StatusOr<int> Logs(Context& context, const LogsOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  v1::ReadLogRequest request;
  request.set_run_id(options.run);
  request.set_attempt(options.attempt);
  // Nothing is written while nothing trains, so there would be no end to wait for.
  request.set_follow(options.follow && !context.offline());
  // The coordinator waits seconds for who takes a log, and a reader in a pager takes minutes: what comes, which is
  // bounded, is taken beside the printing.
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> parts;  // guarded by mutex, as all below
  bool done = false;
  absl::Status read;
  std::thread taking([&] {
    const absl::Status status = client->ReadLog(request, [&](const v1::ReadLogResponse& part) {
      const std::lock_guard<std::mutex> lock(mutex);
      parts.push_back(part.text());
      changed.notify_all();
      return !done;
    });
    const std::lock_guard<std::mutex> lock(mutex);
    read = status;
    done = true;
    changed.notify_all();
  });
  bool wrote = false;
  std::string unfinished;
  std::unique_lock<std::mutex> lock(mutex);
  while (!context.out().closed()) {
    changed.wait(lock, [&] { return done || !parts.empty(); });
    if (parts.empty()) break;
    const std::string text = std::exchange(parts.front(), "");
    parts.pop_front();
    lock.unlock();
    wrote = true;
    PrintLog(context, options.run, text, /*last=*/false, &unfinished);
    lock.lock();
  }
  done = true;
  lock.unlock();
  taking.join();
  PrintLog(context, options.run, "", /*last=*/true, &unfinished);
  SEEDBED_RETURN_IF_ERROR(read);
  if (!wrote && context.options.json) context.PrintJson({{"run_id", options.run}, {"text", ""}});
  if (!wrote && !context.options.json) context.Note(absl::StrCat("run ", options.run, " has written nothing"));
  return kExitOk;
}

}  // namespace

void AddShowCommands(Commands& commands) {
  const auto options = std::make_shared<ShowOptions>();
  CLI::App* show = commands.Add("show", "Show a run (17, 3-7, 3,5) or a sweep's results (its name, or last)",
                                "seedbed show 17\nseedbed show goldilocks\nseedbed show last --json\n"
                                "seedbed show --sweep 3        # the sweep whose id is 3");
  show->add_option("what", options->what, "Run ids, or a sweep")->required()->type_name("RUN|SWEEP");
  show->add_flag("--sweep", options->sweep, "A number means a sweep");
  commands.OnRun(show, [options](Context& context) { return Show(context, *options); });

  const auto logs_options = std::make_shared<LogsOptions>();
  CLI::App* logs = commands.Add("logs", "Print what a run wrote to its standard output and error",
                                "seedbed logs 17\nseedbed logs 17 --attempt 1\nseedbed logs 17 --follow");
  logs->add_option("run", logs_options->run, "Run id")->required()->check(WholeNumber(1))->type_name("RUN");
  logs->add_option("--attempt", logs_options->attempt, "Which attempt (default: the latest)")->check(WholeNumber(1));
  logs->add_flag("-f,--follow", logs_options->follow, "Go on until the attempt ends");
  commands.OnRun(logs, [logs_options](Context& context) { return Logs(context, *logs_options); });
}

}  // namespace seedbed::cli
