#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/json.h"
#include "common/schema/run_specification.h"
#include "worker/engine/analysis.h"
#include "worker/engine/learner.h"
#include "worker/engine/measures.h"
#include "worker/engine/run_monitor.h"

namespace seedbed::engine {

// Makes the learner of one replica, from a run's parameters and seed. MakeLearner, or one that finds it a place in a
// stacked pack.
using LearnerFactory = std::function<absl::StatusOr<std::unique_ptr<Learner>>(const RunParameters&, uint64_t seed)>;

// One run being trained. For each step: Measure, and then, unless that ended the run, Update. Between the two it can be
// saved. Stays on the thread that made it.
class Session {
 public:
  // Told before each evaluation and each analysis, which may take far longer than a step: the seconds that the last one
  // of its kind took, or nothing before the first.
  using Announce = std::function<void(std::optional<double> seconds)>;

  // What one measurement brought.
  struct Progress {
    std::optional<MetricRow> row;  // if a row is due at this step
    std::optional<Ending> ending;  // if the run is over; no update was made then
  };

  // Builds the task, the model and its initial parameters. INVALID_ARGUMENT names the wrong parameter, stop rule or
  // trainer. Errors of `make_learner` are handed on.
  static absl::StatusOr<std::unique_ptr<Session>> Create(const RunSpecification& specification,
                                                         const LearnerFactory& make_learner = MakeLearner);
  // As Create, and then goes to where the checkpoint at `path` was written: measured at its step, with the next update
  // to be made. Errors that lie with the checkpoint, not with the specification, begin with "checkpoint".
  static absl::StatusOr<std::unique_ptr<Session>> Resume(const RunSpecification& specification, const std::string& path,
                                                         const LearnerFactory& make_learner = MakeLearner);

  void set_announce(Announce announce) { announce_ = std::move(announce); }

  // Measures the parameters at step(). Not to be called twice at one step, nor after an ending.
  Progress Measure();
  // One update. After Measure, or on a resumed session; not after an ending.
  void Update();
  // Both, as far as they are due.
  Progress Advance();

  // Whether Measure was called at this step, in this attempt or in the one that was resumed from.
  bool is_measured() const { return is_measured_; }
  // Updates made so far.
  int64_t step() const { return step_; }
  const std::optional<Ending>& ending() const { return ending_; }

  // Writes a checkpoint of step(), which must be measured, to `path`, and returns the file's SHA-256. The session goes
  // on as if nothing had happened. `numerics`: the fingerprint to keep in it.
  absl::StatusOr<std::string> Save(const std::string& path, const Json& numerics) const;

  // Both after an ending.
  std::string Outcome() const { return monitor_.Outcome(); }
  Json Summary() const;

 private:
  Session(RunSpecification specification, const RunParameters& parameters, RunMonitor monitor,
          std::unique_ptr<Learner> learner, double cpu_seconds);
  // Of this attempt.
  double WallSeconds() const;
  // Of all training examples.
  void NoteTraining(const TrainMeasure& train, MetricRow* row);
  void Evaluate(MetricRow* row);
  // Only of a run that is to be analysed.
  void Analyze(MetricRow* row);
  // Does the work between an announcement and taking its time.
  void Announced(std::optional<double>* last_seconds, const std::function<void()>& work);

  const RunSpecification specification_;  // parameters resolved
  const Precision precision_;
  const OptimizerParameters optimizer_;
  const bool has_mirrors_;  // of the task: whether unseen and mirrored test pairs mean anything
  RunMonitor monitor_;
  std::unique_ptr<Learner> learner_;
  std::optional<Analysis> analysis_;  // if the run is to be analysed
  int64_t step_ = 0;
  bool is_measured_ = false;
  bool has_gradient_ = false;  // the learner's gradient is that of this step
  std::optional<Ending> ending_;
  Announce announce_;                         // may be empty
  std::optional<double> evaluation_seconds_;  // of the last one
  std::optional<double> analysis_seconds_;
  const double wall_start_;          // seconds, monotonic
  double earlier_wall_seconds_ = 0;  // of the attempts before
  double cpu_seconds_;               // of this thread in this session, and of the attempts before
};

}  // namespace seedbed::engine
