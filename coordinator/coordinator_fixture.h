#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/coordinator_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed::coordinator_test {

// A coordinator on a directory of its own, a clock that stands still until it is moved, and the laws that hold after
// every batch.
class CoordinatorTest : public ::testing::Test {
 protected:
  CoordinatorTest() {
    options_.directory = directory_.path() + "/data";
    options_.synchronous = StoreOptions::Synchronous::kOff;
    options_.clock = &clock_;
    options_.housekeeping_every = absl::Milliseconds(5);
    options_.free_bytes = [this]() -> absl::StatusOr<int64_t> { return free_bytes_.load(); };
    options_.loop.tick_every = absl::Milliseconds(5);
    options_.loop.metric_delay = absl::Milliseconds(1);
    // The law that every batch must keep: the database says what memory says.
    options_.loop.after_batch = [this](const core::State& state, Store& store) {
      const absl::Status invariants = state.CheckInvariants();
      if (!invariants.ok()) Complain(invariants.ToString());
      const absl::StatusOr<core::State> loaded = store.Load(state.settings(), clock_.Now().monotonic);
      std::string difference;
      if (!loaded.ok()) {
        Complain(loaded.status().ToString());
      } else if (!state.DurablyEquals(*loaded, &difference)) {
        Complain(difference);
      }
      int64_t runs = 0;
      for (const auto& [id, sweep] : state.sweeps()) runs += sweep.counts.total();
      const std::lock_guard<std::mutex> lock(mutex_);
      runs_after_batch_.push_back(runs);
      sweeps_after_batch_.push_back(state.sweeps().size());
    };
  }
  ~CoordinatorTest() override {
    coordinator_.reset();
    EXPECT_THAT(complaints_, ::testing::IsEmpty());
  }

  void Open() {
    absl::StatusOr<std::unique_ptr<Coordinator>> opened = Coordinator::Open(options_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    coordinator_ = *std::move(opened);
  }
  void Complain(const std::string& what) {
    const std::lock_guard<std::mutex> lock(mutex_);
    complaints_.push_back(what);
  }
  SynchronizeReply Synchronize(const core::Synchronize& call) {
    Pending<SynchronizeReply> pending;
    coordinator_->Synchronize(call, pending.Callback());
    absl::StatusOr<SynchronizeReply> reply = pending.Get();
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *reply : SynchronizeReply();
  }
  // Registers `worker` and leases one run for it.
  core::LeaseKey LeaseOne(const std::string& worker) {
    const SynchronizeReply reply = Synchronize(CallOf(worker, ++number_, 1));
    EXPECT_EQ(reply.start.size(), 1u);
    return reply.start.empty() ? core::LeaseKey() : reply.start[0].lease.lease;
  }
  void Report(Pending<core::ReportAnswer>* pending, core::Report report, std::optional<MetricRows> rows,
              int64_t bytes = 100) {
    coordinator_->Report(std::move(report), std::move(rows), bytes, pending->Callback());
  }
  core::ReportAnswer ReportAndWait(core::Report report, std::optional<MetricRows> rows) {
    Pending<core::ReportAnswer> pending;
    Report(&pending, std::move(report), std::move(rows));
    const absl::StatusOr<core::ReportAnswer> answer = pending.Get();
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *answer : core::ReportAnswer();
  }
  int64_t EventsOfKind(const std::string& kind) {
    const absl::StatusOr<std::vector<EventRow>> events = coordinator_->reader().LatestEvents();
    EXPECT_TRUE(events.ok()) << events.status();
    if (!events.ok()) return -1;
    return std::count_if(events->begin(), events->end(), [&](const EventRow& event) { return event.kind == kind; });
  }
  int64_t RowsInDatabase(RunId run) {
    const absl::StatusOr<MetricTable> table = coordinator_->reader().StepsOf(run);
    EXPECT_TRUE(table.ok()) << table.status();
    return table.ok() ? static_cast<int64_t>(table->steps.size()) : -1;
  }
  // Passes when every batch that was begun before has ended, and no tick's either.
  void LetTurnsPass(int turns) {
    size_t begun = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      begun = runs_after_batch_.size();
    }
    EXPECT_TRUE(Eventually([&] {
      const std::lock_guard<std::mutex> lock(mutex_);
      return runs_after_batch_.size() >= begun + static_cast<size_t>(turns);
    }));
  }

  TemporaryDirectory directory_;
  ManualClock clock_;
  std::atomic<int64_t> free_bytes_{int64_t{1} << 40};
  CoordinatorOptions options_;
  std::mutex mutex_;
  std::vector<std::string> complaints_;
  std::vector<int64_t> runs_after_batch_;
  std::vector<size_t> sweeps_after_batch_;
  int64_t number_ = 0;
  std::unique_ptr<Coordinator> coordinator_;
};

}  // namespace seedbed::coordinator_test
