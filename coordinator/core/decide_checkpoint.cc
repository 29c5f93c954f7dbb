#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/schema/largest_step.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/live_lease.h"
#include "coordinator/core/resume.h"

// Checkpoints: what a run can go on from.
namespace seedbed::core {
namespace {

absl::Status CheckCheckpoint(const StoreCheckpoint& command) {
  const Checkpoint& checkpoint = command.checkpoint;
  const bool is_hex =
      checkpoint.sha256.size() == 64 && checkpoint.sha256.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (IsStep(checkpoint.step) && checkpoint.sequence >= 0 && checkpoint.bytes >= 0 &&
      checkpoint.bytes <= kMostCheckpointBytes && !checkpoint.path.empty() && is_hex) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("A checkpoint of run ", command.lease.run.value(),
                                                 " lacks its step (0 to ", kLargestStep,
                                                 "), report sequence, size (at most ", kMostCheckpointBytes,
                                                 "), path or SHA-256 (64 lower-case hexadecimal digits)"));
}

Decision Answered(CheckpointVerdict verdict, std::string reason = "") {
  return {{}, CheckpointAnswer{verdict, std::move(reason)}};
}

}  // namespace

absl::StatusOr<Decision> DecideOne(const State& state, const StoreCheckpoint& command, const Moment&) {
  const absl::Status checked = CheckCheckpoint(command);
  if (!checked.ok()) return checked;
  std::string problem = WhyNotLive(state, command.worker, command.lease);
  if (!problem.empty()) return Answered(CheckpointVerdict::kRefused, std::move(problem));
  const Run* run = state.FindRun(command.lease.run);
  if (command.checkpoint.sequence > run->last_acknowledged_sequence) {
    return Answered(CheckpointVerdict::kTooEarly,
                    absl::StrCat("report ", command.checkpoint.sequence, " at or before it is not durable yet"));
  }
  const std::vector<Checkpoint>& present = state.CheckpointsOf(run->id);
  if (!present.empty() && present.back().step >= command.checkpoint.step) {
    return Answered(CheckpointVerdict::kDuplicate);
  }
  CheckpointStored stored{run->id, command.checkpoint, command.numerics_json};
  stored.checkpoint.attempt = run->attempts;
  stored.checkpoint.numerics = DigestOf(command.numerics_json);
  Decision decision = Answered(CheckpointVerdict::kStored);
  std::vector<Checkpoint> all = present;
  all.push_back(stored.checkpoint);
  decision.events.push_back(std::move(stored));
  if (state.FindSweep(run->sweep)->keep_checkpoints != KeepCheckpoints::kAll) {
    std::vector<int64_t> surplus = OldestBeyond(all, kMostCheckpointsWhileRunning);
    if (!surplus.empty()) decision.events.push_back(CheckpointsDropped{run->id, std::move(surplus), ""});
  }
  return decision;
}

absl::StatusOr<Decision> DecideOne(const State& state, const RequestCheckpoints& command, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(const SweepEntry* const sweep, UsableSweep(state, command.sweep));
  std::vector<RunId> runs = command.runs;
  if (runs.empty()) runs.assign(sweep->running.begin(), sweep->running.end());
  if (runs.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("No run of sweep '", sweep->name, "' is running: only a running one can write a checkpoint"));
  }
  Decision decision;
  for (const RunId id : runs) {
    const Run* run = state.FindRun(id);
    if (run == nullptr || run->sweep != sweep->id) {
      return absl::NotFoundError(absl::StrCat("Sweep '", sweep->name, "' has no run ", id.value()));
    }
    if (StateOf(*run) != RunState::kRunning) {
      return absl::FailedPreconditionError(
          absl::StrCat("Run ", id.value(), " is ", Name(StateOf(*run)), ": only a running one can write a checkpoint"));
    }
    decision.events.push_back(CheckpointRequested{id});
  }
  decision.answer = ChunkAnswer{static_cast<int64_t>(runs.size()), false, 0};
  return decision;
}

}  // namespace seedbed::core
