#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/digest.h"
#include "common/base/ids.h"
#include "coordinator/core/types.h"

// What may be asked of the core, each with its answer. Everything random or timed travels in the command.
namespace seedbed::core {

// --- submission: BeginSubmission, AddConfigurations in chunks of at most kMostRunsPerChunk runs, CompleteSubmission
// -------- Every step may be repeated. A new sweep leases nothing until it is complete; one that is extended goes on
// meanwhile, and its new runs are leased as they arrive. A submission that was interrupted midway can be taken up again
// under another id.

struct BeginSubmission {
  std::string submission_id;
  std::string name;
  std::string description;
  std::string fixed_json;  // must be the same in every submission under this name
  std::string template_json;
  std::string metric_json;
  std::string source;
  int64_t priority = 0;
  std::optional<int64_t> max_concurrent;
  int retries = 0;
  KeepCheckpoints keep_checkpoints = KeepCheckpoints::kLast;
  NumericsPolicy numerics = NumericsPolicy::kAny;
};
// FAILED_PRECONDITION with a diff (DiffFixedParts) if the name exists with other fixed parts, or is being deleted.
struct BeginSubmissionAnswer {
  SweepId sweep;
  bool created = false;
  bool already_complete = false;  // this submission_id was completed before: nothing more to send
};

struct NewConfiguration {
  Digest digest;
  // 0: the core computes it (PackKeyOf), with the pack parameters that every live worker offering the trainer allows.
  Digest pack_key;
  std::string parameters_json;
  std::string varied_json;
};
// Adds those configurations that are new, and for each named one the runs of `seeds` that it lacks. INVALID_ARGUMENT if
// configurations × seeds is more than kMostRunsPerChunk, RESOURCE_EXHAUSTED as for ExtendSeeds.
struct AddConfigurations {
  SweepId sweep;
  std::vector<NewConfiguration> configurations;
  std::vector<int64_t> seeds;
};
struct AddConfigurationsAnswer {
  int64_t configurations_added = 0;
  int64_t runs_added = 0;
};

// What tells configurations apart, for tables: it grows with the sweep. At most kMostRunsPerChunk a call.
struct ChangeVaried {
  SweepId sweep;
  std::vector<std::pair<ConfigurationId, std::string>> varied_json;  // canonical JSON
};

// FAILED_PRECONDITION if another submission has taken over.
struct CompleteSubmission {
  SweepId sweep;
  std::string submission_id;
};

// --- people
// -------------------------------------------------------------------------------------------------------------

// Adds seeds to every configuration: the smallest non-negative integers not used, until each has `seeds` of them.
// RESOURCE_EXHAUSTED if the sweep would have more than Settings::most_runs_of_sweep runs.
// Looks at no more than `most` configurations and adds no more than `most` runs a call (ChunkAnswer): while `more`,
// call again with from_ordinal = next.
struct ExtendSeeds {
  SweepId sweep;
  int64_t seeds = 0;
  int64_t from_ordinal = 0;
  int64_t most = kMostRunsPerChunk;
};
// FAILED_PRECONDITION while the sweep is being submitted. To pause what is paused or has ended, or to resume what is
// active, is no error and changes nothing: SweepStateAnswer says so.
struct PauseSweep {
  SweepId sweep;
  bool now = false;  // also preempts what runs
};
struct ResumeSweep {
  SweepId sweep;
};
struct SweepStateAnswer {
  bool changed = false;
  std::string why_not;  // for people, e.g. "paused already"
};
// The next three work on at most `most` runs a call (ChunkAnswer); while `more`, call again with the same command.
// Queued runs are cancelled in the order in which they would be leased, then running ones.
struct CancelRuns {
  SweepId sweep;
  std::vector<RunId> runs;  // empty: every run of the sweep that has not ended
  int64_t most = kMostRunsPerChunk;
};
// FAILED_PRECONDITION if one of `runs` is finished; queued and running ones are left as they are.
struct RetryRuns {
  SweepId sweep;
  std::vector<RunId> runs;  // empty: every failed run of the sweep (and cancelled ones with include_cancelled)
  bool include_cancelled = false;
  bool keep_rows = false;  // --resume
  bool pass_over = false;  // of `runs`, leave those that have not failed (or were cancelled, likewise) as they are
  int64_t most = kMostRunsPerChunk;
};
// Marks the sweep as kDeleting first (running attempts are cancelled), then removes in chunks. A deletion that was
// interrupted (the coordinator was killed) is taken up by the same command; nothing else can be done to such a sweep.
struct DeleteSweep {
  SweepId sweep;
  int64_t most = kMostRunsPerChunk;
  // FAILED_PRECONDITION if the deletion has not begun and a run is not cancelled, or runs may still be arriving.
  bool only_if_all_cancelled = false;
};
struct DrainWorker {
  WorkerId worker;
};
struct ResumeWorker {  // out of draining or quarantine
  WorkerId worker;
};
struct ChunkAnswer {
  int64_t changed = 0;  // runs
  bool more = false;
  // With `more`. ExtendSeeds: the next call's from_ordinal. RetryRuns: how many of `runs` are done with.
  int64_t next = 0;
};

// --- workers
// ------------------------------------------------------------------------------------------------------------

struct HeldLease {
  LeaseKey lease;
  int64_t step = -1;
  bool training = false;  // false: prefetched, waiting for a slot
};
// Room in one engine.
struct EngineRoom {
  int free_slots = 0;  // never more than the pack limits of the runs in it allow
  int occupied = 0;    // runs in it
  std::optional<Digest>
      pack_key;  // of what it has loaded: only such runs fit; none: any run fits, and the first picks the key
};
struct Synchronize {
  WorkerId worker;
  std::string name;
  std::string host;
  std::string device;
  std::string version;
  int slots = 0;       // runs at once
  int free_slots = 0;  // how many more leases it wants now (prefetch included)
  // Where those leases would run. Empty: each in an engine of its own, which takes any run. More room than free_slots
  // is not filled.
  std::vector<EngineRoom> engines;
  int64_t number = 0;  // rises with every call of this worker; a call with a lower one than the last is ignored
  // Decided again on behalf of a call that is held open: its facts are old, so they renew nothing and absence proves
  // nothing.
  bool held_open = false;
  std::vector<TrainerOffer> trainers;
  std::vector<HeldLease> leases;  // all that it holds
  bool goodbye = false;           // leaving: it holds nothing any more, or hands back all of `leases`
};
struct LeaseToStart {
  LeaseKey lease;
  SweepId sweep;
  ConfigurationId configuration;
  int64_t seed = 0;
  std::optional<int64_t> resume_step;  // of a checkpoint that the coordinator has
  bool final_checkpoint = false;       // one is wanted of the last step too
  Digest pack_key;                     // runs of one engine must share it
  int pack_limit = 0;                  // how many may share its engine, itself included; 0: any number
};
struct LeaseToStop {
  LeaseKey lease;
  std::string reason;
  bool hand_back = false;  // true: preempted (a checkpoint is wanted), false: drop it, nothing of it will be accepted
};
struct SynchronizeAnswer {
  bool ignored = false;  // a lower number than one seen before
  WorkerState state = WorkerState::kActive;
  std::vector<LeaseToStart> start;  // a grant is repeated until the worker lists it
  std::vector<LeaseToStop> stop;
  std::vector<LeaseKey>
      restored;  // held by the worker under an older fence: go on under this one, unacknowledged reports too
  std::vector<LeaseKey> checkpoint;  // one is wanted now; repeated until it is stored
  absl::Duration next_call_after;
};

// One report as the core sees it: the rows themselves never enter. An end of kCancelled is not the worker's to report,
// and one of kFinished needs a result (INVALID_ARGUMENT).
struct Report {
  WorkerId worker;
  LeaseKey lease;
  int64_t sequence = 0;    // per attempt, from 1, without gaps
  int64_t last_step = -1;  // of its rows; -1: none
  struct End {
    AttemptEnd end = AttemptEnd::kFinished;
    std::string reason;
    int pack = 1;  // how many replicas the engine was training
    std::optional<RunResult> result;
    // The checkpoint of this step could not be used (cut short, damaged): it is dropped, so that the next attempt goes
    // on from the one before.
    std::optional<int64_t> unusable_checkpoint;
  };
  std::optional<End> end;
  // The message could not be read; `end` says why. It ends the attempt whatever its sequence is, and is refused: the
  // worker drops the attempt, and without this it would only be lost.
  bool malformed = false;
};
enum class ReportVerdict {
  kAccepted,   // write the rows with this batch, then acknowledge
  kDuplicate,  // acknowledged before: acknowledge again, write nothing
  kRefused,    // stale fence or unknown lease: the worker drops the attempt
  kGap,        // an earlier sequence is missing: send again from acknowledged + 1
};
struct ReportAnswer {
  ReportVerdict verdict = ReportVerdict::kRefused;
  int64_t acknowledged_sequence = 0;
  std::string reason;  // of a refusal
};

// A checkpoint whose file is complete and synced under its final name. INVALID_ARGUMENT for a malformed one.
struct StoreCheckpoint {
  WorkerId worker;
  LeaseKey lease;
  Checkpoint checkpoint;      // `attempt` and `numerics` are set by the core
  std::string numerics_json;  // canonical
};
enum class CheckpointVerdict {
  kStored,
  kDuplicate,  // one of this step or a later one is there: this file is not needed
  kRefused,    // stale fence or unknown lease
  kTooEarly,   // its report is not durable yet: send it again once that was acknowledged
};
struct CheckpointAnswer {
  CheckpointVerdict verdict = CheckpointVerdict::kRefused;
  std::string reason;  // of kRefused and kTooEarly
};

// Somebody wants checkpoints beyond those that workers write by themselves: the workers are told so with every answer
// until one is stored or the attempt ends. Kept in memory only. The answer (ChunkAnswer) counts the runs.
struct RequestCheckpoints {
  SweepId sweep;
  std::vector<RunId> runs;  // of the sweep; FAILED_PRECONDITION unless they all run. Empty: all of its that do
};

// --- time and process
// -----------------------------------------------------------------------------------------------------

// After a gap of more than Settings::suspension_gap since the last one every lease is extended by it: nothing could be
// heard.
struct Tick {
  // It could: the gap is the time of a write, during which calls were decided. It extends no lease...
  bool heard_meanwhile = false;
  // ...but renews those of the workers whose calls have waited for that write and are answered now, or were since the
  // last tick: until then they could not call again.
  std::vector<WorkerId> answered_now;
};
// Leases of workers that are known to be dead (embedded mode) end as lost, not counted, at once. Unknown workers are no
// error.
struct VoidLeases {
  std::vector<WorkerId> workers;
};

using Command = std::variant<BeginSubmission, AddConfigurations, ChangeVaried, CompleteSubmission, ExtendSeeds,
                             PauseSweep, ResumeSweep, CancelRuns, RetryRuns, DeleteSweep, DrainWorker, ResumeWorker,
                             Synchronize, Report, StoreCheckpoint, RequestCheckpoints, Tick, VoidLeases>;
struct Done {};
using Answer = std::variant<Done, BeginSubmissionAnswer, AddConfigurationsAnswer, SweepStateAnswer, ChunkAnswer,
                            SynchronizeAnswer, ReportAnswer, CheckpointAnswer>;

}  // namespace seedbed::core
