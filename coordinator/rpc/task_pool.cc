#include "coordinator/rpc/task_pool.h"

#include <utility>

namespace seedbed {

TaskPool::TaskPool(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

TaskPool::~TaskPool() {
  Stop();
}

void TaskPool::PostAfter(absl::Duration delay, std::function<void()> task) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!stopping_) {
      tasks_.emplace(std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(delay), std::move(task));
      task = nullptr;
    }
  }
  if (task) {
    task();
  } else {
    changed_.notify_one();
  }
}

void TaskPool::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void TaskPool::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    if (tasks_.empty()) {
      if (stopping_) return;
      changed_.wait(lock);
      continue;
    }
    const auto first = tasks_.begin();
    if (!stopping_ && first->first > std::chrono::steady_clock::now()) {
      changed_.wait_until(lock, SteadyTime(first->first));
      continue;
    }
    std::function<void()> task = std::move(first->second);
    tasks_.erase(first);
    lock.unlock();
    task();
    task = nullptr;  // what it holds may post another as it goes
    lock.lock();
  }
}

}  // namespace seedbed
