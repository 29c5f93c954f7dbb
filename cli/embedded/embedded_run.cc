#include "cli/embedded/embedded_run.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/printed_command.h"
#include "cli/progress_feed.h"
#include "cli/render/configuration_table.h"
#include "cli/render/format.h"
#include "cli/render/progress.h"
#include "cli/render/text_width.h"
#include "common/base/status_macros.h"
#include "coordinator/server_file.h"
#include "coordinator/storage/data_directory.h"

namespace seedbed::cli {
namespace {

constexpr absl::Duration kWorkerStopLimit = absl::Seconds(20);
constexpr absl::Duration kCoordinatorStopLimit = absl::Seconds(10);
constexpr absl::Duration kLoopPause = absl::Milliseconds(200);
// A coordinator that died is back within seconds; one that is not ours may be moved meanwhile.
constexpr absl::Duration kPatience = absl::Minutes(2);
// A coordinator that died without a word is started again by its own command, and sooner than this.
constexpr absl::Duration kFreeFor = absl::Seconds(3);

int UsableProcessors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

// Whether a coordinator that is gone has said so. One that is stopped takes its file along.
bool LeftInOrder(const std::string& data) {
  const absl::StatusOr<std::optional<ServerFile>> file = ReadServerFile(data);
  return file.ok() && !file->has_value();
}

// "seedbed-data", not "./seedbed-data": it is printed for people to copy.
std::string WithoutDot(const std::string& path) {
  return path.rfind("./", 0) == 0 ? path.substr(2) : path;
}

}  // namespace

EmbeddedRun::EmbeddedRun(Context& context, EmbeddedOptions options, std::string program_directory)
    : context_(context), options_(std::move(options)), program_directory_(std::move(program_directory)) {}

absl::Status EmbeddedRun::StartWorkers() {
  if (!ours_) {
    // Somebody's coordinator has somebody's workers; only one on this machine without any gets ours.
    SEEDBED_ASSIGN_OR_RETURN(const v1::ListWorkersResponse workers, client_->ListWorkers(/*include_gone=*/false));
    const bool active =
        std::any_of(workers.workers().begin(), workers.workers().end(),
                    [](const v1::WorkerSummary& worker) { return worker.state() == v1::WORKER_STATE_ACTIVE; });
    if (active) return absl::OkStatus();
    if (!context_.options.server.empty()) {
      context_.Note(
          absl::StrCat("no worker is connected to it: the runs wait for one; `", worker_command_, "` starts one"));
      return absl::OkStatus();
    }
    context_.Note("it has no workers: starting some for it");
  }
  own_workers_ = true;
  const std::string data = DataDirectory(context_.options);
  const int slots = options_.slots.value_or(std::max(1, UsableProcessors() / options_.workers));
  for (int i = 1; i <= options_.workers; ++i) {
    // Beside somebody's coordinator another command like this one may have workers too.
    const std::string name = ours_ ? absl::StrCat("worker-", i) : absl::StrCat("worker-", getpid(), "-", i);
    ChildCommand command;
    command.name = absl::StrCat("worker ", i);
    worker_names_[command.name] = name;
    command.arguments = {program_directory_ + "/seedbed-worker",
                         "--server",
                         address_,
                         "--name",
                         name,
                         "--slots",
                         absl::StrCat(slots),
                         "--device",
                         options_.device,
                         "--pack",
                         options_.pack,
                         "--directory",
                         absl::StrCat(data, "/", name),
                         "--exit-with-parent",
                         absl::StrCat(Lifeline::kDescriptor)};
    if (options_.checkpoint_every) {
      command.arguments.insert(command.arguments.end(),
                               {"--checkpoint-every", absl::StrCat(*options_.checkpoint_every)});
    }
    if (!token_file_.empty()) command.arguments.insert(command.arguments.end(), {"--token-file", token_file_});
    const TlsFiles& tls = context_.options.tls;
    for (const auto& [option, file] :
         {std::make_pair("--tls-ca", &tls.ca), std::make_pair("--tls-certificate", &tls.certificate),
          std::make_pair("--tls-key", &tls.key)}) {
      if (file->empty()) continue;
      command.arguments.push_back(option);
      command.arguments.push_back(*file);
    }
    command.log_path = absl::StrCat(data, "/", name, ".log");
    SEEDBED_RETURN_IF_ERROR(supervisor_->Start(command));
  }
  return absl::OkStatus();
}

absl::Status EmbeddedRun::Submit() {
  v1::SubmitSweepRequest request;
  request.set_submission_id(NewSubmissionId());
  request.set_text(loaded_.text);
  request.set_file_name(loaded_.file_name);
  for (const std::string& word : options_.overrides) request.add_overrides(word);
  SEEDBED_ASSIGN_OR_RETURN(submitted_, client_->SubmitSweep(request));
  return MentionOtherSweeps();
}

absl::Status EmbeddedRun::MentionOtherSweeps() {
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListSweepsResponse sweeps, client_->ListSweeps("all"));
  for (const v1::SweepSummary& sweep : sweeps.sweeps()) {
    if (sweep.name() == submitted_.name()) {
      *latest_.add_sweeps() = sweep;
      if (sweep.state() == v1::SWEEP_STATE_PAUSED) {
        context_.Note(
            absl::StrCat(sweep.name(), " is paused; go on with `", context_.Command("resume " + sweep.name()), "`"));
      }
      continue;
    }
    const int64_t left = TotalRuns(sweep.runs()) - EndedRuns(sweep.runs());
    if (ours_ && left > 0 && sweep.state() == v1::SWEEP_STATE_ACTIVE) {
      context_.Note(absl::StrCat(sweep.name(), " has ", FormatPlural(left, "run"),
                                 " left here, which are trained too (`", context_.Command("pause " + sweep.name()),
                                 "` holds them back)"));
    }
  }
  return absl::OkStatus();
}

