#pragma once

#include <string>
#include <vector>

namespace seedbed::engine {

// `seedbed-engine train …`: trains one run on the calling thread and prints the protocol's messages as JSON lines.
// Returns the exit status: 0 finished (or nobody reads any more), 1 failed, 2 wrong usage, 130 interrupted.
int RunTrainCommand(const std::vector<std::string>& arguments);

extern const char kTrainUsage[];

}  // namespace seedbed::engine
