#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <utility>

#include "common/base/ids.h"
#include "coordinator/core/types.h"

namespace seedbed {

// Who held the attempts that ended last: what they still print comes from these workers. Bounded; forgets the oldest
// first. Not thread-safe: belongs to the commit loop.
class EndedLeases {
 public:
  static constexpr size_t kMost = 16384;

  void Add(const core::LeaseKey& lease, const WorkerId& worker);
  // nullptr: not known.
  const WorkerId* HolderOf(const core::LeaseKey& lease) const;

 private:
  using Attempt = std::pair<RunId, int>;
  std::map<Attempt, WorkerId> holders_;
  std::deque<Attempt> oldest_first_;
};

}  // namespace seedbed
