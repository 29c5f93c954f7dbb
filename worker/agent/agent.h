#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "worker/agent/backoff.h"
#include "worker/agent/coordinator_link.h"
#include "worker/agent/engine_slots.h"
#include "worker/agent/lasting_trouble.h"
#include "worker/agent/lease.h"
#include "worker/agent/messages.h"
#include "worker/agent/synchronizer.h"
#include "worker/process/engine_pool.h"

namespace seedbed::agent {

struct AgentOptions {
  WorkerId worker;
  std::string name;
  std::string host;
  std::string version;
  int slots = 1;                      // runs at once, at most
  bool slots_by_engine = false;       // as many as the engines say they can take, within `slots`
  std::vector<std::string> trainers;  // those allowed; empty: all that the engines offer
  std::string required_device;        // "cpu", "cuda" (any), "cuda:1"; empty: whatever the engine has
  // Leases held beyond the slots while runs are short, so that no slot waits for the coordinator between them.
  int most_prefetch = 1;
  absl::Duration short_run = absl::Seconds(10);         // nothing is prefetched while runs take longer on average
  int64_t most_unacknowledged_bytes = 4 * 1024 * 1024;  // per run; beyond it the run's engine waits
  absl::Duration gather_rows_for = absl::Milliseconds(100);
  absl::Duration log_every = absl::Milliseconds(500);
  absl::Duration resend_after = absl::Seconds(10);     // without an acknowledgement; doubles up to a minute
  absl::Duration engine_patience = absl::Seconds(30);  // a lease waits so long for an engine before it is handed back
  absl::Duration flush_patience = absl::Seconds(5);    // at shutdown, for acknowledgements, or without a coordinator
  absl::Duration goodbye_patience = absl::Seconds(3);  // at shutdown, for the last answer
  absl::Duration pool_patience = absl::Seconds(15);    // at shutdown, for the engines
  // Between two checkpoints of a run. More where one costs more than 1 % of that time, or all of them together more
  // than most_checkpoint_rate. Infinite: only where a run is handed back, and the final one.
  absl::Duration checkpoint_every = absl::Seconds(60);
  double most_checkpoint_rate = 20e6;  // bytes/s, of this worker
  // An end waits so long for the last checkpoint to be stored, but flush_patience at shutdown without a coordinator.
  absl::Duration save_patience = absl::Seconds(30);
  absl::Duration fetch_patience = absl::Seconds(60);  // a lease waits so long for the one to go on from
};

// Where attempts keep their files.
class AttemptFiles {
 public:
  virtual ~AttemptFiles() = default;
  // A new, empty directory, whose absolute path never was another attempt's: databases may share names of runs, and an
  // attempt of the former one may still write while the other one's begins.
  virtual absl::StatusOr<std::string> Create(RunId run, int attempt) = 0;
  virtual void Remove(const std::string& directory) = 0;
  // One file of an attempt.
  virtual void RemoveFile(const std::string& path) = 0;
};

// Hears what people want to know.
class AgentObserver {
 public:
  virtual ~AgentObserver() = default;
  virtual void Registered(const SynchronizeRequest& as) = 0;  // once, at the first answer
  virtual void Info(const std::string& text) = 0;
  virtual void Warning(const std::string& text) = 0;
};

// A worker without its I/O: keeps the coordinator's leases and this worker's engines in step. Deterministic: time,
// random numbers and all that happens come in as arguments, all that it does goes out through the interfaces (which it
// does not own). After each call NextWake() says when OnTime must be called at the latest. Not thread-safe.
//
// The pool is started by the owner, which passes its events on. What each message means: worker_service.proto.
class Agent {
 public:
  // `uniform` draws from [0, 1).
  Agent(AgentOptions options, CoordinatorLink* link, EnginePool* pool, AttemptFiles* files, AgentObserver* observer,
        std::function<double()> uniform);

  void OnLinkEvent(LinkEvent event, const Moment& now);
  void OnEngineEvent(EngineEvent event, const Moment& now);
  void OnTime(const Moment& now);

  // Stops what trains, hands every lease back, says goodbye, shuts the pool down; done() at the end.
  void BeginShutdown(const Moment& now);
  // Shuts the pool down at once: leases are left to expire.
  void Abort(const Moment& now);

  std::optional<absl::Duration> NextWake(const Moment& now) const;
  bool done() const { return stage_ == Stage::kDone; }
  // Why the agent gave up; OK while it has not, and after a shutdown that was asked for.
  const absl::Status& failure() const { return failure_; }
  // Leases held, ended ones that wait for their acknowledgement included.
  size_t lease_count() const { return leases_.size(); }

 private:
  enum class Stage {
    kWorking,
    kStopping,  // engines are writing checkpoints and letting go
    kFlushing,  // ends wait to be acknowledged
    kGoodbye,
    kClosing,  // the pool is shutting down
    kDone,
  };

  // The coordinator does not answer, or refuses this worker.
  void TellOfTrouble(const absl::Status& status, absl::Duration now);

  // What every call ends with: does all that has become possible or due.
  void React(absl::Duration now);

