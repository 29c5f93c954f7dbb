#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/core/command.h"
#include "tests/simulation/coordinator.h"
#include "tests/simulation/database.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/network.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/truth.h"
#include "tests/simulation/world.h"

namespace seedbed::simulation {

// Those who use the command line: they submit their sweeps, ask for this and that meanwhile, and see to it in the end
// that everything is done. Every call is repeated until it is answered.
class People {
 public:
  // All outlive this.
  People(World* world, const Scenario* scenario, Network* network, Coordinator* coordinator, const Database* database,
         Truth* truth);

  void SubmitAll();
  // Something that people may ask of a sweep, its runs or a worker.
  void AskForSomething();
  // Asks for what is missing until all is done.
  void Settle();
  // Every run that was planned has ended as it must: its result is there, or it is poisoned and has failed.
  bool AllIsDone() const { return Missing().empty(); }
  // What is not done, for people; empty if nothing.
  std::string Missing() const;

 private:
  using Then = std::function<void(const absl::StatusOr<core::Answer>&)>;
  struct Call;

  void Ask(core::Command command, Then then);
  void Send(const std::shared_ptr<Call>& call);
  void Submit(const SweepPlan& plan);
  void AddPoints(const SweepPlan& plan, SweepId sweep, int from, const std::string& submission);
  void InChunks(core::Command command);
  void SettleSweep(const SweepPlan& plan);
  void SettleRuns(const SweepPlan& plan, const core::SweepEntry& sweep);

  World& world_;
  const Scenario& scenario_;
  Network& network_;
  Coordinator& coordinator_;
  const Database& database_;
  Truth& truth_;
  Dice dice_;
  const int node_;
  int64_t submissions_ = 0;
  std::map<std::string, absl::Duration> asked_at_;  // while settling, by what was asked
};

}  // namespace seedbed::simulation
