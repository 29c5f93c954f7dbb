#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace seedbed {

// Number of single-character insertions, deletions, substitutions and swaps of neighbours between two words (optimal
// string alignment), for "did you mean".
int EditDistance(std::string_view a, std::string_view b);

// The known word nearest to `word`, if one is near enough to be a likely slip (a third of its length, at least one
// edit).
std::optional<std::string> NearestWord(std::string_view word, const std::vector<std::string>& known);

// True if `text` is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF). On failure
// `offset`, if given, receives the first offending byte's index.
bool IsValidUtf8(std::string_view text, size_t* offset = nullptr);

// True if `name` may be the name of a sweep, a worker or a metric: 1 to 128 of [A-Za-z0-9_.-], starting with a letter
// or digit.
bool IsPlainName(std::string_view name);

}  // namespace seedbed
