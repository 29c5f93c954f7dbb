#include "coordinator/storage/load.h"

#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "coordinator/core/scheduler.h"
#include "coordinator/core/state.h"
#include "coordinator/storage/storage_test_support.h"
#include "coordinator/storage/store.h"
#include "gmock/gmock.h"

// What the core decided, the store wrote and Load read back is the same state, after every batch.
namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file

class LoadTest : public ::testing::Test {
 protected:
  LoadTest() : store_(OpenStore(FastOptions(directory_.path()))) {}

  void ExpectLoadsAs(const core::State& state) {
    const absl::StatusOr<core::State> loaded = store_->Load(state.settings(), clock_.Now().monotonic);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    std::string difference;
    EXPECT_TRUE(state.DurablyEquals(*loaded, &difference)) << difference;
    const absl::Status invariants = loaded->CheckInvariants();
    EXPECT_TRUE(invariants.ok()) << invariants;
  }

  // Writes and applies the events as one batch and compares.
  void Step(std::vector<core::Event> events, core::State* state) {
    for (const core::Event& event : events) state->Apply(event);
    Batch batch = Events(std::move(events));
    batch.now = clock_.Now();
    SEEDBED_ASSERT_OK(store_->Write(batch));
    ExpectLoadsAs(*state);
  }

  FakeClock clock_;
  TemporaryDirectory directory_;
  std::unique_ptr<Store> store_;
};

TEST_F(LoadTest, AnEmptyDatabaseIsAnEmptyState) {
  ExpectLoadsAs(core::State());
}

TEST_F(LoadTest, EachKindOfEvent) {
  core::State state;
  Step(SweepEvents("first", 3, 2), &state);
  Step({WorkerEvent("w1"), WorkerEvent("w2")}, &state);
  Step({Grant(RunId(1), 1, 1), Grant(RunId(3), 1, 1), Grant(RunId(5), 1, 1)}, &state);
  Step({core::ReportAcknowledged{RunId(1), 1, 1, 40}}, &state);
  Step({Finish(RunId(1), 1, 2, "grokked", "{}")}, &state);
  Step({core::AttemptEnded{RunId(3), 1, Fence(2), core::AttemptEnd::kLost, "gone", core::RunState::kQueued, {}, 1, 0}},
       &state);
  core::LeaseRestored restored;
  restored.lease = core::LeaseKey{RunId(3), 1, Fence(3)};
  restored.worker = WorkerId("w1");
  Step({restored}, &state);
  core::CheckpointStored stored;
  stored.run = RunId(3);
  stored.checkpoint = {20, 1, 0, "checkpoints/3-1-20", std::string(64, 'a'), 5, DigestOf(R"({"cpu":"a"})")};
  stored.numerics_json = R"({"cpu":"a"})";
  Step({stored}, &state);
  stored.checkpoint.step = 30;
  Step({stored, core::CheckpointsDropped{RunId(3), {20}, "cut short"}}, &state);
  Step({core::AttemptEnded{RunId(3), 1, Fence(4), core::AttemptEnd::kFailed, "no", core::RunState::kFailed, {}, 0, 1}},
       &state);
  Step({core::RunStateChanged{RunId(2), core::RunState::kQueued, core::RunState::kCancelled, Fence(1), false}}, &state);
  Step({core::RunStateChanged{RunId(3), core::RunState::kFailed, core::RunState::kQueued, Fence(5), true}}, &state);
  Step({core::WorkerStateChanged{WorkerId("w2"), core::WorkerState::kActive, core::WorkerState::kDraining, "asked"}},
       &state);
  Step({core::WorkerStateChanged{WorkerId("w2"), core::WorkerState::kDraining, core::WorkerState::kGone, "silent"}},
       &state);
  Step({core::WorkerStateChanged{WorkerId("w1"), core::WorkerState::kActive, core::WorkerState::kDraining, "asked"}},
       &state);
  core::SweepExtended extended;
  extended.sweep = SweepId(1);
  extended.submission_id = "second submission";
  extended.priority = 3;
  extended.max_concurrent = 2;
  Step({extended}, &state);
  Step({core::SweepStateChanged{SweepId(1), core::SweepState::kActive, core::SweepState::kHalted}}, &state);
  Step(SweepEvents("second", 1, 2, SweepId(2), 10, 20), &state);
  Step({core::SweepStateChanged{SweepId(2), core::SweepState::kActive, core::SweepState::kDeleting}}, &state);
  Step({core::RunsDeleted{SweepId(2), {RunId(21)}, {}}}, &state);
  Step({core::RunsDeleted{SweepId(2), {RunId(20)}, {ConfigurationId(10)}}, core::SweepDeleted{SweepId(2)}}, &state);
}

