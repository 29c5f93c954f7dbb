#include "tests/simulation/simulation.h"

#include <cmath>
#include <functional>
#include <iterator>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tests/simulation/coordinator.h"
#include "tests/simulation/ledger.h"
#include "tests/simulation/network.h"
#include "tests/simulation/people.h"
#include "tests/simulation/worker.h"

namespace seedbed::simulation {
namespace {

// More than all that can be under way when the faults stop needs: expiries, backoffs, repetitions, and the training
// itself on one slot.
constexpr absl::Duration kAllEndsWithin = absl::Seconds(400);

class Simulation {
 public:
  Simulation(const Scenario& scenario, bool traced)
      : scenario_(scenario),
        faults_(scenario.faults),
        world_(traced),
        ledger_(&world_, &database_, &truth_, &scenario_.settings),
        network_(&world_, &faults_, scenario.seed, static_cast<int>(scenario.workers.size()) + 1),
        coordinator_(&world_, &scenario_, &faults_, &database_, &ledger_),
        people_(&world_, &scenario_, &network_, &coordinator_, &database_, &truth_),
        dice_(scenario.seed, Dice::kFaults) {
    for (size_t i = 0; i < scenario.workers.size(); ++i) {
      workers_.push_back(std::make_unique<Worker>(&world_, &scenario_, &faults_, static_cast<int>(i), &network_,
                                                  &coordinator_, &truth_));
    }
  }

  Outcome Run() {
    coordinator_.Start();
    for (const auto& worker : workers_) worker->Boot();
    people_.SubmitAll();
    PlanFaults();
    world_.queue.After(scenario_.faults_last, [this] { StopFaults(); });
    int64_t seen_writes = -1;
    while (!world_.failed() && world_.queue.RunNext()) {
      ++world_.tally.events;
      if (world_.queue.now() > scenario_.faults_last + kAllEndsWithin) {
        world_.Fail(absl::StrCat("not everything has ended ", absl::FormatDuration(kAllEndsWithin),
                                 " after the last fault: ", people_.Missing()));
      }
      if (!faults_stopped_ || database_.writes() == seen_writes) continue;
      seen_writes = database_.writes();
      if (people_.AllIsDone()) break;
    }
    return Result();
  }

 private:
  // Calls `strike` now and then, `between` being the mean time; not at all if it is zero.
  void Plan(absl::Duration between, std::function<void()> strike) {
    if (between == absl::ZeroDuration()) return;
    const double uniform = (static_cast<double>(dice_.Below(1 << 20)) + 0.5) / (1 << 20);
    const absl::Duration wait = absl::Microseconds(
        static_cast<int64_t>(-std::log(uniform) * static_cast<double>(absl::ToInt64Microseconds(between))));
    world_.queue.After(wait, [this, between, strike = std::move(strike)] {
      if (faults_stopped_) return;
      strike();
      Plan(between, strike);
    });
  }

  Worker& AnyWorker() { return *workers_[dice_.Below(workers_.size())]; }
  absl::Duration Seconds(int64_t most) { return dice_.Time(absl::Milliseconds(50), absl::Seconds(most)); }

  void PlanFaults() {
    Plan(faults_.between_crashes, [this] { coordinator_.Kill(Seconds(15), "at some moment"); });
    Plan(faults_.between_suspensions, [this] { coordinator_.Suspend(Seconds(20), dice_.Chance(0.5)); });
    Plan(faults_.between_kills, [this] { AnyWorker().Kill(Seconds(15)); });
    Plan(faults_.between_goodbyes, [this] { AnyWorker().Leave(Seconds(10)); });
    Plan(faults_.between_freezes, [this] { AnyWorker().Freeze(Seconds(30)); });
    Plan(faults_.between_partitions, [this] { Partition(); });
    Plan(faults_.between_clock_jumps,
         [this] { coordinator_.JumpWallClock(dice_.Time(-absl::Hours(24), absl::Hours(24))); });
    Plan(faults_.between_damages, [this] { DamageOne(); });
    Plan(faults_.between_requests, [this] { people_.AskForSomething(); });
  }

