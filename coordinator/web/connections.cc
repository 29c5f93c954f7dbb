#include "coordinator/web/connections.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace seedbed {
namespace {

constexpr std::chrono::seconds kBetweenLogLines(5);

}  // namespace

Connections::Connections(const WebLimits& limits, std::shared_ptr<SSL_CTX> tls, Serve serve, LogLine log)
    : limits_(limits), tls_(std::move(tls)), serve_(std::move(serve)), log_(std::move(log)) {
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  threads_.emplace_back([this] { Watch(); });
  for (int i = 0; i < limits_.threads; ++i) threads_.emplace_back([this] { Work(); });
}

Connections::~Connections() {
  Stop();
  close(wake_);
}

void Connections::Take(int descriptor) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_ || count_ >= limits_.connections) return Refuse(descriptor);
    ++count_;
  }
  Park(std::make_unique<Connection>(descriptor, tls_.get(), limits_));
}

void Connections::Refuse(int descriptor) {
  close(descriptor);
  ++refused_;
  const auto now = std::chrono::steady_clock::now();
  const bool first = last_logged_ == SteadyTime();
  if (!log_ || (!first && now - last_logged_ < kBetweenLogLines)) return;
  last_logged_ = now;
  log_(LogLevel::kWarning, absl::StrCat("refused ", refused_, refused_ == 1 ? " connection" : " connections",
                                        " to the dashboard: ", limits_.connections,
                                        " are open already; close some, or wait until they are idle"));
  refused_ = 0;
}

void Connections::Park(std::unique_ptr<Connection> connection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  arrived_.push_back(
      {std::move(connection), std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(limits_.idle)});
  eventfd_write(wake_, 1);
}

// Ready ones to the answering threads, idle ones to their end.
void Connections::Sort(std::vector<Parked>* parked, const std::vector<short>& events) {
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < parked->size(); ++i) {
    Parked& each = (*parked)[i];
    if (events[i] != 0) {
      ready_.push_back(std::move(each.connection));
      changed_.notify_one();
    } else if (each.until <= now) {
      each.connection.reset();
      --count_;
    }
  }
  parked->erase(std::remove_if(parked->begin(), parked->end(), [](const Parked& each) { return !each.connection; }),
                parked->end());
}

void Connections::Watch() {
  std::vector<Parked> parked;
  while (true) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return;
      for (Parked& each : arrived_) parked.push_back(std::move(each));
      arrived_.clear();
    }
    std::vector<pollfd> watched;
    auto first = SteadyTime::max();
    for (const Parked& each : parked) {
      watched.push_back({each.connection->descriptor(), POLLIN, 0});
      first = std::min(first, each.until);
    }
    watched.push_back({wake_, POLLIN, 0});
    int patience = -1;
    if (!parked.empty()) {
      const auto left = first - std::chrono::steady_clock::now();
      patience = static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(left).count()) + 1;
    }
    if (poll(watched.data(), watched.size(), std::max(patience, parked.empty() ? -1 : 0)) < 0) continue;
    if (watched.back().revents != 0) {
      eventfd_t ignored = 0;
      eventfd_read(wake_, &ignored);
    }
    std::vector<short> events;
    for (size_t i = 0; i < parked.size(); ++i) events.push_back(watched[i].revents);
    Sort(&parked, events);
  }
}

void Connections::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !ready_.empty(); });
    if (stopping_) return;
    std::unique_ptr<Connection> connection = std::move(ready_.front());
    ready_.pop_front();
    served_.insert(connection.get());
    lock.unlock();
    const bool goes_on = serve_(connection.get());
    const bool more = goes_on && connection->NextIsBuffered();
    lock.lock();
    served_.erase(connection.get());
    if (more) {
      // Behind all others that wait.
      ready_.push_back(std::move(connection));
      continue;
    }
    if (!goes_on) --count_;
    lock.unlock();
    if (goes_on) {
      Park(std::move(connection));
    } else {
      connection.reset();
    }
    lock.lock();
  }
}

void Connections::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    for (Connection* each : served_) each->Interrupt();
    eventfd_write(wake_, 1);
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  arrived_.clear();
  ready_.clear();
}

}  // namespace seedbed
