#include "worker/agent/agent_loop.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace seedbed::agent {
namespace {

void Feed(Agent* agent, AgentInput input, const Moment& now) {
  if (auto* link = std::get_if<LinkEvent>(&input)) {
    agent->OnLinkEvent(std::move(*link), now);
  } else if (auto* engine = std::get_if<EngineEvent>(&input)) {
    agent->OnEngineEvent(std::move(*engine), now);
  } else if (std::holds_alternative<ShutdownRequested>(input)) {
    agent->BeginShutdown(now);
  } else {
    agent->Abort(now);
  }
}

}  // namespace

void AgentLoop::Post(AgentInput input) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    inputs_.push_back(std::move(input));
  }
  posted_.notify_one();
}

std::deque<AgentInput> AgentLoop::TakeInputs(std::optional<absl::Duration> wake) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto something = [this] { return !inputs_.empty(); };
  if (wake) {
    const absl::Duration left = std::max(absl::ZeroDuration(), *wake - clock_->Now().monotonic);
    posted_.wait_for(lock, absl::ToChronoNanoseconds(std::min(left, absl::Hours(1))), something);
  } else {
    posted_.wait(lock, something);
  }
  return std::exchange(inputs_, {});
}

void AgentLoop::Run(Agent* agent) {
  while (!agent->done()) {
    for (AgentInput& input : TakeInputs(agent->NextWake(clock_->Now()))) Feed(agent, std::move(input), clock_->Now());
    agent->OnTime(clock_->Now());
  }
}

}  // namespace seedbed::agent
