#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

struct sqlite3;

namespace seedbed {

// Interrupts connections whose time is over, again and again until they are let go. SQLite's progress handler is called
// at the jumps of a statement only: one that counts a table without WHERE has none while it does. Thread-safe; its
// thread starts with the first connection.
class Watchdog {
 public:
  Watchdog() = default;
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void Watch(sqlite3* handle, std::chrono::steady_clock::time_point deadline);
  void LetGo(sqlite3* handle);  // must come before it is closed

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<sqlite3*, std::chrono::steady_clock::time_point> deadlines_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace seedbed
