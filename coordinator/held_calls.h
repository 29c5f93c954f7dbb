#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/core/command.h"

namespace seedbed {

// A lease to start, whole: the core knows ids only.
struct GrantedLease {
  core::LeaseToStart lease;
  std::string sweep_name;
  std::string specification_json;  // canonical ToJson(RunSpecification)
};
struct SynchronizeReply {
  core::SynchronizeAnswer answer;
  std::vector<GrantedLease> start;  // as answer.start, in the same order
};
using SynchronizeDone = std::function<void(absl::StatusOr<SynchronizeReply>)>;

// The Synchronize calls that wait for work: at most one of each worker. Not thread-safe: belongs to the commit loop.
class HeldCalls {
 public:
  struct Call {
    core::Synchronize command;
    core::SynchronizeAnswer answer;  // what is said if nothing comes up
    absl::Duration deadline;         // monotonic
    SynchronizeDone done;
    int64_t place = 0;  // in the order of arrival
  };

  void Hold(Call call);
  // The worker's call, taken out; nullopt if it has none (or none of that number).
  std::optional<Call> Take(const WorkerId& worker);
  std::optional<Call> Take(const WorkerId& worker, int64_t number);
  std::vector<Call> TakeOverdue(absl::Duration now);
  std::vector<Call> TakeAll();
  // Those of `workers`, or with `everybody` all; longest waiting first.
  std::vector<WorkerId> Waiting(bool everybody, const std::vector<WorkerId>& workers) const;
  Call* Find(const WorkerId& worker);
  bool empty() const { return calls_.empty(); }
  size_t size() const { return calls_.size(); }

 private:
  std::map<WorkerId, Call> calls_;
  int64_t next_place_ = 0;
};

}  // namespace seedbed
