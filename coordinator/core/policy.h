#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "coordinator/core/command.h"
#include "coordinator/core/state.h"

// Which runs are leased next: stateless functions over a snapshot. The order:
//  1. sweeps of higher priority before those of lower;
//  2. among equals the sweep with the fewest running leases (so they share evenly), then the older one;
//  3. inside a sweep breadth first: round, then the configuration's place;
//  4. in an engine that takes several runs the first picks the pack key, and compatible ones fill the rest.
// A sweep counts only while it is active, below its max_concurrent, and its trainer is offered.
namespace seedbed::core {

// True if a worker with these trainers would be given something. O(trainers).
bool HasWork(const State& state, const std::vector<TrainerOffer>& trainers);

// The runs that a worker should be given, in order, at most `most`. `engines` as in Synchronize, not empty.
// `suits` (none: every one does) says which of the runs this worker may be given.
// `already_running` are leases made by this same decision and not yet applied: they count as running.
// Cost: O((picks + engines) · log(sweeps + runs)), however many runs wait that suit.
std::vector<RunId> PickRuns(const State& state, const std::vector<TrainerOffer>& trainers,
                            const std::vector<EngineRoom>& engines, int most,
                            const std::vector<RunId>& already_running = {},
                            const std::function<bool(const Run&)>& suits = nullptr);

}  // namespace seedbed::core
