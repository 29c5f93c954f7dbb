// Who gets an answer over HTTP, and who does not: a test for every refusal.
#include <filesystem>

#include "common/base/testing/no_descriptors.h"
#include "common/secrets/private_file.h"
#include "common/secrets/sign_in_code.h"
#include "coordinator/web/web_fixture.h"

namespace seedbed::web_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::vector<std::string>& Routes() {
  static const auto* const routes = new std::vector<std::string>{"/",
                                                                 "/index.html",
                                                                 "/app.js",
                                                                 "/chart.js",
                                                                 "/metrics",
                                                                 "/api/v1/server",
                                                                 "/api/v1/sweeps",
                                                                 "/api/v1/runs",
                                                                 "/api/v1/workers",
                                                                 "/api/v1/query?sql=SELECT+1"};
  return *routes;
}

TEST_F(WebTest, EveryRouteWantsATokenThatMayRead) {
  Serve();
  const std::string worker = Token("nodes", Role::kWorker);
  const std::vector<std::string> good = {AdminToken(), Token("r", Role::kRead), Token("s", Role::kSubmit)};
  for (const std::string& route : Routes()) {
    EXPECT_EQ(StatusOf(route), 401) << route;
    EXPECT_EQ(StatusOf(route, Bearer("seedbed_" + std::string(64, '0'))), 401) << route;
    EXPECT_EQ(StatusOf(route, Bearer("")), 401) << route;
    EXPECT_EQ(StatusOf(route, {{"Authorization", "Basic " + good[0]}}), 401) << route;
    EXPECT_EQ(StatusOf(route, {{"Cookie", "seedbed_session_" + std::to_string(port()) + "=" + good[0]}}), 401) << route;
    EXPECT_EQ(StatusOf(route, Bearer(worker)), 403) << route;
    for (const std::string& token : good) EXPECT_EQ(StatusOf(route, Bearer(token)), 200) << route;
  }
  for (const std::string part : {"/sign_in.js", "/place.js", "/style.css", "/icon.svg"}) {
    EXPECT_EQ(StatusOf(part), 200) << part << " is of the page where a token is typed";
  }
  EXPECT_THAT(Get("/api/v1/sweeps").body, HasSubstr("Authorization: Bearer"));
  EXPECT_THAT(Get("/metrics", Bearer("wrong")).body, HasSubstr("Authorization: Bearer"));
  EXPECT_EQ(StatusOf("/nothing"), 401) << "and nobody else is told what there is";
  EXPECT_EQ(StatusOf("/nothing", Bearer(good[0])), 404);
  EXPECT_EQ(StatusOf("/api/v1/nothing", Bearer(good[0])), 404);
  const httplib::Response refused = Get("/api/v1/sweeps", Bearer(worker));
  EXPECT_THAT(refused.body, HasSubstr("\\\"nodes\\\" has the role worker, and the dashboard needs read"));
  for (const std::string& token : good) EXPECT_THAT(Log(), Not(HasSubstr(token)));
  EXPECT_THAT(Log(), Not(HasSubstr(worker)));
}

TEST_F(WebTest, ARevokedTokenIsRefusedAtOnce) {
  Serve();
  const std::string token = Token("ann", Role::kRead);
  const httplib::Response signed_in = Get("/?token=" + token);
  ASSERT_EQ(signed_in.status, 303);
  const std::string set_cookie = signed_in.get_header_value("Set-Cookie");
  const httplib::Headers cookie = {{"Cookie", "theme=dark; " + set_cookie.substr(0, set_cookie.find(';'))}};
  EXPECT_EQ(StatusOf("/api/v1/sweeps", cookie), 200);
  EXPECT_EQ(StatusOf("/api/v1/sweeps", Bearer(token)), 200);
  ASSERT_TRUE(RevokeToken(data(), "ann").ok());
  EXPECT_EQ(StatusOf("/api/v1/sweeps", cookie), 401) << "in the middle of a session";
  EXPECT_EQ(StatusOf("/api/v1/sweeps", Bearer(token)), 401);
  EXPECT_EQ(StatusOf("/?token=" + token), 401);
}

