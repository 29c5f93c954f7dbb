#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "common/base/json.h"
#include "worker/process/engine_events.h"

namespace seedbed {

struct AttemptStart {
  AttemptId attempt;
  int engine = 0;                     // 0 … engine_count() - 1; choose one that is ready and has a place free
  Json specification;                 // RunSpecification's JSON form
  std::string directory;              // absolute, exists (attempt_directory.h); the log goes to directory/log.txt
  std::optional<std::string> resume;  // path of a checkpoint
  bool final_checkpoint = false;      // one at the last step too, before the end
  // Of wall time, beyond which the attempt is stopped as kTimedOut. A fence around the engine, which keeps
  // budget.seconds itself.
  std::optional<absl::Duration> time_limit;
};

// The engines of one worker. Commands may come from any thread, never block and never fail at the call: what becomes of
// them is told by events. Commands on attempts that have ended (or never were) are ignored, since an end may cross
// them.
//
// Engines are started by Start() and kept warm between attempts. One that dies is started again at once; after repeated
// failures to become ready, with a growing delay. A dead engine costs the attempts that it held and nothing else.
class EnginePool {
 public:
  // Called on one thread of the pool, one event at a time, in order. Must not block; may call the commands below.
  using EventHandler = std::function<void(EngineEvent)>;

  virtual ~EnginePool() = default;

  virtual int engine_count() const = 0;

  // Once, before any command. No event comes before it.
  virtual void Start(EventHandler handler) = 0;

  // Answered by AttemptEnded at some time, after any number of AttemptMetrics, AttemptAlive, AttemptCheckpoint,
  // AttemptLog.
  virtual void StartRun(AttemptStart start) = 0;

  // Asks the engine to stop at the next step, after writing a checkpoint if `checkpoint`. Ends in kStopped; or in
  // kFinished if that crossed; or, if the engine does not obey within the grace period, in kCrashed. Lifts
  // PauseReading.
  virtual void StopRun(AttemptId attempt, bool checkpoint) = 0;

  // Asks for a checkpoint now: AttemptCheckpoint follows.
  virtual void Checkpoint(AttemptId attempt) = 0;

  // Stops taking messages from the attempt's engine until ResumeReading, so that it soon waits (with all attempts that
  // it holds). What was already read may still arrive as events: one read, at most 256 KiB or one message. A waiting
  // engine is not stalled.
  virtual void PauseReading(AttemptId attempt) = 0;
  virtual void ResumeReading(AttemptId attempt) = 0;

  // Tells all engines to leave, kills those that have not within the grace period, then sends PoolStopped. Attempts
  // that still run end in kStopped without a checkpoint: call StopRun(…, true) first, and wait, if that is wanted.
  virtual void Shutdown() = 0;
};

}  // namespace seedbed
