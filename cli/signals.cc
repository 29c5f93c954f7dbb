#include "cli/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <initializer_list>

namespace seedbed::cli {
namespace {

constexpr int kInterrupted = 130;
std::atomic<int> interrupts{0};

extern "C" void ExitNow(int) {
  _exit(kInterrupted);
}

extern "C" void Count(int) {
  if (interrupts.fetch_add(1) >= 2) _exit(kInterrupted);
}

void Handle(int number, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  sigaction(number, &action, nullptr);
}

}  // namespace

void InstallSignals() {
  Handle(SIGPIPE, SIG_IGN);
  Handle(SIGINT, ExitNow);
}

CountInterrupts::CountInterrupts() {
  interrupts = 0;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) Handle(number, Count);
}

CountInterrupts::~CountInterrupts() {
  Handle(SIGINT, ExitNow);
  Handle(SIGTERM, SIG_DFL);
  Handle(SIGHUP, SIG_DFL);
}

int CountInterrupts::count() const {
  return interrupts.load();
}

}  // namespace seedbed::cli
