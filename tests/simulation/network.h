#pragma once

#include <functional>
#include <vector>

#include "absl/time/time.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/world.h"

namespace seedbed::simulation {

// Between the coordinator and each worker's node (people's is one more). Harsher than gRPC: single messages are lost,
// doubled and overtaken, and nobody is told.
class Network {
 public:
  enum Direction { kToCoordinator, kFromCoordinator };

  // `world` and `faults` outlive this; the faults may change on the way.
  Network(World* world, const Faults* faults, uint64_t seed, int nodes)
      : world_(world), faults_(faults), dice_(seed, Dice::kNetwork), cut_until_(2 * nodes, -absl::InfiniteDuration()) {}

  // Calls `deliver` when the message arrives: never, once or several times.
  void Send(int node, Direction direction, const std::function<void()>& deliver) {
    if (world_->queue.now() < cut_until_[2 * node + direction] || dice_.Chance(faults_->lose_message)) return;
    const int copies = dice_.Chance(faults_->duplicate_message) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
      // The same for all, so that in calm nothing is overtaken.
      absl::Duration delay = absl::Milliseconds(1);
      if (dice_.Chance(faults_->delay_message)) delay += dice_.Time(absl::ZeroDuration(), faults_->longest_delay);
      world_->queue.After(delay, deliver);
    }
  }

  // What is under way arrives.
  void Cut(int node, Direction direction, absl::Duration time) {
    cut_until_[2 * node + direction] = world_->queue.now() + time;
  }
  void Heal() { cut_until_.assign(cut_until_.size(), -absl::InfiniteDuration()); }

 private:
  World* const world_;
  const Faults* const faults_;
  Dice dice_;
  std::vector<absl::Duration> cut_until_;  // by node and direction
};

}  // namespace seedbed::simulation
