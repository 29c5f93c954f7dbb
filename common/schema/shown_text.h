#pragma once

#include <string>
#include <string_view>

namespace seedbed {

// Text of unknown origin, fit for one line of a message: in quotes, control characters escaped, cut after 60 bytes at
// the border of a character. `text` must be valid UTF-8; so is the result.
std::string ShownText(std::string_view text);

}  // namespace seedbed
