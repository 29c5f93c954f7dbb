#include "coordinator/access/tcp_acceptor.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace seedbed {
namespace {

constexpr int kBacklog = 4096;  // the kernel cuts it to net.core.somaxconn
constexpr int kReservedDescriptors = 128;
constexpr std::chrono::seconds kBetweenLogLines(5);
// A peer that acknowledges nothing for so long is gone; the same time as gRPC's keepalive in server.cc.
constexpr unsigned kUserTimeoutMilliseconds = 20'000;

struct AddressList {
  addrinfo* first = nullptr;
  ~AddressList() {
    if (first != nullptr) freeaddrinfo(first);
  }
};

absl::Status Unavailable(const ListenAddress& address, const std::string& why) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address.ToString(), ": ", why,
                                             "; choose another address (port 0 takes a free port)"));
}

int PortOf(int socket) {
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  if (bound.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port);
  return ntohs(reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
}

void SetPort(sockaddr* address, int port) {
  const auto number = htons(static_cast<uint16_t>(port));
  if (address->sa_family == AF_INET6) reinterpret_cast<sockaddr_in6*>(address)->sin6_port = number;
  if (address->sa_family == AF_INET) reinterpret_cast<sockaddr_in*>(address)->sin_port = number;
}

// A listening socket, or -1 with errno.
int OpenListener(const addrinfo& address) {
  const int listener = socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) return -1;
  const int on = 1;
  const int off = 0;
  // A restarted coordinator gets its port back at once.
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // [::] stands for both families.
  if (address.ai_family == AF_INET6) setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  if (bind(listener, address.ai_addr, address.ai_addrlen) == 0 && listen(listener, kBacklog) == 0) return listener;
  const int error = errno;
  close(listener);
  errno = error;
  return -1;
}

bool IsLoopback(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    return (ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr) >> 24) == 127;
  }
  return address.sa_family == AF_INET6 &&
         IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr) != 0;
}

}  // namespace

int FirstRefusedDescriptor() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::numeric_limits<int>::max();
  const auto most = static_cast<int64_t>(limit.rlim_cur);
  return static_cast<int>(
      std::min<int64_t>(std::max(most - kReservedDescriptors, most / 2), std::numeric_limits<int>::max()));
}

absl::StatusOr<std::unique_ptr<TcpAcceptor>> TcpAcceptor::Listen(const std::vector<ListenAddress>& addresses,
                                                                 Options options) {
  std::unique_ptr<TcpAcceptor> acceptor(new TcpAcceptor(std::move(options)));
  acceptor->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  acceptor->spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (acceptor->wake_ < 0) return absl::ResourceExhaustedError(absl::StrCat("eventfd: ", std::strerror(errno)));
  for (const ListenAddress& address : addresses) SEEDBED_RETURN_IF_ERROR(acceptor->Add(address));
  return acceptor;
}

absl::Status TcpAcceptor::Add(const ListenAddress& address) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  AddressList found;
  const int looked_up = getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found.first);
  if (looked_up != 0) return Unavailable(address, gai_strerror(looked_up));
  int port = address.port;
  int error = 0;
  bool listening = false;
  // A name may stand for several addresses (localhost: 127.0.0.1 and ::1): one is enough, all are better.
  for (const addrinfo* each = found.first; each != nullptr; each = each->ai_next) {
    if (address.is_loopback && !IsLoopback(*each->ai_addr)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "'", address.host, "' stands for an address here that other machines can reach; listen on 127.0.0.1"));
    }
    SetPort(each->ai_addr, port);
    const int listener = OpenListener(*each);
    if (listener < 0) {
      error = errno;
      continue;
    }
    listeners_.push_back(listener);
    listening = true;
    port = PortOf(listener);
  }
  if (!listening) return Unavailable(address, error == 0 ? "it has no address" : std::strerror(error));
  ports_.push_back(port);
  return absl::OkStatus();
}

TcpAcceptor::~TcpAcceptor() {
  Stop();
  if (wake_ >= 0) close(wake_);
  if (spare_ >= 0) close(spare_);
}

void TcpAcceptor::Start(std::function<void(int)> take) {
  take_ = std::move(take);
  thread_ = std::thread([this] { Work(); });
}

void TcpAcceptor::Stop() {
  if (thread_.joinable()) {
    eventfd_write(wake_, 1);
    thread_.join();
  }
  for (const int listener : listeners_) close(listener);
  listeners_.clear();
}

void TcpAcceptor::Work() {
  std::vector<pollfd> watched = {{wake_, POLLIN, 0}};
  for (const int listener : listeners_) watched.push_back({listener, POLLIN, 0});
  while (true) {
    if (poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) return;
    if (watched[0].revents != 0) return;
    for (size_t i = 1; i < watched.size(); ++i) {
      if (watched[i].revents == 0) continue;
      // A few at a time, so that Stop is heard.
      for (int count = 0; count < 64 && AcceptOne(watched[i].fd); ++count) {
      }
    }
  }
}

bool TcpAcceptor::AcceptOne(int listener) {
  const int accepted = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (accepted < 0) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      RefuseWithSpare(listener);
      return true;
    }
    // EAGAIN: all are taken. Anything else belongs to that connection alone, and the next is tried.
    return errno != EAGAIN && errno != EWOULDBLOCK;
  }
  if (accepted >= options_.first_refused_descriptor) {
    close(accepted);
    Refused(EMFILE);
    return true;
  }
  const int on = 1;
  setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(accepted, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUserTimeoutMilliseconds, sizeof(kUserTimeoutMilliseconds));
  take_(accepted);
  return true;
}

void TcpAcceptor::RefuseWithSpare(int listener) {
  const int why = errno;
  if (spare_ >= 0) close(spare_);
  const int accepted = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (accepted >= 0) close(accepted);
  spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  Refused(why);
  if (accepted >= 0 && spare_ >= 0) return;
  // Others took even that one: the connection waits, and so does this thread, for a moment.
  pollfd stop = {wake_, POLLIN, 0};
  poll(&stop, 1, 100);
}

void TcpAcceptor::Refused(int error) {
  ++refused_;
  const auto now = std::chrono::steady_clock::now();
  const bool first = last_logged_ == std::chrono::steady_clock::time_point();
  if (!options_.log || (!first && now - last_logged_ < kBetweenLogLines)) return;
  last_logged_ = now;
  options_.log(
      LogLevel::kWarning,
      absl::StrCat("refused ", refused_, refused_ == 1 ? " connection: " : " connections: ", std::strerror(error),
                   "; allow this process more file descriptors (ulimit -n, LimitNOFILE) or close "
                   "connections"));
  refused_ = 0;
}

}  // namespace seedbed
