#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/coordinator/lease_holder.h"

namespace seedbed::bench {

// Many workers, each on a connection of its own, that synchronise in turn, evenly over the period. With reports on,
// each also sends some rows of every run that it holds, once a period.
class Fleet {
 public:
  Fleet(const CoordinatorProcess& coordinator, int workers, int slots, double period_seconds);
  // Ends the thread and waits for the calls that are under way.
  ~Fleet();

  void TurnReportsOn() { reports_on_ = true; }
  // Leases that all workers hold together.
  int64_t held() const;
  // Of all calls that were answered since the last time.
  std::vector<double> TakeLatencies();
  // It says no more, as if its machine had died.
  LeaseHolder& Kill(int worker);
  // From now on nobody calls.
  void Quit();

 private:
  struct Member {
    std::unique_ptr<LeaseHolder> holder;
    std::unique_ptr<ReportStream> stream;
    int64_t sequence = 0;  // of the last report, the same for all of its runs
    std::atomic<bool> dead{false};
  };
  void Work();
  void SendReports(Member* member);

  const double period_;
  std::vector<Member> members_;
  std::atomic<bool> reports_on_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace seedbed::bench
