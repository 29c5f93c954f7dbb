#pragma once

#include <optional>
#include <string>

#include "worker/process/unique_fd.h"

// Control groups (version 2) as a way to kill a process with all its descendants at once, whatever sessions they made.
// Used where this process may make groups below its own; elsewhere /proc does (process_table.h).
namespace seedbed {

// The directory of this process's own group, as /proc/self/mountinfo and /proc/self/cgroup give it; empty if there is
// none.
std::string OwnCgroupDirectory(const std::string& mountinfo, const std::string& cgroup);

// A group for one child. Destroying it removes the group, which must be empty of processes by then.
class ChildCgroup {
 public:
  // Absent if the group cannot be made or the kernel (before 5.14) cannot kill it. `parent` is a group's directory or
  // empty.
  static std::optional<ChildCgroup> Create(const std::string& parent, const std::string& name);
  ChildCgroup(ChildCgroup&& other) noexcept;
  ChildCgroup& operator=(ChildCgroup&&) = delete;
  ~ChildCgroup();

  // A process that writes "0" here moves into the group.
  int procs_fd() const { return procs_.get(); }

  // SIGKILL to all that is in the group, atomically against forks.
  void Kill() const;

 private:
  ChildCgroup(std::string directory, UniqueFd procs) : directory_(std::move(directory)), procs_(std::move(procs)) {}

  std::string directory_;
  UniqueFd procs_;
};

// Removes groups called PREFIX… below `parent` that hold no process: what killed spawners left.
void RemoveEmptyCgroups(const std::string& parent, const std::string& prefix);

}  // namespace seedbed
