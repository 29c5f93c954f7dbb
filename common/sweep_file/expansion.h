#pragma once

#include <memory>

#include "common/sweep_file/configuration_list.h"
#include "common/sweep_file/draft.h"
#include "common/sweep_file/mistakes.h"
#include "common/sweep_file/point_space.h"
#include "common/sweep_file/sweep.h"

namespace seedbed::sweep_file {

// All points of the sweep, each once, in order: the grid's (the last axis fastest) or the random ones, less the
// excluded, then the included ones; at most run_cap. Too many are refused by multiplication, before any is built. Empty
// after a mistake. Fills in what `space` leaves open (the values that distributions give).
ConfigurationList ExpandPoints(const SweepDraft& draft, const SweepLimits& limits,
                               const std::shared_ptr<PointSpace>& space, Mistakes* mistakes);

}  // namespace seedbed::sweep_file
