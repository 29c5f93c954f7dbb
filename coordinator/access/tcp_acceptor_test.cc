#include "coordinator/access/tcp_acceptor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>

#include "common/base/testing/no_descriptors.h"

namespace seedbed {
namespace {

constexpr std::chrono::seconds kPatience(20);

// A client's socket.
class Client {
 public:
  Client() : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) { EXPECT_GE(socket_, 0); }
  ~Client() { close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  void Connect(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  // Waits until the other side has closed.
  bool IsRefused() {
    pollfd watched = {socket_, POLLIN, 0};
    if (poll(&watched, 1, 20'000) <= 0) return false;
    char byte = 0;
    return read(socket_, &byte, 1) <= 0;
  }

 private:
  const int socket_;
};

class TcpAcceptorTest : public ::testing::Test {
 protected:
  ~TcpAcceptorTest() override {
    acceptor_.reset();
    for (const int descriptor : taken_) close(descriptor);
  }
  void Start(int first_refused) {
    TcpAcceptor::Options options;
    options.first_refused_descriptor = first_refused;
    options.log = [this](LogLevel, const std::string& text) {
      const std::lock_guard<std::mutex> lock(mutex_);
      log_ += text;
      changed_.notify_all();
    };
    auto acceptor = TcpAcceptor::Listen({*ParseListenAddress("127.0.0.1:0")}, options);
    ASSERT_TRUE(acceptor.ok()) << acceptor.status();
    acceptor_ = *std::move(acceptor);
    acceptor_->Start([this](int descriptor) {
      const std::lock_guard<std::mutex> lock(mutex_);
      taken_.push_back(descriptor);
      changed_.notify_all();
    });
  }
  int port() const { return acceptor_->ports()[0]; }
  bool WaitForTaken(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return taken_.size() >= count; });
  }
  // A client may see its end before the log has it.
  bool WaitForLog(const std::string& part) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return log_.find(part) != std::string::npos; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> taken_;
  std::string log_;
  std::unique_ptr<TcpAcceptor> acceptor_;
};

int LowestFreeDescriptor() {
  const int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(descriptor);
  return descriptor;
}

TEST_F(TcpAcceptorTest, HandsConnectionsOver) {
  Start(1 << 20);
  Client first, second;
  first.Connect(port());
  second.Connect(port());
  EXPECT_TRUE(WaitForTaken(2));
  EXPECT_TRUE((fcntl(taken_[0], F_GETFL) & O_NONBLOCK) != 0);
  EXPECT_TRUE((fcntl(taken_[0], F_GETFD) & FD_CLOEXEC) != 0);
  EXPECT_EQ(TcpAcceptor::Listen({*ParseListenAddress("127.0.0.1:" + std::to_string(port()))}, {}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(TcpAcceptor::Listen({*ParseListenAddress("192.0.2.1:0")}, {}).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(TcpAcceptorTest, RefusesOneTooManyAndGoesOn) {
  Start(LowestFreeDescriptor() + 8);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(std::make_unique<Client>());
    clients.back()->Connect(port());
  }
  EXPECT_TRUE(clients.back()->IsRefused());
  EXPECT_TRUE(WaitForLog("LimitNOFILE"));
  clients.clear();
  size_t before = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const int descriptor : taken_) close(descriptor);
    taken_.clear();
    before = taken_.size();
  }
  Client late;
  late.Connect(port());
  EXPECT_TRUE(WaitForTaken(before + 1)) << "it listens on";
}

TEST_F(TcpAcceptorTest, GoesOnAfterTheLastDescriptorWasUsed) {
  Start(1 << 20);
  Client refused, late;
  {
    const NoDescriptors none(LowestFreeDescriptor());  // but for the one that the acceptor keeps
    refused.Connect(port());
    EXPECT_TRUE(refused.IsRefused());
  }
  EXPECT_TRUE(WaitForLog("LimitNOFILE"));
  late.Connect(port());
  EXPECT_TRUE(WaitForTaken(1)) << "gRPC's own listener would be deaf from now on";
}

TEST(FirstRefusedDescriptor, LeavesRoomForFiles) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_GT(FirstRefusedDescriptor(), 0);
  if (limit.rlim_cur != RLIM_INFINITY) {
    EXPECT_LT(static_cast<rlim_t>(FirstRefusedDescriptor()), limit.rlim_cur);
  }
}

}  // namespace
}  // namespace seedbed