absl::Status EmbeddedRun::FollowToTheEnd(ProgressDisplay& display) {
  while (true) {
    bool abandoned = false;
    SEEDBED_RETURN_IF_ERROR(Follow(display, &abandoned));
    if (!abandoned) return absl::OkStatus();
    display.Finish(absl::Now());  // what is said meanwhile goes below the block
    context_.Note("the command that had the coordinator has ended: going on without it");
    SEEDBED_RETURN_IF_ERROR(Reattach());
    if (interrupted()) return absl::OkStatus();
    SEEDBED_RETURN_IF_ERROR(Persistently([this] { return StartWorkers(); }));
  }
}

absl::Status EmbeddedRun::Follow(ProgressDisplay& display, bool* abandoned) {
  v1::WatchProgressRequest request;
  request.set_sweep(submitted_.name());
  request.set_interval_milliseconds(500);
  request.set_until_done(true);
  ProgressFeed feed(client_.get(), request, kPatience);
  const std::string data = DataDirectory(context_.options);
  absl::Time note_until = absl::InfinitePast();
  absl::Time free_since = absl::InfiniteFuture();
  while (!interrupted()) {
    const std::optional<v1::ProgressResponse> message = feed.Next(kLoopPause);
    const absl::Time now = absl::Now();
    if (context_.style().width > 0) display.set_width(context_.environment().current_width());
    if (message.has_value()) {
      latest_ = *message;
      display.Update(latest_, now);
    }
    if (const std::optional<absl::Status> end = feed.ended()) return *end;
    if (!MayTakeOver() || feed.connected() || DataLockHolder(data) != 0) {
      free_since = absl::InfiniteFuture();
    } else {
      free_since = std::min(free_since, now);
      *abandoned = LeftInOrder(data) || now - free_since >= kFreeFor;
      if (*abandoned) return absl::OkStatus();
    }
    std::vector<std::string> news;
    std::vector<std::string> died;
    SEEDBED_RETURN_IF_ERROR(supervisor_->LookAfter(now, &news, &died));
    for (const std::string& child : died) TellOfDeath(child);
    for (const std::string& line : news) {
      display.SetNote(line, now);
      note_until = now + absl::Seconds(10);
    }
    if (now > note_until) display.SetNote(feed.trouble(), now);
    display.Tick(now);
  }
  return absl::OkStatus();
}

