#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "worker/process/engine_environment.h"
#include "worker/process/engine_session.h"
#include "worker/process/line_io.h"
#include "worker/process/spawner.h"
#include "worker/process/unique_fd.h"

namespace seedbed {

// Keeps one engine's process running: starts it, moves bytes between its pipes and its session, and starts it again
// when it dies. Used on the pool's thread only.
class EngineRunner final : private EngineSession::Host {
 public:
  enum class Channel { kOutput, kInput, kLog };  // the engine's: what it says, what it is told, stdout and stderr

  // The event loop around it.
  class Loop {
   public:
    virtual ~Loop() = default;
    // Calls OnIo(channel, life) while `fd` is ready for `events` (EPOLLIN, EPOLLOUT); a second call for one fd replaces
    // `events`.
    virtual void Watch(int fd, uint32_t events, int engine, Channel channel, uint32_t life) = 0;
    virtual void Unwatch(int fd) = 0;
    virtual void Deliver(EngineEvent event) = 0;
  };

  EngineRunner(int index, EngineLaunch launch, const EngineLimits& limits, Spawner* spawner, Loop* loop);
  ~EngineRunner() override;

  void StartRun(AttemptStart start, const Moment& now);
  void StopRun(AttemptId attempt, bool checkpoint, const Moment& now);
  void Checkpoint(AttemptId attempt);
  void SetPaused(AttemptId attempt, bool paused, const Moment& now);
  void Shutdown(const Moment& now);

  void OnIo(Channel channel, uint32_t life, const Moment& now);
  void OnProcessEvent(const ProcessEvent& event, const Moment& now);
  // The spawner's process has died; nothing can be started any more.
  void OnSpawnerGone(const Moment& now);
  // Starts the engine if it is time to, and looks at the deadlines.
  void Tick(const Moment& now);
  void ExtendDeadlines(absl::Duration by);

  ProcessId process() const { return process_; }
  bool holds(AttemptId attempt) const { return session_ != nullptr && session_->holds(attempt); }
  // True when nothing runs and nothing will be started.
  bool gone() const { return session_ == nullptr && leaving_; }

 private:
  void Send(const std::string& line) override;
  void Kill() override;
  void Emit(EngineEvent event) override;
  void DrainLog() override;

  absl::Status Launch(const Moment& now);
  void ReadOutput(int most_reads, const Moment& now);
  void TakeLines(const Moment& now);
  IoResult ReadLog();
  void FlushInput();
  void UpdateReading(const Moment& now);
  void OnDown(const Moment& now);
  void CloseChannel(UniqueFd* fd);

  const int index_;
  const EngineLaunch launch_;
  const EngineLimits limits_;
  Spawner* const spawner_;
  Loop* const loop_;

  std::unique_ptr<EngineSession> session_;  // of the present life; none between lives
  uint32_t life_ = 0;
  ProcessId process_;
  pid_t pid_ = 0;
  UniqueFd output_;
  UniqueFd input_;
  UniqueFd log_;
  std::unique_ptr<LineReader> lines_;
  WriteQueue pending_input_;
  bool reading_ = false;                 // output_ is watched
  std::optional<int64_t> memory_kills_;  // when the last attempt, or the engine, was started

  bool leaving_ = false;
  int failures_ = 0;  // lives in a row without any progress
  absl::Duration start_at_ = -absl::InfiniteDuration();
};

// How long to wait after that many lives in a row that came to nothing: not at all after one, then 1 s, 2 s, … 60 s.
absl::Duration RestartDelay(int failures);

}  // namespace seedbed
