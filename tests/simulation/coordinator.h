#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "coordinator/core/scheduler.h"
#include "coordinator/held_calls.h"
#include "tests/simulation/database.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/ledger.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/world.h"

namespace seedbed::simulation {

// What arrives at the coordinator. `done` is called at most once: perhaps not at all when the process dies.
struct CommandItem {
  core::Command command;  // neither Synchronize nor Report
  std::function<void(const absl::StatusOr<core::Answer>&)> done;
};
struct SynchronizeItem {
  core::Synchronize command;
  SynchronizeDone done;
};
struct ReportItem {
  core::Report report;
  Rows rows;
  std::function<void(const absl::StatusOr<core::ReportAnswer>&)> done;
};
using Item = std::variant<CommandItem, SynchronizeItem, ReportItem>;

// The coordinator around the core, as coordinator/commit_loop is, on simulated time: it decides all that has arrived,
// commits once and then answers. What arrives meanwhile is decided upon what is being written, and written next. Its
// process can be killed at every moment, and what it had in memory is gone.
class Coordinator {
 public:
  // All outlive this; `faults` may change on the way.
  Coordinator(World* world, const Scenario* scenario, const Faults* faults, Database* database, Ledger* ledger);

  void Start();
  bool up() const { return up_; }

  // Refused if the process is down, as by a machine that has no such port open.
  void Receive(Item item);
  // The checkpoint's file has come whole: it is written, then offered to the core.
  void ReceiveCheckpoint(core::StoreCheckpoint command, const CheckpointFile& file,
                         std::function<void(const absl::StatusOr<core::CheckpointAnswer>&)> done);
  void FetchCheckpoint(RunId run, int64_t step,
                       const std::function<void(const absl::StatusOr<CheckpointFile>&)>& done) const;

  // SIGKILL; another process starts after `down_for`.
  void Kill(absl::Duration down_for, const char* when);
  // Nothing is done for a while. `clock_stands` as in a suspended machine, whose monotonic clock stands still.
  void Suspend(absl::Duration time, bool clock_stands);
  void JumpWallClock(absl::Duration by) { wall_offset_ += by; }

 private:
  using Answering = std::function<void(const absl::Status&)>;
  struct Turn {
    Batch batch;
    std::vector<Answering> answers;
    bool work_may_exist = false;
    bool registered = false;  // the command decided last registered a worker
    bool durable = false;     // the command decided last has to be committed
    std::vector<WorkerId> concerned;
    std::vector<WorkerId> answered;  // their calls are answered with the turn
  };

  Moment Now() const;
  void ResetConnections();
  void WakeAfter(absl::Duration delay);
  void TakeTurn();
  void ScheduleNext();
  void Gather();
  void AddReport(ReportItem item);
  std::vector<ReportItem> TakeDueReports();
  void Dispatch();
  void EndCommit();
  bool CrashesHere(bool after);
  void CompareWithDatabase();
  void EnterDegraded(const Turn& failed);
  void TryToRecover();
  void RefuseAll(std::vector<Item> items);
  bool Load();

  // coordinator_decide.cc
  absl::StatusOr<core::Answer> DecideAndApply(core::Command command, Turn* turn);
  void Plant(core::Command* command) const;
  bool PlantedAway(const core::Command& command, const core::Event& event) const;
  void Observe(const core::Event& event, Turn* turn);
  void DoReport(ReportItem item, Turn* turn);
  void DoCommand(CommandItem item, Turn* turn);
  void DoSynchronize(SynchronizeItem item, Turn* turn);
  void WakeHeld(Turn* turn);
  void AnswerLater(Turn* turn, const WorkerId& worker, SynchronizeDone done, core::SynchronizeAnswer answer);
  void AnswerOverdue();
  SynchronizeReply Compose(const WorkerId& worker, core::SynchronizeAnswer answer);

  World& world_;
  const Scenario& scenario_;
  const Faults& faults_;
  Database& database_;
  Ledger& ledger_;
  Dice dice_;
  Dice disk_;

  // Of the machine.
  absl::Duration wall_offset_;
  absl::Duration monotonic_offset_;
  absl::Duration suspended_until_ = -absl::InfiniteDuration();
  int64_t commits_ = 0;  // begun ever
  int64_t files_ = 0;    // named ever

  // Of the process.
  bool up_ = false;
  int64_t process_ = 0;               // what an earlier one had planned does not happen
  int64_t wake_ = 0;                  // only the latest wake counts
  Turn next_;                         // is being gathered
  std::optional<Turn> writing_;       // is being committed
  std::optional<core::State> state_;  // none while it cannot be trusted
  std::vector<Item> inbox_;
  std::deque<ReportItem> reports_;
  absl::Duration reports_due_;
  std::set<RunId> ending_;
  bool goodbye_ = false;
  absl::Duration next_tick_;
  absl::Duration last_turn_;
  bool was_deaf_ = false;
  std::vector<WorkerId> answered_now_;
  absl::Duration probe_delay_;
  HeldCalls held_;
};

}  // namespace seedbed::simulation
