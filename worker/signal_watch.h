#pragma once

#include <functional>
#include <thread>

#include "worker/process/unique_fd.h"

namespace seedbed {

// Turns SIGTERM, SIGINT and SIGHUP into calls: the first is a request to stop, a later one (at least half a second
// after, since a terminal and a supervisor may both send one) a request to stop at once. If a parent is to be outlived
// by nobody, `parent_fd` is a descriptor whose end of file means that it is gone: that is a request to stop too, and
// SIGINT and SIGHUP, which a terminal sends to all at once, are left to the parent.
class SignalWatch {
 public:
  // To be called while this is the only thread, so that all later ones inherit the mask. SIGPIPE is ignored from here
  // on.
  static void BlockSignals();

  // `stop` and `stop_at_once` are called on a thread of this object's. `parent_fd`: -1 for none; not owned.
  SignalWatch(int parent_fd, std::function<void()> stop, std::function<void()> stop_at_once);
  ~SignalWatch();

 private:
  void Watch();

  int parent_fd_;
  std::function<void()> stop_;
  std::function<void()> stop_at_once_;
  UniqueFd signals_;
  UniqueFd end_;
  std::thread thread_;
};

}  // namespace seedbed
