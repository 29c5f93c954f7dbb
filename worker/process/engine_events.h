#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "common/base/ids.h"
#include "common/base/json.h"

// What happens to engines and to the attempts that they train, as the pool tells it. Values only: they may be kept and
// moved to other threads.
namespace seedbed {

// One attempt, numbered by the pool's user; it stands as `run` in the engine protocol. Positive, never used twice with
// one pool (two attempts at one run differ).
using AttemptId = StrongInt<struct AttemptIdTag>;

// What an engine says of itself in `ready`, checked.
struct EngineReady {
  std::string engine;                        // name and version
  std::vector<std::string> trainers;         // at least one
  int capacity = 1;                          // attempts at once, at least 1
  std::string device;                        // "cpu", "cuda:0"
  int64_t memory_bytes = 0;                  // 0 if it did not say
  Json numerics = Json::object();            // the numerics fingerprint: compare its CanonicalJson
  bool checkpoints = true;                   // it can write them and start from them
  std::vector<std::string> pack_parameters;  // names of parameters that may differ between attempts in one engine
};

// The engine can take attempts: `info.capacity` of them at once. Sent after each start, so again after a crash.
struct EngineBecameReady {
  int engine = 0;
  EngineReady info;
};

// The engine takes no attempts until its next EngineBecameReady. Each attempt that it held has had its AttemptEnded
// before.
struct EngineWentDown {
  int engine = 0;
  std::string reason;                         // for people, e.g. "killed by signal 9 (SIGKILL)"
  std::optional<absl::Duration> restarts_in;  // zero: at once; absent: the pool is shutting down
  bool refused = false;  // it left with status 2 and was never ready: with these settings it will not start
};

struct MetricColumn {
  std::string name;
  std::vector<std::optional<double>>
      values;  // one per step; absent where the row lacks it; NaN and infinities are values
};

// Rows of one attempt. Steps rise strictly within an attempt, across events too.
struct AttemptMetrics {
  AttemptId attempt;
  std::vector<int64_t> steps;  // never empty
  std::vector<MetricColumn> columns;
  int64_t bytes = 0;  // length of the message, for bounding what is kept
};

// The training thread lives and stands at `step`. For progress; the pool itself watches for stalls.
struct AttemptAlive {
  AttemptId attempt;
  int64_t step = 0;
};

// A checkpoint file is complete and synced. `path` is absolute and lies in the attempt's directory.
struct AttemptCheckpoint {
  AttemptId attempt;
  int64_t step = 0;
  std::string path;
  std::string sha256;  // 64 lower-case hexadecimal digits
  Json numerics;       // the fingerprint under which it was written; null if the engine did not say
};

// What was just appended to the attempt's log file (bounded there, so these are bounded too). Not necessarily whole
// lines or valid UTF-8.
struct AttemptLog {
  AttemptId attempt;
  std::string text;
};

enum class AttemptEnd {
  kFinished,     // ended by itself: `outcome` and `summary` hold
  kStopped,      // the answer to StopRun, or the pool was shut down
  kFailed,       // the engine reported that the run cannot go on
  kOutOfMemory,  // reported by the engine, or the engine was killed for memory
  kCrashed,      // the engine ended, broke the protocol, or did not obey a stop
  kStalled,      // neither `alive` nor any other message in time
  kTimedOut,     // AttemptStart::time_limit passed
  kNotStarted,   // nothing was tried: the engine was not ready or was full; counts for nobody
};
const char* AttemptEndName(AttemptEnd end);  // "finished", "stopped", "failed", "out_of_memory", "crashed", …

// The last event of an attempt: exactly one for every StartRun.
struct AttemptEnded {
  AttemptId attempt;
  AttemptEnd end = AttemptEnd::kCrashed;
  std::string reason;                // for people; kFinished: "budget", "stop rule …", "time"
  std::string outcome;               // kFinished only, e.g. "grokked"
  std::optional<int64_t> last_step;  // the engine's word, else the highest step seen; absent if none was
  Json summary = Json::object();     // kFinished only
  int companions = 0;                // other attempts in the same engine when it ended
  std::string log_path;
  std::string log_tail;  // the last 4 KiB of the log at most, for messages
};

// The pool has shut down, because it was told to or because it lost the process that spawns engines (then the worker
// must be started again). No process of it is left, and this is its last event.
struct PoolStopped {};

using EngineEvent = std::variant<EngineBecameReady, EngineWentDown, AttemptMetrics, AttemptAlive, AttemptCheckpoint,
                                 AttemptLog, AttemptEnded, PoolStopped>;

}  // namespace seedbed
