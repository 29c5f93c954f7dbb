#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/digest.h"
#include "common/base/ids.h"
#include "coordinator/core/types.h"

// What the core decided. State::Apply changes memory by them and cannot fail; the store writes the durable ones, in
// order, in one transaction; the answers wait for its commit. Times are stamped by the store from the batch's Moment.
namespace seedbed::core {

struct SweepCreated {
  SweepId sweep;
  std::string name;
  std::string description;
  std::string submission_id;  // drawn by the client: the same call twice is one submission
  std::string fixed_json;     // what later submissions under this name must agree with
  std::string template_json;  // ToJson(RunTemplate), canonical
  std::string metric_json;    // canonical {"name","goal"} or "null"
  std::string source;         // the sweep file's text, as submitted
  int64_t priority = 0;
  std::optional<int64_t> max_concurrent;
  int retries = 0;
  KeepCheckpoints keep_checkpoints = KeepCheckpoints::kLast;
  NumericsPolicy numerics = NumericsPolicy::kAny;
};

// A later submission under the same name, or the taking up of one that was interrupted. The sweep's state stays: an
// active sweep goes on, and its new runs are leased as they arrive.
struct SweepExtended {
  SweepId sweep;
  std::string submission_id;
  std::string description;
  std::string source;
  int64_t priority = 0;
  std::optional<int64_t> max_concurrent;
  KeepCheckpoints keep_checkpoints = KeepCheckpoints::kLast;
  NumericsPolicy numerics = NumericsPolicy::kAny;
};

// Memory only: all of this submission arrived, so a repetition of it has nothing more to send.
struct SubmissionCompleted {
  SweepId sweep;
  std::string submission_id;
};

struct SweepStateChanged {
  SweepId sweep;
  SweepState from;
  SweepState to;
};

struct ConfigurationAdded {
  ConfigurationId configuration;
  SweepId sweep;
  int64_t ordinal = 0;  // place in the sweep, from 0
  Digest digest;
  Digest pack_key;
  std::string parameters_json;
  std::string varied_json;
};

// Other parameters than before tell the configuration from its sweep's others. Nothing but its row knows them.
struct VariedChanged {
  ConfigurationId configuration;
  SweepId sweep;
  std::string varied_json;
};

// A queued run. `round` is the seed's place among the configuration's seeds, from 0: the default order is by round.
struct RunAdded {
  RunId run;
  SweepId sweep;
  ConfigurationId configuration;
  int64_t seed = 0;
  int64_t round = 0;
};

// queued → running, with nothing acknowledged yet. Deletes the run's rows and checkpoints beyond `resume_step` (all of
// them without one).
struct AttemptGranted {
  LeaseKey lease;
  WorkerId worker;
  std::optional<int64_t> resume_step;
  bool mixes_numerics = false;  // goes on from a checkpoint of another numerics fingerprint
  absl::Duration expires_at;    // monotonic; memory only
};

// queued → running: the same attempt goes on under a new fence, its end (lost) undone. A worker came back after its
// lease had expired, and the run had not been granted again.
struct LeaseRestored {
  LeaseKey lease;  // with the new fence
  WorkerId worker;
  int counted_ends = 0;       // of the run, without the loss that was none
  absl::Duration expires_at;  // monotonic; memory only
};

// Reports up to `sequence` are durable with this batch, rows up to `last_step`.
struct ReportAcknowledged {
  RunId run;
  int attempt = 0;
  int64_t sequence = 0;
  int64_t last_step = -1;  // of the rows that came with it; -1: none came. The run's last step is the largest of these
};

// The run can be resumed from it from now on.
struct CheckpointStored {
  RunId run;
  Checkpoint checkpoint;
  std::string numerics_json;  // canonical
};

// These checkpoints of the run are of no use any more; their files go after the commit. `damage`: why people should
// know of it, empty where it is the ordinary way of things.
struct CheckpointsDropped {
  RunId run;
  std::vector<int64_t> steps;  // rising
  std::string damage;
};

// running → next_state, under a raised fence. `result` stands for kFinished only.
struct AttemptEnded {
  RunId run;
  int attempt = 0;
  Fence next_fence;
  AttemptEnd end = AttemptEnd::kFailed;
  std::string reason;
  RunState next_state = RunState::kQueued;
  std::optional<RunResult> result;
  int counted_ends = 0;  // of the run, this end included
  int failed_ends = 0;   // of the run, this end included
  int pack_limit =
      0;  // from now on the run shares an engine with at most this many, itself included; 0: any. Memory only
  bool blames_worker = false;  // counts among the worker's ends in a row. Memory only
};

// A run that was not running: cancelled, or (by retry) queued again with counted_ends and failed_ends cleared.
// `delete_rows`: its steps, result and checkpoints go.
struct RunStateChanged {
  RunId run;
  RunState from;
  RunState to;
  Fence next_fence;
  bool delete_rows = false;
};

// The runs and their rows, attempts and results are gone, and so are those configurations whose last run went with it.
// Runs go from the back: the sweep's last configuration first, in it the last round first.
struct RunsDeleted {
  SweepId sweep;
  std::vector<RunId> runs;
  std::vector<ConfigurationId> configurations;
};

// The last event of a deletion: nothing but the sweep itself is left by then.
struct SweepDeleted {
  SweepId sweep;
};

// A new worker (then it is kActive), or new facts about a known one (then its state stays).
struct WorkerRegistered {
  WorkerId worker;
  std::string name;
  std::string host;
  int slots = 0;
  std::string device;
  std::string version;
  std::vector<TrainerOffer> trainers;
};

struct WorkerStateChanged {
  WorkerId worker;
  WorkerState from;
  WorkerState to;
  std::string reason;
};

// Memory only: a heartbeat that changes nothing else needs no commit.
struct WorkerSeen {
  WorkerId worker;
  int64_t synchronize_number = 0;
  absl::Duration at;  // monotonic
  int free_slots = 0;
};
struct LeaseRenewed {
  RunId run;
  absl::Duration expires_at;  // monotonic
  bool listed = false;        // the worker has named it at least once
  int64_t step = -1;
};
struct CheckpointRequested {
  RunId run;
};
// Every lease and every worker's time to be heard of.
struct LeasesExtended {
  absl::Duration by;
};
struct ClockTicked {
  absl::Duration at;  // monotonic
};

using Event =
    std::variant<SweepCreated, SweepExtended, SubmissionCompleted, SweepStateChanged, ConfigurationAdded, VariedChanged,
                 RunAdded, AttemptGranted, LeaseRestored, ReportAcknowledged, CheckpointStored, CheckpointsDropped,
                 AttemptEnded, RunStateChanged, RunsDeleted, SweepDeleted, WorkerRegistered, WorkerStateChanged,
                 WorkerSeen, LeaseRenewed, CheckpointRequested, LeasesExtended, ClockTicked>;

// False for the events that live in memory only.
bool IsDurable(const Event& event);

// One line for logs and aborts: the event's name and what it is about.
std::string Describe(const Event& event);

}  // namespace seedbed::core
