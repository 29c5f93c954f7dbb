#pragma once

#include <string>

#include "common/base/ids.h"
#include "coordinator/core/state.h"

namespace seedbed::core {

// Why `worker` may do nothing under `lease` at present; empty if the lease is live and the worker's own.
std::string WhyNotLive(const State& state, const WorkerId& worker, const LeaseKey& lease);

// Whether what the run prints may come from `worker` under `lease`: the latest attempt's, whether it has ended or not,
// since its last words may still be on their way. `holder`: who held it if it has ended, as far as that is known.
bool MayPrint(const State& state, const WorkerId& worker, const LeaseKey& lease, const WorkerId* holder);

}  // namespace seedbed::core
