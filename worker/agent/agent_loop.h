#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <variant>

#include "common/base/clock.h"
#include "worker/agent/agent.h"

namespace seedbed::agent {

struct ShutdownRequested {};
struct AbortRequested {};
using AgentInput = std::variant<LinkEvent, EngineEvent, ShutdownRequested, AbortRequested>;

// The one thread on which an agent lives, and the queue through which all others reach it.
class AgentLoop {
 public:
  explicit AgentLoop(const Clock* clock) : clock_(clock) {}

  // From any thread; never blocks. Inputs are handled in the order in which they were posted.
  void Post(AgentInput input);

  // Feeds the agent until it is done.
  void Run(Agent* agent);

 private:
  std::deque<AgentInput> TakeInputs(std::optional<absl::Duration> wake);

  const Clock* const clock_;
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<AgentInput> inputs_;  // guarded by mutex_
};

}  // namespace seedbed::agent
