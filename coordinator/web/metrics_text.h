#pragma once

#include <string>

#include "absl/time/time.h"
#include "coordinator/coordinator.h"

namespace seedbed {

// /metrics: what the coordinator knows of itself, in Prometheus' text format (0.0.4). Blocks until the commit loop has
// been looked at; while it has no state (degraded), what it would tell is left out.
std::string MetricsText(Coordinator* coordinator, absl::Time now);

}  // namespace seedbed
