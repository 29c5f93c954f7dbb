#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/learner.h"

namespace seedbed::engine {

// A learner whose replicas can be exchanged and held one by one. What it allocates for them stays where it is for life.
class StackedLearner : public Learner {
 public:
  // Puts a new replica in the place of one, in place: initial parameters, empty memory, no updates. The optimiser's
  // kind, and whether Grokfast is on, stay those of all.
  virtual void Refill(int replica, const ReplicaSettings& settings) = 0;
  // Update for the replicas with which[k]; the others are held: parameters, memory and count of updates stay to the
  // bit, whatever their gradients are.
  virtual void UpdateSome(const std::vector<bool>& which) = 0;
  // Evaluate and MeasureTraining for one replica, without the work of the others. The bits do not depend on which one
  // it is.
  virtual TestMeasure EvaluateOne(int replica) = 0;
  virtual TrainMeasure MeasureTrainingOne(int replica) = 0;
  // Of the replicas' parameters and the optimiser's memory; for tests.
  virtual std::vector<const void*> Addresses() const = 0;
};

// The reference on a device ("cpu", "cuda:0"), with as many replicas as `replicas`, of one shape (CanShareAPack).
// Errors as BuildTask; memory that is lacking is thrown as the library throws it.
absl::StatusOr<std::unique_ptr<StackedLearner>> MakeStackedLearner(const RunParameters& run,
                                                                   const std::vector<ReplicaSettings>& replicas,
                                                                   const std::string& device);

}  // namespace seedbed::engine
