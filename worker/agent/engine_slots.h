#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "worker/agent/messages.h"
#include "worker/process/engine_events.h"

namespace seedbed::agent {

// What a run needs of the others in its engine.
struct PackNeeds {
  std::string key;  // all in one engine have the same
  int limit = 0;    // how many may be in it, itself included; 0: any number
};

// Which engines can take attempts, and which attempts they hold. An engine that holds none takes any; one that holds
// some takes those of the same pack key, within its capacity and the limits of all in it. Times are monotonic. Not
// thread-safe.
class EngineSlots {
 public:
  // Never more than `slots` attempts at once. Of the engines' trainers only `allowed` are offered; empty: all.
  EngineSlots(int engines, int slots, std::vector<std::string> allowed);

  // True if the offers changed.
  bool BecameReady(int engine, const EngineReady& info);
  void WentDown(int engine);

  // Where such a run goes: to an engine with others of its pack, else to the one with the most room; none if none has
  // room.
  std::optional<int> Choose(absl::Duration now, const PackNeeds& needs) const;
  void Take(int engine, AttemptId attempt, const PackNeeds& needs) {
    engines_[Index(engine)].attempts[attempt] = needs;
  }
  void Release(AttemptId attempt);
  // The engine said to be ready and did not take an attempt: leave it alone for a while.
  void Avoid(int engine, absl::Duration until) { engines_[Index(engine)].avoid_until = until; }
  bool WritesCheckpoints(int engine) const { return engine >= 0 && engines_[Index(engine)].checkpoints; }
  // When the first avoided engine may be tried again.
  std::optional<absl::Duration> AvoidedUntil(absl::Duration now) const;

  // True if an engine takes several attempts at once: then Rooms says where there is room.
  bool packs() const;
  // The engines that are ready, as they will be once `waiting` have found their places. Empty without packs; and while
  // one of `waiting` finds no place, so that its engine's pack runs out and lets it in.
  std::vector<EngineRoom> Rooms(const std::vector<PackNeeds>& waiting) const;

  // Attempts that could be trained at once by what is ready now.
  int capacity() const;
  // The same, engines that are being restarted included.
  int known_capacity() const;
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
    std::map<AttemptId, PackNeeds> attempts;
    absl::Duration avoid_until = -absl::InfiniteDuration();
  };
  static size_t Index(int engine) { return static_cast<size_t>(engine); }
  // How many more such runs the engine could take; 0 if it is not ready.
  static int RoomFor(const Engine& engine, const PackNeeds& needs);

  std::vector<Engine> engines_;
  int slots_;
  std::vector<std::string> allowed_;
  std::vector<TrainerOffer> offers_;  // of the engine that was last ready: all run the same program
  std::string device_;
};

}  // namespace seedbed::agent
