// What the core's events leave in the tables.
#include "coordinator/storage/event_writer.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/store_fixture.h"

namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file

core::AttemptEnded Lost(RunId run, int attempt, int64_t next_fence) {
  return {run, attempt, Fence(next_fence), core::AttemptEnd::kLost, "gone", core::RunState::kQueued, {}, 1, 0};
}

// Whoever compares bits must find every run whose bits may differ, and no other.
TEST_F(StoreTest, ARunThatMixedNumericsSaysSoUntilItStartsAgain) {
  WriteSweep();
  const auto mixed = [this] { return One("SELECT group_concat(mixed_numerics) FROM run_results"); };
  SEEDBED_ASSERT_OK(store_->Write(Events({Lost(RunId(2), 1, 2), Grant(RunId(2), 2, 3, 10)})));
  EXPECT_EQ(mixed(), "0,0,0,0") << "run 2 goes on where it was";
  core::AttemptGranted elsewhere = Grant(RunId(1), 2, 3, 10);
  elsewhere.mixes_numerics = true;
  SEEDBED_ASSERT_OK(store_->Write(Events({Lost(RunId(1), 1, 2), elsewhere})));
  EXPECT_EQ(mixed(), "1,0,0,0");
  SEEDBED_ASSERT_OK(store_->Write(Events({Lost(RunId(1), 2, 4), Grant(RunId(1), 3, 5, 20)})));
  EXPECT_EQ(mixed(), "1,0,0,0") << "it goes on from rows that are mixed already";
  SEEDBED_ASSERT_OK(store_->Write(Events({Lost(RunId(1), 3, 6), Grant(RunId(1), 4, 7)})));
  EXPECT_EQ(mixed(), "0,0,0,0") << "without a checkpoint nothing is left of them";
}

TEST_F(StoreTest, ACancelledRunKeepsItsRows) {
  WriteSweep();
  SEEDBED_ASSERT_OK(
      store_->Write(Metrics({{RunId(1), {0, 10}, {{"train_loss", {2, 1}}, {"layer.norm", {1, 2}}}, {}},
                             {RunId(2), {0, 10}, {{"train_loss", {2, 1}}, {"layer.norm", {1, 2}}}, {}}})));
  // One that is running, and one that waits for its second attempt.
  const core::AttemptEnded running{
      RunId(1), 1, Fence(2), core::AttemptEnd::kCancelled, "by hand", core::RunState::kCancelled, {}, 0, 0};
  const core::RunStateChanged waiting{RunId(2), core::RunState::kQueued, core::RunState::kCancelled, Fence(3)};
  SEEDBED_ASSERT_OK(store_->Write(Events({running, Lost(RunId(2), 1, 2), waiting})));
  EXPECT_EQ(One("SELECT group_concat(state) FROM runs WHERE run_id <= 2"), "cancelled,cancelled");
  for (const char* table : {"steps", "step_values"}) {
    EXPECT_EQ(One(absl::StrCat("SELECT group_concat(run_id || ':' || step, ' ') FROM ", table)), "1:0 1:10 2:0 2:10")
        << table;
  }
}

TEST_F(StoreTest, AQuarantineIsAnEventWithItsReason) {
  WriteSweep();
  SEEDBED_ASSERT_OK(store_->Write(Events({core::WorkerStateChanged{
      WorkerId("w1"), core::WorkerState::kActive, core::WorkerState::kQuarantined, "3 runs in a row crashed"}})));
  EXPECT_EQ(One("SELECT kind || ' ' || worker_id || ' ' || detail FROM events ORDER BY event_id DESC LIMIT 1"),
            "worker_state w1 active to quarantined: 3 runs in a row crashed");
  EXPECT_EQ(One("SELECT state || ': ' || reason FROM workers"), "quarantined: 3 runs in a row crashed");
}

TEST_F(StoreTest, WhatAWorkerWasBeforeItWasGoneIsStoredWhileItIs) {
  WriteSweep();
  using State = core::WorkerState;
  const auto change = [this](State from, State to) {
    SEEDBED_EXPECT_OK(store_->Write(Events({core::WorkerStateChanged{WorkerId("w1"), from, to, "so"}})));
    return One("SELECT state || ' ' || coalesce(state_before_gone, '-') FROM workers");
  };
  EXPECT_EQ(change(State::kActive, State::kDraining), "draining -");
  EXPECT_EQ(change(State::kDraining, State::kGone), "gone draining");
  EXPECT_EQ(change(State::kGone, State::kDraining), "draining -");
  EXPECT_EQ(change(State::kDraining, State::kActive), "active -");
}

// Whatever the machine's time zone, and not the monotonic clock that leases are judged by.
TEST_F(StoreTest, TimesAreUtcMicroseconds) {
  WriteSweep();
  FakeClock clock;
  clock.Advance(absl::Microseconds(2'000'003));
  Batch batch = Events({Finish(RunId(1), 1, 2, "grokked", "{}")});
  batch.now = clock.Now();
  SEEDBED_ASSERT_OK(store_->Write(batch));
  for (const char* sql : {"SELECT started_at || ' ' || ended_at FROM runs WHERE run_id = 1",
                          "SELECT started_at || ' ' || ended_at FROM attempts WHERE run_id = 1",
                          "SELECT min(at) || ' ' || max(at) FROM events"}) {
    EXPECT_EQ(One(sql), "1700000000000000 1700000002000003") << sql;
  }
  EXPECT_EQ(One("SELECT created_at || ' ' || registered_at FROM sweeps, workers"), "1700000000000000 1700000000000000");
}

// The steps at which a measure was first reached are known to within it.
TEST_F(StoreTest, TheIntervalOfEvaluationsStandsBesideEachResult) {
  WriteSweep();
  EXPECT_EQ(One("SELECT group_concat(evaluate_every) FROM run_results"), "20,20,20,20");
}

}  // namespace
}  // namespace seedbed
