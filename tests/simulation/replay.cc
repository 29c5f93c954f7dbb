#include "tests/simulation/replay.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace seedbed::simulation {
namespace {

char abort_message[512];

void OnAbort(int) {
  // Nothing else is allowed in a handler; there is nobody to tell if it fails.
  if (write(STDERR_FILENO, abort_message, std::strlen(abort_message)) < 0) return;
}

}  // namespace

const char* Name(Planted planted) {
  switch (planted) {
    case Planted::kNone:
      return "none";
    case Planted::kFencingOff:
      return "fencing-off";
    case Planted::kAcknowledgedBeforeCommit:
      return "acknowledged-before-commit";
    case Planted::kExpiryIgnored:
      return "expiry-ignored";
    case Planted::kFailedCommitBuiltUpon:
      return "failed-commit-built-upon";
  }
  return "none";
}

std::string ReplayLine(const Scenario& scenario) {
  std::string line = absl::StrCat(SEEDBED_SIMULATION_PROGRAM, " --seed ", scenario.seed, " --trace");
  if (scenario.planted != Planted::kNone) absl::StrAppend(&line, " --plant ", Name(scenario.planted));
  if (scenario.crash_at_commit > 0) {
    absl::StrAppend(&line, " --calm ", scenario.crash_after_it ? "--crash-after " : "--crash-before ",
                    scenario.crash_at_commit);
  }
  return line;
}

NamesScenarioOnAbort::NamesScenarioOnAbort(const Scenario& scenario) {
  const std::string text = absl::StrCat("Replay: ", ReplayLine(scenario), "\n");
  const size_t length = std::min(text.size(), sizeof(abort_message) - 1);
  std::memcpy(abort_message, text.data(), length);
  abort_message[length] = '\0';
  std::signal(SIGABRT, OnAbort);
}

NamesScenarioOnAbort::~NamesScenarioOnAbort() {
  std::signal(SIGABRT, SIG_DFL);
}

}  // namespace seedbed::simulation
