#pragma once

#include "absl/status/status.h"
#include "common/sweep_file/sweep.h"
#include "coordinator/coordinator.h"

namespace seedbed {

// Where `submitted` brings configurations that the sweep `id` does not have, beside some that it has: makes `varied` of
// all of them name what tells them apart now, in the rows that are there and in `submitted`. To be called before its
// configurations are added, so that a submission that was cut short and comes again finds it to be done. Blocks.
absl::Status TellApart(Coordinator* coordinator, SweepId id, Sweep* submitted);

// RESOURCE_EXHAUSTED if a sweep of that name would have too many runs with those of `submitted` that it does not have.
// To be called before anything is changed: chunk by chunk it would be added up to the limit. Blocks.
absl::Status CheckRoomFor(Coordinator* coordinator, const Sweep& submitted);

}  // namespace seedbed