void EmbeddedRun::TellOfDeath(const std::string& child) {
  const auto worker = worker_names_.find(child);
  if (worker == worker_names_.end()) return;
  v1::ControlWorkerRequest request;
  request.set_worker(worker->second);
  request.set_action(v1::ControlWorkerRequest::ACTION_KNOWN_DEAD);
  // Its leases would run out anyway: this only spares the wait.
  (void)client_->ControlWorker(request);
}

bool EmbeddedRun::WaitUntilGone(size_t first, absl::Duration most) {
  const int interrupts = interrupts_.count();
  const absl::Time deadline = absl::Now() + most;
  while (!supervisor_->Gone(first)) {
    // One more Ctrl-C than before means that the user will not wait.
    if (absl::Now() > deadline || interrupts_.count() > std::max(1, interrupts)) {
      supervisor_->Kill();
      return false;
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  return true;
}

void EmbeddedRun::StopChildren() {
  // Workers first: they hand their leases back to a coordinator that still listens.
  supervisor_->Terminate(first_worker_);
  WaitUntilGone(first_worker_, kWorkerStopLimit);
  supervisor_->Terminate(0);
  WaitUntilGone(0, kCoordinatorStopLimit);
}

int EmbeddedRun::Interrupted() {
  if (latest_.sweeps_size() == 0) {
    context_.Note("interrupted before the sweep was submitted");
    return kExitInterrupted;
  }
  const ProgressTotals totals = Totals(latest_);
  std::string text =
      absl::StrCat("interrupted; ", FormatCount(totals.ended), " of ", FormatPlural(totals.runs, "run"), " done. ");
  if (ours_ || own_workers_) {
    text += "The same command goes on from here.";
  } else {
    absl::StrAppend(&text, "The coordinator goes on with the rest; `", context_.Command("cancel " + submitted_.name()),
                    "` ends them.");
  }
  context_.Note(text);
  return kExitInterrupted;
}

std::string EmbeddedRun::HowToOpenDatabase() const {
  // Few enough columns for a terminal. A sweep's name needs no quoting.
  const std::string sql = absl::StrCat(
      " \"select varied, seeds, reached_test_99, median_t_train, median_t_grok, median_delay from configuration_results "
      "where sweep = '",
      submitted_.name(), "'\"");
  if (!context_.options.server.empty()) return context_.Command("query") + sql;
  return absl::StrCat("sqlite3 -box ", ShellWord(WithoutDot(DatabasePath(DataDirectory(context_.options)))), sql);
}

absl::Status EmbeddedRun::MentionFailures() {
  v1::ListRunsRequest request;
  request.set_sweep(submitted_.name());
  request.add_states(v1::RUN_STATE_FAILED);
  request.set_limit(5);
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListRunsResponse runs, client_->ListRuns(request));
  for (const v1::RunSummary& run : runs.runs()) {
    context_.Note(absl::StrCat("run ", run.run_id(), " failed: ", Printable(run.reason()), " (`",
                               context_.Command(absl::StrCat("logs ", run.run_id())), "`)"));
  }
  context_.Note(absl::StrCat("`", context_.Command(absl::StrCat("retry ", submitted_.name(), " --failed")),
                             "` queues the failed runs again"));
  return absl::OkStatus();
}

absl::StatusOr<int> EmbeddedRun::Report(absl::Duration took, bool nothing_was_left) {
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListSweepsResponse sweeps, client_->ListSweeps(submitted_.name()));
  SEEDBED_ASSIGN_OR_RETURN(const v1::ListConfigurationsResponse configurations,
                           client_->ListConfigurations(submitted_.name()));
  v1::ProgressResponse progress;
  *progress.mutable_sweeps() = sweeps.sweeps();
  const bool failed = Totals(progress).failed > 0;
  if (failed) SEEDBED_RETURN_IF_ERROR(MentionFailures());
  StopChildren();
  const int64_t budget = sweeps.sweeps_size() > 0 ? sweeps.sweeps(0).budget_steps() : 0;
  if (context_.options.json) {
    OrderedJson results = OrderedJson::array();
    for (const v1::ConfigurationSummary& row : configurations.configurations()) results.push_back(ToJson(row));
    context_.PrintJson({{"sweep", sweeps.sweeps_size() > 0 ? ToJson(sweeps.sweeps(0)) : OrderedJson()},
                        {"seconds", absl::ToDoubleSeconds(took)},
                        {"results", std::move(results)},
                        {"database", DatabasePath(DataDirectory(context_.options))}});
  } else {
    const std::vector<v1::ConfigurationSummary> rows(configurations.configurations().begin(),
                                                     configurations.configurations().end());
    const std::string in_time = nothing_was_left ? std::string("; nothing was left to do")
                                                 : " in " + FormatDuration(absl::ToDoubleSeconds(took));
    context_.Print(absl::StrCat("\n", RenderPlainStatus(progress), in_time, "\n\n",
                                RenderConfigurations(rows, budget, context_.style()), "\n", HowToOpenDatabase(), "\n"));
  }
  return failed ? kExitFailed : kExitOk;
}