  // agent_facts.cc: what the coordinator is told, and what it answers.
  void Synchronize(bool goodbye, absl::Duration now);
  int FreeSlots() const;
  std::vector<PackNeeds> NeedsOfWaiting() const;
  void OnAnswer(const SynchronizeAnswer& answer, absl::Duration now);
  void AdoptDatabase(const std::string& database_id);

  // agent_leases.cc: the life of a lease.
  void Grant(const LeaseToStart& start, absl::Duration now);
  void Stop(const LeaseToStop& stop, absl::Duration now);
  void Drop(LeaseName name, const std::string& why);
  void HandBack(Lease& lease, const std::string& reason, absl::Duration now);
  void StartWaiting(absl::Duration now);
  void StartOn(int engine, Lease& lease, absl::Duration now);
  void HandBackStranded(absl::Duration now);
  void On(const EngineBecameReady& event, absl::Duration now);
  void On(const EngineWentDown& event, absl::Duration now);
  void On(const AttemptMetrics& event, absl::Duration now);
  void On(const AttemptAlive& event, absl::Duration now);
  void On(const AttemptCheckpoint& event, absl::Duration now);
  void On(const AttemptLog& event, absl::Duration now);
  void On(const AttemptEnded& event, absl::Duration now);
  void On(const PoolStopped& event, absl::Duration now);
  // Ends it once its last checkpoint was sent, if there is one under way.
  void EndSoon(Lease& lease, EndOfAttempt end, absl::Duration now);
  void RemoveFiles(Lease& lease);
  void NotStarted(Lease& lease, const std::string& reason, absl::Duration now);
  void End(Lease& lease, EndOfAttempt end, absl::Duration now);
  Lease* Find(AttemptId attempt);
  bool Closing() const { return stage_ != Stage::kWorking; }

  // agent_reports.cc: rows, ends and logs on their way.
  void OnReportAnswer(const ReportAnswer& answer, absl::Duration now);
  void OnStreamBroken(const ReportStreamBroken& broken, absl::Duration now);
  bool CanSend(absl::Duration now) const;
  void SendReports(absl::Duration now);
  void SendLog(Lease& lease, bool stream_is_behind, absl::Duration now);
  void Send(const Lease& lease, std::shared_ptr<const ReportBody> body);
  void BoundUnacknowledged(Lease& lease);
  absl::Duration ResendAt(const Lease& lease) const;
  std::optional<absl::Duration> NextReportWake(absl::Duration now) const;

  // agent_checkpoints.cc
  void OnCheckpointPut(const CheckpointPut& put, absl::Duration now);
  void OnCheckpointGot(const CheckpointGot& got, absl::Duration now);
  void Fetch(absl::Duration now);
  void AskForCheckpoints(absl::Duration now);
  void AskForCheckpoint(Lease& lease, absl::Duration now);
  void CheckpointNow(const LeaseKey& key, absl::Duration now);
  void SendCheckpoints(absl::Duration now);
  void FinishSaving(absl::Duration now);
  absl::Duration SavePatience() const;
  void Discard(Lease& lease);
  bool HasUnsent(const Lease& lease) const;
  absl::Duration CheckpointDue(const Lease& lease) const;
  std::optional<absl::Duration> NextCheckpointWake(absl::Duration now) const;

  // agent_shutdown.cc
  void AdvanceShutdown(absl::Duration now);
  void Enter(Stage stage, absl::Duration now, absl::Duration patience);
  void GiveUp(absl::Status why, absl::Duration now);
  void Close(absl::Duration now);

  const AgentOptions options_;
  CoordinatorLink* const link_;
  EnginePool* const pool_;
  AttemptFiles* const files_;
  AgentObserver* const observer_;

  Synchronizer synchronizer_;
  LastingTrouble no_answer_;
  EngineSlots engines_;
  std::map<LeaseName, Lease> leases_;
  std::deque<LeaseName> waiting_;  // those in kWaiting, in the order of their grants
  struct Attempt {
    LeaseName name;
    std::string directory;
  };
  std::map<AttemptId, Attempt> attempts_;  // all that the pool has not yet ended, those of dropped leases too
  AttemptId last_attempt_;
  // The checkpoint that is being sent: one at a time.
  struct Sending {
    LeaseName name;
    std::string directory;  // of its lease: another database's may have the same name by the time it was sent
    SavedCheckpoint checkpoint;
  };
  std::optional<Sending> sending_;
  std::string database_id_;
  WorkerState worker_state_ = WorkerState::kActive;
  SynchronizeRequest first_request_;
  std::optional<absl::Duration> typical_run_;  // wall time, the newest weighing half
  absl::Duration no_engine_since_ = absl::ZeroDuration();
  bool engine_ever_ready_ = false;
  int engine_failures_ = 0;  // before the first was ready

  int64_t stream_ = 0;  // the last one's number
  bool stream_open_ = false;
  absl::Duration stream_not_before_ = -absl::InfiniteDuration();
  Backoff stream_backoff_;

  Stage stage_ = Stage::kWorking;
  absl::Duration stage_deadline_ = absl::InfiniteDuration();
  int64_t goodbye_number_ = 0;
  absl::Status failure_;
};

}  // namespace seedbed::agent
