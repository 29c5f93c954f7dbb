#include "worker/agent/valid_text.h"

#include "common/base/text.h"

namespace seedbed::agent {

std::string ValidText(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  size_t bad = 0;
  while (!IsValidUtf8(text, &bad)) {
    valid.append(text.substr(0, bad));
    valid.push_back('?');
    text.remove_prefix(bad + 1);
  }
  valid.append(text);
  return valid;
}

std::string BoundedText(std::string_view text, size_t most) {
  constexpr std::string_view kMark = " [...]";
  if (text.size() <= most) return ValidText(text);
  size_t kept = most - kMark.size();
  while (kept > 0 && (static_cast<unsigned char>(text[kept]) & 0xC0) == 0x80) --kept;
  return ValidText(text.substr(0, kept)).append(kMark);
}

std::string LastLine(std::string_view log) {
  constexpr size_t kMost = 300;
  const size_t end = log.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) return "";
  log = log.substr(0, end + 1);
  const size_t newline = log.find_last_of("\r\n");
  if (newline != std::string_view::npos) log.remove_prefix(newline + 1);
  return ValidText(log.substr(0, kMost));
}

}  // namespace seedbed::agent
