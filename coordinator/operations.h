#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/coordinator.h"

// What people ask for, made of the core's commands. All of these block until the commits; call them from a thread that
// may wait.
namespace seedbed {

struct Submission {
  std::string submission_id;  // drawn by the client: the same one twice is one submission
  std::string text;           // of the sweep file
  std::string file_name;      // for messages
  std::vector<std::string> overrides;
};
struct SubmissionResult {
  SweepId sweep;
  std::string name;
  bool created = false;
  int64_t configurations_added = 0;
  int64_t runs_added = 0;
  int64_t configurations_total = 0;
  int64_t runs_total = 0;
};
// INVALID_ARGUMENT, RESOURCE_EXHAUSTED: see ParseSweep. FAILED_PRECONDITION: the name exists with other fixed parts.
absl::StatusOr<SubmissionResult> SubmitSweep(Coordinator* coordinator, const Submission& submission);

// The sweeps that a selector (selector.h) names, those that are being deleted left out. An empty one names all.
absl::StatusOr<std::vector<SweepId>> SelectSweeps(Coordinator* coordinator, const std::string& selector);

struct PauseAction {
  bool now = false;
};
struct ResumeAction {};
struct CancelAction {};
struct RetryAction {
  bool include_cancelled = false;
  bool keep_rows = false;
  bool pass_over = false;  // see core::RetryRuns
};
struct ExtendAction {
  int64_t seeds = 0;
};
struct DeleteAction {
  // If any: of the selector's sweeps only these, which somebody was shown. By now a name may be another sweep's; an id
  // never is.
  std::set<SweepId> listed;
  bool only_if_all_cancelled = false;  // see core::DeleteSweep
};
struct CheckpointAction {};  // of what runs, one more now
using SweepAction =
    std::variant<PauseAction, ResumeAction, CancelAction, RetryAction, ExtendAction, DeleteAction, CheckpointAction>;

struct UnchangedSweep {
  std::string name;
  std::string why;
};
struct ControlResult {
  int64_t changed = 0;                    // runs; sweeps for pause, resume
  std::vector<std::string> sweeps;        // names; for pause and resume of those that changed
  std::vector<UnchangedSweep> unchanged;  // in no state for the action
};
// On the sweeps of a selector, which may not be empty here, or (cancel, retry, checkpoint) on `runs` alone. Where
// several sweeps are named, those for which the action is an error are passed over, unless it is one for all. An
// extension ends once `is_wanted`, if given, says no (CANCELLED): the same one again goes on with it.
absl::StatusOr<ControlResult> ControlSweeps(Coordinator* coordinator, const std::string& selector,
                                            const std::vector<RunId>& runs, const SweepAction& action,
                                            const std::function<bool()>& is_wanted = nullptr);

enum class WorkerAction {
  kDrain,
  kResume,     // out of draining or quarantine
  kKnownDead,  // whoever started it saw it end: its runs are queued again at once, and nobody is blamed
};
// Does so to the workers that have this name or id and are not gone.
absl::StatusOr<int64_t> ControlWorkers(Coordinator* coordinator, const std::string& worker, WorkerAction action);

}  // namespace seedbed
