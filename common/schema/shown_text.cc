#include "common/schema/shown_text.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace seedbed {

std::string ShownText(std::string_view text) {
  constexpr size_t kLongestShown = 60;
  size_t length = text.size();
  if (length > kLongestShown) {
    length = kLongestShown;
    while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) --length;
  }
  std::string escaped;
  for (const char c : text.substr(0, length)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      absl::StrAppend(&escaped, absl::CHexEscape(absl::string_view(&c, 1)));
    } else {
      escaped += c;
    }
  }
  return absl::StrCat("'", escaped, length < text.size() ? "…" : "", "'");
}

}  // namespace seedbed
