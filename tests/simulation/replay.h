#pragma once

#include <string>

#include "tests/simulation/scenario.h"

namespace seedbed::simulation {

// The command line that runs this scenario again and tells what happens.
std::string ReplayLine(const Scenario& scenario);

const char* Name(Planted planted);

// The core aborts at an illegal transition: while this stands, the process then says which command line shows it. One
// at a time.
class NamesScenarioOnAbort {
 public:
  explicit NamesScenarioOnAbort(const Scenario& scenario);
  ~NamesScenarioOnAbort();
  NamesScenarioOnAbort(const NamesScenarioOnAbort&) = delete;
  NamesScenarioOnAbort& operator=(const NamesScenarioOnAbort&) = delete;
};

}  // namespace seedbed::simulation
