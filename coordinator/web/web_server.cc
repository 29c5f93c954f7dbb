#include "coordinator/web/web_server.h"

#include <exception>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/secrets/certificates.h"
#include "coordinator/access/authentication.h"
#include "coordinator/access/tcp_acceptor.h"
#include "coordinator/web/api.h"
#include "coordinator/web/connections.h"
#include "coordinator/web/gate.h"
#include "coordinator/web/json_views.h"
#include "coordinator/web/metrics_text.h"
#include "coordinator/web/sessions.h"
#include "coordinator/web/static_files.h"
#include "coordinator/web/tls.h"

namespace seedbed {
namespace {

constexpr char kApi[] = "/api/v1/";

// httplib reads and writes messages; connections, threads and who gets an answer are ours.
class Handler final : public httplib::Server {
 public:
  Handler(Coordinator* coordinator, const WebLimits& limits, Gate* gate)
      : coordinator_(coordinator), api_(coordinator, limits), gate_(gate) {
    keep_alive_max_count_ = 1000;  // only said in answers: what ends a connection is that nobody uses it
    keep_alive_timeout_sec_ = static_cast<time_t>(absl::ToInt64Seconds(limits.idle));
    set_default_headers({
        {"Content-Security-Policy",
         "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cache-Control", "no-store"},
    });
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      Answer(request, &response);
      return HandlerResponse::Handled;
    });
    set_expect_100_continue_handler([](const httplib::Request&, httplib::Response&) { return 417; });
  }

  // Answers one request; false: the connection is over.
  bool Serve(Connection* connection) {
    switch (connection->ReadHead()) {
      case Connection::Head::kComplete:
        break;
      case Connection::Head::kGone:
        return false;
      case Connection::Head::kTooSlow:
        return Refuse(connection, "408 Request Timeout");
      case Connection::Head::kTooLarge:
        return Refuse(connection, "431 Request Header Fields Too Large");
      case Connection::Head::kTargetTooLong:
        return Refuse(connection, "414 URI Too Long");
      case Connection::Head::kMalformed:
        return Refuse(connection, "400 Bad Request");
    }
    const std::string line = connection->RequestLine();
    // Whatever else may have a body, which stays unread.
    const bool last = !absl::StartsWith(line, "GET ") && !absl::StartsWith(line, "HEAD ");
    bool has_body = false;
    bool closed = false;
    bool answered = false;
    try {
      answered = process_request(*connection, last, closed, [&](httplib::Request& request) {
        has_body = request.has_header("Content-Length") || request.has_header("Transfer-Encoding");
      });
    } catch (const std::exception&) {
      // httplib's, for want of memory: it costs this connection alone.
      return false;
    }
    return answered && !closed && !last && !has_body && connection->TookHead();
  }

 private:
  static bool Refuse(Connection* connection, const std::string& status) {
    connection->write(absl::StrCat("HTTP/1.1 ", status,
                                   "\r\nContent-Length: 0\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n"));
    return false;
  }

  void Answer(const httplib::Request& request, httplib::Response* response) {
    const std::string peer = absl::StrCat("http:", request.remote_addr, ":", request.remote_port);
    if (gate_->Handled(request, request.local_addr, peer, clock_.Now(), response)) return;
    if (absl::StartsWith(request.path, kApi)) return AnswerApi(request, response);
    response->status = 200;
    if (request.path == "/metrics") {
      return response->set_content(MetricsText(coordinator_, clock_.Now().utc),
                                   "text/plain; version=0.0.4; charset=utf-8");
    }
    const StaticFile* file = FindStaticFile(request.path);
    if (file == nullptr) return AnswerError(404, "there is no such page", response);
    response->set_content(file->content.data(), file->content.size(), std::string(file->type));
  }

  void AnswerApi(const httplib::Request& request, httplib::Response* response) {
    const absl::StatusOr<Json> json = api_.Get(request.path.substr(sizeof(kApi) - 1), request.params);
    if (!json.ok()) return AnswerError(json.status(), response);
    response->status = 200;
    response->set_content(JsonText(*json), "application/json; charset=utf-8");
  }

