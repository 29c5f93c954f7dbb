#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/core/types.h"

namespace seedbed::simulation {

struct SweepPlan {
  std::string name;
  int points = 1;
  int64_t seeds = 1;         // as first submitted
  int64_t seeds_in_end = 1;  // people extend it to so many
  int64_t priority = 0;
  std::optional<int64_t> max_concurrent;
  int retries = 0;
  core::KeepCheckpoints keep_checkpoints = core::KeepCheckpoints::kLast;
  core::NumericsPolicy numerics = core::NumericsPolicy::kAny;
  int poisoned_point = -1;  // its trainer always fails
  bool deleted = false;     // people delete it
  absl::Duration submitted_at;
};

struct WorkerPlan {
  std::string name;
  int slots = 1;
  int prefetch = 0;  // leases that it wants beyond its slots
  std::string numerics_json;
  // Goes on reporting, rubbish too, under leases that it was told to drop.
  bool impudent = false;
  absl::Duration beat;  // between two looks at what it trains
};

// Chances are per occasion; times between are means, zero for never.
struct Faults {
  double lose_message = 0;
  double duplicate_message = 0;
  double delay_message = 0;  // beyond the usual milliseconds, so that later ones overtake it
  absl::Duration longest_delay;

  double fail_commit = 0;
  double fail_commit_but_write = 0;  // of those that fail: durable all the same
  double slow_commit = 0;
  absl::Duration slowest_commit;
  double crash_before_commit = 0;
  double crash_after_commit = 0;

  double end_badly = 0;  // a training, per beat: it crashes, runs out of memory, stalls, fails
  double forget_lease = 0;

  absl::Duration between_crashes;  // of the coordinator, at any moment
  absl::Duration between_suspensions;
  absl::Duration between_kills;
  absl::Duration between_goodbyes;
  absl::Duration between_freezes;
  absl::Duration between_partitions;
  absl::Duration between_clock_jumps;
  absl::Duration between_damages;   // of a checkpoint's file
  absl::Duration between_requests;  // of people
};

// A fault planted into the coordinator's surroundings, to see that the simulation finds it.
enum class Planted {
  kNone,
  kFencingOff,  // reports and checkpoints are judged as if they came under the run's lease of the moment
  kAcknowledgedBeforeCommit,
  kExpiryIgnored,
  kFailedCommitBuiltUpon,  // what was decided upon a commit that failed is committed all the same
};

// All of a simulation that is decided before it begins: a function of its seed.
struct Scenario {
  uint64_t seed = 0;
  core::Settings settings;
  absl::Duration tick_every;
  absl::Duration metric_delay;
  std::vector<SweepPlan> sweeps;
  std::vector<WorkerPlan> workers;
  Faults faults;
  absl::Duration faults_last;  // then none comes any more, and all must end
  Planted planted = Planted::kNone;
  // The coordinator is killed at this commit (counted from 1; 0: at none), before it or after it.
  int64_t crash_at_commit = 0;
  bool crash_after_it = false;
};

Scenario DrawScenario(uint64_t seed);
// The same work and the same workers, and nothing goes wrong.
Scenario Calm(Scenario scenario);

}  // namespace seedbed::simulation
