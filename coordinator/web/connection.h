#pragma once

#include <httplib.h>
#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <string>

#include "coordinator/web/limits.h"

namespace seedbed {

// One client's connection, open or TLS, as httplib's parser and writer of messages want it; but a request's head is
// read as a whole before any of them sees it, within bounds of size and time. Used by one thread at a time, but for
// Interrupt.
class Connection final : public httplib::Stream {
 public:
  // Owns `descriptor`, which is non-blocking. `tls`: none for an open connection.
  Connection(int descriptor, SSL_CTX* tls, const WebLimits& limits);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  enum class Head { kComplete, kGone, kTooSlow, kTooLarge, kTargetTooLong, kMalformed };
  // Reads the next request's head (and makes the TLS handshake before the first). After kComplete, `read` gives its
  // bytes and nothing else; headers that are ignored are left out (request_head.h).
  Head ReadHead();
  // The request line of the head that was read.
  std::string RequestLine() const;
  // The head was taken, all of it: what follows may be another request.
  bool TookHead() const { return taken_ == head_size_; }
  // Forgets the head that was taken; true if bytes of another request are here already.
  bool NextIsBuffered();

  // Makes whoever reads or writes give up. Any thread.
  void Interrupt();

  int descriptor() const { return descriptor_; }

  // httplib::Stream. A write gives up when the client has not taken an answer for WebLimits::write.
  bool is_readable() const override { return taken_ < head_size_; }
  bool is_writable() const override { return !broken_; }
  ssize_t read(char* bytes, size_t size) override;
  ssize_t write(const char* bytes, size_t size) override;
  using httplib::Stream::write;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return descriptor_; }

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  // One try. More than 0: bytes; 0: the connection ended or broke; -1: wait for `*events`.
  ssize_t ReadOnce(char* bytes, size_t size, short* events);
  ssize_t WriteOnce(const char* bytes, size_t size, short* events);
  ssize_t TlsResult(int result, short* events);
  bool Handshake(SteadyTime deadline, bool* late);
  // False if `deadline` came first.
  bool Wait(short events, SteadyTime deadline) const;

  const int descriptor_;
  const WebLimits limits_;
  std::unique_ptr<SSL, decltype(&SSL_free)> tls_;
  bool shaken_ = false;  // the handshake is done
  bool broken_ = false;  // nothing more can be sent
  std::string buffer_;   // received; the head first
  size_t head_size_ = 0;
  size_t taken_ = 0;  // of the head, by `read`
  bool answering_ = false;
  SteadyTime answer_deadline_;
  std::string local_ip_;
  int local_port_ = 0;
  std::string peer_ip_;
  int peer_port_ = 0;
};

}  // namespace seedbed
