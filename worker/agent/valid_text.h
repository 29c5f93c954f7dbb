#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace seedbed::agent {

// `text` with every byte that is not part of well-formed UTF-8 replaced by '?': protocol buffers carry nothing else as
// text.
std::string ValidText(std::string_view text);

// `text` as valid text of at most `most` bytes, cut between two characters, with a mark where something was left out.
std::string BoundedText(std::string_view text, size_t most);

// The last line of `log` that is not blank, as valid text of at most 300 bytes; empty if there is none.
std::string LastLine(std::string_view log);

}  // namespace seedbed::agent
