#include "cli/context.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/printed_command.h"
#include "cli/unreachable.h"
#include "common/base/status_macros.h"

namespace seedbed::cli {

std::string DataDirectory(const GlobalOptions& options) {
  return options.data.empty() ? std::string("./seedbed-data") : options.data;
}

absl::StatusOr<Client*> Context::client(Access access) {
  if (connection_.client == nullptr) {
    SEEDBED_ASSIGN_OR_RETURN(connection_, environment_.connect(options, access));
  }
  return connection_.client.get();
}

Style Context::style() const {
  Style style = environment_.style;
  if (options.no_color || options.json) style.color = false;
  return style;
}

std::string Context::Command(const std::string& words) const {
  return WithOptions("seedbed", {{"--server", options.server},
                                 {"--data", options.server.empty() ? options.data : ""},
                                 {"--token-file", options.token_file},
                                 {"--tls-ca", options.tls.ca},
                                 {"--tls-certificate", options.tls.certificate},
                                 {"--tls-key", options.tls.key}}) +
         " " + words;
}

void Context::PrintJson(const OrderedJson& json) {
  out().Write(Dump(json) + "\n");
  out().Flush();
}

void Context::Note(const std::string& text) {
  environment_.out->Flush();
  environment_.err->Write("seedbed: " + text + "\n");
  environment_.err->Flush();
}

absl::Status Context::Confirm(const std::string& question, bool yes) {
  if (yes) return absl::OkStatus();
  if (!environment_.may_ask) {
    return absl::FailedPreconditionError(
        absl::StrCat("nothing was done: \"", question, "\" needs an answer and this is no terminal. Add --yes."));
  }
  out().Flush();
  environment_.err->Write(question + " [y/N] ");
  environment_.err->Flush();
  const std::string answer = environment_.read_line();
  if (answer == "y" || answer == "Y" || answer == "yes" || answer == "Yes") return absl::OkStatus();
  return absl::FailedPreconditionError("nothing was done: the answer was not yes");
}

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kUnavailable:
      return status.GetPayload(kNobodyAnswers).has_value() ? kExitUnreachable : kExitFailed;
    case absl::StatusCode::kUnauthenticated:
      return kExitUnreachable;
    default:
      return kExitFailed;
  }
}

bool LooksLikeRunIds(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789,-") == std::string::npos && text[0] != '-';
}

absl::StatusOr<std::vector<int64_t>> ParseRunIds(const std::string& text) {
  constexpr int64_t kMost = 1'000'000;
  const absl::Status mistake =
      absl::InvalidArgumentError(absl::StrCat("\"", text, "\" names no runs: expected ids such as 17, 3-7 or 3,5"));
  std::vector<int64_t> ids;
  for (const absl::string_view word : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(word, absl::MaxSplits('-', 1));
    int64_t first = 0;
    if (!absl::SimpleAtoi(ends.first, &first) || first < 1) return mistake;
    int64_t last = first;
    if (absl::StrContains(word, "-") && (!absl::SimpleAtoi(ends.second, &last) || last < first)) return mistake;
    if (last - first >= kMost - static_cast<int64_t>(ids.size())) {
      return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" names over ", kMost, " runs; use a sweep's name"));
    }
    for (int64_t id = first; id <= last; ++id) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace seedbed::cli
