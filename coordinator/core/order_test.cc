#include <map>
#include <set>
#include <string>
#include <vector>

#include "coordinator/core/policy.h"
#include "coordinator/core/scene.h"
#include "gtest/gtest.h"

// Which run is leased next.
namespace seedbed::core {
namespace {

SweepOptions Grid(int points, int64_t seeds) {
  SweepOptions options;
  options.points = points;
  options.seeds = seeds;
  return options;
}

// What a worker with one slot trains, one run after the other, until nothing is left.
std::string OrderOfAll(Scene& scene, SceneWorker& worker) {
  std::string order;
  for (;;) {
    const SynchronizeAnswer answer = worker.Synchronize();
    if (answer.start.empty()) return order;
    order += (order.empty() ? "" : " ") + scene.Labels(answer.start);
    worker.Finish(answer.start.front().lease.run);
  }
}

TEST(Order, EveryConfigurationGetsItsFirstSeedBeforeAnyGetsItsSecond) {
  Scene scene;
  scene.Submit("a", Grid(3, 2));
  SceneWorker worker(scene, "w", 1);
  EXPECT_EQ(OrderOfAll(scene, worker), "a:0.0 a:1.0 a:2.0 a:0.1 a:1.1 a:2.1");
}

TEST(Order, ALatecomersFirstSeedComesBeforeSecondSeeds) {
  Scene scene;
  const SweepId sweep = scene.Submit("a", Grid(2, 2));
  SceneWorker worker(scene, "w", 1);
  EXPECT_EQ(scene.Labels(worker.Synchronize().start), "a:0.0");
  scene.Do(Scene::Add(sweep, 2, Grid(1, 2)));
  worker.Finish(scene.RunAt(sweep, 0, 0).id);
  EXPECT_EQ(OrderOfAll(scene, worker), "a:1.0 a:2.0 a:0.1 a:1.1 a:2.1");
}

TEST(Order, HigherPriorityGoesFirst) {
  Scene scene;
  SweepOptions urgent = Grid(2, 1);
  urgent.priority = 5;
  scene.Submit("calm", Grid(2, 1));
  scene.Submit("urgent", urgent);
  SceneWorker worker(scene, "w", 1);
  EXPECT_EQ(OrderOfAll(scene, worker), "urgent:0.0 urgent:1.0 calm:0.0 calm:1.0");
}

TEST(Order, SweepsOfEqualPriorityShareByRunningLeases) {
  struct Case {
    int slots;
    std::string expected;
  };
  const std::vector<Case> table = {
      {1, "a:0.0"},
      {2, "a:0.0 b:0.0"},
      {4, "a:0.0 b:0.0 a:1.0 b:1.0"},
      {7, "a:0.0 b:0.0 a:1.0 b:1.0 b:2.0 b:3.0 b:4.0"},  // a has two runs only
  };
  for (const Case& c : table) {
    Scene scene;
    scene.Submit("a", Grid(2, 1));
    scene.Submit("b", Grid(6, 1));
    SceneWorker worker(scene, "w", c.slots);
    EXPECT_EQ(scene.Labels(worker.Synchronize().start), c.expected) << c.slots << " slots";
  }
}

TEST(Order, WhoeverHasFewerRunningLeasesIsServedFirst) {
  Scene scene;
  scene.Submit("a", Grid(6, 1));
  SceneWorker first(scene, "first", 3);
  EXPECT_EQ(scene.Labels(first.Synchronize().start), "a:0.0 a:1.0 a:2.0");
  scene.Submit("b", Grid(6, 1));
  SceneWorker second(scene, "second", 4);
  EXPECT_EQ(scene.Labels(second.Synchronize().start), "b:0.0 b:1.0 b:2.0 a:3.0");
}

TEST(Order, MaxConcurrentHoldsOverAllWorkers) {
  Scene scene;
  SweepOptions narrow = Grid(5, 1);
  narrow.max_concurrent = 3;
  const SweepId sweep = scene.Submit("a", narrow);
  SceneWorker first(scene, "first", 2);
  SceneWorker second(scene, "second", 2);
  EXPECT_EQ(scene.Labels(first.Synchronize().start), "a:0.0 a:1.0");
  EXPECT_EQ(scene.Labels(second.Synchronize().start), "a:2.0");
  EXPECT_FALSE(HasWork(scene.state, first.trainers));
  EXPECT_EQ(scene.Labels(second.Synchronize().start), "");
  first.Finish(scene.RunAt(sweep, 0, 0).id);
  EXPECT_TRUE(HasWork(scene.state, first.trainers));
  EXPECT_EQ(scene.Labels(second.Synchronize().start), "a:3.0");
}

TEST(Order, OnlyWorkersThatOfferTheTrainerGetItsRuns) {
  Scene scene;
  SweepOptions other = Grid(1, 1);
  other.trainer = "command";
  scene.Submit("commands", other);
  scene.Submit("models", Grid(1, 1));
  SceneWorker models(scene, "models", 4);
  SceneWorker nothing(scene, "nothing", 4);
  nothing.trainers.clear();
  SceneWorker both(scene, "both", 4);
  both.trainers.push_back({"command", "{}", {}});
  EXPECT_EQ(scene.Labels(nothing.Synchronize().start), "");
  EXPECT_EQ(scene.Labels(models.Synchronize().start), "models:0.0");
  EXPECT_EQ(scene.Labels(both.Synchronize().start), "commands:0.0");
}

TEST(Order, TwoTrainersOfOneWorkerShareByPriorityToo) {
  Scene scene;
  SweepOptions commands = Grid(2, 1);
  commands.trainer = "command";
  commands.priority = 1;
  scene.Submit("models", Grid(2, 1));
  scene.Submit("commands", commands);
  SceneWorker both(scene, "both", 3);
  both.trainers.push_back({"command", "{}", {}});
  EXPECT_EQ(scene.Labels(both.Synchronize().start), "commands:0.0 commands:1.0 models:0.0");
}

EngineRoom Engine(int free_slots, int occupied = 0, std::optional<Digest> pack_key = std::nullopt) {
  EngineRoom engine;
  engine.free_slots = free_slots;
  engine.occupied = occupied;
  engine.pack_key = pack_key;
  return engine;
}

TEST(Packs, TheFirstRunPicksTheKeyAndCompatibleOnesFill) {
  Scene scene;
  SweepOptions options = Grid(4, 2);
  options.packs = 2;  // points 0 and 2, and points 1 and 3
  scene.Submit("a", options);
  SceneWorker worker(scene, "w", 6);
  worker.engines = {Engine(3), Engine(3)};
  const SynchronizeAnswer answer = worker.Synchronize();
  EXPECT_EQ(scene.Labels(answer.start), "a:0.0 a:2.0 a:0.1 a:1.0 a:3.0 a:1.1");
  EXPECT_EQ(answer.start[0].pack_key, answer.start[2].pack_key);
  EXPECT_NE(answer.start[0].pack_key, answer.start[3].pack_key);
}

TEST(Packs, MoreRoomInEnginesThanFreeSlotsIsNotFilled) {
  Scene scene;
  SweepOptions options = Grid(6, 1);
  options.packs = 1;
  scene.Submit("a", options);
  SceneWorker worker(scene, "w", 2);
  worker.engines = {Engine(4), Engine(4)};
  EXPECT_EQ(scene.Labels(worker.SynchronizeAnswerLost().start), "a:0.0 a:1.0");
  EXPECT_EQ(scene.Labels(worker.SynchronizeAnswerLost().start), "a:0.0 a:1.0") << "repeated, and that is all";
}

TEST(Packs, ALoadedEngineTakesOnlyItsKey) {
  Scene scene;
  SweepOptions options = Grid(4, 1);
  options.packs = 2;
  const SweepId sweep = scene.Submit("a", options);
  const Digest odd = scene.state.FindConfiguration(scene.state.FindSweep(sweep)->configurations[1])->pack_key;
  SceneWorker worker(scene, "w", 4);
  worker.engines = {Engine(4, 1, odd)};
  EXPECT_EQ(scene.Labels(worker.Synchronize().start), "a:1.0 a:3.0");
}

TEST(Packs, CompatibleRunsOfOtherSweepsFillToo) {
  Scene scene;
  SweepOptions options = Grid(2, 1);
  options.packs = 1;
  scene.Submit("a", options);
  scene.Submit("b", options);
  SceneWorker worker(scene, "w", 4);
  worker.engines = {Engine(4)};
  EXPECT_EQ(scene.Labels(worker.Synchronize().start), "a:0.0 b:0.0 b:1.0 a:1.0");
}

TEST(Packs, ALoadedEngineRunsEmptyWhenSomethingMoreUrgentWaits) {
  Scene scene;
  SweepOptions options = Grid(2, 1);
  options.packs = 1;
  scene.Submit("a", options);
  SweepOptions urgent = Grid(1, 1);
  urgent.priority = 1;
  scene.Submit("urgent", urgent);
  SceneWorker worker(scene, "w", 2);
  worker.engines = {Engine(2, 1, Digest{7, 1})};
  EXPECT_EQ(scene.Labels(worker.Synchronize().start), "");
  worker.engines = {Engine(2)};
  EXPECT_EQ(scene.Labels(worker.Synchronize().start), "urgent:0.0");
}

TEST(Packs, ACrashOfAPackHalvesItAndCountsForNobody) {
  struct Case {
    AttemptEnd end;
    int pack;
    int pack_limit;  // afterwards
    int counted_ends;
    int failed_ends;
    std::string state;
  };
  const std::vector<Case> table = {
      {AttemptEnd::kCrashed, 8, 4, 0, 0, "queued"},     {AttemptEnd::kCrashed, 3, 1, 0, 0, "queued"},
      {AttemptEnd::kOutOfMemory, 8, 4, 0, 0, "queued"}, {AttemptEnd::kOutOfMemory, 2, 1, 0, 0, "queued"},
      {AttemptEnd::kCrashed, 1, 0, 1, 0, "queued"},     {AttemptEnd::kOutOfMemory, 1, 0, 0, 1, "failed"},
      {AttemptEnd::kStalled, 8, 0, 1, 0, "queued"},     {AttemptEnd::kFailed, 8, 0, 0, 1, "failed"},
  };
  for (const Case& c : table) {
    Scene scene;
    scene.Submit("a");
    SceneWorker worker(scene, "w", 1);
    const RunId id = Lease(worker).run;
    worker.End(id, c.end, c.pack);
    const core::Run& run = *scene.state.FindRun(id);
    const std::string what = std::string(Name(c.end)) + " in a pack of " + std::to_string(c.pack);
    EXPECT_EQ(run.pack_limit, c.pack_limit) << what;
    EXPECT_EQ(run.counted_ends, c.counted_ends) << what;
    EXPECT_EQ(run.failed_ends, c.failed_ends) << what;
    EXPECT_EQ(scene.StateOfRun(id), c.state) << what;
    EXPECT_EQ(worker.entry().counted_ends_in_a_row.size(), static_cast<size_t>(c.counted_ends)) << what;
  }
}

TEST(Packs, RunsWithALimitSitInNoLargerPack) {
  Scene scene;
  SweepOptions options = Grid(6, 1);
  options.packs = 1;
  const SweepId sweep = scene.Submit("a", options);
  SceneWorker worker(scene, "w", 6);
  worker.engines = {Engine(6)};
  worker.Synchronize();
  for (int point = 0; point < 4; ++point) worker.End(scene.RunAt(sweep, point, 0).id, AttemptEnd::kCrashed, 4);
  worker.engines = {Engine(3), Engine(3)};  // points 4 and 5 still run elsewhere
  const SynchronizeAnswer answer = worker.Synchronize();
  EXPECT_EQ(scene.Labels(answer.start), "a:0.0 a:1.0 a:2.0 a:3.0") << "two engines with two each";
  EXPECT_EQ(answer.start[0].pack_limit, 2);
}

TEST(Packs, KeysComputedByTheCoreIgnoreWhatMayDifferInAPack) {
  Scene scene;
  SceneWorker worker(scene, "w", 1);
  worker.trainers = {{"modular", "{}", {"x"}}};
  worker.Synchronize();
  const SweepId together = scene.Submit("together", Grid(2, 1));
  worker.trainers = {{"modular", "{}", {}}};
  worker.Synchronize();
  const SweepId apart = scene.Submit("apart", Grid(2, 1));
  const auto key = [&](SweepId sweep, int point) {
    return scene.state.FindConfiguration(scene.state.FindSweep(sweep)->configurations[point])->pack_key;
  };
  EXPECT_EQ(key(together, 0), key(together, 1));
  EXPECT_NE(key(apart, 0), key(apart, 1));
}

TEST(Packs, KeysDifferInWhatOneOfTheWorkersMayNotVary) {
  Scene scene;
  SceneWorker able(scene, "able", 1);
  able.trainers = {{"modular", "{}", {"x"}}};
  able.Synchronize();
  SceneWorker other(scene, "other", 1);
  other.Synchronize();
  const SweepId sweep = scene.Submit("a", Grid(2, 1));
  const std::vector<ConfigurationId>& points = scene.state.FindSweep(sweep)->configurations;
  EXPECT_NE(scene.state.FindConfiguration(points[0])->pack_key, scene.state.FindConfiguration(points[1])->pack_key);
}

// Picks by brute force over all runs, for one-slot engines.
std::vector<RunId> BruteForcePicks(const State& state, const std::string& trainer, int most) {
  std::map<SweepId, int64_t> running;
  std::set<RunId> taken;
  std::vector<RunId> picks;
  for (int i = 0; i < most; ++i) {
    const SweepEntry* best_sweep = nullptr;
    RunId best_run;
    for (const auto& [id, sweep] : state.sweeps()) {
      const int64_t now_running = sweep.counts.running + running[id];
      if (sweep.trainer != trainer || sweep.state != SweepState::kActive) continue;
      if (sweep.max_concurrent && now_running >= *sweep.max_concurrent) continue;
      std::optional<std::pair<int64_t, int64_t>> best_place;
      RunId candidate;
      for (size_t ordinal = 0; ordinal < sweep.configurations.size(); ++ordinal) {
        for (const auto& [seed, run_id] : state.FindConfiguration(sweep.configurations[ordinal])->runs) {
          const Run& run = *state.FindRun(run_id);
          if (StateOf(run) != RunState::kQueued || taken.count(run_id) > 0) continue;
          const std::pair<int64_t, int64_t> place{run.round, static_cast<int64_t>(ordinal)};
          if (best_place && *best_place < place) continue;
          best_place = place;
          candidate = run_id;
        }
      }
      if (!best_place) continue;
      const bool better = best_sweep == nullptr || sweep.priority > best_sweep->priority ||
                          (sweep.priority == best_sweep->priority &&
                           now_running < best_sweep->counts.running + running[best_sweep->id]);
      if (!better) continue;
      best_sweep = &sweep;
      best_run = candidate;
    }
    if (best_sweep == nullptr) break;
    picks.push_back(best_run);
    taken.insert(best_run);
    ++running[best_sweep->id];
  }
  return picks;
}

TEST(Order, AgreesWithBruteForce) {
  for (int variant = 0; variant < 30; ++variant) {
    Scene scene;
    for (int i = 0; i < 5; ++i) {
      SweepOptions options = Grid(1 + (variant * 7 + i * 5) % 4, 1 + (variant + i) % 3);
      options.priority = (variant * 3 + i) % 2;
      if ((variant + i) % 3 == 0) options.max_concurrent = 1 + (variant + i) % 4;
      scene.Submit("s" + std::to_string(i), options);
    }
    SceneWorker first(scene, "first", 1 + variant % 6);
    first.Synchronize();
    const int most = 1 + (variant * 5) % 17;
    const std::vector<EngineRoom> engines(most, Engine(1));
    EXPECT_EQ(PickRuns(scene.state, first.trainers, engines, most), BruteForcePicks(scene.state, "modular", most))
        << "variant " << variant;
  }
}

}  // namespace
}  // namespace seedbed::core
