#include "tests/simulation/simulation.h"

#include <cstdint>
#include <iostream>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/simulation/replay.h"

namespace seedbed::simulation {
namespace {

// How many seeds the suite runs. Where they take longer than `kLongest` (sanitizers), the rest is left out.
constexpr uint64_t kSeeds = 2'000;
constexpr uint64_t kFewestSeeds = 100;
constexpr absl::Duration kLongest = absl::Seconds(40);

// Fails the test if the scenario breaks a law.
Outcome KeepsTheLaws(const Scenario& scenario) {
  const NamesScenarioOnAbort names(scenario);
  Outcome outcome = SimulateAndCompare(scenario);
  EXPECT_EQ(outcome.problem, "") << "Replay: " << ReplayLine(scenario);
  return outcome;
}

TEST(Simulation, ThousandsOfSeedsKeepTheLaws) {
  const absl::Time begun = absl::Now();
  Tally tally;
  uint64_t seeds = 0;
  while (seeds < kSeeds && !HasFailure() && (seeds < kFewestSeeds || absl::Now() < begun + kLongest)) {
    tally.Add(KeepsTheLaws(DrawScenario(++seeds)).tally);
  }
  RecordProperty("seeds", static_cast<int>(seeds));
  if (seeds < kSeeds && !HasFailure()) {
    std::cerr << "warning: only " << seeds << " of " << kSeeds << " seeds were run: " << absl::FormatDuration(kLongest)
              << " were over; `seedbed-simulation --first-seed " << seeds + 1 << " --seeds " << kSeeds - seeds
              << "` runs the rest\n";
  }
  // The faults did not only threaten.
  const int64_t least = static_cast<int64_t>(seeds);
  EXPECT_GT(tally.finished, 2 * least);
  EXPECT_GT(tally.commits, 20 * least);
  EXPECT_GT(tally.acknowledged_again, least);
  EXPECT_GT(tally.gaps, least);
  EXPECT_GT(tally.coordinator_crashes, least / 2);
  EXPECT_GT(tally.lost, least / 2);
  EXPECT_GT(tally.refused, least / 4);
  EXPECT_GT(tally.failed_commits, least / 10);
  EXPECT_GT(tally.decided_ahead, least);
  EXPECT_GT(tally.resumed, least / 10);
  EXPECT_GT(tally.restored, least / 50);
  EXPECT_GT(tally.ended_badly, least / 50);
}

TEST(Simulation, ACoordinatorKilledAtAnyCommitLosesNothing) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Scenario scenario = Calm(DrawScenario(seed));
    const int64_t commits = KeepsTheLaws(scenario).tally.commits;
    ASSERT_GT(commits, 10);
    for (const bool after : {false, true}) {
      for (int64_t commit = 1; commit <= commits && !HasFailure(); ++commit) {
        scenario.crash_at_commit = commit;
        scenario.crash_after_it = after;
        const Tally tally = KeepsTheLaws(scenario).tally;
        EXPECT_EQ(tally.coordinator_crashes, 1) << ReplayLine(scenario);
        EXPECT_EQ(tally.lost, 0) << "a restarted coordinator gives every lease a grace: " << ReplayLine(scenario);
      }
    }
  }
}

TEST(Simulation, OneSeedIsOneHistory) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Outcome first = Simulate(DrawScenario(seed));
    const Outcome second = Simulate(DrawScenario(seed));
    EXPECT_EQ(first.fingerprint, second.fingerprint) << "seed " << seed;
    EXPECT_EQ(first.tally.events, second.tally.events) << "seed " << seed;
  }
}

// What the simulation is for: it must find each of these within the seeds that the suite runs, and by the law that the
// fault breaks. Another problem would be there without the fault too.
struct Plant {
  Planted fault;
  const char* law;
};
class Planting : public ::testing::TestWithParam<Plant> {};

TEST_P(Planting, IsFound) {
  std::string others;
  for (uint64_t seed = 1; seed <= kFewestSeeds; ++seed) {
    Scenario scenario = DrawScenario(seed);
    scenario.planted = GetParam().fault;
    const NamesScenarioOnAbort names(scenario);
    const Outcome outcome = Simulate(scenario);
    if (outcome.problem.find(GetParam().law) != std::string::npos) {
      RecordProperty("found_by_seed", static_cast<int>(seed));
      return;
    }
    if (!outcome.problem.empty()) others += "\n" + outcome.problem;
  }
  FAIL() << Name(GetParam().fault) << " was not found in " << kFewestSeeds << " seeds as \"" << GetParam().law
         << "\"; what was found:" << others;
}

INSTANTIATE_TEST_SUITE_P(Each, Planting,
                         ::testing::Values(Plant{Planted::kFencingOff, "is not what training gives"},
                                           Plant{Planted::kAcknowledgedBeforeCommit,
                                                 "was given out before it was durable"},
                                           Plant{Planted::kExpiryIgnored, "is running, but its lease ran out"},
                                           Plant{Planted::kFailedCommitBuiltUpon, "database and memory differ"}));

}  // namespace
}  // namespace seedbed::simulation
