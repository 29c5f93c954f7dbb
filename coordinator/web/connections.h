#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "coordinator/commit_loop.h"
#include "coordinator/web/connection.h"
#include "coordinator/web/limits.h"

namespace seedbed {

// All connections of the dashboard: one thread watches those that say nothing, a few answer those that do. So neither
// threads nor memory grow with the number of clients. Thread-safe.
class Connections {
 public:
  // Answers one request; false: the connection is over.
  using Serve = std::function<bool(Connection*)>;
  Connections(const WebLimits& limits, std::shared_ptr<SSL_CTX> tls, Serve serve, LogLine log);
  // Stops.
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // Owns the descriptor (non-blocking). Closes it if there are too many.
  void Take(int descriptor);
  // Ends all connections, and waits for what is being answered. Idempotent; Take is not called any more.
  void Stop();

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  struct Parked {
    std::unique_ptr<Connection> connection;
    SteadyTime until;
  };
  void Park(std::unique_ptr<Connection> connection);
  void Watch();
  void Sort(std::vector<Parked>* parked, const std::vector<short>& events);
  void Work();
  void Refuse(int descriptor);

  const WebLimits limits_;
  const std::shared_ptr<SSL_CTX> tls_;
  const Serve serve_;
  const LogLine log_;
  int wake_ = -1;  // an eventfd: the watcher has something new to look at

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Parked> arrived_;                    // guarded by mutex_, as all below: the watcher takes them over
  std::deque<std::unique_ptr<Connection>> ready_;  // have something to say
  std::set<Connection*> served_;                   // being answered
  size_t count_ = 0;                               // of all connections
  bool stopping_ = false;
  int64_t refused_ = 0;  // not logged yet
  SteadyTime last_logged_;

  std::vector<std::thread> threads_;
};

}  // namespace seedbed
