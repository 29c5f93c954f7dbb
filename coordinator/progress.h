#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "coordinator/core/event.h"
#include "coordinator/core/state.h"

namespace seedbed {

// A run that ended while this coordinator was there to see it.
struct EndedRun {
  int64_t number = 0;  // rising, from 1
  RunId run;
  SweepId sweep;
  ConfigurationId configuration;
  int64_t seed = 0;
  core::RunState state = core::RunState::kFinished;
  std::string outcome;
  std::string reason;
  int64_t last_step = -1;
};

// What is known of a running run beyond the durable state: volatile, from heartbeats and reports.
struct LiveRun {
  SweepId sweep;
  int64_t step = -1;
  bool training = false;  // false: granted, and waiting for a slot
};

// Follows the commit loop's events and the workers' words: how fast training goes and how long it will take. Times are
// monotonic. Not thread-safe: belongs to the commit loop.
class Progress {
 public:
  // Called before `event` is applied to `state`.
  void Observe(const core::State& state, const core::Event& event);
  // A worker's word on where a run stands; ignored for runs that do not run.
  void ObserveStep(const core::State& state, RunId run, int64_t step, bool training, absl::Duration now);
  // Ended runs of a sweep from before this process, so that estimates start well.
  void LoadEnded(SweepId sweep, int64_t runs, double steps);
  // Drops what is known of running runs: after the state was rebuilt, they are learned anew.
  void ForgetLive();
  // Takes back the ended runs after `number`: their commit failed.
  void ForgetEndedAfter(int64_t number);

  // Updates per second over the last kWindow, over all runs; 0 if none was seen.
  double StepsPerSecond(absl::Duration now) const;
  // Steps left in `sweeps` over the present speed, in seconds. A run is taken to last as long as the mean ended run of
  // its sweep, or its whole budget where none has ended. nullopt while the speed or a budget is unknown.
  std::optional<double> SecondsLeft(const core::State& state, const std::set<SweepId>& sweeps, absl::Duration now);

  int64_t BudgetSteps(const core::SweepEntry& sweep);  // 0: unknown

  const LiveRun* FindLive(RunId run) const;
  // Runs that are leased and do not train yet, rising: granted just now, or waiting at their worker for a slot. People
  // see them as queued.
  std::vector<RunId> Waiting() const;
  std::map<SweepId, int64_t> WaitingBySweep() const;
  // The latest ended runs, rising by number; older ones are forgotten.
  const std::deque<EndedRun>& ended() const { return ended_; }
  int64_t last_ended_number() const { return last_ended_number_; }
  // Rises with every change that a watcher could see.
  int64_t revision() const { return revision_; }

  static constexpr absl::Duration kWindow = absl::Seconds(10);

 private:
  struct EndedSteps {
    int64_t runs = 0;
    double steps = 0;
  };
  void ObserveEnd(const core::State& state, RunId run, core::RunState next, const std::string& reason,
                  const std::optional<core::RunResult>& result);

  absl::flat_hash_map<RunId, LiveRun> live_;
  std::map<int64_t, double> steps_by_second_;  // of the monotonic clock, within the window
  std::optional<absl::Duration> first_step_at_;
  absl::flat_hash_map<SweepId, EndedSteps> ended_steps_;
  absl::flat_hash_map<SweepId, int64_t> budgets_;
  std::deque<EndedRun> ended_;
  int64_t last_ended_number_ = 0;
  int64_t revision_ = 1;
};

}  // namespace seedbed
