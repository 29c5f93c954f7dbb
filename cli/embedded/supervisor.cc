#include "cli/embedded/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"

namespace seedbed::cli {
namespace {

// What our programs leave with where their command line asks for what cannot be had: to start them again is no use.
constexpr int kRefusedCommandLine = 2;

}  // namespace

Supervisor::~Supervisor() {
  Kill();
  for (Child& child : children_) {
    while (child.pid > 0 && waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

absl::Status Supervisor::Start(const ChildCommand& command) {
  ChildCommand first = command;
  first.arguments.insert(first.arguments.end(), command.at_first.begin(), command.at_first.end());
  SEEDBED_ASSIGN_OR_RETURN(const pid_t pid, Spawn(first, lifeline_));
  Child child;
  child.command = command;
  child.pid = pid;
  child.started = absl::Now();
  children_.push_back(std::move(child));
  return absl::OkStatus();
}

void Supervisor::Reap(Child& child, absl::Time now, std::vector<std::string>* news) {
  if (child.pid == 0) return;
  int status = 0;
  if (waitpid(child.pid, &status, WNOHANG) != child.pid) return;
  child.pid = 0;
  child.last_status = status;
  if (!child.wanted) return;
  std::optional<absl::Time> due = child.policy.AfterDeath(child.started, now);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kRefusedCommandLine) due.reset();
  child.due = due.value_or(absl::InfiniteFuture());
  if (news == nullptr) return;
  news->push_back(absl::StrCat("the ", child.command.name, " ", DescribeExit(status),
                               due.has_value() ? "; starting it again" : "", " (see ", child.command.log_path, ")"));
}

absl::Status Supervisor::LookAfter(absl::Time now, std::vector<std::string>* news, std::vector<std::string>* died) {
  for (Child& child : children_) {
    const bool lived = child.pid != 0;
    Reap(child, now, news);
    if (died != nullptr && lived && child.pid == 0) died->push_back(child.command.name);
    if (child.pid != 0 || !child.wanted) continue;
    if (child.due == absl::InfiniteFuture()) {
      const int deaths = child.policy.deaths();
      return absl::InternalError(absl::StrCat("the ", child.command.name, " ", DescribeExit(child.last_status),
                                              deaths > 1 ? absl::StrCat(", ", deaths, " times in a row") : "",
                                              ". The end of ", child.command.log_path, ":\n",
                                              TailOfFile(child.command.log_path, 8)));
    }
    if (now < child.due) continue;
    SEEDBED_ASSIGN_OR_RETURN(child.pid, Spawn(child.command, lifeline_));
    child.started = now;
    child.due = absl::InfiniteFuture();
  }
  return absl::OkStatus();
}

void Supervisor::Terminate(size_t first) {
  for (size_t i = first; i < children_.size(); ++i) {
    children_[i].wanted = false;
    if (children_[i].pid > 0) kill(children_[i].pid, SIGTERM);
  }
}

void Supervisor::Kill() {
  for (Child& child : children_) {
    child.wanted = false;
    // Each child leads its session, so its process group is its own: a worker's engines lie in other ones, and their
    // spawner ends them when the worker is gone.
    if (child.pid > 0 && kill(-child.pid, SIGKILL) != 0) kill(child.pid, SIGKILL);
  }
}

bool Supervisor::Gone(size_t first) {
  bool gone = true;
  for (size_t i = first; i < children_.size(); ++i) {
    Reap(children_[i], absl::InfinitePast(), nullptr);
    gone = gone && children_[i].pid == 0;
  }
  return gone;
}

}  // namespace seedbed::cli
