#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
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

// RESOURCE_EXHAUSTED if the sweep would have more than Settings::most_runs_of_sweep runs with `added` more.
absl::Status CheckGrownSize(const State& state, const SweepEntry& sweep, int64_t added);

}  // namespace seedbed::core