TEST_F(WebTest, ATokenThatCannotBeLookedUpForTheMomentEndsNoSession) {
  Serve();
  const std::string cookie = Get("/?token=" + Token("ann", Role::kRead)).get_header_value("Set-Cookie");
  const httplib::Headers session = {{"Cookie", cookie.substr(0, cookie.find(';'))}};
  httplib::Client client("127.0.0.1", port());
  client.set_keep_alive(true);
  client.set_read_timeout(kPatience);
  const auto status = [&] {
    const httplib::Result result = client.Get("/app.js", session);
    return result ? result->status : -1;
  };
  EXPECT_EQ(status(), 200);
  std::filesystem::last_write_time(TokensPath(data()), std::filesystem::file_time_type::clock::now());
  {
    const NoDescriptors none;
    EXPECT_EQ(status(), 503);
  }
  EXPECT_EQ(status(), 200);
}

TEST_F(WebTest, ATokenInTheAddressBecomesACookie) {
  Serve();
  const std::string token = Token("ann", Role::kRead);
  const httplib::Response response = Get("/?token=" + token);
  EXPECT_EQ(response.status, 303);
  EXPECT_EQ(response.get_header_value("Location"), "/") << "without the token";
  const std::string cookie = response.get_header_value("Set-Cookie");
  EXPECT_THAT(cookie, StartsWith("seedbed_session_" + std::to_string(port()) + "="));
  EXPECT_THAT(cookie, HasSubstr("; HttpOnly"));
  EXPECT_THAT(cookie, HasSubstr("; SameSite=Strict"));
  EXPECT_THAT(cookie, HasSubstr("; Path=/"));
  EXPECT_THAT(cookie, Not(HasSubstr("Secure"))) << "over HTTP it would not come back";
  EXPECT_THAT(cookie, Not(HasSubstr(token)));
  EXPECT_EQ(StatusOf("/?token=" + Token("nodes", Role::kWorker)), 403);
  EXPECT_EQ(StatusOf("/?token=wrong"), 401);
  EXPECT_EQ(StatusOf("/?token="), 401);
  EXPECT_EQ(StatusOf("/api/v1/sweeps?token=" + token), 401) << "only where it is exchanged";
  const httplib::Response page = Get("/?token=wrong", {{"Accept", "text/html"}});
  EXPECT_EQ(page.status, 401);
  EXPECT_THAT(page.body, HasSubstr("<form"));
  EXPECT_THAT(Get("/", {{"Accept", "text/html"}}).body, HasSubstr("<form"));
  EXPECT_THAT(Log(), Not(HasSubstr(token)));
}

TEST_F(WebTest, ALinkOpensItOnce) {
  Serve();
  const std::string code = MakeSignInCode(AdminToken(), absl::Now());
  const httplib::Response response = Get("/?code=" + code);
  // Not a redirect: that would be a request of whichever site the link stood on, and go without the cookie.
  ASSERT_EQ(response.status, 200);
  EXPECT_FALSE(response.has_header("Location"));
  EXPECT_THAT(response.body, HasSubstr(R"(<meta http-equiv="refresh" content="0; url=/">)"));
  EXPECT_THAT(response.body, Not(HasSubstr(code)));
  const std::string cookie = response.get_header_value("Set-Cookie");
  EXPECT_EQ(StatusOf("/metrics", {{"Cookie", cookie.substr(0, cookie.find(';'))}}), 200);
  EXPECT_EQ(StatusOf("/?code=" + code), 401);
  EXPECT_EQ(StatusOf("/?code=" + MakeSignInCode(AdminToken(), absl::Now() - absl::Hours(1))), 401);
  EXPECT_EQ(StatusOf("/?code=" + MakeSignInCode(std::string(64, '0'), absl::Now())), 401);
  const std::string unused = MakeSignInCode(AdminToken(), absl::Now());
  server_.reset();
  Serve();
  EXPECT_EQ(StatusOf("/?code=" + code), 401) << "a restart forgets what was used";
  EXPECT_EQ(StatusOf("/?code=" + unused), 401);
  EXPECT_EQ(StatusOf("/?code=" + MakeSignInCode(AdminToken(), absl::Now())), 200);
}

