#include "common/sweep_file/yaml_text.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace seedbed::sweep_file {
namespace {

bool IsOneOf(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}

// The offset behind the quoted text that opens at `at`; npos if it has no end.
size_t AfterQuoted(const std::string& text, size_t at) {
  const char quote = text[at];
  for (size_t i = at + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      const bool doubled = quote == '\'' && i + 1 < text.size() && text[i + 1] == '\'';
      if (!doubled) return i + 1;
      ++i;
    }
  }
  return std::string::npos;
}

// Where the content of the node at `from` begins, behind its anchor and its tag; the text's size at its end.
size_t ContentOf(const std::string& text, size_t from) {
  while (from < text.size() && IsOneOf(text[from], "&!")) {
    from = std::min(text.find_first_of(" \t\r\n", from), text.size());
    from = std::min(text.find_first_not_of(" \t\r\n", from), text.size());
  }
  return from;
}

}  // namespace

std::optional<size_t> UnclosedQuote(const std::string& text, size_t from) {
  from = ContentOf(text, from);
  if (from >= text.size() || !IsOneOf(text[from], "\"'")) return std::nullopt;
  if (AfterQuoted(text, from) != std::string::npos) return std::nullopt;
  return from;
}

std::optional<size_t> UnclosedBracket(const std::string& text, size_t from) {
  from = ContentOf(text, from);
  if (from >= text.size() || !IsOneOf(text[from], "[{")) return std::nullopt;
  std::vector<size_t> open;
  bool may_begin = true;  // a quote here begins a text; inside of a plain one it is a letter like others
  for (size_t i = from; i < text.size(); ++i) {
    const char c = text[i];
    if (may_begin && IsOneOf(c, "\"'")) {
      const size_t end = AfterQuoted(text, i);
      if (end == std::string::npos) return std::nullopt;
      i = end - 1;
      may_begin = false;
    } else if (c == '#' && i > 0 && IsOneOf(text[i - 1], " \t\r\n")) {
      i = std::min(text.find('\n', i), text.size());
      may_begin = true;
    } else if (IsOneOf(c, "[{")) {
      open.push_back(i);
      may_begin = true;
    } else if (IsOneOf(c, "]}")) {
      const bool matches = text[open.back()] == (c == ']' ? '[' : '{');
      if (!matches) return open.back();
      open.pop_back();
      if (open.empty()) return std::nullopt;
      may_begin = false;
    } else {
      may_begin = IsOneOf(c, ",:? \t\r\n");
    }
  }
  if (open.empty()) return std::nullopt;
  return open.back();
}

}  // namespace seedbed::sweep_file
