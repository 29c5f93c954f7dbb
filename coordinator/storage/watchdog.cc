#include "coordinator/storage/watchdog.h"

#include <sqlite3.h>

#include <algorithm>

namespace seedbed {
namespace {

// An interruption between two statements is lost.
constexpr std::chrono::milliseconds kAgain{50};

}  // namespace

Watchdog::~Watchdog() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::Watch(sqlite3* handle, std::chrono::steady_clock::time_point deadline) {
  const std::lock_guard<std::mutex> lock(mutex_);
  deadlines_[handle] = deadline;
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  changed_.notify_one();
}

void Watchdog::LetGo(sqlite3* handle) {
  const std::lock_guard<std::mutex> lock(mutex_);
  deadlines_.erase(handle);
}

void Watchdog::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!ending_) {
    if (deadlines_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto now = std::chrono::steady_clock::now();
    auto next = std::chrono::steady_clock::time_point::max();
    for (const auto& [handle, deadline] : deadlines_) {
      if (deadline <= now) sqlite3_interrupt(handle);
      next = std::min(next, deadline <= now ? now + kAgain : deadline);
    }
    changed_.wait_until(lock, next);
  }
}

}  // namespace seedbed