TEST_F(WebTest, SessionsEndAndAreBounded) {
  options_.limits.sessions = 2;
  Serve();
  const std::string token = Token("ann", Role::kRead);
  std::vector<httplib::Headers> cookies;
  for (int i = 0; i < 3; ++i) {
    const std::string cookie = Get("/?token=" + token).get_header_value("Set-Cookie");
    cookies.push_back({{"Cookie", cookie.substr(0, cookie.find(';'))}});
  }
  EXPECT_EQ(StatusOf("/metrics", cookies[0]), 401);
  EXPECT_EQ(StatusOf("/metrics", cookies[1]), 200);
  EXPECT_EQ(StatusOf("/metrics", cookies[2]), 200);
}

TEST_F(WebTest, TheHostMustBeThisServers) {
  options_.hosts = {"Head.Cluster"};
  Serve();
  const httplib::Headers token = Bearer(Token("ann", Role::kRead));
  const std::string authorization = "Authorization: Bearer " + AdminToken() + "\r\n";
  const auto ask = [&](const std::string& host) {
    return Say("GET /metrics HTTP/1.1", authorization + host).substr(9, 3);
  };
  const std::string number = std::to_string(port());
  for (const std::string& good : {"127.0.0.1:" + number, "localhost:" + number, std::string("localhost"),
                                  std::string("LocalHost:9000"), "[::1]:" + number, "head.cluster:" + number}) {
    EXPECT_EQ(ask("Host: " + good + "\r\n"), "200") << good;
  }
  for (const std::string& bad :
       {"evil.example:" + number, "127.0.0.1.evil.example:" + number, std::string("10.0.0.1"), std::string(),
        "localhost:" + number + ":1", std::string("[::1"), std::string("localhost:80@evil.example"), std::string(":80"),
        std::string("localhost.")}) {
    EXPECT_EQ(ask("Host: " + bad + "\r\n"), "421") << bad;
  }
  EXPECT_EQ(ask(""), "421") << "none";
  EXPECT_EQ(ask(HostLine() + "Host: evil.example\r\n"), "400") << "two";
}

TEST_F(WebTest, AnOriginMustBeThisPages) {
  Serve();
  const auto ask = [&](const std::string& origin) {
    httplib::Headers headers = Bearer(AdminToken());
    headers.emplace("Origin", origin);
    return StatusOf("/api/v1/sweeps", headers);
  };
  EXPECT_EQ(ask("http://" + host()), 200);
  EXPECT_EQ(ask("https://" + host()), 403);
  EXPECT_EQ(ask("http://evil.example"), 403);
  EXPECT_EQ(ask("http://127.0.0.1:1"), 403) << "another server of this machine";
  EXPECT_EQ(ask("null"), 403);
  const httplib::Response response = Get("/api/v1/sweeps", Bearer(AdminToken()));
  EXPECT_FALSE(response.has_header("Access-Control-Allow-Origin"));
}

TEST_F(WebTest, AnotherPortsPageIsAnotherSites) {
  Serve();
  const auto ask = [&](const std::string& path, const std::string& from) {
    httplib::Headers headers = Bearer(AdminToken());
    headers.emplace("Sec-Fetch-Site", from);
    return StatusOf(path, headers);
  };
  EXPECT_EQ(ask("/api/v1/sweeps", "same-origin"), 200);
  EXPECT_EQ(ask("/api/v1/sweeps", "none"), 200) << "typed by hand";
  EXPECT_EQ(ask("/api/v1/sweeps", "same-site"), 403);
  EXPECT_EQ(ask("/api/v1/query?sql=select%201", "cross-site"), 403);
  EXPECT_EQ(ask("/", "cross-site"), 200) << "a link";
}

