#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/access/listen_address.h"
#include "coordinator/commit_loop.h"

namespace seedbed {

// Listens on TCP and hands accepted connections over, in place of gRPC's own listener: that one (1.51) stops listening
// for good once accept fails for want of file descriptors. Here a connection too many is closed and logged, and the
// next one has a chance.
class TcpAcceptor {
 public:
  struct Options {
    // A connection whose descriptor would be this number or higher is refused. Descriptors are given out from the
    // lowest free number, so there are at least so many in use then; the rest is left for files.
    int first_refused_descriptor = 0;
    LogLine log;  // none: silent
  };

  // Binds and listens; nothing is accepted before Start. UNAVAILABLE if an address is in use or not this machine's.
  static absl::StatusOr<std::unique_ptr<TcpAcceptor>> Listen(const std::vector<ListenAddress>& addresses,
                                                             Options options);
  // Stops.
  ~TcpAcceptor();
  TcpAcceptor(const TcpAcceptor&) = delete;
  TcpAcceptor& operator=(const TcpAcceptor&) = delete;

  // The real port of each address, in their order.
  const std::vector<int>& ports() const { return ports_; }

  // From now on `take` is called for each connection, on a thread of this object, and owns the descriptor
  // (non-blocking, close-on-exec).
  void Start(std::function<void(int descriptor)> take);
  // Takes no more connections, and closes the listening sockets. Idempotent.
  void Stop();

 private:
  explicit TcpAcceptor(Options options) : options_(std::move(options)) {}
  absl::Status Add(const ListenAddress& address);
  void Work();
  // False if there was nothing to accept.
  bool AcceptOne(int listener);
  // With no descriptor left even to refuse with: one is kept for that.
  void RefuseWithSpare(int listener);
  void Refused(int error);

  const Options options_;
  std::vector<int> listeners_;
  std::vector<int> ports_;
  std::function<void(int)> take_;
  int wake_ = -1;        // an eventfd: Stop was called
  int spare_ = -1;       // /dev/null
  int64_t refused_ = 0;  // not logged yet
  std::chrono::steady_clock::time_point last_logged_;
  std::thread thread_;
};

// RLIMIT_NOFILE less what the coordinator's own files may need.
int FirstRefusedDescriptor();

}  // namespace seedbed
