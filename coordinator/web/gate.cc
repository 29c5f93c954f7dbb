#include "coordinator/web/gate.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/json.h"
#include "common/base/sha256.h"
#include "coordinator/access/access_rules.h"
#include "coordinator/web/static_files.h"

namespace seedbed {
namespace {

constexpr char kJson[] = "application/json; charset=utf-8";

// "HOST", "HOST:PORT", "[::1]:PORT" without brackets and port, in lower case; nullopt for anything else.
std::optional<std::string> HostName(const std::string& header) {
  std::string host = header;
  std::string rest;
  if (!header.empty() && header.front() == '[') {
    const size_t end = header.find(']');
    if (end == std::string::npos) return std::nullopt;
    host = header.substr(1, end - 1);
    rest = header.substr(end + 1);
  } else if (const size_t colon = header.find(':'); colon != std::string::npos) {
    host = header.substr(0, colon);
    rest = header.substr(colon);
  }
  int port = 0;
  if (!rest.empty() && (rest.front() != ':' || !absl::SimpleAtoi(rest.substr(1), &port))) return std::nullopt;
  if (host.empty()) return std::nullopt;
  return absl::AsciiStrToLower(host);
}

int HttpStatus(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

// The page where people type a token, in place of an error that only programs read.
void AnswerSignInPage(const absl::Status& why, httplib::Response* response) {
  const StaticFile* page = FindStaticFile("/sign_in.html");
  if (page == nullptr) return AnswerError(why, response);
  response->status = HttpStatus(why.code());
  response->set_content(page->content.data(), page->content.size(), std::string(page->type));
}

// What the page where people type a token is made of. It holds nothing of the coordinator's.
bool BelongsToSignInPage(const std::string& path) {
  return path == "/sign_in.js" || path == "/place.js" || path == "/style.css" || path == "/icon.svg";
}

bool WantsPage(const httplib::Request& request) {
  return request.path == "/" && absl::StrContains(request.get_header_value("Accept"), "text/html");
}

}  // namespace

void AnswerError(int http_status, const std::string& message, httplib::Response* response) {
  Json json = Json::object();
  json["error"] = message;
  response->status = http_status;
  response->set_content(json.dump(-1, ' ', false, Json::error_handler_t::replace), kJson);
}

void AnswerError(const absl::Status& status, httplib::Response* response) {
  AnswerError(HttpStatus(status.code()), std::string(status.message()), response);
}

Gate::Gate(GateOptions options, const Authenticator* authenticator, const Authenticator::Options& access,
           Sessions* sessions, absl::Time start)
    : options_(std::move(options)),
      cookie_name_(absl::StrCat("seedbed_session_", options_.port)),
      authenticator_(authenticator),
      admin_sha256_(Sha256Hex(access.admin_token)),
      codes_(access.admin_token, start),
      sessions_(sessions) {}

bool Gate::IsOurHost(const std::string& header, const std::string& local_ip) const {
  const std::optional<std::string> host = HostName(header);
  if (!host) return false;
  // Nobody else's page can have one of these as its own name, whatever the name service says.
  if (*host == "localhost" || *host == "127.0.0.1" || *host == "::1" || *host == local_ip) return true;
  return std::find(options_.hosts.begin(), options_.hosts.end(), *host) != options_.hosts.end();
}

bool Gate::RefuseForm(const httplib::Request& request, const std::string& local_ip, httplib::Response* response) const {
  const std::string host = request.get_header_value("Host");
  if (request.get_header_value_count("Host") != 1 || !IsOurHost(host, local_ip)) {
    AnswerError(421,
                "this server does not go by that name; ask for the address that it listens on, or start the "
                "coordinator with --http-host NAME",
                response);
    return true;
  }
  if (request.method != "GET" && request.method != "HEAD") {
    response->set_header("Allow", "GET, HEAD");
    AnswerError(405, "the dashboard only reads: GET and HEAD", response);
    return true;
  }
  if (request.has_header("Transfer-Encoding") ||
      (request.has_header("Content-Length") && request.get_header_value("Content-Length") != "0")) {
    AnswerError(413, "a request here has no body", response);
    return true;
  }
  if (request.has_header("Origin") &&
      request.get_header_value("Origin") != absl::StrCat(options_.tls ? "https://" : "http://", host)) {
    AnswerError(403, "this request comes from another site's page", response);
    return true;
  }
  // Browsers send the session's cookie along from a page of this host's other ports. A link may lead to the first page.
  const std::string from = request.get_header_value("Sec-Fetch-Site");
  if (!from.empty() && from != "same-origin" && from != "none" && request.path != "/") {
    AnswerError(403, "this request comes from another site's page", response);
    return true;
  }
  return false;
}

std::optional<std::string> Gate::CookieOf(const httplib::Request& request) const {
  for (const absl::string_view each : absl::StrSplit(request.get_header_value("Cookie"), ';')) {
    const std::pair<absl::string_view, absl::string_view> named =
        absl::StrSplit(absl::StripAsciiWhitespace(each), absl::MaxSplits('=', 1));
    if (named.first == cookie_name_) return std::string(named.second);
  }
  return std::nullopt;
}

absl::Status Gate::CheckCaller(const httplib::Request& request, const std::string& peer, Moment now) {
  Caller caller;
  caller.peer = peer;
  if (request.has_header("Authorization")) {
    if (std::optional<std::string> sha256 = BearerTokenSha256(request.get_header_value("Authorization"))) {
      caller.kind = Caller::Kind::kToken;
      caller.token_sha256 = *std::move(sha256);
    }
    return authenticator_->Check(caller, kDashboard);
  }
  const std::optional<std::string> cookie = CookieOf(request);
  const std::optional<std::string> token = cookie ? sessions_->TokenOf(*cookie, now.monotonic) : std::nullopt;
  if (token) {
    caller.kind = Caller::Kind::kToken;
    caller.token_sha256 = *token;
  }
  const absl::Status status = authenticator_->Check(caller, kDashboard);
  // Not for a moment in which tokens cannot be read.
  if (!status.ok() && !absl::IsUnavailable(status) && token) sessions_->Close(*cookie);
  return status;
}

// A link may be followed from another site's page. A redirect would be that site's request still, and go without the
// cookie that the answer sets (SameSite=Strict), to the form, with the link used up. A page that goes on by itself
// makes a request of this site's own. Tokens come from the form, which is this site's: a redirect keeps them out of the
// browser's history.
void Gate::SignIn(const httplib::Request& request, const std::string& peer, Moment now, httplib::Response* response) {
  absl::Status status;
  std::string token_sha256;
  const bool by_link = request.has_param("code");
  if (by_link) {
    status = codes_.Use(request.get_param_value("code"), now.utc);
    token_sha256 = admin_sha256_;
  } else {
    const Caller caller = CallerWithToken(request.get_param_value("token"), peer);
    status = authenticator_->Check(caller, kDashboard);
    token_sha256 = caller.token_sha256;
  }
  if (!status.ok()) {
    if (WantsPage(request)) return AnswerSignInPage(status, response);
    return AnswerError(status, response);
  }
  response->set_header("Set-Cookie",
                       absl::StrCat(cookie_name_, "=", sessions_->Open(token_sha256, now.monotonic),
                                    "; Path=/; HttpOnly; SameSite=Strict", options_.tls ? "; Secure" : ""));
  if (const StaticFile* page = FindStaticFile("/signed_in.html"); by_link && page != nullptr) {
    response->status = 200;
    response->set_content(page->content.data(), page->content.size(), std::string(page->type));
  } else {
    response->status = 303;
    response->set_header("Location", "/");
  }
}

bool Gate::Handled(const httplib::Request& request, const std::string& local_ip, const std::string& peer, Moment now,
                   httplib::Response* response) {
  if (RefuseForm(request, local_ip, response)) return true;
  if (request.path == "/" && (request.has_param("token") || request.has_param("code"))) {
    SignIn(request, peer, now, response);
    return true;
  }
  if (BelongsToSignInPage(request.path)) return false;
  const absl::Status status = CheckCaller(request, peer, now);
  if (status.ok()) return false;
  response->set_header("WWW-Authenticate", "Bearer");
  if (WantsPage(request)) {
    AnswerSignInPage(status, response);
  } else {
    AnswerError(status, response);
  }
  return true;
}

}  // namespace seedbed