// Commands as clumsy people and workers would send them: those that the core refuses change nothing.
class RandomCommands {
 public:
  explicit RandomCommands(uint64_t seed) : random_(seed) {}

  core::Command Next(const core::State& state) {
    sweeps_.clear();
    for (const auto& [id, sweep] : state.sweeps()) sweeps_.push_back(id);
    switch (Below(15)) {
      case 0:
        return Begin();
      case 1:
        return Add();
      case 2: {
        const core::SweepEntry* sweep = state.FindSweep(AnySweep());
        return sweep == nullptr ? Begin() : core::Command(core::CompleteSubmission{sweep->id, sweep->submission_id});
      }
      case 3:
        return People();
      case 4:
        return core::Tick{};
      case 5:
      case 6:
      case 7:
        return Synchronize(state);
      case 14:
        return Save(state);
      default:
        return Report(state);
    }
  }
  int64_t Below(int64_t end) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(end)); }

 private:
  SweepId AnySweep() { return sweeps_.empty() ? SweepId(1) : sweeps_[Below(static_cast<int64_t>(sweeps_.size()))]; }
  WorkerId AnyWorker() { return WorkerId(absl::StrCat("w", Below(4))); }

  core::Command Begin() {
    core::BeginSubmission begin;
    begin.name = absl::StrCat("sweep", Below(8));
    begin.submission_id = absl::StrCat("submission ", Below(4));
    begin.fixed_json = R"({"trainer":"modular"})";
    begin.template_json =
        R"({"budget":{"seconds":null,"steps":100},"metrics":{"evaluate_every":20,"log_every":10},"stop":[],"trainer":"modular"})";
    begin.metric_json = "null";
    begin.priority = Below(3);
    begin.retries = static_cast<int>(Below(2));
    begin.keep_checkpoints = static_cast<core::KeepCheckpoints>(Below(3));
    begin.numerics = static_cast<core::NumericsPolicy>(Below(2));
    return begin;
  }

  core::Command Add() {
    core::AddConfigurations add;
    add.sweep = AnySweep();
    for (int64_t i = 0; i < 1 + Below(3); ++i) {
      core::NewConfiguration configuration;
      configuration.parameters_json = absl::StrCat(R"({"optimizer.weight_decay":)", Below(30), "}");
      configuration.varied_json = configuration.parameters_json;
      configuration.digest = DigestOf(configuration.parameters_json);
      add.configurations.push_back(configuration);
    }
    for (int64_t seed = 0; seed < 1 + Below(3); ++seed) add.seeds.push_back(seed);
    return add;
  }

  core::Command People() {
    switch (Below(12)) {
      case 0:
        return core::ExtendSeeds{AnySweep(), 1 + Below(4)};
      case 1:
        return core::PauseSweep{AnySweep(), Below(2) == 0};
      case 2:
      case 3:
        return core::ResumeSweep{AnySweep()};
      case 4: {
        core::CancelRuns cancel;
        cancel.sweep = AnySweep();
        cancel.most = 1 + Below(3);
        return cancel;
      }
      case 5: {
        core::RetryRuns retry;
        retry.sweep = AnySweep();
        retry.include_cancelled = true;
        return retry;
      }
      case 6:
        return Below(2) == 0 ? core::Command(core::DeleteSweep{AnySweep(), 1 + Below(20)})
                             : core::DrainWorker{AnyWorker()};
      default:
        return core::ResumeWorker{AnyWorker()};  // out of quarantine or draining
    }
  }

  core::Command Synchronize(const core::State& state) {
    core::Synchronize call;
    call.worker = AnyWorker();
    call.name = call.worker.value();
    call.slots = 2;
    call.free_slots = static_cast<int>(Below(3));
    call.number = ++number_;
    call.trainers = {{"modular", "{}", {"optimizer.weight_decay"}}};
    call.goodbye = Below(10) == 0;
    // A worker goes on listing a lease that expired meanwhile, and may win it back.
    std::map<RunId, core::LeaseKey>& held = held_[call.worker];
    if (const core::WorkerEntry* worker = state.FindWorker(call.worker)) {
      for (const RunId run : worker->leases) held[run] = core::LeaseOf(*state.FindRun(run));
    }
    for (auto lease = held.begin(); lease != held.end();) {
      lease = Below(8) == 0 ? held.erase(lease) : std::next(lease);
    }
    for (const auto& [run, lease] : held) call.leases.push_back({lease, Below(50), true});
    if (call.goodbye) held.clear();
    return call;
  }

  core::Command Report(const core::State& state) {
    core::Report report;
    report.worker = AnyWorker();
    const core::WorkerEntry* worker = state.FindWorker(report.worker);
    if (worker == nullptr || worker->leases.empty()) return core::Tick{};
    auto run = worker->leases.begin();
    std::advance(run, Below(static_cast<int64_t>(worker->leases.size())));
    report.lease = core::LeaseOf(*state.FindRun(*run));
    report.sequence = state.FindRun(*run)->last_acknowledged_sequence + 1;
    report.last_step = Below(100);
    if (Below(3) == 0) {
      core::Report::End end;
      end.end = Below(2) == 0 ? core::AttemptEnd::kFinished : static_cast<core::AttemptEnd>(Below(8));
      end.reason = "random";
      end.pack = static_cast<int>(1 + Below(2));
      if (end.end == core::AttemptEnd::kFinished)
        end.result = core::RunResult{"grokked", "budget", 100, R"({"t_train_99":5})"};
      report.end = end;
    }
    return report;
  }

  core::Command Save(const core::State& state) {
    core::StoreCheckpoint save;
    save.worker = AnyWorker();
    const core::WorkerEntry* worker = state.FindWorker(save.worker);
    if (worker == nullptr || worker->leases.empty()) return core::Tick{};
    const core::Run& run = *state.FindRun(*worker->leases.begin());
    save.lease = core::LeaseOf(run);
    save.checkpoint.step = Below(200);
    save.checkpoint.sequence = run.last_acknowledged_sequence;
    save.checkpoint.path = absl::StrCat("checkpoints/", run.id.value(), "-", save.checkpoint.step);
    save.checkpoint.sha256 = std::string(64, 'b');
    save.checkpoint.bytes = Below(1000);
    save.numerics_json = Below(4) == 0 ? R"({"cpu":"other"})" : "{}";
    return save;
  }

  std::mt19937_64 random_;
  int64_t number_ = 0;
  std::map<WorkerId, std::map<RunId, core::LeaseKey>> held_;
  std::vector<SweepId> sweeps_;  // that exist
};

