#pragma once

#include <string>

namespace seedbed {

// Whether a host as people write it is this machine alone: an address in 127.0.0.0/8, ::1 (without brackets) or
// localhost. Never by the spelling of another name: 127.example.org may be anywhere. Looks nothing up.
bool IsLoopbackHost(const std::string& host);

}  // namespace seedbed
