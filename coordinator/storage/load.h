#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/core/state.h"
#include "coordinator/storage/database.h"

namespace seedbed {

// Store::Load on an open database.
absl::StatusOr<core::State> LoadState(Database* database, const core::Settings& settings, absl::Duration now);

}  // namespace seedbed
