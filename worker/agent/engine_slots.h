#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "worker/agent/messages.h"
#include "worker/process/engine_events.h"

namespace seedbed::agent {

// Which engines can take attempts, and which attempts they hold. Times are monotonic. Not thread-safe.
class EngineSlots {
 public:
  // Never more than `slots` attempts at once. Of the engines' trainers only `allowed` are offered; empty: all.
  EngineSlots(int engines, int slots, std::vector<std::string> allowed);

  // True if the offers changed.
  bool BecameReady(int engine, const EngineReady& info);
  void WentDown(int engine);

  // The ready engine with the most room, or none.
  std::optional<int> Choose(absl::Duration now) const;
  void Take(int engine, AttemptId attempt) { engines_[Index(engine)].attempts.insert(attempt); }
  void Release(AttemptId attempt);
  // The engine said to be ready and did not take an attempt: leave it alone for a while.
  void Avoid(int engine, absl::Duration until) { engines_[Index(engine)].avoid_until = until; }
  bool WritesCheckpoints(int engine) const { return engines_[Index(engine)].checkpoints; }
  // When the first avoided engine may be tried again.
  std::optional<absl::Duration> AvoidedUntil(absl::Duration now) const;

  // Attempts that could be trained at once by what is ready now.
  int capacity() const;
  int taken() const;
  bool any_ready() const;
  bool Offers(const std::string& trainer) const;
  const std::vector<TrainerOffer>& offers() const { return offers_; }
  const std::string& device() const { return device_; }

 private:
  struct Engine {
    bool ready = false;
    int capacity = 0;
    bool checkpoints = false;
    std::set<AttemptId> attempts;
    absl::Duration avoid_until = -absl::InfiniteDuration();
  };
  static size_t Index(int engine) { return static_cast<size_t>(engine); }

  std::vector<Engine> engines_;
  int slots_;
  std::vector<std::string> allowed_;
  std::vector<TrainerOffer> offers_;  // of the engine that was last ready: all run the same program
  std::string device_;
};

}  // namespace seedbed::agent
