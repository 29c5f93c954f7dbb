#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/connection.h"
#include "cli/context.h"
#include "cli/embedded/embedded_options.h"
#include "cli/embedded/private_socket.h"
#include "cli/embedded/supervisor.h"
#include "cli/progress_display.h"
#include "cli/signals.h"
#include "cli/sweep_file.h"

namespace seedbed::cli {

// `seedbed run`: a coordinator and workers as children of this process, a sweep handed to them, its progress, its
// results. Where a coordinator runs already (--server, or one that holds the data directory), that one is used.
class EmbeddedRun {
 public:
  // `program_directory` holds seedbed-coordinator and seedbed-worker.
  EmbeddedRun(Context& context, EmbeddedOptions options, std::string program_directory);
  // The exit code, or what went wrong. Every child is gone when it returns.
  absl::StatusOr<int> Run();

 private:
  absl::StatusOr<int> RunToTheEnd();
  absl::Status Connect();
  // To the coordinator that holds the data directory, or to one of ours if nobody does.
  absl::Status Attach();
  absl::Status UseRunning(const RunningCoordinator& running);
  absl::Status StartCoordinator(const std::string& data);
  absl::Status WaitForCoordinator();
  absl::Status MentionDashboard(const std::string& data);
  absl::Status StartWorkers();
  absl::Status Submit();
  absl::Status MentionOtherSweeps();
  absl::Status FollowToTheEnd(ProgressDisplay& display);
  // Until the sweep's end, an interrupt, or, with `abandoned` set, until somebody else's coordinator has left us.
  absl::Status Follow(ProgressDisplay& display, bool* abandoned);
  // Another command's coordinator went with that command: lets go of it and attaches anew.
  absl::Status Reattach();
  // Takes a step, and again with the next coordinator if another command's went away in the middle of it.
  absl::Status Persistently(const std::function<absl::Status()>& step);
  // Whether the coordinator is another command's, in whose place ours may come.
  bool MayTakeOver() const { return !ours_ && context_.options.server.empty(); }
  // The coordinator hears of a worker's death from us, long before its leases run out.
  void TellOfDeath(const std::string& child);
  void StopChildren();
  bool WaitUntilGone(size_t first, absl::Duration most);
  absl::StatusOr<int> Report(absl::Duration took, bool nothing_was_left);
  std::string HowToOpenDatabase() const;
  absl::Status MentionFailures();
  int Interrupted();
  bool interrupted() const { return interrupts_.count() > 0 || context_.out().closed(); }

  Context& context_;
  const EmbeddedOptions options_;
  const std::string program_directory_;
  CountInterrupts interrupts_;
  LoadedSweep loaded_;
  v1::SubmitSweepResponse submitted_;
  // Members below are destroyed from the last to the first: the client, then the children, then the socket's directory.
  std::unique_ptr<PrivateSocket> socket_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<Client> client_;
  size_t first_worker_ = 0;  // index among the children: 1 if the coordinator is one of them
  std::string address_;
  std::string token_file_;
  std::string worker_command_;                       // what starts a worker for somebody's coordinator
  std::map<std::string, std::string> worker_names_;  // by the child's name
  bool ours_ = false;                                // the coordinator is our child
  bool own_workers_ = false;                         // so are workers
  v1::ProgressResponse latest_;
};

}  // namespace seedbed::cli
