#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "worker/process/spawner_wire.h"
#include "worker/process/unique_fd.h"

// The step from the spawner's process to a child's program.
namespace seedbed::spawner_wire {

struct ChildPlan {
  std::string working_directory;  // empty: the spawner's
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  std::vector<UniqueFd> descriptors;  // become 0, 1, 2, …
  int cgroup_procs = -1;              // a group to move into
};

// Takes a request's strings from descriptors[0] and sorts the rest; false if it is not whole.
bool ReadPlan(const Message& request, std::vector<UniqueFd> descriptors, ChildPlan* plan);

struct ChildStart {
  pid_t pid = 0;
  int error = 0;  // errno; 0 if the program runs
  Stage stage = Stage::kProcess;
};

// Starts the program in a session of its own, with default signal actions, nothing blocked and no other descriptors.
// The calling process must have one thread, SIGCHLD blocked, and its own 0, 1 and 2 open.
ChildStart StartChild(const ChildPlan& plan);

}  // namespace seedbed::spawner_wire
