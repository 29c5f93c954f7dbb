#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "worker/process/engine_pool.h"
#include "worker/process/engine_runner.h"
#include "worker/process/spawner.h"

namespace seedbed {

struct EnginePoolOptions {
  std::vector<EngineLaunch> engines;  // one process each
  EngineLimits limits;
};

// Engines as child processes, served by one thread that waits in epoll. `spawner` (whose ReadEvents this pool takes
// over) and `clock` must outlive it. Destroying it without Shutdown kills its engines without a word; EventHandler is
// not called after.
class ProcessEnginePool final : public EnginePool, private EngineRunner::Loop {
 public:
  ProcessEnginePool(EnginePoolOptions options, Spawner* spawner, const Clock* clock);
  ~ProcessEnginePool() override;

  int engine_count() const override { return static_cast<int>(options_.engines.size()); }
  void Start(EventHandler handler) override;
  void StartRun(AttemptStart start) override;
  void StopRun(AttemptId attempt, bool checkpoint) override;
  void Checkpoint(AttemptId attempt) override;
  void PauseReading(AttemptId attempt) override;
  void ResumeReading(AttemptId attempt) override;
  void Shutdown() override;

 private:
  using Command = std::function<void(const Moment&)>;

  void Watch(int fd, uint32_t events, int engine, EngineRunner::Channel channel, uint32_t life) override;
  void Unwatch(int fd) override;
  void Deliver(EngineEvent event) override { handler_(std::move(event)); }

  void Post(Command command);
  void Run();
  void Serve();
  void TakeCommands(const Moment& now);
  void TakeProcessEvents(const Moment& now);
  void NoticeSuspension(const Moment& now);
  EngineRunner* Holder(AttemptId attempt);

  const EnginePoolOptions options_;
  Spawner* const spawner_;
  const Clock* const clock_;
  UniqueFd epoll_;
  UniqueFd wake_;
  EventHandler handler_;
  std::vector<std::unique_ptr<EngineRunner>> runners_;  // on the thread only
  std::map<int, uint32_t> watched_;                     // descriptor → events; on the thread only
  absl::Duration last_turn_;
  bool stopping_ = false;
  bool spawner_gone_ = false;
  std::atomic<bool> abandoned_{false};
  std::mutex mutex_;
  std::vector<Command> commands_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace seedbed
