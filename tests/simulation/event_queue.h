#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace seedbed::simulation {

// All that will happen, by simulated time; what falls on one time happens in the order in which it was added. Nothing
// else moves the time. Not thread-safe.
class EventQueue {
 public:
  absl::Duration now() const { return now_; }

  // A negative delay is none.
  void After(absl::Duration delay, std::function<void()> action) {
    heap_.push_back({now_ + std::max(delay, absl::ZeroDuration()), next_order_++, std::move(action)});
    std::push_heap(heap_.begin(), heap_.end());
  }

  // Moves the time to the next event and lets it happen; false if there is none.
  bool RunNext() {
    if (heap_.empty()) return false;
    std::pop_heap(heap_.begin(), heap_.end());
    const Entry entry = std::move(heap_.back());
    heap_.pop_back();
    now_ = entry.at;
    entry.action();
    return true;
  }

 private:
  struct Entry {
    absl::Duration at;
    uint64_t order = 0;
    std::function<void()> action;
    // The heap's top is its largest.
    friend bool operator<(const Entry& a, const Entry& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; }
  };

  absl::Duration now_;
  uint64_t next_order_ = 0;
  std::vector<Entry> heap_;
};

}  // namespace seedbed::simulation
