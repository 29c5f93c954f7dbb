#pragma once

#include <httplib.h>

#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/secrets/sign_in_code.h"
#include "coordinator/access/authentication.h"
#include "coordinator/web/sessions.h"

// Who gets an answer over HTTP. Nothing here reads a sweep.
namespace seedbed {

struct GateOptions {
  // Names of this server beyond localhost and the address that a connection came in on: what --http and --http-host
  // say. Without ports, which a tunnel changes.
  std::vector<std::string> hosts;
  bool tls = false;
  int port = 0;  // so that coordinators on one machine do not overwrite each other's cookies, which know no ports
};

class Gate {
 public:
  // Neither is owned. `access` says who the admin is; `start`: links made before are good no more.
  Gate(GateOptions options, const Authenticator* authenticator, const Authenticator::Options& access,
       Sessions* sessions, absl::Time start);

  // Answers `request` itself and returns true where it may not go on: other methods than GET and HEAD, a body, a Host
  // that is not this server's (a name of somebody else's that was made to point here), an Origin of another page, no
  // token or one that may not read; and where it signs in (GET / with `token` or `code`). `local_ip` is where the
  // request came in, `peer` where from. Otherwise it came from somebody who may read.
  bool Handled(const httplib::Request& request, const std::string& local_ip, const std::string& peer, Moment now,
               httplib::Response* response);

 private:
  bool IsOurHost(const std::string& header, const std::string& local_ip) const;
  bool RefuseForm(const httplib::Request& request, const std::string& local_ip, httplib::Response* response) const;
  void SignIn(const httplib::Request& request, const std::string& peer, Moment now, httplib::Response* response);
  absl::Status CheckCaller(const httplib::Request& request, const std::string& peer, Moment now);
  std::optional<std::string> CookieOf(const httplib::Request& request) const;

  const GateOptions options_;
  const std::string cookie_name_;
  const Authenticator* const authenticator_;
  const std::string admin_sha256_;
  SignInCodes codes_;
  Sessions* const sessions_;
};

// {"error": "…"} with the HTTP status of `status`.
void AnswerError(const absl::Status& status, httplib::Response* response);
void AnswerError(int http_status, const std::string& message, httplib::Response* response);

}  // namespace seedbed
