#include <string>

#include "common/base/json.h"
#include "coordinator/core/pack_key.h"
#include "coordinator/core/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed::core {
namespace {

using ::testing::HasSubstr;

TEST(Names, ReadBackAsWhatTheyName) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(SweepStateFromName(Name(SweepState(i))), SweepState(i));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(RunStateFromName(Name(RunState(i))), RunState(i));
  for (int i = 0; i < 9; ++i) EXPECT_EQ(AttemptEndFromName(Name(AttemptEnd(i))), AttemptEnd(i));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(WorkerStateFromName(Name(WorkerState(i))), WorkerState(i));
  EXPECT_STREQ(Name(AttemptEnd::kOutOfMemory), "out_of_memory");
  EXPECT_STREQ(Name(AttemptEnd::kStalled), "stalled");
  EXPECT_STREQ(Name(SweepState::kHalted), "halted");
  EXPECT_EQ(RunStateFromName("asleep"), std::nullopt);
  EXPECT_EQ(AttemptEndFromName(""), std::nullopt);
}

TEST(PackKey, IgnoresWhatMayDifferAndTheOrderOfKeysAndNothingElse) {
  struct Case {
    const char* shared;
    const char* parameters;
    std::vector<std::string> may_differ;
    bool same;
  };
  const std::vector<Case> table = {
      {R"({"trainer":"m","budget":1})", R"({"lr":0.1,"w":8})", {}, true},
      {R"({"budget":1,"trainer":"m"})", R"({"w":8,"lr":0.1})", {}, true},
      {R"({"trainer":"m","budget":1})", R"({"lr":0.2,"w":8})", {}, false},
      {R"({"trainer":"m","budget":1})", R"({"lr":0.2,"w":8})", {"lr"}, true},
      {R"({"trainer":"m","budget":1})", R"({"lr":0.2,"w":9})", {"lr"}, false},
      {R"({"trainer":"m","budget":2})", R"({"lr":0.1,"w":8})", {"lr"}, false},
  };
  for (const Case& c : table) {
    const auto reference = PackKeyOf(table[0].shared, table[0].parameters, c.may_differ);
    const auto key = PackKeyOf(c.shared, c.parameters, c.may_differ);
    ASSERT_TRUE(reference.ok() && key.ok());
    EXPECT_EQ(*key == *reference, c.same) << c.shared << c.parameters;
  }
  EXPECT_EQ(PackKeyOf("{}", "[]", {}).status().code(), absl::StatusCode::kInvalidArgument);
}

// The short way over texts against the same made of parsed JSON, on texts that may and may not take it.
TEST(PackKey, IsTheDigestOfTheCanonicalRest) {
  const std::string shared = R"({"budget":{"steps":5},"trainer":"m"})";
  const std::vector<std::string> names = {"b", "d.e", "a\"b"};
  for (const char* parameters : {
           R"({})",
           R"({"a":1})",
           R"({"b":1})",
           R"({"a":1,"b":"x","c":0.25,"d.e":null,"f":true})",
           R"({"b":"x","c":"y,}"})",
           R"({"a":"\u00e9\"","b":2,"c":3})",
           R"({"a":[1,{"b":2}],"b":[1],"c":{"b":1}})",
           R"({"c":1,"b":2,"a":3})",
           R"({"a": 1, "b": 2})",
           R"({"a\"b":1,"c":2})",
       }) {
    Json rest = Json::parse(parameters);
    for (const std::string& name : names) rest.erase(name);
    Json whole;
    whole["parameters"] = rest;
    whole["template"] = Json::parse(shared);
    const auto key = PackKeyOf(shared, parameters, names);
    ASSERT_TRUE(key.ok()) << parameters;
    EXPECT_EQ(*key, DigestOf(CanonicalJson(whole))) << parameters;
  }
  for (const char* broken : {R"({"a":1)", R"({"a":1}})", R"({"a":1,})", R"({"a"})", R"({"a":})", R"({,})", "{", ""}) {
    EXPECT_FALSE(PackKeyOf(shared, broken, names).ok()) << broken;
  }
}

