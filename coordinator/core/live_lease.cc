#include "coordinator/core/live_lease.h"

namespace seedbed::core {

std::string WhyNotLive(const State& state, const WorkerId& worker, const LeaseKey& lease) {
  const Run* run = state.FindRun(lease.run);
  if (run == nullptr) return "there is no such run";
  const auto* running = std::get_if<Running>(&run->state);
  if (running == nullptr || !(lease == LeaseOf(*run))) return "its lease is over";
  if (running->worker->id != worker) return "the lease is another worker's";
  return "";
}

bool MayPrint(const State& state, const WorkerId& worker, const LeaseKey& lease, const WorkerId* holder) {
  const Run* run = state.FindRun(lease.run);
  if (run == nullptr || run->attempts == 0 || !(lease == LeaseOf(*run))) return false;
  const auto* running = std::get_if<Running>(&run->state);
  if (running != nullptr) return running->worker->id == worker;
  return holder != nullptr && *holder == worker;
}

}  // namespace seedbed::core
