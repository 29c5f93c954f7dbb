#include "worker/signal_watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

namespace seedbed {
namespace {

sigset_t WatchedSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

bool IsAtEnd(int fd) {
  char byte = 0;
  const ssize_t got = read(fd, &byte, 1);
  return got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN);
}

}  // namespace

void SignalWatch::BlockSignals() {
  const sigset_t set = WatchedSignals();
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

SignalWatch::SignalWatch(int parent_fd, std::function<void()> stop, std::function<void()> stop_at_once)
    : parent_fd_(parent_fd), stop_(std::move(stop)), stop_at_once_(std::move(stop_at_once)) {
  const sigset_t set = WatchedSignals();
  signals_.reset(signalfd(-1, &set, SFD_CLOEXEC));
  end_.reset(eventfd(0, EFD_CLOEXEC));
  thread_ = std::thread([this] { Watch(); });
}

SignalWatch::~SignalWatch() {
  const uint64_t one = 1;
  if (write(end_.get(), &one, sizeof(one)) != sizeof(one)) return;
  thread_.join();
}

void SignalWatch::Watch() {
  using SteadyClock = std::chrono::steady_clock;
  const bool has_parent = parent_fd_ >= 0;
  std::optional<SteadyClock::time_point> asked_at;
  while (true) {
    pollfd fds[3] = {{end_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}, {parent_fd_, POLLIN, 0}};
    if (poll(fds, 3, -1) < 0 && errno != EINTR) return;
    if (fds[0].revents != 0) return;
    bool asked = false;
    if (fds[1].revents != 0) {
      signalfd_siginfo info{};
      if (read(signals_.get(), &info, sizeof(info)) != sizeof(info)) continue;
      asked = !has_parent || info.ssi_signo == SIGTERM;
    }
    if (fds[2].revents != 0 && IsAtEnd(parent_fd_)) {
      parent_fd_ = -1;
      if (!asked_at) asked = true;
    }
    if (!asked) continue;
    const auto now = SteadyClock::now();
    if (!asked_at) {
      asked_at = now;
      stop_();
    } else if (now - *asked_at >= std::chrono::milliseconds(500)) {
      stop_at_once_();
    }
  }
}

}  // namespace seedbed
