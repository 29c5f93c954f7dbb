#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/core/scheduler.h"

// For the core's tests: a coordinator's core on a fake clock and workers that keep to the rules unless told otherwise.
// After every command the invariants are checked, and a failure is a failure of the test.
namespace seedbed::core {

struct SweepOptions {
  int points = 1;
  int64_t seeds = 1;
  int64_t priority = 0;
  std::optional<int64_t> max_concurrent;
  int retries = 0;
  KeepCheckpoints keep_checkpoints = KeepCheckpoints::kLast;
  NumericsPolicy numerics = NumericsPolicy::kAny;
  std::string trainer = "modular";
  int packs = 0;  // pack keys, point i has key i % packs; 0: each point its own
};

class Scene {
 public:
  explicit Scene(const Settings& settings = {});

  // Decides, applies and checks. The command must succeed.
  Decision Do(const Command& command);
  // The same for one that must fail; nothing is applied. Returns the error.
  absl::Status Fails(const Command& command);
  template <typename AnswerType>
  AnswerType Ask(const Command& command) {
    return std::get<AnswerType>(Do(command).answer);
  }

  // One tick after each second of `by`, as a running coordinator has them.
  void Pass(absl::Duration by);

  SweepId Submit(const std::string& name, const SweepOptions& options = {});
  // The commands of a submission, for tests of its steps.
  static BeginSubmission Begin(const std::string& name, const std::string& submission_id,
                               const SweepOptions& options = {});
  static AddConfigurations Add(SweepId sweep, int first_point, const SweepOptions& options);

  const Run& RunAt(SweepId sweep, int point, int round) const;
  // "name:point.seed", e.g. "alpha:2.0".
  std::string Label(RunId run) const;
  std::string Labels(const std::vector<LeaseToStart>& leases) const;
  // "queued", "running", … of one run.
  std::string StateOfRun(RunId run) const { return Name(StateOf(*state.FindRun(run))); }
  // "q2 r1 f0 x0 c0": queued, running, finished, failed, cancelled.
  std::string Counts(SweepId sweep) const;

  // Everything durable, through the store's door: a restarted coordinator.
  State Reloaded(absl::Duration now) const;
  void Restart();

  FakeClock clock;
  Settings settings;
  State state;
  std::vector<Event> last_events;  // of the last command

 private:
  int submissions_ = 0;
};

// A worker of the scene. It lists what it holds, takes what it is given and drops what it must.
class SceneWorker {
 public:
  SceneWorker(Scene& scene, const std::string& id, int slots);

  // One call and its answer, acted upon.
  SynchronizeAnswer Synchronize();
  // The call is decided, its answer never arrives.
  SynchronizeAnswer SynchronizeAnswerLost();
  // What the next call would say.
  core::Synchronize Facts();
  void Take(const SynchronizeAnswer& answer);
  SynchronizeAnswer Goodbye();
  // The process ends without a word; it does not come back.
  void Vanish() { held.clear(); }

  // The next report of a lease that it holds: rows up to `step`, or the end (then it holds it no more).
  core::Report NextReport(RunId run, int64_t step = 0);
  ReportAnswer SendRows(RunId run, int64_t step = 0);
  ReportAnswer End(RunId run, AttemptEnd end, int pack = 1);
  // A checkpoint of a run that it holds, at or after all that it reported.
  StoreCheckpoint NextCheckpoint(RunId run, int64_t step);
  CheckpointVerdict Save(RunId run, int64_t step);
  ReportAnswer Finish(RunId run) { return End(run, AttemptEnd::kFinished); }

  const WorkerEntry& entry() const { return *scene_.state.FindWorker(id); }

  WorkerId id;
  int slots;
  std::vector<TrainerOffer> trainers{{"modular", "{}", {}}};
  std::vector<EngineRoom> engines;
  std::map<RunId, LeaseKey> held;
  std::map<RunId, int64_t> sequences;  // last one sent, of the attempt that it holds or held
  int64_t number = 0;

 private:
  Scene& scene_;
};

// The first lease given to the worker at its next call; the call must give one.
LeaseKey Lease(SceneWorker& worker);

}  // namespace seedbed::core
