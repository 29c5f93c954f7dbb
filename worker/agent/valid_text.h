#pragma once

#include <string>
#include <string_view>

namespace seedbed::agent {

// `text` with every byte that is not part of well-formed UTF-8 replaced by '?': protocol buffers carry nothing else as
// text.
std::string ValidText(std::string_view text);

// The last line of `log` that is not blank, as valid text of at most 300 bytes; empty if there is none.
std::string LastLine(std::string_view log);

}  // namespace seedbed::agent
