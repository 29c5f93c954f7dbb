#include "tests/simulation/scenario.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/dice.h"

namespace seedbed::simulation {
namespace {

SweepPlan DrawSweep(Dice& dice, int index) {
  SweepPlan plan;
  plan.name = absl::StrCat("sweep-", index);
  plan.points = static_cast<int>(dice.Between(1, 4));
  plan.seeds = dice.Between(1, 2);
  plan.seeds_in_end = plan.seeds + (dice.Chance(0.3) ? 1 : 0);
  plan.priority = dice.Between(0, 1);
  if (dice.Chance(0.3)) plan.max_concurrent = dice.Between(1, 3);
  plan.retries = static_cast<int>(dice.Between(0, 2));
  plan.keep_checkpoints = static_cast<core::KeepCheckpoints>(dice.Below(3));
  if (dice.Chance(0.3)) plan.numerics = core::NumericsPolicy::kStrict;
  if (dice.Chance(0.2)) plan.poisoned_point = static_cast<int>(dice.Below(static_cast<uint64_t>(plan.points)));
  plan.deleted = index > 0 && dice.Chance(0.2);
  plan.submitted_at = dice.Time(absl::ZeroDuration(), absl::Seconds(index == 0 ? 1 : 20));
  return plan;
}

WorkerPlan DrawWorker(Dice& dice, int index) {
  WorkerPlan plan;
  plan.name = absl::StrCat("worker-", index);
  plan.slots = static_cast<int>(dice.Between(1, 2));
  plan.prefetch = dice.Chance(0.3) ? 1 : 0;
  plan.numerics_json = dice.Chance(0.7) ? R"({"blas":"one"})" : R"({"blas":"two"})";
  plan.impudent = dice.Chance(0.4);
  plan.beat = dice.Time(absl::Milliseconds(300), absl::Milliseconds(900));
  return plan;
}

// Half of the kinds of faults at a time: some defects show only where others do not come between.
Faults DrawFaults(Dice& dice) {
  Faults faults;
  const auto chance = [&](double most) {
    return dice.Chance(0.5) ? most * (0.1 + 0.9 * static_cast<double>(dice.Below(10)) / 9) : 0;
  };
  const auto between = [&](int64_t least, int64_t most) {
    return dice.Chance(0.5) ? dice.Time(absl::Seconds(least), absl::Seconds(most)) : absl::ZeroDuration();
  };
  faults.lose_message = chance(0.25);
  faults.duplicate_message = chance(0.2);
  faults.delay_message = chance(0.3);
  faults.longest_delay = dice.Time(absl::Milliseconds(100), absl::Seconds(10));
  faults.fail_commit = chance(0.1);
  faults.fail_commit_but_write = chance(0.5);
  faults.slow_commit = chance(0.4);
  faults.slowest_commit = dice.Time(absl::Milliseconds(100), absl::Seconds(8));
  faults.crash_before_commit = chance(0.04);
  faults.crash_after_commit = chance(0.04);
  faults.end_badly = chance(0.08);
  faults.forget_lease = chance(0.02);
  faults.between_crashes = between(10, 60);
  faults.between_suspensions = between(10, 60);
  faults.between_kills = between(4, 40);
  faults.between_goodbyes = between(4, 40);
  faults.between_freezes = between(4, 40);
  faults.between_partitions = between(3, 30);
  faults.between_clock_jumps = between(5, 60);
  faults.between_damages = between(5, 30);
  faults.between_requests = between(1, 15);
  return faults;
}

}  // namespace

Scenario DrawScenario(uint64_t seed) {
  Dice dice(seed, Dice::kScenario);
  Scenario scenario;
  scenario.seed = seed;
  // Shorter than in use, so that a simulated minute holds more of what takes a lease's time.
  scenario.settings.lease_duration = dice.Chance(0.7) ? absl::Seconds(6) : absl::Seconds(15);
  scenario.settings.synchronize_every = scenario.settings.lease_duration / 3;
  scenario.tick_every = dice.Time(absl::Milliseconds(250), absl::Milliseconds(1000));
  scenario.metric_delay = dice.Time(absl::ZeroDuration(), absl::Milliseconds(250));
  const int sweeps = static_cast<int>(dice.Between(1, 3));
  for (int i = 0; i < sweeps; ++i) scenario.sweeps.push_back(DrawSweep(dice, i));
  const int workers = static_cast<int>(dice.Between(1, 4));
  for (int i = 0; i < workers; ++i) scenario.workers.push_back(DrawWorker(dice, i));
  scenario.faults = DrawFaults(dice);
  scenario.faults_last = dice.Time(absl::Seconds(20), absl::Seconds(80));
  return scenario;
}

Scenario Calm(Scenario scenario) {
  scenario.faults = Faults();
  scenario.faults_last = absl::Seconds(5);
  scenario.planted = Planted::kNone;
  scenario.crash_at_commit = 0;
  std::vector<SweepPlan> kept;
  for (SweepPlan& sweep : scenario.sweeps) {
    if (sweep.deleted) continue;
    sweep.submitted_at = absl::ZeroDuration();
    kept.push_back(std::move(sweep));
  }
  scenario.sweeps = std::move(kept);
  return scenario;
}

}  // namespace seedbed::simulation
