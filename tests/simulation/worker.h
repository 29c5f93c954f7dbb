#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/core/command.h"
#include "tests/simulation/coordinator.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/network.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/truth.h"
#include "tests/simulation/world.h"

namespace seedbed::simulation {

// A node with a worker's process on it, which keeps to the protocol as worker/agent does: it synchronises, trains what
// it was granted, numbers its reports and keeps each until it is acknowledged, sends checkpoints. The process can be
// killed, stopped and told to leave; another one, with another id, takes its place. An impudent one also goes on
// reporting on what it was told to drop.
class Worker {
 public:
  // All outlive this; `faults` may change on the way.
  Worker(World* world, const Scenario* scenario, const Faults* faults, int node, Network* network,
         Coordinator* coordinator, Truth* truth);

  void Boot();
  void Kill(absl::Duration down_for);   // SIGKILL
  void Leave(absl::Duration down_for);  // SIGTERM
  void Freeze(absl::Duration time);     // SIGSTOP, and SIGCONT later

 private:
  enum class Phase {
    kFetching,  // the checkpoint to go on from
    kWaiting,   // for a slot
    kTraining,
    kSaving,  // its last checkpoint is on the way
    kEnded,   // its end waits to be acknowledged
  };
  struct KeptReport {
    Rows rows;
    std::optional<core::Report::End> end;
  };
  struct Saved {
    int64_t step = 0;
    int64_t sequence = 0;
    uint64_t state = 0;
  };
  struct Lease {
    core::LeaseKey key;
    std::string specification;
    absl::Duration taken_at;
    Phase phase = Phase::kWaiting;
    absl::Duration phase_since;
    std::optional<int64_t> resume_step;
    bool final_checkpoint = false;
    int64_t step = -1;  // of the last row that it gave
    uint64_t state = 0;
    absl::Duration stuck_until = -absl::InfiniteDuration();
    std::optional<core::Report::End> end;  // once the last checkpoint is through

    std::deque<KeptReport> reports;  // unacknowledged, the first of sequence acknowledged + 1
    int64_t acknowledged = 0;
    size_t sent = 0;  // of these
    absl::Duration heard_at;
    std::optional<Saved> saved;
    bool uploading = false;
    absl::Duration asked_at;  // of an upload or a download
    int64_t last_saved = -1;

    int64_t last_sequence() const { return acknowledged + static_cast<int64_t>(reports.size()); }
  };
  using LeaseName = std::pair<RunId, int>;  // run and attempt

  absl::Duration now() const { return world_.queue.now(); }
  // Runs `action` if the process still lives then, as soon as it is not stopped.
  void Later(absl::Duration delay, std::function<void()> action);
  void Arrive(int64_t process, const std::function<void()>& action);
  std::function<void(const std::function<void()>&)> Answers();
  void Beat();
  void AdvanceLeaving();

  void SynchronizeIfDue();
  void BackOff();
  void Synchronize(bool goodbye);
  void OnSynchronized(int64_t number, const absl::StatusOr<SynchronizeReply>& reply);
  void Grant(const GrantedLease& granted);
  void Stop(const core::LeaseToStop& stop);
  void HandBack(Lease& lease, const char* reason);
  void Drop(LeaseName name, bool told);

  // worker_training.cc
  void Train();
  void TrainOne(Lease& lease);
  void EndBadly(Lease& lease);
  void AddRow(Lease& lease, KeptReport* report);
  void Save(Lease& lease);
  void End(Lease& lease, core::Report::End end);
  void FinishSaving();
  bool InDoubt() const;
  void SendReports();
  void Send(const core::Report& report, const Rows& rows);
  void OnReportAnswered(const core::LeaseKey& lease, const absl::StatusOr<core::ReportAnswer>& answer);
  void SendCheckpoints();
  void OnCheckpointAnswered(const core::LeaseKey& lease, int64_t step,
                            const absl::StatusOr<core::CheckpointAnswer>& answer);
  void Fetch();
  void OnFetched(const core::LeaseKey& lease, const absl::StatusOr<CheckpointFile>& file);
  void ReportRubbish();

  World& world_;
  const Scenario& scenario_;
  const WorkerPlan& plan_;
  const Faults& faults_;
  const int node_;
  Network& network_;
  Coordinator& coordinator_;
  Truth& truth_;
  Dice dice_;

  // Of the process.
  int64_t process_ = 0;
  bool up_ = false;
  absl::Duration frozen_until_ = -absl::InfiniteDuration();
  WorkerId id_;
  std::map<LeaseName, Lease> leases_;
  std::vector<core::LeaseKey> dropped_;  // because it was told to; an impudent one remembers them
  int64_t number_ = 0;
  int64_t answered_number_ = 0;
  std::map<int64_t, absl::Duration> under_way_;  // when each call was begun
  bool wanted_ = true;
  absl::Duration next_call_;   // unless there is news before
  absl::Duration not_before_;  // after a failure
  absl::Duration renewed_at_;
  std::optional<absl::Duration> leaving_until_;
  absl::Duration down_for_;
  bool goodbye_said_ = false;
};

}  // namespace seedbed::simulation