  void Partition() {
    const int node = static_cast<int>(dice_.Below(workers_.size() + 1));
    const uint64_t which = dice_.Below(3);
    const absl::Duration time = Seconds(30);
    world_.Trace("network", "node ", node,
                 which == 0   ? " cut off"
                 : which == 1 ? " not heard"
                              : " hears nothing",
                 " for ", absl::FormatDuration(time));
    if (which != 2) network_.Cut(node, Network::kToCoordinator, time);
    if (which != 1) network_.Cut(node, Network::kFromCoordinator, time);
  }

  void DamageOne() {
    if (database_.files.empty()) return;
    auto file = database_.files.begin();
    std::advance(file, dice_.Below(database_.files.size()));
    world_.Trace("disk", file->first, " is damaged");
    file->second.damaged = true;
  }

  void StopFaults() {
    world_.Trace("simulation", "no more faults");
    faults_stopped_ = true;
    faults_ = Faults();
    network_.Heal();
    people_.Settle();
  }

  Outcome Result() {
    Outcome outcome;
    outcome.problem = world_.problem();
    outcome.tally = world_.tally;
    outcome.fingerprint = world_.fingerprint();
    for (const auto& [id, run] : database_.runs()) {
      FinalRun& left = outcome.runs[run.specification];
      left.state = run.state;
      left.rows = run.steps;
      left.attempts = static_cast<int>(run.attempts.size());
      if (run.result)
        left.result = absl::StrCat(run.result->outcome, " ", run.result->last_step, " ", run.result->summary_json);
    }
    return outcome;
  }

  const Scenario scenario_;
  Faults faults_;
  bool faults_stopped_ = false;
  World world_;
  Database database_;
  Truth truth_;
  Ledger ledger_;
  Network network_;
  Coordinator coordinator_;
  People people_;
  Dice dice_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

std::string Difference(const Outcome& calm, const Outcome& stormy) {
  if (calm.runs.size() != stormy.runs.size()) {
    return absl::StrCat(stormy.runs.size(), " runs instead of ", calm.runs.size(), " in calm");
  }
  for (const auto& [specification, run] : calm.runs) {
    const auto other = stormy.runs.find(specification);
    if (other == stormy.runs.end()) return absl::StrCat("no run '", specification, "' as in calm");
    if (run.state != other->second.state || run.result != other->second.result) {
      return absl::StrCat("'", specification, "' is ", core::Name(other->second.state), " ", other->second.result,
                          ", and in calm ", core::Name(run.state), " ", run.result);
    }
    // One that fails may have come further in one attempt than in another.
    if (run.state == core::RunState::kFailed) continue;
    if (run.rows != other->second.rows) return absl::StrCat("'", specification, "' has other rows than in calm");
  }
  return "";
}

// In calm weather nothing is tried twice and nothing is refused.
std::string Disquiet(const Scenario& scenario, const Outcome& calm) {
  int64_t retries = 0;
  for (const auto& [specification, run] : calm.runs) {
    if (run.state == core::RunState::kFailed) retries += run.attempts - 1;
    const bool once = run.attempts == 1 || run.state == core::RunState::kFailed;
    if (!once) return absl::StrCat("'", specification, "' took ", run.attempts, " attempts");
  }
  const Tally& tally = calm.tally;
  const int64_t expected = static_cast<int64_t>(calm.runs.size()) + retries;
  if (tally.grants != expected) return absl::StrCat(tally.grants, " grants instead of ", expected);
  if (tally.lost + tally.restored + tally.refused + tally.gaps + tally.ended_badly + tally.failed_commits > 0) {
    return "something was lost, restored, refused or missed";
  }
  return scenario.sweeps.empty() ? "no sweep" : "";
}

}  // namespace

Outcome Simulate(const Scenario& scenario, bool traced) {
  return Simulation(scenario, traced).Run();
}

Outcome SimulateAndCompare(const Scenario& scenario, bool traced) {
  Outcome outcome = Simulate(scenario, traced);
  if (!outcome.problem.empty()) return outcome;
  const Scenario calm_scenario = Calm(scenario);
  const Outcome calm = Simulate(calm_scenario);
  if (!calm.problem.empty()) {
    outcome.problem = absl::StrCat("in calm: ", calm.problem);
  } else if (std::string disquiet = Disquiet(calm_scenario, calm); !disquiet.empty()) {
    outcome.problem = absl::StrCat("in calm: ", disquiet);
  } else {
    outcome.problem = Difference(calm, outcome);
  }
  return outcome;
}

}  // namespace seedbed::simulation
