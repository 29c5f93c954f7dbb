#include "coordinator/held_calls.h"

#include <algorithm>
#include <utility>

namespace seedbed {

void HeldCalls::Hold(Call call) {
  call.place = next_place_++;
  WorkerId worker = call.command.worker;
  calls_.insert_or_assign(std::move(worker), std::move(call));
}

std::optional<HeldCalls::Call> HeldCalls::Take(const WorkerId& worker) {
  const auto found = calls_.find(worker);
  if (found == calls_.end()) return std::nullopt;
  Call call = std::move(found->second);
  calls_.erase(found);
  return call;
}

std::optional<HeldCalls::Call> HeldCalls::Take(const WorkerId& worker, int64_t number) {
  const auto found = calls_.find(worker);
  if (found == calls_.end() || found->second.command.number != number) return std::nullopt;
  return Take(worker);
}

std::vector<HeldCalls::Call> HeldCalls::TakeOverdue(absl::Duration now) {
  std::vector<Call> overdue;
  for (auto each = calls_.begin(); each != calls_.end();) {
    if (each->second.deadline > now) {
      ++each;
      continue;
    }
    overdue.push_back(std::move(each->second));
    each = calls_.erase(each);
  }
  return overdue;
}

std::vector<HeldCalls::Call> HeldCalls::TakeAll() {
  std::vector<Call> all;
  for (auto& [worker, call] : calls_) all.push_back(std::move(call));
  calls_.clear();
  return all;
}

std::vector<WorkerId> HeldCalls::Waiting(bool everybody, const std::vector<WorkerId>& workers) const {
  std::vector<std::pair<int64_t, WorkerId>> waiting;
  if (everybody) {
    for (const auto& [worker, call] : calls_) waiting.emplace_back(call.place, worker);
  } else {
    for (const WorkerId& worker : workers) {
      const auto found = calls_.find(worker);
      if (found != calls_.end()) waiting.emplace_back(found->second.place, worker);
    }
  }
  std::sort(waiting.begin(), waiting.end());
  waiting.erase(std::unique(waiting.begin(), waiting.end()), waiting.end());
  std::vector<WorkerId> ordered;
  for (auto& [place, worker] : waiting) ordered.push_back(std::move(worker));
  return ordered;
}

HeldCalls::Call* HeldCalls::Find(const WorkerId& worker) {
  const auto found = calls_.find(worker);
  return found == calls_.end() ? nullptr : &found->second;
}

}  // namespace seedbed
