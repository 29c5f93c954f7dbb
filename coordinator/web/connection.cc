#include "coordinator/web/connection.h"

#include <netdb.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "coordinator/web/request_head.h"

namespace seedbed {
namespace {

constexpr char kEndOfHead[] = "\r\n\r\n";
constexpr size_t kReadAtOnce = 4096;

void NameAddress(const sockaddr_storage& address, socklen_t size, std::string* ip, int* port) {
  char host[NI_MAXHOST];
  char service[NI_MAXSERV];
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host, sizeof(host), service, sizeof(service),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return;
  }
  *ip = host;
  // [::] accepts IPv4 too, and names it like this.
  constexpr char kMapped[] = "::ffff:";
  if (absl::StartsWith(*ip, kMapped) && ip->find('.') != std::string::npos) *ip = ip->substr(std::strlen(kMapped));
  if (!absl::SimpleAtoi(service, port)) *port = 0;
}

}  // namespace

Connection::Connection(int descriptor, SSL_CTX* tls, const WebLimits& limits)
    : descriptor_(descriptor), limits_(limits), tls_(tls != nullptr ? SSL_new(tls) : nullptr, &SSL_free) {
  if (tls_ != nullptr) SSL_set_fd(tls_.get(), descriptor_);
  broken_ = tls != nullptr && tls_ == nullptr;
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    NameAddress(address, size, &local_ip_, &local_port_);
  }
  size = sizeof(address);
  if (getpeername(descriptor_, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    NameAddress(address, size, &peer_ip_, &peer_port_);
  }
}

Connection::~Connection() {
  if (tls_ != nullptr && shaken_ && !broken_) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());  // says so, and waits for no answer
  }
  close(descriptor_);
}

void Connection::Interrupt() {
  shutdown(descriptor_, SHUT_RDWR);
}

bool Connection::Wait(short events, SteadyTime deadline) const {
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return false;
    pollfd watched = {descriptor_, events, 0};
    const int ready = poll(&watched, 1, static_cast<int>(std::min<int64_t>(left, 60'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

ssize_t Connection::TlsResult(int result, short* events) {
  if (result > 0) return result;
  const int error = SSL_get_error(tls_.get(), result);
  *events = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return -1;
  broken_ = broken_ || error != SSL_ERROR_ZERO_RETURN;
  return 0;
}

ssize_t Connection::ReadOnce(char* bytes, size_t size, short* events) {
  if (tls_ != nullptr) {
    ERR_clear_error();
    return TlsResult(SSL_read(tls_.get(), bytes, static_cast<int>(size)), events);
  }
  const ssize_t count = recv(descriptor_, bytes, size, 0);
  *events = POLLIN;
  if (count >= 0) return count;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? -1 : 0;
}

ssize_t Connection::WriteOnce(const char* bytes, size_t size, short* events) {
  if (tls_ != nullptr) {
    ERR_clear_error();
    return TlsResult(SSL_write(tls_.get(), bytes, static_cast<int>(std::min<size_t>(size, 1 << 20))), events);
  }
  const ssize_t count = send(descriptor_, bytes, size, MSG_NOSIGNAL);
  *events = POLLOUT;
  if (count > 0) return count;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? -1 : 0;
}

bool Connection::Handshake(SteadyTime deadline, bool* late) {
  while (true) {
    short events = 0;
    ERR_clear_error();
    const ssize_t result = TlsResult(SSL_accept(tls_.get()), &events);
    if (result > 0) return true;
    if (result == 0) return false;
    if (!Wait(events, deadline)) {
      *late = true;
      return false;
    }
  }
}

Connection::Head Connection::ReadHead() {
  if (broken_) return Head::kGone;
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(limits_.head);
  head_size_ = taken_ = 0;
  answering_ = false;
  if (tls_ != nullptr && !shaken_) {
    bool late = false;
    if (!Handshake(deadline, &late)) return Head::kGone;  // there is no way to say why
    shaken_ = true;
  }
  while (true) {
    const size_t end = buffer_.find(kEndOfHead);
    const size_t line = buffer_.find('\n');
    if (std::min(line, buffer_.size()) > limits_.target_bytes) return Head::kTargetTooLong;
    if (std::min(end, buffer_.size()) > limits_.head_bytes) return Head::kTooLarge;
    if (HasBareLineEnd(absl::string_view(buffer_).substr(0, end))) return Head::kMalformed;
    if (end != std::string::npos) {
      std::string head = buffer_.substr(0, end + std::strlen(kEndOfHead));
      if (!IsWellFormed(head)) return Head::kMalformed;
      const size_t received = head.size();
      DropIgnoredHeaders(&head);
      head_size_ = head.size();
      buffer_.replace(0, received, head);
      return Head::kComplete;
    }
    char bytes[kReadAtOnce];
    short events = 0;
    const ssize_t count = ReadOnce(bytes, sizeof(bytes), &events);
    if (count == 0) return Head::kGone;
    if (count > 0) buffer_.append(bytes, static_cast<size_t>(count));
    if (count < 0 && !Wait(events, deadline)) return Head::kTooSlow;
    if (std::chrono::steady_clock::now() > deadline) return Head::kTooSlow;
  }
}

std::string Connection::RequestLine() const {
  return buffer_.substr(0, std::min(buffer_.find("\r\n"), head_size_));
}

bool Connection::NextIsBuffered() {
  buffer_.erase(0, head_size_);
  head_size_ = taken_ = 0;
  return !buffer_.empty() || (tls_ != nullptr && SSL_pending(tls_.get()) > 0);
}

ssize_t Connection::read(char* bytes, size_t size) {
  const size_t count = std::min(size, head_size_ - taken_);
  buffer_.copy(bytes, count, taken_);
  taken_ += count;
  return static_cast<ssize_t>(count);
}

ssize_t Connection::write(const char* bytes, size_t size) {
  if (!answering_) {
    answering_ = true;
    answer_deadline_ = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(limits_.write);
  }
  size_t sent = 0;
  while (sent < size && !broken_) {
    short events = 0;
    const ssize_t count = WriteOnce(bytes + sent, size - sent, &events);
    if (count > 0) sent += static_cast<size_t>(count);
    broken_ = broken_ || count == 0 || (count < 0 && !Wait(events, answer_deadline_)) ||
              std::chrono::steady_clock::now() > answer_deadline_;
  }
  return sent == size ? static_cast<ssize_t>(size) : -1;
}

void Connection::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip = peer_ip_;
  port = peer_port_;
}

void Connection::get_local_ip_and_port(std::string& ip, int& port) const {
  ip = local_ip_;
  port = local_port_;
}

}  // namespace seedbed
