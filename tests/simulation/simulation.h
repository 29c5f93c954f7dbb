#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "coordinator/core/types.h"
#include "tests/simulation/database.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/world.h"

namespace seedbed::simulation {

// What one run of a simulation left behind for its user: by specification, its result and its rows.
struct FinalRun {
  core::RunState state = core::RunState::kQueued;
  std::string result;  // as text; empty if there is none
  std::map<int64_t, uint64_t> rows;
  int attempts = 0;
};

struct Outcome {
  std::string problem;  // the first law that was broken; empty if none was
  Tally tally;
  uint64_t fingerprint = 0;
  std::map<std::string, FinalRun> runs;
};

// Runs one simulation to its end: until everything is done after the faults have stopped, or a law is broken. With
// `traced` it tells on stdout what happens.
Outcome Simulate(const Scenario& scenario, bool traced = false);

// Simulates, and compares what is left with what a calm simulation of the same work leaves.
Outcome SimulateAndCompare(const Scenario& scenario, bool traced = false);

}  // namespace seedbed::simulation
