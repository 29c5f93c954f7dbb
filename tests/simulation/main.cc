#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>

#include "tests/simulation/replay.h"
#include "tests/simulation/simulation.h"

// As many seeds as one likes, or one of them told.
namespace seedbed::simulation {
namespace {

struct Options {
  uint64_t first_seed = 1;
  uint64_t seeds = 1000;
  uint64_t seed = 0;
  bool trace = false;
  bool calm = false;
  Planted planted = Planted::kNone;
  int64_t crash_before = 0;
  int64_t crash_after = 0;
};

Scenario ScenarioOf(const Options& options, uint64_t seed) {
  Scenario scenario = DrawScenario(seed);
  if (options.calm) scenario = Calm(scenario);
  scenario.planted = options.planted;
  scenario.crash_at_commit = options.crash_after > 0 ? options.crash_after : options.crash_before;
  scenario.crash_after_it = options.crash_after > 0;
  return scenario;
}

void Print(const Tally& tally) {
  std::printf(
      "%lld events, %lld commits (%lld failed, %lld decided upon before their end), %lld crashes of the coordinator, "
      "%lld grants (%lld from a checkpoint), "
      "%lld lost, %lld restored, %lld ended badly, %lld finished, %lld reports acknowledged, %lld again, %lld refused, "
      "%lld gaps\n",
      static_cast<long long>(tally.events), static_cast<long long>(tally.commits),
      static_cast<long long>(tally.failed_commits), static_cast<long long>(tally.decided_ahead),
      static_cast<long long>(tally.coordinator_crashes), static_cast<long long>(tally.grants),
      static_cast<long long>(tally.resumed), static_cast<long long>(tally.lost), static_cast<long long>(tally.restored),
      static_cast<long long>(tally.ended_badly), static_cast<long long>(tally.finished),
      static_cast<long long>(tally.acknowledged), static_cast<long long>(tally.acknowledged_again),
      static_cast<long long>(tally.refused), static_cast<long long>(tally.gaps));
}

int Run(const Options& options) {
  const uint64_t first = options.seed > 0 ? options.seed : options.first_seed;
  const uint64_t count = options.seed > 0 ? 1 : options.seeds;
  Tally tally;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    const Scenario scenario = ScenarioOf(options, seed);
    const NamesScenarioOnAbort names(scenario);
    const Outcome outcome = SimulateAndCompare(scenario, options.trace);
    tally.Add(outcome.tally);
    if (!outcome.problem.empty()) {
      std::printf("Seed %llu: %s\nReplay: %s\n", static_cast<unsigned long long>(seed), outcome.problem.c_str(),
                  ReplayLine(scenario).c_str());
      return 1;
    }
    if ((seed - first + 1) % 10'000 == 0) {
      std::printf("%llu seeds\n", static_cast<unsigned long long>(seed - first + 1));
      std::fflush(stdout);
    }
  }
  std::printf("%llu seeds from %llu on keep the laws: ", static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(first));
  Print(tally);
  return 0;
}

}  // namespace
}  // namespace seedbed::simulation

int main(int argc, char** argv) {
  using seedbed::simulation::Planted;
  seedbed::simulation::Options options;
  CLI::App app("Simulates Seedbed's coordinator under faults, one simulation per seed");
  app.add_option("--seeds", options.seeds, "how many simulations");
  app.add_option("--first-seed", options.first_seed, "the first one's seed");
  app.add_option("--seed", options.seed, "this one only (not 0)");
  app.add_flag("--trace", options.trace, "tell on stdout what happens");
  app.add_flag("--calm", options.calm, "without faults");
  app.add_option("--crash-before", options.crash_before, "kill the coordinator before its n-th commit");
  app.add_option("--crash-after", options.crash_after,
                 "kill the coordinator after its n-th commit, before the answers");
  std::map<std::string, Planted> plants;
  for (const Planted each : {Planted::kNone, Planted::kFencingOff, Planted::kAcknowledgedBeforeCommit,
                             Planted::kExpiryIgnored, Planted::kFailedCommitBuiltUpon}) {
    plants[seedbed::simulation::Name(each)] = each;
  }
  app.add_option("--plant", options.planted, "a fault that is to be found")->transform(CLI::CheckedTransformer(plants));
  CLI11_PARSE(app, argc, argv);
  return seedbed::simulation::Run(options);
}
