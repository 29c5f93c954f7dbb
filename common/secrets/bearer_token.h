#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace seedbed {

// The token that a client was given: in the file `path`, or in SEEDBED_TOKEN if `path` is empty; empty if in neither.
// White space around it is dropped. NOT_FOUND if the file cannot be read; INVALID_ARGUMENT if what is there is no
// token, without repeating it.
absl::StatusOr<std::string> GivenToken(const std::string& path);

}  // namespace seedbed
