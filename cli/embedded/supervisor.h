#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/embedded/child_process.h"

namespace seedbed::cli {

// The children of one `seedbed run`: starts them, starts them again when they die, and stops them in order. Not
// thread-safe; to be used from the main thread only (see Spawn). Children that are alive at the end are killed by the
// destructor.
class Supervisor {
 public:
  explicit Supervisor(Lifeline lifeline) : lifeline_(std::move(lifeline)) {}
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  absl::Status Start(const ChildCommand& command);

  // Collects the dead and starts those that are due again. An error, with the end of its log, once one has died too
  // often, or refused its command line (status 2). `news`, if given, receives a line on each death.
  // `died`, if given, receives the names (ChildCommand::name) of those that have died since the last call.
  absl::Status LookAfter(absl::Time now, std::vector<std::string>* news, std::vector<std::string>* died = nullptr);

  // Asks the children from index `first` on to leave. They are not started again from now on.
  void Terminate(size_t first = 0);
  void Kill();
  // True once the children from index `first` on are gone.
  bool Gone(size_t first = 0);

 private:
  struct Child {
    ChildCommand command;
    pid_t pid = 0;  // 0: not running
    absl::Time started;
    absl::Time due = absl::InfiniteFuture();
    RestartPolicy policy;
    bool wanted = true;
    int last_status = 0;
  };
  void Reap(Child& child, absl::Time now, std::vector<std::string>* news);

  Lifeline lifeline_;
  std::vector<Child> children_;
};

}  // namespace seedbed::cli
