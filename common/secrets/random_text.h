#pragma once

#include <string>

namespace seedbed {

// `bytes` random bytes from the kernel as lower-case hexadecimal, fit for tokens and identifiers.
std::string RandomHex(int bytes);

}  // namespace seedbed
