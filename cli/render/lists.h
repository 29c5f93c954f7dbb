#pragma once

#include <cstdint>
#include <string>

#include "cli/render/style.h"
#include "seedbed/v1/sweep_service.pb.h"

// The lists that commands print, as tables.
namespace seedbed::cli {

std::string RenderSweeps(const v1::ListSweepsResponse& sweeps, int64_t now_microseconds, const Style& style);
// At least one run. On a terminal that is too narrow, what all of them share stands above the table, and what tells
// them apart is kept as long as possible.
std::string RenderRuns(const v1::ListRunsResponse& runs, const Style& style);
std::string RenderWorkers(const v1::ListWorkersResponse& workers, int64_t now_microseconds, const Style& style);
// A run with its result, its parameters and its attempts.
std::string RenderRun(const v1::GetRunResponse& detail, const Style& style);

}  // namespace seedbed::cli
