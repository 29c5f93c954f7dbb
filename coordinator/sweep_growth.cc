#include "coordinator/sweep_growth.h"

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/schema/trainer_schema.h"
#include "common/sweep_file/varied_parameters.h"
#include "coordinator/core/scheduler.h"

namespace seedbed {
namespace {

absl::Status ForEachStored(Coordinator* coordinator, SweepId id,
                           const std::function<absl::Status(const StoredPoint&)>& visit) {
  int64_t next = 0;
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const std::vector<StoredPoint> points,
                             coordinator->reader().ListPoints(id, next, core::kMostRunsPerChunk));
    if (points.empty()) return absl::OkStatus();
    for (const StoredPoint& point : points) SEEDBED_RETURN_IF_ERROR(visit(point));
    next = points.back().ordinal + 1;
  }
}

absl::StatusOr<Json> Complete(const TrainerSchema& schema, const std::string& parameters_json) {
  SEEDBED_ASSIGN_OR_RETURN(const Json given, ParseJson(parameters_json, "a configuration's parameters"));
  return CompleteParameters(schema, given);
}

absl::StatusOr<bool> Grows(Coordinator* coordinator, SweepId id, const Sweep& submitted) {
  bool grows = false;
  SEEDBED_RETURN_IF_ERROR(coordinator->Inspect([&](LiveView view) {
    const core::SweepEntry* sweep = view.state.FindSweep(id);
    if (sweep == nullptr || sweep->configurations.empty()) return;
    grows = std::any_of(submitted.configurations.begin(), submitted.configurations.end(),
                        [sweep](const Configuration& each) { return sweep->by_digest.count(each.digest) == 0; });
  }));
  return grows;
}

}  // namespace

absl::Status CheckRoomFor(Coordinator* coordinator, const Sweep& submitted) {
  absl::Status most;  // if it had none of them
  const auto look = [&](const std::function<void(const core::State&, const core::SweepEntry&)>& with) {
    return coordinator->Inspect([&](LiveView view) {
      for (const auto& [id, sweep] : view.state.sweeps()) {
        if (sweep.name == submitted.name) return with(view.state, sweep);
      }
    });
  };
  SEEDBED_RETURN_IF_ERROR(look([&](const core::State& state, const core::SweepEntry& sweep) {
    most = core::CheckGrownSize(state, sweep, submitted.run_count());
  }));
  if (most.ok()) return most;
  // In pieces: others wait while somebody looks.
  absl::Status status;
  int64_t added = 0;
  const size_t piece = std::max<size_t>(1, static_cast<size_t>(core::kMostRunsPerChunk) / submitted.seeds.size());
  for (size_t first = 0; first < submitted.configurations.size() && status.ok(); first += piece) {
    std::vector<Digest> digests;
    for (size_t i = first; i < std::min(first + piece, submitted.configurations.size()); ++i) {
      digests.push_back(submitted.configurations[i].digest);
    }
    SEEDBED_RETURN_IF_ERROR(look([&](const core::State& state, const core::SweepEntry& sweep) {
      for (const Digest& digest : digests) {
        const auto found = sweep.by_digest.find(digest);
        std::set<int64_t> there;
        if (found != sweep.by_digest.end()) {
          for (const auto& [seed, run] : state.FindConfiguration(found->second)->runs) there.insert(seed);
        }
        added += std::count_if(submitted.seeds.begin(), submitted.seeds.end(),
                               [&there](int64_t seed) { return there.count(seed) == 0; });
      }
      status = core::CheckGrownSize(state, sweep, added);
    }));
  }
  return status;
}

absl::Status TellApart(Coordinator* coordinator, SweepId id, Sweep* submitted) {
  SEEDBED_ASSIGN_OR_RETURN(const bool grows, Grows(coordinator, id, *submitted));
  if (!grows) return absl::OkStatus();
  const TrainerSchema* schema = FindTrainer(submitted->shared.trainer);
  if (schema == nullptr) {
    return absl::InternalError(absl::StrCat("there is no trainer '", submitted->shared.trainer, "'"));
  }
  VariedParameters varied;
  SEEDBED_RETURN_IF_ERROR(ForEachStored(coordinator, id, [&](const StoredPoint& point) -> absl::Status {
    SEEDBED_ASSIGN_OR_RETURN(const Json complete, Complete(*schema, point.parameters_json));
    varied.Add(complete);
    return absl::OkStatus();
  }));
  for (const Configuration& each : submitted->configurations) {
    SEEDBED_ASSIGN_OR_RETURN(const Json complete, Complete(*schema, each.parameters_json));
    varied.Add(complete);
  }
  submitted->configurations.SetVaried(varied.Names());
  core::ChangeVaried change;
  change.sweep = id;
  const auto send = [&]() -> absl::Status {
    if (change.varied_json.empty()) return absl::OkStatus();
    SEEDBED_RETURN_IF_ERROR(coordinator->ExecuteAndWait(change).status());
    change.varied_json.clear();
    return absl::OkStatus();
  };
  SEEDBED_RETURN_IF_ERROR(ForEachStored(coordinator, id, [&](const StoredPoint& point) -> absl::Status {
    SEEDBED_ASSIGN_OR_RETURN(const Json complete, Complete(*schema, point.parameters_json));
    std::string text = varied.Of(complete);
    if (text != point.varied_json) change.varied_json.emplace_back(point.id, std::move(text));
    return static_cast<int64_t>(change.varied_json.size()) < core::kMostRunsPerChunk ? absl::OkStatus() : send();
  }));
  return send();
}

}  // namespace seedbed
