#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/engine/learner.h"
#include "worker/engine/session.h"
#include "worker/engine/stacked_learner.h"

namespace seedbed::engine {

// The replicas of a stacked learner as places for runs that come and go. Each place is a learner of one replica. The
// passes of all are made together when the first asks, and the updates of all that asked for one together when the
// first of these goes on; a replica that did not ask is held meanwhile. So places that are stepped in turn cost one
// pass a round, and in any other order they give the same bits, at a higher price. Empty places are computed and thrown
// away: the shape of every operation, and with it the bits, depend on the capacity alone. Not thread-safe.
class StackedPack : public std::enable_shared_from_this<StackedPack> {
 public:
  static std::shared_ptr<StackedPack> Create(std::unique_ptr<StackedLearner> learner);

  // A free place with a new replica in it, which is given back by its destruction. RESOURCE_EXHAUSTED if there is none.
  absl::StatusOr<std::unique_ptr<Learner>> Take(const ReplicaSettings& settings);
  bool is_empty() const;

 private:
  class Place;
  explicit StackedPack(std::unique_ptr<StackedLearner> learner);

  const TrainMeasure& Forward(int replica);
  void Backward(int replica);
  void WantUpdate(int replica) { wants_update_[static_cast<size_t>(replica)] = true; }
  // Makes the updates that are wanted, if `replica` is among those that want one.
  void SettleFor(int replica);
  void Settle();

  const std::unique_ptr<StackedLearner> learner_;
  std::vector<bool> is_taken_, wants_update_;  // by replica
  std::vector<TrainMeasure> measures_;         // of the last forward pass; empty if the parameters have changed since
  bool has_gradient_ = false;                  // at the parameters of that pass
};

// Whether runs with these parameters can share a stacked pack: they differ in nothing but what `ready` declares as
// pack_parameters.
bool CanShareAPack(const RunParameters& a, const RunParameters& b);

// For Session: a place in a stacked pack of `capacity` on `device` ("cpu", "cuda:0"), which is made when the first run
// comes and again when it is empty and a run of another shape comes. FAILED_PRECONDITION for a run whose shape is not
// that of the runs which are there.
LearnerFactory StackedPackFactory(int capacity, const std::string& device);

}  // namespace seedbed::engine