TEST(IdTable, FindsWhatWasInsertedAndFreesWhatWasErased) {
  struct Value {
    RunId id;
    int number = 0;
  };
  IdTable<RunId, Value> table;
  for (const int64_t id : {1, 255, 256, 100'000}) EXPECT_TRUE(table.Insert({RunId(id), static_cast<int>(id)}));
  EXPECT_FALSE(table.Insert({RunId(256), 0}));
  EXPECT_FALSE(table.Insert({RunId(0), 0}));
  EXPECT_FALSE(table.Insert({RunId(-5), 0}));
  for (const int64_t id : {0, -1, 2, 257, 99'999, 100'001, 1'000'000}) EXPECT_EQ(table.Find(RunId(id)), nullptr) << id;
  const Value* const stays = table.Find(RunId(255));
  EXPECT_TRUE(table.Erase(RunId(1)));
  EXPECT_FALSE(table.Erase(RunId(1)));
  EXPECT_EQ(table.Find(RunId(255)), stays);
  std::vector<int> visited;
  table.ForEach([&](const Value& value) { visited.push_back(value.number); });
  EXPECT_EQ(visited, (std::vector<int>{255, 256, 100'000}));
  EXPECT_EQ(table.size(), 3);
}

// A scene with one of everything.
struct Busy {
  Busy() {
    SweepOptions options;
    options.points = 4;
    options.seeds = 2;
    sweep = scene.Submit("a", options);
    worker.Synchronize();
    worker.SendRows(scene.RunAt(sweep, 0, 0).id);
    worker.Finish(scene.RunAt(sweep, 1, 0).id);
    worker.End(scene.RunAt(sweep, 2, 0).id, AttemptEnd::kFailed);
    scene.Do(CancelRuns{sweep, {scene.RunAt(sweep, 3, 0).id}});
    other.Synchronize();
    other.Goodbye();
  }
  Scene scene;
  SweepId sweep;
  SceneWorker worker{scene, "w", 3};
  SceneWorker other{scene, "other", 1};
};

TEST(Loading, GivesBackAllThatIsDurable) {
  Busy busy;
  const absl::Duration later = absl::Hours(10);
  State loaded = busy.scene.Reloaded(later);
  std::string difference;
  EXPECT_TRUE(loaded.DurablyEquals(busy.scene.state, &difference)) << difference;
  EXPECT_TRUE(loaded.CheckInvariants().ok());
  const auto& [expires_at, run] = *loaded.expiries().begin();
  EXPECT_EQ(expires_at, later + busy.scene.settings.lease_duration);
  EXPECT_TRUE(std::get<Running>(loaded.FindRun(run)->state).listed) << "it was reported on";
  State moved = std::move(loaded);
  EXPECT_TRUE(moved.CheckInvariants().ok());
}

TEST(DurablyEquals, NamesTheFirstDifference) {
  struct Case {
    const char* what;
    void (*change)(Busy&);
    const char* difference;
  };
  const std::vector<Case> table = {
      {"a run's state",
       [](Busy& b) {
         b.scene.Do(CancelRuns{b.sweep, {b.scene.RunAt(b.sweep, 0, 1).id}});
       },
       "state is queued and cancelled"},
      {"an acknowledgement", [](Busy& b) { b.worker.SendRows(b.worker.held.begin()->first); },
       "last_acknowledged_sequence is 1 and 2"},
      {"a sweep's state", [](Busy& b) { b.scene.Do(PauseSweep{b.sweep}); }, "sweep 1: state is active and paused"},
      {"a worker's state", [](Busy& b) { b.scene.Do(DrainWorker{b.worker.id}); }, "worker w: state is active and"},
      {"a worker's slots",
       [](Busy& b) {
         b.worker.slots = 1;
         b.worker.Synchronize();
       },
       "worker w: slots is 3 and 1"},
      {"one more sweep", [](Busy& b) { b.scene.Submit("b"); }, "sweeps: number is 1 and 2"},
  };
  for (const Case& c : table) {
    Busy busy;
    const State before = busy.scene.Reloaded(absl::ZeroDuration());
    std::string difference;
    ASSERT_TRUE(before.DurablyEquals(busy.scene.state, &difference)) << difference;
    c.change(busy);
    EXPECT_FALSE(before.DurablyEquals(busy.scene.state, &difference)) << c.what;
    EXPECT_THAT(difference, HasSubstr(c.difference)) << c.what;
  }
}

TEST(DurablyEquals, TakesNoNoticeOfWhatLivesInMemory) {
  Busy busy;
  const State before = busy.scene.Reloaded(absl::ZeroDuration());
  busy.scene.Pass(absl::Seconds(3));
  Synchronize facts = busy.worker.Facts();
  facts.free_slots = 0;
  busy.scene.Do(facts);
  std::string difference;
  EXPECT_TRUE(before.DurablyEquals(busy.scene.state, &difference)) << difference;
}

TEST(Loading, RowsThatContradictEachOtherAreDataLoss) {
  struct Case {
    const char* what;
    absl::Status (*load)(State&);
  };
  const auto sweep = [] {
    SweepEntry row;
    row.id = SweepId(1);
    row.name = "a";
    row.template_json = R"({"trainer":"m"})";
    return row;
  };
  static const SweepEntry kSweep = sweep();
  static const auto kConfiguration = [](int64_t id, int64_t ordinal) {
    ConfigurationEntry row;
    row.id = ConfigurationId(id);
    row.sweep = SweepId(1);
    row.ordinal = ordinal;
    row.digest = Digest{1, static_cast<uint64_t>(id)};
    return row;
  };
  static const auto kRun = [](int64_t id, int32_t round) {
    core::Run row;
    row.id = RunId(id);
    row.sweep = SweepId(1);
    row.configuration = ConfigurationId(1);
    row.round = round;
    return row;
  };
  const std::vector<Case> table = {
      {"two sweeps of one name",
       [](State& s) {
         SweepEntry second = kSweep;
         second.id = SweepId(2);
         return s.LoadSweep(second);
       }},
      {"a template without trainer",
       [](State& s) {
         SweepEntry second = kSweep;
         second.id = SweepId(2);
         second.name = "b";
         second.template_json = "{}";
         return s.LoadSweep(second);
       }},
      {"a configuration twice", [](State& s) { return s.LoadConfiguration(kConfiguration(1, 1)); }},
      {"an ordinal twice", [](State& s) { return s.LoadConfiguration(kConfiguration(2, 0)); }},
      {"an absurd id", [](State& s) { return s.LoadRun(kRun(int64_t{1} << 60, 1)); }},
      {"a run twice", [](State& s) { return s.LoadRun(kRun(1, 1)); }},
      {"a round twice", [](State& s) { return s.LoadRun(kRun(2, 0)); }},
      {"a missing round",
       [](State& s) {
         const absl::Status status = s.LoadRun(kRun(2, 2));
         return status.ok() ? s.FinishLoading(absl::ZeroDuration()) : status;
       }},
      {"a lease of nobody", [](State& s) { return s.LoadRun(kRun(2, 1), WorkerId("nobody")); }},
      {"a finished run that never began",
       [](State& s) {
         core::Run run = kRun(2, 1);
         run.state = Finished{};
         const absl::Status status = s.LoadRun(run);
         return status.ok() ? s.FinishLoading(absl::ZeroDuration()) : status;
       }},
      {"a seed twice",
       [](State& s) {
         const absl::Status status = s.LoadRun(kRun(2, 1));  // its seed is 0, as the first one's
         return status.ok() ? s.FinishLoading(absl::ZeroDuration()) : status;
       }},
      {"an attempt that ended under the fence that still holds",
       [](State& s) {
         core::Run run = kRun(2, 1);
         run.seed = 1;
         run.attempts = 1;
         run.fence = run.attempt_fence = Fence(1);
         run.last_end = AttemptEnd::kLost;
         const absl::Status status = s.LoadRun(run);
         return status.ok() ? s.FinishLoading(absl::ZeroDuration()) : status;
       }},
      {"a lease under an older fence than the run's",
       [](State& s) {
         WorkerEntry worker;
         worker.id = WorkerId("w");
         core::Run run = kRun(2, 1);
         run.seed = 1;
         run.attempts = 1;
         run.attempt_fence = Fence(1);
         run.fence = Fence(2);
         absl::Status status = s.LoadWorker(worker);
         if (status.ok()) status = s.LoadRun(run, WorkerId("w"));
         return status.ok() ? s.FinishLoading(absl::ZeroDuration()) : status;
       }},
      {"a worker that was gone before it was gone",
       [](State& s) {
         WorkerEntry worker;
         worker.id = WorkerId("w");
         worker.state = worker.state_before_gone = WorkerState::kGone;
         return s.LoadWorker(worker);
       }},
      {"a worker that is there and was drained before it was gone",
       [](State& s) {
         WorkerEntry worker;
         worker.id = WorkerId("w");
         worker.state_before_gone = WorkerState::kDraining;
         return s.LoadWorker(worker);
       }},
      {"a checkpoint of a run that never began",
       [](State& s) {
         Checkpoint checkpoint;
         checkpoint.attempt = 1;
         const absl::Status status = s.LoadCheckpoint(RunId(1), checkpoint);
         return status.ok() ? s.FinishLoading(absl::ZeroDuration()) : status;
       }},
      {"ids beyond the next one",
       [](State& s) {
         s.LoadNextIds(SweepId(2), ConfigurationId(2), RunId(1));
         return s.FinishLoading(absl::ZeroDuration());
       }},
  };
  for (const Case& c : table) {
    State state;
    state.LoadNextIds(SweepId(10), ConfigurationId(10), RunId(10));
    ASSERT_TRUE(state.LoadSweep(kSweep).ok());
    ASSERT_TRUE(state.LoadConfiguration(kConfiguration(1, 0)).ok());
    ASSERT_TRUE(state.LoadRun(kRun(1, 0)).ok());
    EXPECT_EQ(c.load(state).code(), absl::StatusCode::kDataLoss) << c.what;
  }
}

TEST(ApplyDeathTest, AnIllegalTransitionAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  struct Case {
    const char* message;
    Event (*event)(Busy&);
  };
  const std::vector<Case> table = {
      {"the run is not queued",
       [](Busy& b) -> Event {
         return AttemptGranted{{b.scene.RunAt(b.sweep, 0, 0).id, 2, Fence(9)}, b.worker.id, std::nullopt, false, {}};
       }},
      {"the attempt does not run",
       [](Busy& b) -> Event {
         return ReportAcknowledged{b.scene.RunAt(b.sweep, 1, 0).id, 1, 2, 0};
       }},
      {"not the next sequence",
       [](Busy& b) -> Event {
         return ReportAcknowledged{b.scene.RunAt(b.sweep, 0, 0).id, 1, 3, 0};
       }},
      {"a sweep may not change so",
       [](Busy& b) -> Event {
         return SweepStateChanged{b.sweep, SweepState::kActive, SweepState::kSubmitting};
       }},
      {"a worker that is gone holds leases",
       [](Busy& b) -> Event {
         return WorkerStateChanged{b.worker.id, WorkerState::kActive, WorkerState::kGone, ""};
       }},
      {"the fence does not rise",
       [](Busy& b) -> Event {
         return RunStateChanged{b.scene.RunAt(b.sweep, 3, 0).id, RunState::kCancelled, RunState::kQueued, Fence(0)};
       }},
      {"unknown run",
       [](Busy&) -> Event {
         return LeaseRenewed{RunId(99), absl::ZeroDuration(), true, 0};
       }},
  };
  for (const Case& c : table) {
    Busy busy;
    const Event event = c.event(busy);
    EXPECT_DEATH(busy.scene.state.Apply(event), c.message);
  }
}

}  // namespace
}  // namespace seedbed::core
