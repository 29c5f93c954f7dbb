#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/schema/run_specification.h"

namespace seedbed::engine {

// Trains one run on the calling thread and reports it in protocol messages.
//  send        takes each message but the last.
//  wants_stop  is asked before each step; true ends the run there. It may wait (for room in the output).
// Returns the last message: `finished`, `stopped` or `failed`. Metrics are sent in batches, all of them before it
// returns; `alive` or `busy` as the protocol wants. Throws nothing.
std::string TrainRun(int64_t run, const RunSpecification& specification, const std::function<void(std::string)>& send,
                     const std::function<bool()>& wants_stop);

}  // namespace seedbed::engine
