#include "coordinator/web/request_head.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace seedbed {
namespace {

constexpr absl::string_view kLineEnd = "\r\n";

bool IsTokenCharacter(char c) {
  constexpr absl::string_view kOthers = "!#$%&'*+-.^_`|~";
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains(kOthers, c);
}

bool HasControlCharacters(absl::string_view text, bool tabs_allowed) {
  return std::any_of(text.begin(), text.end(), [tabs_allowed](char c) {
    return absl::ascii_iscntrl(static_cast<unsigned char>(c)) && !(tabs_allowed && c == '\t');
  });
}

// The name of "name: value"; empty for a line of another form.
absl::string_view NameOf(absl::string_view line) {
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return {};
  const absl::string_view name = line.substr(0, colon);
  if (!std::all_of(name.begin(), name.end(), IsTokenCharacter)) return {};
  return HasControlCharacters(line.substr(colon), true) ? absl::string_view() : name;
}

bool IsIgnored(absl::string_view line) {
  const absl::string_view name = NameOf(line);
  return absl::EqualsIgnoreCase(name, "Range") || absl::EqualsIgnoreCase(name, "Accept-Encoding");
}

}  // namespace

bool HasBareLineEnd(absl::string_view received) {
  for (size_t at = received.find('\n'); at != absl::string_view::npos; at = received.find('\n', at + 1)) {
    if (at == 0 || received[at - 1] != '\r') return true;
  }
  return false;
}

bool IsWellFormed(absl::string_view head) {
  size_t end = head.find(kLineEnd);
  if (end == 0 || HasControlCharacters(head.substr(0, end), false)) return false;
  int hosts = 0;
  int lengths = 0;
  while (true) {
    head.remove_prefix(end + kLineEnd.size());
    end = head.find(kLineEnd);
    if (end == 0) return hosts <= 1 && lengths <= 1;
    const absl::string_view name = NameOf(head.substr(0, end));
    if (name.empty()) return false;
    hosts += absl::EqualsIgnoreCase(name, "Host") ? 1 : 0;
    lengths += absl::EqualsIgnoreCase(name, "Content-Length") ? 1 : 0;
  }
}

void DropIgnoredHeaders(std::string* head) {
  size_t line = head->find(kLineEnd.data()) + kLineEnd.size();
  for (size_t end = 0; (end = head->find(kLineEnd.data(), line)) != line;) {
    if (IsIgnored(absl::string_view(*head).substr(line, end - line))) {
      head->erase(line, end + kLineEnd.size() - line);
    } else {
      line = end + kLineEnd.size();
    }
  }
}

}  // namespace seedbed
