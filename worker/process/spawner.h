#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "worker/process/unique_fd.h"

// Child processes that cannot outlive this one. PR_SET_PDEATHSIG alone would not do: it fires when the thread that
// spawned ends, and does not reach grandchildren. So a process of its own spawns them: it is single-threaded, is the
// subreaper of all descendants, and kills them all as soon as this process is gone, however it went.
namespace seedbed {

// A process asked for from a Spawner: unique within it, never reused (unlike a pid).
using ProcessId = StrongInt<struct ProcessIdTag>;

struct SpawnRequest {
  std::vector<std::string> argv;         // argv[0]: a path, or a name that PATH has; never a shell's line
  std::vector<std::string> environment;  // all of it, "NAME=value"
  std::string working_directory;         // empty: where StartSpawner was called
  // Become 0, 1, 2, 3, … in the child; -1 is /dev/null. Fewer than three: the rest of 0, 1 and 2 is /dev/null. The
  // child has no others. The caller keeps its own copies and may close them once Spawn has returned.
  std::vector<int> file_descriptors;
};

struct ProcessSpawned {
  ProcessId process;
  pid_t pid = 0;  // leads a session and a process group of its own
};

struct ProcessNotSpawned {
  ProcessId process;
  std::string reason;
};

// The process has ended and been reaped, and what it left running was killed.
struct ProcessExited {
  ProcessId process;
  int exit_status = 0;  // if it ended by itself
  int signal = 0;       // the signal that killed it; 0 if none did
  double cpu_seconds = 0;
  int64_t peak_memory_bytes = 0;
};

using ProcessEvent = std::variant<ProcessSpawned, ProcessNotSpawned, ProcessExited>;

// "exited with status 3", "killed by signal 11 (Segmentation fault)".
std::string DescribeExit(const ProcessExited& exit);

// This process's end of the line to the spawner. Destroying it kills all that was spawned and waits until it is gone.
// Spawn, Signal and KillTree may be called from any thread; ReadEvents from one.
class Spawner {
 public:
  Spawner(UniqueFd socket, pid_t pid) : socket_(std::move(socket)), pid_(pid) {}
  ~Spawner();
  Spawner(const Spawner&) = delete;
  Spawner& operator=(const Spawner&) = delete;

  // Answered by ProcessSpawned and, at its end, ProcessExited; or by ProcessNotSpawned. UNAVAILABLE if the spawner is
  // gone.
  absl::StatusOr<ProcessId> Spawn(const SpawnRequest& request);

  // Sends a signal to the process's group. Nothing happens if it has ended.
  absl::Status Signal(ProcessId process, int signal);

  // SIGKILL to the process and to all its descendants, those that made a session of their own too.
  absl::Status KillTree(ProcessId process);

  // Readable (level-triggered) when ReadEvents has something to say.
  int event_fd() const { return socket_.get(); }

  // Events so far, without waiting. UNAVAILABLE if the spawner is gone: then so are its direct children.
  absl::StatusOr<std::vector<ProcessEvent>> ReadEvents();

  pid_t pid() const { return pid_; }

 private:
  UniqueFd socket_;
  pid_t pid_;
  std::atomic<int64_t> last_process_{0};
};

struct SpawnerOptions {
  // Give each child a control group where that is allowed (cgroup.h). Without, an orphan is told by its session and its
  // environment, so one that changed both lives until the spawner ends.
  bool use_control_groups = true;
};

// Forks the spawner. Call it in main before any thread exists: FAILED_PRECONDITION if there is another one than the
// caller's, since a lock that it holds would stay locked in the spawner for ever. The spawner ignores the terminal's
// signals (it has a session of its own), and holds none of this process's descriptors.
absl::StatusOr<std::unique_ptr<Spawner>> StartSpawner(const SpawnerOptions& options = {});

}  // namespace seedbed
