#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/event.h"
#include "coordinator/core/state.h"

// What the end of an attempt means for its run and for the worker that held it. Private to the core.
namespace seedbed::core {

struct EndFacts {
  AttemptEnd end = AttemptEnd::kFailed;
  std::string reason;
  int pack = 1;                   // how many replicas the engine was training
  bool counts_for_run = true;     // false: the run had no part in it, whatever the end
  bool counts_for_worker = true;  // false: nor had the worker
  // A loss is for good if the worker cannot come back: the fence then rises by two, and IsRestorable sees by that.
  bool for_good = false;
  std::optional<RunResult> result;
};

// `run` is running. An end that counts, or is the run's own doing, is weighed against the limits; the others queue it
// again.
AttemptEnded EndAttempt(const State& state, const Run& run, EndFacts facts);

// The worker's counted ends in a row, while one decision adds to them.
class CountedEndsInARow {
 public:
  CountedEndsInARow(const State& state, const WorkerEntry& worker);
  void Add(const AttemptEnded& event);
  // The worker's quarantine, if it is active and this decision's ends are the last straw.
  std::optional<WorkerStateChanged> Quarantine(WorkerState current) const;

 private:
  const State& state_;
  const WorkerEntry& worker_;
  std::vector<RunId> runs_;
};

}  // namespace seedbed::core
