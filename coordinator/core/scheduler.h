#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "coordinator/core/command.h"
#include "coordinator/core/event.h"
#include "coordinator/core/state.h"

namespace seedbed::core {

struct Decision {
  std::vector<Event> events;
  Answer answer;
};

// Decides one command. Pure: the same state, command and time give the same decision; the state is not changed. An
// error (NOT_FOUND, FAILED_PRECONDITION, INVALID_ARGUMENT) means that nothing happens.
absl::StatusOr<Decision> Decide(const State& state, const Command& command, const Moment& now);

}  // namespace seedbed::core
