#include "cli/dashboard_link.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/secrets/bearer_token.h"
#include "common/secrets/sign_in_code.h"

namespace seedbed::cli {
namespace {

// A browser on this machine finds it there, whatever it listens on.
std::string Reachable(const std::string& url) {
  for (const auto& [all, here] : {std::pair("://0.0.0.0:", "://127.0.0.1:"), std::pair("://[::]:", "://[::1]:")}) {
    if (absl::StrContains(url, all)) return absl::StrReplaceAll(url, {{all, here}});
  }
  return url;
}

}  // namespace

absl::StatusOr<std::string> DashboardLink(const ServerFile& file) {
  SEEDBED_ASSIGN_OR_RETURN(const std::string token, GivenToken(file.token_file));
  return absl::StrCat(Reachable(file.http), "/?code=", MakeSignInCode(token, absl::Now()));
}

}  // namespace seedbed::cli
