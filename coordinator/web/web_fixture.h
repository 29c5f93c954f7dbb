#pragma once

#include <arpa/inet.h>
#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "common/base/json.h"
#include "common/secrets/certificates.h"
#include "common/secrets/token_store.h"
#include "coordinator/coordinator_test_support.h"
#include "coordinator/web/web_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

// Real requests over real connections.
namespace seedbed::web_test {

using coordinator_test::kPatience;
using coordinator_test::Pending;
using coordinator_test::SweepText;

// A socket of a client that says whatever it is told to.
class RawClient {
 public:
  explicit RawClient(int port) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  ~RawClient() { close(socket_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  void Send(const std::string& text) {
    size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t count = send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return;  // the server has closed already: what it said before counts
      sent += static_cast<size_t>(count);
    }
  }
  // What the server says until it closes; fails the test if it does not.
  std::string ReadToEnd() {
    std::string text;
    while (WaitForMore()) {
      char bytes[4096];
      const ssize_t count = recv(socket_, bytes, sizeof(bytes), 0);
      if (count <= 0) return text;
      text.append(bytes, static_cast<size_t>(count));
    }
    ADD_FAILURE() << "the server did not close";
    return text;
  }
  bool WaitForMore() {
    pollfd watched = {socket_, POLLIN, 0};
    return poll(&watched, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) > 0;
  }

 private:
  const int socket_;
};

class WebTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = Coordinator::Open(coordinator_test::ServedOptions(data()));
    ASSERT_TRUE(opened.ok()) << opened.status();
    coordinator_ = *std::move(opened);
    options_.listen = *ParseListenAddress("127.0.0.1:0");
    options_.log = log_.Writer();
  }
  void TearDown() override {
    if (coordinator_) coordinator_->PrepareToStop();
    server_.reset();
    coordinator_.reset();
  }
  void Serve() {
    auto server = WebServer::Start(options_, coordinator_.get());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::string data() const { return directory_.path() + "/data"; }
  int port() const { return std::stoi(server_->url().substr(server_->url().rfind(':') + 1)); }
  std::string host() const { return "127.0.0.1:" + std::to_string(port()); }
  std::string Log() const { return log_.text(); }
  std::string AdminToken() {
    std::ifstream file(server_->token_file());
    std::string token;
    file >> token;
    return token;
  }
  std::string Token(const std::string& name, Role role) {
    const auto token = CreateToken(data(), name, role, absl::Now());
    EXPECT_TRUE(token.ok()) << token.status();
    return token.ok() ? *token : "";
  }
  static httplib::Headers Bearer(const std::string& token) { return {{"Authorization", "Bearer " + token}}; }

  // On a connection of its own; -1 if there was no answer.
  httplib::Response Get(const std::string& target, const httplib::Headers& headers = {}) {
    httplib::Client client("127.0.0.1", port());
    client.set_read_timeout(kPatience);
    const httplib::Result result = client.Get(target, headers);
    return result ? *result : httplib::Response();
  }
  int StatusOf(const std::string& target, const httplib::Headers& headers = {}) { return Get(target, headers).status; }
  Json GetJson(const std::string& target, const httplib::Headers& headers) {
    const httplib::Response response = Get(target, headers);
    EXPECT_EQ(response.status, 200) << target << ": " << response.body;
    const auto json = ParseJson(response.body, target);
    EXPECT_TRUE(json.ok()) << json.status();
    return json.ok() ? *json : Json();
  }
  // One request as text, with `lines` after the request line, and all that comes until the server closes.
  std::string Say(const std::string& request_line, const std::string& lines) {
    RawClient client(port());
    client.Send(request_line + "\r\n" + lines + "Connection: close\r\n\r\n");
    return client.ReadToEnd();
  }
  std::string HostLine() const { return "Host: " + host() + "\r\n"; }

  coordinator_test::TemporaryDirectory directory_;
  coordinator_test::KeptLog log_;
  std::unique_ptr<Coordinator> coordinator_;
  WebOptions options_;
  std::unique_ptr<WebServer> server_;
};

}  // namespace seedbed::web_test
