#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace seedbed {

// A few threads for what may wait (reads of the database, submissions), so that gRPC's own never do. Tasks run in order
// of their time; the number of threads never grows. Thread-safe.
class TaskPool {
 public:
  explicit TaskPool(int threads);
  // See Stop.
  ~TaskPool();
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  void Post(std::function<void()> task) { PostAfter(absl::ZeroDuration(), std::move(task)); }
  void PostAfter(absl::Duration delay, std::function<void()> task);
  // Runs every task that waits, early if need be, and ends the threads. What is posted later runs at once in its
  // caller's thread: every task runs.
  void Stop();

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  void Work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<SteadyTime, std::function<void()>> tasks_;  // guarded by mutex_
  bool stopping_ = false;                                   // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace seedbed
