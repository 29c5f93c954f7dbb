#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/json.h"
#include "common/schema/run_specification.h"
#include "worker/engine/learner.h"
#include "worker/engine/measures.h"
#include "worker/engine/run_monitor.h"

namespace seedbed::engine {

// One run being trained. Stays on the thread that made it.
class Session {
 public:
  // What one call of Advance brought.
  struct Progress {
    std::optional<MetricRow> row;  // if a row is due at this step
    std::optional<Ending> ending;  // if the run is over; no update was made then
  };

  // Builds the task, the model and its initial parameters. INVALID_ARGUMENT names the wrong parameter, stop rule or
  // trainer.
  static absl::StatusOr<std::unique_ptr<Session>> Create(const RunSpecification& specification);

  // Measures the parameters at step(), and then, unless that ends the run, makes one update. Not to be called after an
  // ending.
  Progress Advance();

  // Updates made so far.
  int64_t step() const { return step_; }
  // Both after an ending.
  std::string Outcome() const { return monitor_.Outcome(); }
  Json Summary() const;

 private:
  Session(const RunSpecification& specification, bool has_mirrors, RunMonitor monitor,
          std::unique_ptr<Learner> learner);
  double WallSeconds() const;
  void Evaluate(MetricRow* row);

  const MetricIntervals intervals_;
  const bool has_mirrors_;  // of the task: whether unseen and mirrored test pairs mean anything
  RunMonitor monitor_;
  std::unique_ptr<Learner> learner_;
  int64_t step_ = 0;
  std::optional<Ending> ending_;
  const double wall_start_;  // seconds, monotonic
  const double cpu_start_;   // seconds of this thread
};

}  // namespace seedbed::engine