  Coordinator* const coordinator_;
  Api api_;
  Gate* const gate_;
  SystemClock clock_;
};

}  // namespace

struct WebServer::Parts {
  Parts(const WebOptions& options, Coordinator* coordinator, const Authenticator::Options& access, int port)
      : authenticator(access),
        sessions(options.limits.sessions, options.limits.session_age),
        gate(GateOptionsOf(options, port), &authenticator, access, &sessions, SystemClock().Now().utc),
        handler(coordinator, options.limits, &gate) {}

  static GateOptions GateOptionsOf(const WebOptions& options, int port) {
    GateOptions gate;
    gate.hosts.push_back(absl::AsciiStrToLower(options.listen.host));
    for (const std::string& host : options.hosts) gate.hosts.push_back(absl::AsciiStrToLower(host));
    gate.tls = !options.tls.empty();
    gate.port = port;
    return gate;
  }

  Authenticator authenticator;
  Sessions sessions;
  Gate gate;
  Handler handler;
  std::unique_ptr<Connections> connections;
  std::unique_ptr<TcpAcceptor> acceptor;
};

absl::Status CheckWebOptions(const WebOptions& options) {
  if (options.listen.is_unix) {
    return absl::InvalidArgumentError(
        "--http: expected HOST:PORT (127.0.0.1:8080; port 0 takes a free one): browsers "
        "know no Unix sockets");
  }
  for (const std::string& host : options.hosts) SEEDBED_RETURN_IF_ERROR(CheckHost(host));
  SEEDBED_RETURN_IF_ERROR(CheckAddress(options.listen, !options.tls.empty(), options.insecure));
  return TcpAcceptor::Listen({options.listen}, TcpAcceptor::Options()).status();
}

absl::StatusOr<std::unique_ptr<WebServer>> WebServer::Start(const WebOptions& options, Coordinator* coordinator) {
  SEEDBED_RETURN_IF_ERROR(CheckWebOptions(options));
  SEEDBED_ASSIGN_OR_RETURN(std::shared_ptr<SSL_CTX> tls, MakeTlsContext(options.tls));
  const std::string data = coordinator->Info().directory;
  SEEDBED_ASSIGN_OR_RETURN(Authenticator::Options access,
                           Authenticator::OptionsForTcp(data, options.token_file, options.log));
  access.hint =
      "send one that may read in the header `Authorization: Bearer TOKEN`. `seedbed token create --role read --name "
      "NAME` makes one on the coordinator's machine, with --data";
  TcpAcceptor::Options acceptor_options;
  acceptor_options.first_refused_descriptor =
      options.first_refused_descriptor > 0 ? options.first_refused_descriptor : FirstRefusedDescriptor();
  acceptor_options.log = options.log;
  SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<TcpAcceptor> acceptor,
                           TcpAcceptor::Listen({options.listen}, std::move(acceptor_options)));
  ListenAddress address = options.listen;
  address.port = acceptor->ports().front();
  std::unique_ptr<WebServer> server(new WebServer(std::make_unique<Parts>(options, coordinator, access, address.port)));
  server->url_ = absl::StrCat(options.tls.empty() ? "http://" : "https://", address.ToString());
  server->token_file_ = TokenPath(data, options.token_file);
  Parts* parts = server->parts_.get();
  parts->connections = std::make_unique<Connections>(
      options.limits, std::move(tls), [parts](Connection* connection) { return parts->handler.Serve(connection); },
      options.log);
  parts->acceptor = std::move(acceptor);
  parts->acceptor->Start([parts](int descriptor) { parts->connections->Take(descriptor); });
  return server;
}

WebServer::WebServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

WebServer::~WebServer() {
  Shutdown();
}

void WebServer::Shutdown() {
  if (parts_->acceptor) parts_->acceptor->Stop();
  if (parts_->connections) parts_->connections->Stop();
}

}  // namespace seedbed
