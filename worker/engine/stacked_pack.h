#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/learner.h"
#include "worker/engine/session.h"
#include "worker/engine/stacked_learner.h"

namespace seedbed::engine {

// The replicas of a stacked learner as places for runs that come and go. Each place is a learner of one replica. The
// passes of all are made together when the first asks, and the updates of all that asked for one together when the
// first of these goes on; a replica that did not ask is held meanwhile. So places that are stepped in turn cost one
// pass a round, and in any other order they give the same bits, at a higher price. Empty places are computed and thrown
// away: the shape of every operation, and with it the bits, depend on the capacity alone. What is thrown while all are
// computed is thrown again at whichever place asks next: the replicas are then of no use any more. Not thread-safe.
class StackedPack : public std::enable_shared_from_this<StackedPack> {
 public:
  static std::shared_ptr<StackedPack> Create(std::unique_ptr<StackedLearner> learner);

  // A free place with a new replica in it, which is given back by its destruction. RESOURCE_EXHAUSTED if there is none.
  absl::StatusOr<std::unique_ptr<Learner>> Take(const ReplicaSettings& settings);
  bool is_empty() const;
  bool is_broken() const { return broken_ != nullptr; }

 private:
  class Place;
  explicit StackedPack(std::unique_ptr<StackedLearner> learner);

  const TrainMeasure& Forward(int replica);
  void Backward(int replica);
  void WantUpdate(int replica) { wants_update_[static_cast<size_t>(replica)] = true; }
  // Makes the updates that are wanted, if `replica` is among those that want one.
  void SettleFor(int replica);
  void Settle();
  double GradientNorm(int replica);
  double ParameterRms(int replica);
  void NoteChange();
  // Calls f, which works on all replicas.
  template <typename F>
  void ForAll(F f);

  const std::unique_ptr<StackedLearner> learner_;
  std::vector<bool> is_taken_, wants_update_;  // by replica
  // At the present parameters; empty where nobody asked.
  std::vector<TrainMeasure> measures_;
  std::vector<double> gradient_norms_, parameter_rms_;
  bool has_gradient_ = false;  // at the parameters of measures_
  std::exception_ptr broken_;
};

// Whether runs with these parameters can share a stacked pack: they differ in nothing but what `ready` declares as
// pack_parameters.
bool CanShareAPack(const RunParameters& a, const RunParameters& b);

// The stacked pack of an engine: made when the first run comes, and anew when it is empty and a run of another shape
// comes, or broken. Stays on one thread.
class StackedPlaces {
 public:
  // How many replicas of a run's shape the device's memory holds; measured, so that it takes some steps' time.
  using Meter = std::function<absl::StatusOr<int>(const RunParameters&)>;

  // Packs of `capacity` replicas.
  StackedPlaces(std::string device, int capacity);
  // Packs of what the meter says of their shape, at most `most`; `capacity` until the first comes.
  StackedPlaces(std::string device, int capacity, int most, Meter meter);

  // A LearnerFactory's work. FAILED_PRECONDITION for a run whose shape is not that of the runs which are there.
  absl::StatusOr<std::unique_ptr<Learner>> Take(const RunParameters& run, uint64_t seed);

  // Of the pack that there is, or else of the next one.
  int capacity() const { return capacity_; }
  // Called when it has changed, before the run that changed it has its place.
  void OnCapacityChange(std::function<void(int)> callback) { on_change_ = std::move(callback); }
  // To be called when memory was lacking and all places are free: packs have half the capacity from now on. False at 1.
  bool Shrink();

 private:
  absl::Status MakePack(const RunParameters& run, const ReplicaSettings& settings);
  void SetCapacity(int capacity);

  const std::string device_;
  int capacity_;
  int most_;
  const Meter meter_;
  std::function<void(int)> on_change_;
  std::shared_ptr<StackedPack> pack_;
  RunParameters shape_;  // of pack_
};

// The largest power of two up to `most` (and at least 1) of replicas that fit, with a fifth of the memory kept free.
// `peak_bytes` trains so many replicas for a few steps and returns the most that tensors held meanwhile; it is asked
// for two small numbers of them, as some of it is not per replica.
absl::StatusOr<int> MeasuredCapacity(int64_t free_bytes, int most,
                                     const std::function<absl::StatusOr<int64_t>(int replicas)>& peak_bytes);

// The same on a GPU ("cuda:0"), for runs of one shape.
absl::StatusOr<int> MeasureGpuCapacity(const std::string& device, int most, const RunParameters& run);

}  // namespace seedbed::engine
