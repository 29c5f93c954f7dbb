#include "coordinator/listing.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/schema/run_specification.h"
#include "coordinator/storage/run_counts.h"

namespace seedbed {
namespace {

// How many runs of each configuration wait while they are leased (Progress::Waiting). Without a state nothing runs.
std::map<ConfigurationId, int64_t> WaitingByConfiguration(Coordinator* coordinator) {
  std::map<ConfigurationId, int64_t> counts;
  coordinator
      ->Inspect([&counts](LiveView view) {
        for (const RunId id : view.progress.Waiting()) {
          const core::Run* run = view.state.FindRun(id);
          if (run != nullptr) ++counts[run->configuration];
        }
      })
      .IgnoreError();
  return counts;
}

}  // namespace

core::RunCounts WithWaiting(core::RunCounts counts, int64_t waiting) {
  // What is stored and what is known live may be a moment apart.
  const int64_t moved = std::min(waiting, counts.running);
  counts.running -= moved;
  counts.queued += moved;
  return counts;
}

absl::StatusOr<std::vector<SweepRow>> SweepsWithCounts(Coordinator* coordinator) {
  SEEDBED_ASSIGN_OR_RETURN(std::vector<SweepRow> rows, coordinator->reader().ListSweeps(/*counted=*/false));
  const absl::Status looked = coordinator->Inspect([&rows](LiveView view) {
    const std::map<SweepId, int64_t> waiting = view.progress.WaitingBySweep();
    for (SweepRow& row : rows) {
      const core::SweepEntry* sweep = view.state.FindSweep(row.id);
      if (sweep == nullptr) continue;  // deleted meanwhile
      row.configurations = static_cast<int64_t>(sweep->configurations.size());
      const auto found = waiting.find(row.id);
      row.runs = WithWaiting(sweep->counts, found == waiting.end() ? 0 : found->second);
    }
  });
  if (looked.ok()) return rows;
  return coordinator->reader().ListSweeps();
}

int64_t BudgetStepsOf(const std::string& template_json) {
  const absl::StatusOr<Json> json = ParseJson(template_json, "the template");
  if (!json.ok()) return 0;
  const absl::StatusOr<RunTemplate> shared = RunTemplateFromJson(*json);
  return shared.ok() ? shared->budget.steps : 0;
}

absl::StatusOr<std::map<ConfigurationId, ConfigurationCounts>> CountByConfiguration(Coordinator* coordinator,
                                                                                    SweepId sweep) {
  std::map<ConfigurationId, ConfigurationCounts> counts;
  SEEDBED_RETURN_IF_ERROR(coordinator->reader().Stream(
      absl::StrCat("SELECT configuration_id, state, outcome, count(*) FROM run_results WHERE sweep_id = ",
                   sweep.value(), " GROUP BY configuration_id, state, outcome"),
      absl::Seconds(10), [](const std::vector<std::string>&) {},
      [&counts](const std::vector<Value>& row) {
        const auto* configuration = std::get_if<int64_t>(&row[0]);
        const auto* state = std::get_if<std::string>(&row[1]);
        const auto* outcome = std::get_if<std::string>(&row[2]);
        const auto* count = std::get_if<int64_t>(&row[3]);
        if (configuration == nullptr || state == nullptr || count == nullptr) return true;
        ConfigurationCounts& entry = counts[ConfigurationId(*configuration)];
        AddCount(*state, *count, &entry.runs);
        if (outcome != nullptr && !outcome->empty()) entry.outcomes[*outcome] += *count;
        return true;
      }));
  for (const auto& [configuration, waiting] : WaitingByConfiguration(coordinator)) {
    const auto found = counts.find(configuration);
    if (found != counts.end()) found->second.runs = WithWaiting(found->second.runs, waiting);
  }
  return counts;
}

std::map<RunId, LiveFacts> LiveFactsOf(Coordinator* coordinator, const std::vector<RunId>& runs) {
  std::map<RunId, LiveFacts> facts;
  if (runs.empty()) return facts;
  coordinator
      ->Inspect([&](LiveView view) {
        for (const RunId run : runs) {
          const LiveRun* live = view.progress.FindLive(run);
          if (live != nullptr) facts[run] = {live->step, live->training};
        }
      })
      .IgnoreError();
  return facts;
}

std::map<WorkerId, LiveWorker> LiveWorkersOf(Coordinator* coordinator, const std::vector<WorkerId>& workers) {
  std::map<WorkerId, LiveWorker> facts;
  coordinator
      ->Inspect([&](LiveView view) {
        for (const WorkerId& worker : workers) {
          const core::WorkerEntry* entry = view.state.FindWorker(worker);
          if (entry == nullptr) continue;
          LiveWorker& live = facts[worker];
          live.leases.assign(entry->leases.begin(), entry->leases.end());
          live.training = std::count_if(live.leases.begin(), live.leases.end(), [&view](const RunId run) {
            const LiveRun* known = view.progress.FindLive(run);
            return known == nullptr || known->training;
          });
          if (entry->synchronize_number == 0) continue;
          live.seconds_since_seen = std::max<int64_t>(0, absl::ToInt64Seconds(view.now - entry->last_seen));
        }
      })
      .IgnoreError();
  return facts;
}

}  // namespace seedbed
