#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/access/authentication.h"
#include "coordinator/rpc/call_limits.h"
#include "coordinator/rpc/task_pool.h"

namespace seedbed {

// Answers that wait for their clients to take them. gRPC keeps them for as long as the connection lives, which a client
// may have it do for ever: so here what they hold of memory is counted, for each caller and for all, and a call of
// which nothing is taken for too long is cancelled. Thread-safe.
class UntakenAnswers {
 public:
  explicit UntakenAnswers(const CallLimits& limits)
      : patience_(limits.untaken_time),
        slow_link_(static_cast<double>(limits.slow_link)),
        most_bytes_(limits.untaken_bytes),
        most_bytes_of_caller_(limits.untaken_bytes_of_caller) {}
  UntakenAnswers(const UntakenAnswers&) = delete;
  UntakenAnswers& operator=(const UntakenAnswers&) = delete;

  // A fleet shares one token: what its workers and people read must cost none of them a lease.
  // Checkpoints that workers fetch have a bound of their own (DownloadTurns).
  enum class Use { kReading, kLeases, kDownloads };

  // May the caller be given another answer? RESOURCE_EXHAUSTED while too much waits to be taken for that use by itself,
  // or, of readings, by all.
  absl::Status Check(const Caller& caller, Use use) const;

  // A call's answer. `cancel` ends the call; it is called at most once, and has returned when Done does.
  using Id = int64_t;
  Id Begin(const Caller& caller, Use use, std::function<void()> cancel);
  // From here on the client is expected to take something within CallLimits::untaken_time and what its bytes need.
  void Add(Id id, int64_t bytes);
  // It did.
  void Take(Id id, int64_t bytes);
  // Nothing follows but the status, which the client is expected to take too.
  void Finish(Id id);
  void Done(Id id);

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  struct Answer {
    std::string caller;
    std::function<void()> cancel;
    int64_t bytes = 0;
    bool finished = false;
    bool being_cancelled = false;
    SteadyTime due = SteadyTime::max();  // when it is cancelled, unless something is taken
  };
  static std::string KeyOf(const Caller& caller, Use use);
  void CountLocked(Answer* answer, int64_t bytes);
  std::chrono::nanoseconds TimeOf(int64_t bytes) const;  // on a slow link
  SteadyTime DueOf(const Answer& answer) const;          // if nothing is taken from now on
  // Posts a look at the clocks unless one comes in time.
  void LookBy(SteadyTime due);
  void Look(SteadyTime due);

  const absl::Duration patience_;
  const double slow_link_;  // bytes a second
  const int64_t most_bytes_;
  const int64_t most_bytes_of_caller_;
  mutable std::mutex mutex_;
  Id next_id_ = 1;  // guarded by mutex_, as all below
  absl::flat_hash_map<Id, Answer> answers_;
  absl::flat_hash_map<std::string, int64_t> bytes_of_caller_;  // of those that have any
  int64_t bytes_ = 0;
  SteadyTime next_look_ = SteadyTime::max();
  std::thread::id canceller_;  // the thread that cancels calls at present
  std::condition_variable cancelled_;
  TaskPool timer_{1};  // last: its tasks use the others
};

}  // namespace seedbed