TEST_F(WebTest, OnlyReads) {
  Serve();
  const std::string rest = HostLine() + "Authorization: Bearer " + AdminToken() + "\r\n";
  for (const std::string method : {"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}) {
    const std::string answer = Say(method + " /api/v1/sweeps HTTP/1.1", rest + "Content-Length: 0\r\n");
    EXPECT_THAT(answer, testing::AnyOf(StartsWith("HTTP/1.1 405"), StartsWith("HTTP/1.1 400"))) << method;
    if (method != "TRACE" && method != "CONNECT") {
      EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD")) << method;
    }
  }
  const std::string head = Say("HEAD /metrics HTTP/1.1", rest);
  EXPECT_THAT(head, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(head, Not(HasSubstr("seedbed_uptime")));
  // A body is not read, whatever it says it is.
  EXPECT_THAT(Say("GET /metrics HTTP/1.1", rest + "Content-Length: 5\r\n"), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(Say("GET /metrics HTTP/1.1", rest + "Transfer-Encoding: chunked\r\n"), StartsWith("HTTP/1.1 413"));
  RawClient post(port());
  post.Send("POST /api/v1/sweeps HTTP/1.1\r\n" + rest + "Content-Length: 30\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n");
  const std::string answer = post.ReadToEnd();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(answer, Not(HasSubstr("421"))) << "the body was taken for a request";
}

TEST_F(WebTest, AnswersCarryTheHeadersThatBrowsersObey) {
  Serve();
  for (const httplib::Headers& headers : {Bearer(AdminToken()), httplib::Headers()}) {
    for (const std::string route : {"/", "/api/v1/sweeps", "/nothing"}) {
      const httplib::Response response = Get(route, headers);
      for (const std::string directive : {"default-src 'self'", "frame-ancestors 'none'", "object-src 'none'",
                                          "base-uri 'none'", "form-action 'self'"}) {
        EXPECT_THAT(response.get_header_value("Content-Security-Policy"), HasSubstr(directive)) << route;
      }
      EXPECT_EQ(response.get_header_value("X-Frame-Options"), "DENY") << route;
      EXPECT_EQ(response.get_header_value("X-Content-Type-Options"), "nosniff") << route;
      EXPECT_EQ(response.get_header_value("Referrer-Policy"), "no-referrer") << route;
      EXPECT_EQ(response.get_header_value("Cache-Control"), "no-store") << route;
    }
  }
}

TEST_F(WebTest, BeyondThisMachineItWantsTls) {
  options_.listen = *ParseListenAddress("0.0.0.0:0");
  const auto refused = WebServer::Start(options_, coordinator_.get());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("--tls-certificate"));
  EXPECT_FALSE(CheckWebOptions(options_).ok()) << "before there is a coordinator";
  options_.insecure = true;
  Serve();
  EXPECT_EQ(StatusOf("/metrics"), 401);
  options_.listen = *ParseListenAddress("unix:" + directory_.path() + "/s");
  EXPECT_EQ(CheckWebOptions(options_).code(), absl::StatusCode::kInvalidArgument);
  options_.listen = *ParseListenAddress("127.0.0.1:0");
  options_.hosts = {"not a name"};
  EXPECT_EQ(CheckWebOptions(options_).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(WebTest, APortThatIsTakenIsKnownBeforeThereIsACoordinator) {
  EXPECT_TRUE(CheckWebOptions(options_).ok());
  Serve();
  options_.listen = *ParseListenAddress(host());
  EXPECT_EQ(CheckWebOptions(options_).code(), absl::StatusCode::kUnavailable);
  server_.reset();
  EXPECT_TRUE(CheckWebOptions(options_).ok());
}

// --- TLS

struct Cluster {
  CertificatePair authority;
  TlsPems server;  // without ca
  CertificatePair client;
};

Cluster MakeCluster() {
  Cluster cluster;
  cluster.authority = *MakeAuthority(absl::Now(), 10);
  const auto server = MakeCertificate(cluster.authority, CertificateUse::kServer, "s", {"127.0.0.1"}, absl::Now(), 10);
  cluster.server = {"", server->certificate, server->key};
  cluster.client = *MakeCertificate(cluster.authority, CertificateUse::kClient, "c", {}, absl::Now(), 10);
  return cluster;
}

class WebTlsTest : public WebTest {
 protected:
  // The status of /metrics with the admin's token, as a client that trusts `authority` and shows `client` sees it; -1:
  // no answer.
  int Ask(const CertificatePair& authority, const CertificatePair* client) {
    const std::string prefix = directory_.path() + "/" + std::to_string(++asked_);
    EXPECT_TRUE(WritePrivateFile(prefix + ".ca", authority.certificate).ok());
    if (client != nullptr) {
      EXPECT_TRUE(WritePrivateFile(prefix + ".crt", client->certificate).ok());
      EXPECT_TRUE(WritePrivateFile(prefix + ".key", client->key).ok());
    }
    httplib::SSLClient browser("127.0.0.1", port(), client != nullptr ? prefix + ".crt" : "",
                               client != nullptr ? prefix + ".key" : "");
    browser.set_ca_cert_path(prefix + ".ca");
    browser.enable_server_certificate_verification(true);
    browser.set_read_timeout(kPatience);
    const httplib::Result result = browser.Get("/metrics", Bearer(AdminToken()));
    if (!result) return -1;
    const httplib::Result cookie = browser.Get("/?token=" + AdminToken());
    EXPECT_TRUE(cookie) << httplib::to_string(cookie.error());
    if (cookie) {
      EXPECT_THAT(cookie->get_header_value("Set-Cookie"), HasSubstr("; Secure"));
    }
    const httplib::Result without = browser.Get("/metrics");
    EXPECT_TRUE(without && without->status == 401) << "TLS takes no token's place";
    return result->status;
  }
  int asked_ = 0;
};

TEST_F(WebTlsTest, KnowsItsServerAndSpeaksNothingElse) {
  const Cluster ours = MakeCluster();
  const Cluster theirs = MakeCluster();
  options_.tls = ours.server;
  Serve();
  EXPECT_THAT(server_->url(), StartsWith("https://127.0.0.1:"));
  EXPECT_EQ(Ask(ours.authority, nullptr), 200);
  EXPECT_EQ(Ask(theirs.authority, nullptr), -1) << "a server of another authority is not talked to";
  const std::string plain = Say("GET /metrics HTTP/1.1", HostLine() + "Authorization: Bearer " + AdminToken() + "\r\n");
  EXPECT_THAT(plain, Not(HasSubstr("HTTP/1.1"))) << "plain HTTP gets no answer";
}

TEST_F(WebTlsTest, MutualTlsWantsACertificateOfItsAuthority) {
  const Cluster ours = MakeCluster();
  const Cluster theirs = MakeCluster();
  options_.tls = ours.server;
  options_.tls.ca = ours.authority.certificate;
  Serve();
  EXPECT_EQ(Ask(ours.authority, &ours.client), 200);
  EXPECT_EQ(Ask(ours.authority, nullptr), -1);
  EXPECT_EQ(Ask(ours.authority, &theirs.client), -1);
}

TEST_F(WebTlsTest, OldVersionsOfTlsAreRefused) {
  const Cluster ours = MakeCluster();
  options_.tls = ours.server;
  Serve();
  const auto handshake = [this](int version) {
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
    SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_min_proto_version(context.get(), version);
    SSL_CTX_set_max_proto_version(context.get(), version);
    const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new_ssl_connect(context.get()), &BIO_free_all);
    BIO_set_conn_hostname(bio.get(), host().c_str());
    return BIO_do_connect(bio.get()) == 1 && BIO_do_handshake(bio.get()) == 1;
  };
  EXPECT_FALSE(handshake(TLS1_VERSION));
  EXPECT_FALSE(handshake(TLS1_1_VERSION));
  EXPECT_TRUE(handshake(TLS1_2_VERSION));
  EXPECT_TRUE(handshake(TLS1_3_VERSION));
}

}  // namespace
}  // namespace seedbed::web_test
