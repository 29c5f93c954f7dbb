#pragma once

#include <string>

#include "common/base/json.h"

namespace seedbed::engine {

// Times stacked packs of 1, 8, 64 and 256 replicas of the default run on a device ("cuda:0"; "cpu" shows that it works)
// against its roofline: the larger of the time of the operations of a step's products (model_operations.h) at the rate
// of the library's own product there, and of the bytes that a step must move at the rate of a copy, both measured in
// this run. Wall time, best of many; prints a line for each and returns them as data. `most`: replicas at most.
Json ReportPacks(const std::string& device, int most, double seconds);

}  // namespace seedbed::engine
