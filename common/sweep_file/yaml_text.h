#pragma once

#include <cstddef>
#include <optional>
#include <string>

// What the text of a YAML document opens and never closes. The parser says where it gave up, which is mostly the end of
// the file; people look for where it began. Offsets are in bytes.
namespace seedbed::sweep_file {

// The quote of the node that begins at `from` (with its anchor and tag, if it has any), if nothing closes it.
std::optional<size_t> UnclosedQuote(const std::string& text, size_t from);

// The node that begins at `from` is a list or map in brackets: the innermost '[' or '{' of it that nothing closes.
std::optional<size_t> UnclosedBracket(const std::string& text, size_t from);

}  // namespace seedbed::sweep_file
