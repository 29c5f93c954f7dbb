#pragma once

#include <string>

// What Ctrl-C does. Process-wide; to be used from the main thread.
namespace seedbed::cli {

// From now on SIGINT ends the process with exit code 130, and writes to closed pipes are errors instead of signals.
void InstallSignals();

// While it lives, SIGINT, SIGTERM and SIGHUP are counted instead of ending the process; the third ends it at once (its
// children then leave by their lifeline).
class CountInterrupts {
 public:
  CountInterrupts();
  ~CountInterrupts();
  CountInterrupts(const CountInterrupts&) = delete;
  CountInterrupts& operator=(const CountInterrupts&) = delete;
  int count() const;
};

// While it lives, SIGINT, SIGTERM and SIGHUP remove `path` before they end the process with 128 + the signal's number.
// One at a time.
class RemoveFileAtInterrupt {
 public:
  explicit RemoveFileAtInterrupt(const std::string& path);
  ~RemoveFileAtInterrupt();
  RemoveFileAtInterrupt(const RemoveFileAtInterrupt&) = delete;
  RemoveFileAtInterrupt& operator=(const RemoveFileAtInterrupt&) = delete;
};

}  // namespace seedbed::cli
