#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/coordinator.h"

// What people's lists show beyond the rows of the database: gRPC's and HTTP's handlers convert it. All of these block.
namespace seedbed {

// `counts` with `waiting` of the running ones (Progress::Waiting) among the queued, as people see them.
core::RunCounts WithWaiting(core::RunCounts counts, int64_t waiting);

// Every sweep, with the counts that memory has where there is a state: the database would have to look at every run.
absl::StatusOr<std::vector<SweepRow>> SweepsWithCounts(Coordinator* coordinator);

// Updates of one run of the sweep with this template; 0: unknown.
int64_t BudgetStepsOf(const std::string& template_json);

// A configuration's runs by state, and the finished ones by outcome.
struct ConfigurationCounts {
  core::RunCounts runs;
  std::map<std::string, int64_t> outcomes;
};
absl::StatusOr<std::map<ConfigurationId, ConfigurationCounts>> CountByConfiguration(Coordinator* coordinator,
                                                                                    SweepId sweep);

// What only memory knows of those of `runs` that run. Empty for a coordinator without a state (offline, degraded).
struct LiveFacts {
  int64_t step = -1;
  bool training = false;  // false: granted, and waiting for a slot
};
std::map<RunId, LiveFacts> LiveFactsOf(Coordinator* coordinator, const std::vector<RunId>& runs);

// Likewise of workers that this coordinator has heard of.
struct LiveWorker {
  std::vector<RunId> leases;
  int64_t training = 0;  // of these; the others wait there for a slot
  int64_t seconds_since_seen = -1;  // -1: not heard of since this coordinator started
};
std::map<WorkerId, LiveWorker> LiveWorkersOf(Coordinator* coordinator, const std::vector<WorkerId>& workers);

}  // namespace seedbed
