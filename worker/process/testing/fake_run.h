#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/json.h"

namespace seedbed::testing {

// A run that costs nothing and looks like grokking: every metric is a pure function of (parameters, seed, step).
// Training accuracy passes 50 % between steps 100 and 200, test accuracy between 300 and 1,000.
class FakeRun {
 public:
  // `message` is the protocol's `start`. Budget, log_every and evaluate_every are obeyed, stop rules are not.
  static absl::StatusOr<FakeRun> FromStart(const Json& message);

  int64_t id() const { return id_; }
  int64_t seed() const { return seed_; }
  int64_t step() const { return step_; }
  int64_t budget() const { return budget_; }
  const std::string& directory() const { return directory_; }
  bool done() const { return step_ >= budget_; }
  bool wants_final_checkpoint() const { return final_checkpoint_; }
  void Advance() { ++step_; }

  // Row `step` belongs to the results: 0, multiples of the intervals, and the last.
  bool HasRow() const;
  Json MetricsMessage() const;   // of the present step
  Json FinishedMessage() const;  // after the last step

  // Writes DIRECTORY/checkpoint-STEP.json, STEP being the last one whose row was due before the present one, and
  // returns the protocol's message about it. Not at step 0.
  absl::StatusOr<Json> WriteCheckpoint() const;

 private:
  bool evaluates() const { return step_ % evaluate_every_ == 0 || done(); }
  std::optional<int64_t> FirstAtLeast(double middle, double width, double accuracy) const;

  int64_t id_ = 0;
  int64_t seed_ = 0;
  int64_t step_ = 0;
  int64_t budget_ = 0;
  int64_t log_every_ = 1;
  int64_t evaluate_every_ = 1;
  bool final_checkpoint_ = false;
  std::string directory_;
  double train_middle_ = 0;  // the step of 50 %
  double test_middle_ = 0;
};

}  // namespace seedbed::testing
