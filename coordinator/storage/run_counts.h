#pragma once

#include <cstdint>
#include <string>

#include "coordinator/core/state.h"

namespace seedbed {

// Counts `count` more runs of the state that a row names; none for a name of a newer program.
void AddCount(const std::string& state, int64_t count, core::RunCounts* counts);

}  // namespace seedbed
