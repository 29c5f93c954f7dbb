#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "worker/process/bounded_log.h"
#include "worker/process/engine_events.h"
#include "worker/process/engine_messages.h"
#include "worker/process/engine_pool.h"
#include "worker/process/spawner.h"

namespace seedbed {

struct EngineLimits {
  absl::Duration ready_timeout = absl::Minutes(2);    // from the start of the process: libraries may lie on a slow disk
  absl::Duration stall_after = absl::Seconds(30);     // without any word of an attempt
  absl::Duration stop_grace = absl::Seconds(30);      // from `stop` to `stopped`
  absl::Duration shutdown_grace = absl::Seconds(10);  // from `shutdown` to the process's end
  LogLimits log;
};

// One life of one engine process, as a state machine: lines, the time and the process's end come in, what is to be done
// goes out through Host. It holds the engine to the protocol and watches that it lives. Not thread-safe.
class EngineSession {
 public:
  // What the session wants done. Its methods must not call back into the session, but for DrainLog.
  class Host {
   public:
    virtual ~Host() = default;
    virtual void Send(const std::string& line) = 0;
    // SIGKILL to the process and all its descendants. OnExit follows some time.
    virtual void Kill() = 0;
    virtual void Emit(EngineEvent event) = 0;
    // Calls OnLog with all that the log pipe holds now.
    virtual void DrainLog() = 0;
  };

  EngineSession(int engine, const EngineLimits& limits, Host* host, const Moment& now);

  void Start(AttemptStart start, const Moment& now);
  void Stop(AttemptId attempt, bool checkpoint, const Moment& now);
  void Checkpoint(AttemptId attempt);
  // While any attempt is paused, nothing is to be read from the engine; what it cannot say is not held against it. A
  // stop ends the pause of its attempt for good, a shutdown those of all.
  void SetPaused(AttemptId attempt, bool paused, const Moment& now);
  bool paused() const;
  void Shutdown(const Moment& now);

  void OnLine(std::string_view line, const Moment& now);
  // Breaks the protocol in a way that shows elsewhere, e.g. "a line of more than 16 MiB".
  void OnFault(const std::string& fault);
  // The engine's output has ended, so its process should end too.
  void OnOutputEnd(const Moment& now);
  void OnLog(std::string_view text);
  // The spawner's word that the process is gone (all that it wrote has been given before), or that it never was.
  void OnExit(const ProcessExited& exit, bool memory_kills_rose);
  void OnNotSpawned(const std::string& reason);
  // Looks at the deadlines.
  void Tick(const Moment& now);
  // The worker itself stood still for so long (a suspended machine, SIGSTOP): nobody is late because of that.
  void ExtendDeadlines(absl::Duration by);

  bool ready() const { return ready_.has_value() && !dying_ && !leaving_; }
  bool holds(AttemptId attempt) const { return attempts_.count(attempt) != 0; }
  bool dying() const { return dying_.has_value(); }
  // True once an attempt has got anywhere: the engine as such works.
  bool made_progress() const { return made_progress_; }
  // It left with the status for settings that it cannot serve, and had not become ready; after OnExit.
  bool refused() const { return refused_; }
  // Why the process ended; after OnExit or OnNotSpawned.
  const std::string& end_reason() const { return end_reason_; }

 private:
  struct Attempt {
    AttemptStart start;
    std::unique_ptr<BoundedLog> log;
    std::optional<int64_t> last_step;  // of metrics
    absl::Duration silent_until;       // monotonic; a stall beyond it
    std::optional<absl::Duration> stop_until;
    std::optional<absl::Duration> time_limit_at;
    bool timed_out = false;
    bool paused = false;
  };
  // Why the session kills its process, and which attempt is to blame (none: all are).
  struct Death {
    AttemptEnd end;
    AttemptId culprit;
    std::string reason;
  };

  absl::Status Handle(EngineReady ready, const Moment& now);
  absl::Status Handle(AttemptMetrics metrics, const Moment& now);
  absl::Status Handle(AttemptAlive alive, const Moment& now);
  absl::Status Handle(EngineBusy busy, const Moment& now);
  absl::Status Handle(AttemptCheckpoint checkpoint, const Moment& now);
  absl::Status Handle(EngineFinished finished, const Moment& now);
  absl::Status Handle(EngineStopped stopped, const Moment& now);
  absl::Status Handle(EngineFailed failed, const Moment& now);

  absl::StatusOr<Attempt*> Find(AttemptId attempt, const char* type);
  void Heard(Attempt* attempt, const Moment& now);
  void Die(AttemptEnd end, AttemptId culprit, std::string reason);
  void RestartSilence(const Moment& now);
  void End(AttemptId attempt, AttemptEnded ended);
  void EndAll(AttemptEnd end, const std::string& reason, int companions);

  const int engine_;
  const EngineLimits limits_;
  Host* const host_;
  std::optional<EngineReady> ready_;
  std::map<AttemptId, Attempt> attempts_;
  absl::Duration ready_until_;
  absl::Duration leave_until_;
  std::optional<absl::Duration> output_ended_until_;
  std::optional<Death> dying_;
  bool leaving_ = false;
  bool made_progress_ = false;
  bool refused_ = false;
  BoundedLog idle_log_;  // what it writes outside attempts, for messages
  std::string end_reason_;
};

}  // namespace seedbed
