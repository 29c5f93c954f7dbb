#include "cli/signals.h"

#include <limits.h>
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

// A handler may not touch what the program allocates.
char file_to_remove[PATH_MAX];

extern "C" void RemoveAndExit(int number) {
  unlink(file_to_remove);
  _exit(128 + number);
}

void Handle(int number, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  sigaction(number, &action, nullptr);
}

void HandleAsBefore() {
  Handle(SIGINT, ExitNow);
  Handle(SIGTERM, SIG_DFL);
  Handle(SIGHUP, SIG_DFL);
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
  HandleAsBefore();
}

int CountInterrupts::count() const {
  return interrupts.load();
}

RemoveFileAtInterrupt::RemoveFileAtInterrupt(const std::string& path) {
  if (path.size() >= sizeof(file_to_remove)) return;  // no file has such a path
  path.copy(file_to_remove, path.size());
  file_to_remove[path.size()] = '\0';
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) Handle(number, RemoveAndExit);
}

RemoveFileAtInterrupt::~RemoveFileAtInterrupt() {
  HandleAsBefore();
}

}  // namespace seedbed::cli