absl::StatusOr<int> EmbeddedRun::Run() {
  absl::StatusOr<int> result = RunToTheEnd();
  // After an error too: a child that is killed leaves its files and leases for others to clean up.
  if (!result.ok() && supervisor_ != nullptr) StopChildren();
  return result;
}

absl::StatusOr<int> EmbeddedRun::RunToTheEnd() {
  const absl::Time started = absl::Now();
  // Before anything exists, so that mistakes create nothing.
  SEEDBED_ASSIGN_OR_RETURN(loaded_, LoadSweep(options_.file, options_.overrides));
  PrintWarnings(loaded_.sweep, *context_.environment().err);
  SEEDBED_RETURN_IF_ERROR(Connect());
  if (!interrupted()) SEEDBED_RETURN_IF_ERROR(Persistently([this] { return Submit(); }));
  const ProgressTotals totals = Totals(latest_);
  const bool all_ended = totals.runs > 0 && totals.ended == totals.runs;
  if (!interrupted() && !all_ended) {
    SEEDBED_RETURN_IF_ERROR(Persistently([this] { return StartWorkers(); }));
    // Progress is no part of a JSON document.
    Output& output = context_.options.json ? *context_.environment().err : context_.out();
    const bool live = !context_.options.json && context_.style().width > 0;
    ProgressDisplay display(output, context_.style(),
                            live ? ProgressDisplay::Mode::kLive : ProgressDisplay::Mode::kPlain, started);
    const absl::Status followed = FollowToTheEnd(display);
    if (interrupted() && !context_.out().closed())
      display.SetNote("interrupted: stopping cleanly; Ctrl-C again kills", absl::Now());
    display.Finish(absl::Now());
    SEEDBED_RETURN_IF_ERROR(followed);
  }
  if (interrupted()) {
    StopChildren();
    return context_.out().closed() && interrupts_.count() == 0 ? kExitOk : Interrupted();
  }
  const absl::Duration took = absl::Now() - started;
  absl::StatusOr<int> reported = Report(took, all_ended);
  if (absl::IsUnavailable(reported.status()) && MayTakeOver()) {
    SEEDBED_RETURN_IF_ERROR(Reattach());
    reported = Report(took, all_ended);
  }
  return reported;
}

}  // namespace seedbed::cli
