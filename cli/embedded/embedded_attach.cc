// Which coordinator a run has: one that is there already, or a child.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/connection.h"
#include "cli/dashboard_link.h"
#include "cli/embedded/embedded_run.h"
#include "common/base/status_macros.h"
#include "coordinator/server_file.h"
#include "coordinator/storage/data_directory.h"

namespace seedbed::cli {
namespace {

constexpr absl::Duration kStartLimit = absl::Seconds(30);
constexpr absl::Duration kLoopPause = absl::Milliseconds(200);

}  // namespace

absl::Status EmbeddedRun::StartCoordinator(const std::string& data) {
  SEEDBED_RETURN_IF_ERROR(EnsureDataDirectory(data));
  SEEDBED_ASSIGN_OR_RETURN(socket_, PrivateSocket::Create());
  address_ = socket_->address();
  ChildCommand command;
  command.name = "coordinator";
  command.arguments = {
      program_directory_ + "/seedbed-coordinator", "--data", data, "--listen", address_, "--exit-with-parent",
      absl::StrCat(Lifeline::kDescriptor)};
  if (options_.least_free_disk) {
    command.arguments.insert(command.arguments.end(), {"--least-free-disk", absl::StrCat(*options_.least_free_disk)});
  }
  if (!options_.http.empty()) command.arguments.insert(command.arguments.end(), {"--http", options_.http});
  // Workers of before cannot reach the new socket. When it is started again, ours can.
  command.at_first = {"--workers-are-gone"};
  command.log_path = data + "/coordinator.log";
  SEEDBED_RETURN_IF_ERROR(supervisor_->Start(command));
  ours_ = true;
  first_worker_ = 1;
  client_ = Client::ForAddress(address_, "");
  SEEDBED_RETURN_IF_ERROR(WaitForCoordinator());
  return options_.http.empty() || interrupted() ? absl::OkStatus() : MentionDashboard(data);
}

absl::Status EmbeddedRun::MentionDashboard(const std::string& data) {
  // It serves before it writes its file, so that may take a moment more.
  const absl::Time deadline = absl::Now() + kStartLimit;
  while (!interrupted() && absl::Now() < deadline) {
    SEEDBED_ASSIGN_OR_RETURN(const std::optional<ServerFile> file, ReadServerFile(data));
    if (file && !file->http.empty() && file->pid == DataLockHolder(data)) {
      SEEDBED_ASSIGN_OR_RETURN(const std::string link, DashboardLink(*file));
      context_.Note(absl::StrCat("the dashboard, until this command ends: ", link,
                                 "\n  The link opens it once, within five minutes; `", context_.Command("dashboard"),
                                 "` prints another."));
      return absl::OkStatus();
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  return absl::OkStatus();
}

absl::Status EmbeddedRun::WaitForCoordinator() {
  const absl::Time deadline = absl::Now() + kStartLimit;
  while (true) {
    const absl::StatusOr<v1::GetServerInfoResponse> info = client_->WaitUntilServing(kLoopPause);
    if (info.ok() || interrupted()) return absl::OkStatus();
    std::vector<std::string> news;
    SEEDBED_RETURN_IF_ERROR(supervisor_->LookAfter(absl::Now(), &news));
    const std::string log = DataDirectory(context_.options) + "/coordinator.log";
    // At its start it has nothing to recover from: what it says is what the user must see.
    if (!news.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the coordinator could not start. The end of ", log, ":\n", TailOfFile(log, 8)));
    }
    if (!absl::IsUnavailable(info.status())) return info.status();
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("the coordinator does not answer after ", absl::FormatDuration(kStartLimit), "; see ", log));
    }
  }
}

absl::Status EmbeddedRun::Connect() {
  if (context_.options.server.empty()) return Attach();
  address_ = context_.options.server;
  context_.Note("using the coordinator at " + address_);
  SEEDBED_ASSIGN_OR_RETURN(Lifeline lifeline, Lifeline::Create());
  supervisor_ = std::make_unique<Supervisor>(std::move(lifeline));
  SEEDBED_ASSIGN_OR_RETURN(Connection connection, seedbed::cli::Connect(context_.options, Access::kChange));
  client_ = std::move(connection.client);
  worker_command_ = connection.worker_command;
  return client_->GetServerInfo().status();
}

absl::Status EmbeddedRun::UseRunning(const RunningCoordinator& running) {
  address_ = running.address;
  token_file_ = running.token_file;
  SEEDBED_ASSIGN_OR_RETURN(client_, ClientOf(running, context_.options));
  SEEDBED_RETURN_IF_ERROR(client_->GetServerInfo().status());
  context_.Note(absl::StrCat("using the coordinator that runs on ", DataDirectory(context_.options), " (process ",
                             running.pid, ", ", address_, ")"));
  if (!options_.http.empty()) {
    context_.Note(absl::StrCat("--http is left out: that coordinator is running already; `",
                               context_.Command("dashboard"), "` opens its dashboard, if it has one"));
  }
  return absl::OkStatus();
}

absl::Status EmbeddedRun::Attach() {
  const std::string data = DataDirectory(context_.options);
  const absl::Time deadline = absl::Now() + kStartLimit;
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(Lifeline lifeline, Lifeline::Create());
    supervisor_ = std::make_unique<Supervisor>(std::move(lifeline));
    SEEDBED_ASSIGN_OR_RETURN(const std::optional<RunningCoordinator> running, FindRunningCoordinator(data));
    const absl::Status attached = running.has_value() ? UseRunning(*running) : StartCoordinator(data);
    if (attached.ok() || interrupted()) return absl::OkStatus();
    // Commands like this one may come and go at the same moment: the directory was taken between the look and the
    // start, or the coordinator has left since.
    const bool passing = running.has_value() ? absl::IsUnavailable(attached) : DataLockHolder(data) != 0;
    if (!passing || absl::Now() > deadline) return attached;
    client_.reset();
    ours_ = false;
    first_worker_ = 0;
    absl::SleepFor(kLoopPause);
  }
}

absl::Status EmbeddedRun::Persistently(const std::function<absl::Status()>& step) {
  // One that is there and cannot store anything says UNAVAILABLE too, and will not change at once.
  constexpr int kMostTries = 3;
  absl::Status status = step();
  for (int tries = 1; tries < kMostTries && absl::IsUnavailable(status) && MayTakeOver() && !interrupted(); ++tries) {
    SEEDBED_RETURN_IF_ERROR(Reattach());
    if (ours_) context_.Note("the command that had the coordinator has ended: going on without it");
    if (interrupted()) return absl::OkStatus();
    status = step();
  }
  return status;
}

absl::Status EmbeddedRun::Reattach() {
  StopChildren();  // workers of ours, whose coordinator is gone
  client_.reset();
  worker_names_.clear();
  first_worker_ = 0;
  return Attach();
}

}  // namespace seedbed::cli
