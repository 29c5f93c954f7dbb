#pragma once

#include "absl/status/status.h"
#include "coordinator/coordinator.h"
#include "seedbed/v1/sweep_service.pb.h"

// What people look at, gathered from the database and from what only memory knows. All of these block on reads.
namespace seedbed {

absl::Status ListSweeps(Coordinator* coordinator, const v1::ListSweepsRequest& request,
                        v1::ListSweepsResponse* response);
absl::Status ListConfigurations(Coordinator* coordinator, const v1::ListConfigurationsRequest& request,
                                v1::ListConfigurationsResponse* response);
absl::Status ListRuns(Coordinator* coordinator, const v1::ListRunsRequest& request, v1::ListRunsResponse* response);
absl::Status GetRun(Coordinator* coordinator, const v1::GetRunRequest& request, v1::GetRunResponse* response);
absl::Status ListWorkers(Coordinator* coordinator, const v1::ListWorkersRequest& request,
                         v1::ListWorkersResponse* response);

}  // namespace seedbed
