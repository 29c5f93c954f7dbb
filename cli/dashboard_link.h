#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "coordinator/server_file.h"

namespace seedbed::cli {

// A link that opens the dashboard of the coordinator that wrote `file`, once. It must have one.
absl::StatusOr<std::string> DashboardLink(const ServerFile& file);

}  // namespace seedbed::cli
