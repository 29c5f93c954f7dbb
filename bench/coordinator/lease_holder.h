#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "bench/coordinator/connection.h"

namespace seedbed::bench {

// A worker that takes its leases and keeps them. Thread-safe.
class LeaseHolder {
 public:
  using OnAnswer = std::function<void()>;

  LeaseHolder(const CoordinatorProcess& coordinator, std::string id, int slots);
  ~LeaseHolder();  // Quit
  LeaseHolder(const LeaseHolder&) = delete;
  LeaseHolder& operator=(const LeaseHolder&) = delete;

  // One Synchronize with all that it holds, asking for what its slots have room for; `on_answer`, if any, is called on
  // one of gRPC's threads. Does nothing while one is under way, or after Quit.
  void Synchronize(OnAnswer on_answer);
  // Blocks until all slots are taken.
  void TakeAll();
  // It calls no more. Waits for the call that is under way.
  void Quit();

  Connection& connection() { return connection_; }
  const std::string& id() const { return id_; }
  std::vector<v1::LeaseKey> leases() const;
  // Of the calls that were answered, in seconds; taken away.
  std::vector<double> TakeLatencies();
  // When the last answer came, on the monotonic clock.
  double last_answer() const;

 private:
  void OnSynchronized(const v1::SynchronizeResponse* response, double began, const OnAnswer& on_answer);

  Connection connection_;
  const std::string id_;
  const int slots_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<v1::LeaseKey> leases_;  // guarded by mutex_, as all below
  std::vector<double> latencies_;
  double last_answer_ = 0;
  int64_t number_ = 0;
  bool calling_ = false;
  bool quit_ = false;
};

}  // namespace seedbed::bench