TEST_F(LoadTest, WhateverTheCoreDecides) {
  RandomCommands commands(7);
  core::State state;
  std::map<size_t, int64_t> durable;  // events by kind
  for (int step = 0; step < 700; ++step) {
    Batch batch;
    clock_.Advance(absl::Milliseconds(commands.Below(1500)));
    batch.now = clock_.Now();
    for (int64_t i = commands.Below(5); i >= 0; --i) {
      // Without a tick in time the core takes the gap for a suspension and lets no lease expire.
      const core::Command command = i == 0 ? core::Tick{} : commands.Next(state);
      const absl::StatusOr<core::Decision> decision = core::Decide(state, command, batch.now);
      if (!decision.ok()) continue;
      for (const core::Event& event : decision->events) {
        state.Apply(event);
        batch.events.push_back(event);
        if (core::IsDurable(event)) ++durable[event.index()];
      }
    }
    SEEDBED_ASSERT_OK(store_->Write(batch));
    ExpectLoadsAs(state);
    if (HasFailure()) FAIL() << "after batch " << step;
    if (commands.Below(50) == 0) {
      // A restart: what was in memory only is forgotten, in the database and in the state alike.
      store_.reset();
      store_ = OpenStore(FastOptions(directory_.path()));
      state = *store_->Load(state.settings(), clock_.Now().monotonic);
    }
  }
  for (const auto& [kind, count] : durable) RecordProperty(absl::StrCat("kind", kind), static_cast<int>(count));
  EXPECT_GE(durable.size(), 13u) << "of 16 durable kinds of event; EachKindOfEvent has them all";
  int64_t all = 0;
  for (const auto& [kind, count] : durable) all += count;
  EXPECT_GT(all, 1000);
}

