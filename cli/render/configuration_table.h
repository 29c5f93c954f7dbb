#pragma once

#include <string>
#include <vector>

#include "cli/render/style.h"
#include "seedbed/v1/sweep_service.pb.h"

namespace seedbed::cli {

// A sweep's results, one row per configuration: what it varies, how many of its seeds reached 99 % test accuracy, the
// outcomes, and the medians of T_train, T_grok and the delay. Where the median lies among seeds that did not get there
// it is
// ">budget" if some seed got there, and "—" if none did. `budget_steps` 0: not known.
std::string RenderConfigurations(const std::vector<v1::ConfigurationSummary>& configurations, int64_t budget_steps,
                                 const Style& style);

// "2 grokked, 1 memorised, 1 running": outcomes by name, then runs that have none.
std::string OutcomesText(const v1::ConfigurationSummary& configuration);

}  // namespace seedbed::cli
