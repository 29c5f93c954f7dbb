#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/testing/temporary_directory.h"
#include "worker/process/process_engine_pool.h"

namespace seedbed::testing {

// A pool of fake engines, and what it tells, for a test's thread. Its engines bear a token in their environment, by
// which any process of theirs that is left can be found.
class PoolHarness {
 public:
  // `engines` has one list of SEEDBED_FAKE_… variables for each engine. The program is the test's FAKE_ENGINE_PATH.
  PoolHarness(const std::string& program, const std::vector<std::map<std::string, std::string>>& engines,
              const EngineLimits& limits = EngineLimits());
  ~PoolHarness();

  // Called in the pool's thread before an event is queued.
  void SetHook(std::function<void(const EngineEvent&)> hook) { hook_ = std::move(hook); }
  void Start();

  // Makes a directory and starts attempt `attempt`, with that as its seed too.
  void StartRun(int64_t attempt, int engine, int64_t steps, std::optional<std::string> resume = std::nullopt);
  AttemptStart MakeStart(int64_t attempt, int engine, int64_t steps);

  // Waits for the first event that `wanted` accepts, and drops it and all before it but metrics (metrics()). Fails the
  // test, and returns PoolStopped, after a minute.
  EngineEvent Await(const std::function<bool(const EngineEvent&)>& wanted, const std::string& what);
  EngineBecameReady AwaitReady(int engine);
  EngineWentDown AwaitDown(int engine);
  AttemptEnded AwaitEnd(int64_t attempt);
  void AwaitStopped();

  // Rows seen so far: attempt → step → message, with `run` taken out.
  std::map<int64_t, std::map<int64_t, std::vector<MetricColumn>>> metrics();

  // Ends pool and spawner, and returns how many processes of theirs are left.
  int Close();

  // Engines, and whatever they started, that live now.
  int CountProcesses() const;

  ProcessEnginePool& pool() { return *pool_; }
  Spawner& spawner() { return *spawner_; }
  const std::string& directory() const { return directory_.path(); }

 private:
  void Take(EngineEvent event);

  TemporaryDirectory directory_;
  SystemClock clock_;
  std::string token_;
  std::unique_ptr<Spawner> spawner_;
  std::unique_ptr<ProcessEnginePool> pool_;
  std::function<void(const EngineEvent&)> hook_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<EngineEvent> events_;
  std::map<int64_t, std::map<int64_t, std::vector<MetricColumn>>> metrics_;
};

}  // namespace seedbed::testing