TEST_F(LoadTest, OffersOfWorkersThatAreGoneStayOnTheDisk) {
  core::State state;
  Step({WorkerEvent("w")}, &state);
  Step({core::WorkerStateChanged{WorkerId("w"), core::WorkerState::kActive, core::WorkerState::kGone, "goodbye"}},
       &state);
  const absl::StatusOr<core::State> loaded = store_->Load(state.settings(), clock_.Now().monotonic);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(loaded->FindWorker(WorkerId("w"))->trainers.empty());
  // Nor are they read: what stands there is of no account.
  SEEDBED_ASSERT_OK(OpenRaw(store_->database_path())->Execute("UPDATE workers SET trainers = '[7]'"));
  EXPECT_TRUE(store_->Load(state.settings(), clock_.Now().monotonic).ok());
}

TEST_F(LoadTest, ADamagedRowIsDataLoss) {
  SEEDBED_ASSERT_OK(store_->Write(Events(SweepEvents("sweep", 1, 1))));
  SEEDBED_ASSERT_OK(OpenRaw(store_->database_path())->Execute("UPDATE runs SET state = 'sleeping'"));
  const absl::Status status = store_->Load({}, absl::ZeroDuration()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("run 1"));
}

TEST_F(LoadTest, AWorkerThatIsGoneWasSomethingBefore) {
  SEEDBED_ASSERT_OK(store_->Write(Events({WorkerEvent("w1")})));
  const std::unique_ptr<Database> database = OpenRaw(store_->database_path());
  const auto load = [&](const char* state, std::optional<std::string> before) {
    SEEDBED_EXPECT_OK(
        database->Change("UPDATE workers SET state = ?, state_before_gone = ?", state, std::move(before)).status());
    return LoadState(database.get(), {}, absl::ZeroDuration());
  };
  const auto before_gone = [](const absl::StatusOr<core::State>& state) {
    return state->FindWorker(WorkerId("w1"))->state_before_gone;
  };
  EXPECT_EQ(before_gone(load("gone", "quarantined")), core::WorkerState::kQuarantined);
  EXPECT_EQ(before_gone(load("gone", std::nullopt)), core::WorkerState::kActive) << "of an older version's file";
  for (const auto& [state, before] : {std::pair("gone", "asleep"), {"gone", "gone"}, {"active", "draining"}}) {
    const absl::Status status = load(state, before).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << state << " " << before;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("w1"));
  }
}

TEST_F(LoadTest, ACheckpointThatLiesElsewhereIsDataLoss) {
  std::vector<core::Event> events = SweepEvents("sweep", 1, 1);
  events.push_back(WorkerEvent("w1"));
  events.push_back(Grant(RunId(1), 1, 1));
  core::CheckpointStored stored;
  stored.run = RunId(1);
  stored.checkpoint = {20, 1, 0, "checkpoints/1-1-20", std::string(64, 'a'), 5, DigestOf("{}")};
  stored.numerics_json = "{}";
  events.push_back(stored);
  SEEDBED_ASSERT_OK(store_->Write(Events(events)));
  SEEDBED_EXPECT_OK(store_->Load({}, absl::ZeroDuration()).status());
  for (const char* path : {"checkpoints/../results.db", "tokens.json", "/etc/passwd", ""}) {
    SEEDBED_ASSERT_OK(OpenRaw(store_->database_path())->Change("UPDATE checkpoints SET path = ?", path).status());
    EXPECT_EQ(store_->Load({}, absl::ZeroDuration()).status().code(), absl::StatusCode::kDataLoss) << path;
  }
}

TEST_F(LoadTest, ACountThatCannotGoOnIsDataLoss) {
  SEEDBED_ASSERT_OK(store_->Write(Events(SweepEvents("sweep", 1, 1))));
  for (const char* damage : {"UPDATE runs SET fence = 9223372036854775807", "UPDATE runs SET fence = -1",
                             "UPDATE runs SET attempts = 4294967296", "UPDATE runs SET counted_ends = 2147483647",
                             "UPDATE runs SET failed_ends = -1", "UPDATE runs SET round = 2147483647",
                             "UPDATE configurations SET ordinal = 8589934592", "UPDATE sweeps SET retries = 4294967296",
                             "UPDATE meta SET value = 9223372036854775807 WHERE key = 'next_run_id'"}) {
    const std::unique_ptr<Database> database = OpenRaw(store_->database_path());
    SEEDBED_ASSERT_OK(database->Execute("BEGIN"));
    SEEDBED_ASSERT_OK(database->Execute(damage));
    EXPECT_EQ(LoadState(database.get(), {}, absl::ZeroDuration()).status().code(), absl::StatusCode::kDataLoss)
        << damage;
  }
}

}  // namespace
}  // namespace seedbed
