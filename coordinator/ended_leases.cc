#include "coordinator/ended_leases.h"

namespace seedbed {

void EndedLeases::Add(const core::LeaseKey& lease, const WorkerId& worker) {
  const Attempt attempt(lease.run, lease.attempt);
  // A lease that was lost and restored ends once more.
  if (holders_.insert_or_assign(attempt, worker).second) oldest_first_.push_back(attempt);
  if (oldest_first_.size() <= kMost) return;
  holders_.erase(oldest_first_.front());
  oldest_first_.pop_front();
}

const WorkerId* EndedLeases::HolderOf(const core::LeaseKey& lease) const {
  const auto found = holders_.find(Attempt(lease.run, lease.attempt));
  return found == holders_.end() ? nullptr : &found->second;
}

}  // namespace seedbed
