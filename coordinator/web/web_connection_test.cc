// Clients that ask for too much, or too slowly, or too often.
#include <deque>

#include "coordinator/web/web_fixture.h"

namespace seedbed::web_test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(WebTest, OversizedRequestsAreRefused) {
  Serve();
  const std::string rest = HostLine() + "Authorization: Bearer " + AdminToken() + "\r\n";
  EXPECT_THAT(Say("GET /" + std::string(9'000, 'x') + " HTTP/1.1", rest), StartsWith("HTTP/1.1 414"));
  EXPECT_THAT(Say("GET /metrics HTTP/1.1", rest + "X: " + std::string(20'000, 'x') + "\r\n"),
              StartsWith("HTTP/1.1 431"));
  std::string many;
  for (int i = 0; i < 5'000; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  EXPECT_THAT(Say("GET /metrics HTTP/1.1", rest + many), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Say("GET /metrics HTTP/1.1", rest + "X: " + std::string(8'000, 'x') + "\r\n"),
              StartsWith("HTTP/1.1 200"));
  // Without an end, too.
  RawClient endless(port());
  endless.Send("GET " + std::string(100'000, 'x'));
  EXPECT_THAT(endless.ReadToEnd(), testing::AnyOf(StartsWith("HTTP/1.1 414"), testing::IsEmpty()));
  // Many ranges would be work; none are served.
  std::string ranges = "Range: bytes=0-1";
  for (int i = 0; i < 1'500; ++i) ranges += ",1-2";
  EXPECT_THAT(Say("GET /metrics HTTP/1.1", rest + ranges + "\r\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Say("nonsense", rest), StartsWith("HTTP/1.1 400"));
}

TEST_F(WebTest, AHeadWithASecondMeaningIsRefused) {
  using std::string_literals::operator""s;
  Serve();
  const std::string rest = HostLine() + "Authorization: Bearer " + AdminToken() + "\r\n";
  ASSERT_THAT(Say("GET /metrics HTTP/1.1", rest + "X: a\r\n"), StartsWith("HTTP/1.1 200"));
  for (const std::string& lines :
       {"X: a\nRange: bytes=0-0,1-1\r\n"s, "X: a\nAccept-Encoding: br\r\n"s, "X: a\rRange: bytes=0-0\r\n"s,
        "X: a\0b\r\n"s, "X: a\r\n Range: bytes=0-0\r\n"s, "Range : bytes=0-0\r\n"s, " Range: bytes=0-0\r\n"s,
        "nonsense\r\n"s, "Host: evil.example\r\n"s, "Content-Length: 0\r\nContent-Length: 5\r\n"s}) {
    EXPECT_THAT(Say("GET /metrics HTTP/1.1", rest + lines), StartsWith("HTTP/1.1 400")) << lines;
    EXPECT_THAT(Say("GET /metrics HTTP/1.1", lines + rest), StartsWith("HTTP/1.1 400")) << lines;
  }
  // Nothing but LF: no head of ours, and no reason to wait for more of it.
  RawClient unix_lines(port());
  unix_lines.Send("GET /metrics HTTP/1.1\nHost: localhost\n\n");
  EXPECT_THAT(unix_lines.ReadToEnd(), StartsWith("HTTP/1.1 400"));
  // Ranges in plain sight are not served, and nothing is compressed.
  const std::string answer = Say("GET /metrics HTTP/1.1", rest + "Range: bytes=0-0,1-1\r\nAccept-Encoding: br\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, testing::Not(HasSubstr("Content-Encoding")));
}

TEST_F(WebTest, OneConnectionServesManyRequests) {
  Serve();
  const std::string request =
      "GET /metrics HTTP/1.1\r\n" + HostLine() + "Authorization: Bearer " + AdminToken() + "\r\n\r\n";
  httplib::Client client("127.0.0.1", port());
  client.set_keep_alive(true);
  for (int i = 0; i < 20; ++i) {
    const httplib::Result result = client.Get("/metrics", Bearer(AdminToken()));
    ASSERT_TRUE(result);
    EXPECT_EQ(result->status, 200);
  }
  // All sent before the first answer is read.
  RawClient eager(port());
  eager.Send(request + request + "GET /nothing HTTP/1.1\r\n" + HostLine() + "Connection: close\r\n\r\n");
  const std::string answers = eager.ReadToEnd();
  size_t good = 0;
  for (size_t at = answers.find("HTTP/1.1 200"); at != std::string::npos; at = answers.find("HTTP/1.1 200", at + 1))
    ++good;
  EXPECT_EQ(good, 2u);
  EXPECT_THAT(answers, HasSubstr("HTTP/1.1 401")) << "each request is judged by itself";
}

TEST_F(WebTest, WhoSaysNothingHoldsNothing) {
  options_.limits.threads = 1;
  options_.limits.connections = 20;
  options_.limits.idle = absl::Seconds(60);
  Serve();
  std::deque<RawClient> silent;
  for (int i = 0; i < 15; ++i) silent.emplace_back(port());
  EXPECT_EQ(StatusOf("/metrics", Bearer(AdminToken())), 200) << "the one thread is free";
  // Too many connections: the last ones are closed, and it is logged once.
  for (int i = 0; i < 15; ++i) silent.emplace_back(port());
  EXPECT_TRUE(coordinator_test::Eventually([this] { return Log().find("are open already") != std::string::npos; }));
  EXPECT_EQ(silent.back().ReadToEnd(), "");
  silent.clear();
  EXPECT_TRUE(coordinator_test::Eventually([this] { return StatusOf("/metrics", Bearer(AdminToken())) == 200; }));
}

TEST_F(WebTest, WhoIsIdleOrSlowIsLetGo) {
  options_.limits.idle = absl::Milliseconds(50);
  options_.limits.head = absl::Milliseconds(50);
  Serve();
  RawClient silent(port());
  EXPECT_EQ(silent.ReadToEnd(), "");
  RawClient slow(port());
  slow.Send("GET /metrics HTTP/1.1\r\nHost: ");
  EXPECT_THAT(slow.ReadToEnd(), StartsWith("HTTP/1.1 408"));
}

TEST_F(WebTest, WhoDoesNotTakeAnAnswerIsLetGo) {
  options_.limits.threads = 1;
  options_.limits.write = absl::Milliseconds(50);
  Serve();
  const std::string query =
      "GET /api/v1/query?limit=2000&sql=WITH+RECURSIVE+n(i)+AS+(SELECT+1+UNION+ALL+SELECT+i%2B1+FROM+n+WHERE+i<2000)+"
      "SELECT+hex(randomblob(3500))+FROM+n HTTP/1.1\r\n" +
      HostLine() + "Authorization: Bearer " + AdminToken() + "\r\n\r\n";
  RawClient stuck(port());
  stuck.Send(query);
  ASSERT_TRUE(stuck.WaitForMore());
  EXPECT_EQ(StatusOf("/metrics", Bearer(AdminToken())), 200) << "the one thread did not wait for ever";
}

TEST_F(WebTest, AStopEndsConnections) {
  Serve();
  RawClient silent(port());
  RawClient half(port());
  half.Send("GET /metrics HTTP/1.1\r\n");
  EXPECT_EQ(StatusOf("/metrics"), 401);
  server_->Shutdown();
  EXPECT_EQ(silent.ReadToEnd(), "");
  EXPECT_EQ(half.ReadToEnd().find("200"), std::string::npos);
  server_->Shutdown();
}

}  // namespace
}  // namespace seedbed::web_test
