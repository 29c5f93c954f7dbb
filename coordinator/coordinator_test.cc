#include "coordinator/coordinator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/coordinator_test_support.h"

namespace seedbed::coordinator_test {
namespace {

using ::testing::HasSubstr;

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

TEST_F(CoordinatorTest, CommandsThatArriveTogetherAreOneCommit) {
  Open();
  constexpr int kCommands = 50;
  std::promise<void> blocked;
  std::promise<void> release;
  std::thread blocker([&] {
    EXPECT_TRUE(coordinator_
                    ->Inspect([&](LiveView) {
                      blocked.set_value();
                      release.get_future().wait();
                    })
                    .ok());
  });
  blocked.get_future().wait();
  std::vector<Pending<core::Answer>> answers(kCommands);
  for (int i = 0; i < kCommands; ++i) {
    core::BeginSubmission begin;
    begin.submission_id = "s" + std::to_string(i);
    begin.name = "sweep" + std::to_string(i);
    begin.fixed_json = "{}";
    begin.template_json =
        R"({"budget":{"seconds":null,"steps":10},"metrics":{"evaluate_every":1,"log_every":1},"stop":[],"trainer":"modular"})";
    begin.metric_json = "null";
    coordinator_->Execute(std::move(begin), answers[static_cast<size_t>(i)].Callback());
  }
  release.set_value();
  blocker.join();
  for (Pending<core::Answer>& answer : answers) {
    const absl::StatusOr<core::Answer> got = answer.Get();
    ASSERT_TRUE(got.ok()) << got.status();
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const size_t sweeps : sweeps_after_batch_) EXPECT_TRUE(sweeps == 0 || sweeps == kCommands) << sweeps;
}

TEST_F(CoordinatorTest, SubmissionsGoInChunksAndAreIdempotent) {
  Open();
  const std::string text = SweepText("wide", 3, 2001);  // 6,003 runs
  const auto first = Submit(coordinator_.get(), "a", text);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->created);
  EXPECT_EQ(first->configurations_added, 3);
  EXPECT_EQ(first->runs_added, 6003);
  EXPECT_EQ(first->runs_total, 6003);

  const auto same_call = Submit(coordinator_.get(), "a", text);
  ASSERT_TRUE(same_call.ok()) << same_call.status();
  EXPECT_EQ(same_call->runs_added, 0);
  const auto again = Submit(coordinator_.get(), "b", text);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->created);
  EXPECT_EQ(again->runs_added, 0);
  EXPECT_EQ(again->runs_total, 6003);
  const auto extended = Submit(coordinator_.get(), "c", SweepText("wide", 4, 2002));
  ASSERT_TRUE(extended.ok()) << extended.status();
  EXPECT_EQ(extended->runs_added, 4 * 2002 - 6003);
  const auto changed = Submit(coordinator_.get(), "d",
                              SweepText("wide", 3, 1) + "stop:\n  - {not_finite: true}\nmetrics: {log_every: 7}\n");
  EXPECT_EQ(changed.status().code(), absl::StatusCode::kFailedPrecondition) << changed.status();
  EXPECT_THAT(std::string(changed.status().message()), HasSubstr("log_every"));

  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t before = 0;
  for (const int64_t runs : runs_after_batch_) {
    EXPECT_LE(runs - before, core::kMostRunsPerChunk);
    before = runs;
  }
  EXPECT_EQ(before, 4 * 2002);
}

TEST_F(CoordinatorTest, AMistakeInTheFileCreatesNothing) {
  Open();
  const auto wrong = Submit(coordinator_.get(), "a", "name: x\ntrainer: modular\nsedes: 3\n");
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("seeds"));
  EXPECT_EQ(Submit(coordinator_.get(), "", SweepText("x", 1, 1)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SelectSweeps(coordinator_.get(), "")->size(), 0u);
}

TEST_F(CoordinatorTest, AHeldCallIsAnsweredWhenWorkComes) {
  Open();
  EXPECT_TRUE(Synchronize(CallOf("w", 1, 2)).start.empty());  // the call that registers is answered at once
  Pending<SynchronizeReply> held;
  coordinator_->Synchronize(CallOf("w", 2, 2), held.Callback());
  LetTurnsPass(3);
  EXPECT_FALSE(held.IsThere());
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 3)).ok());
  const absl::StatusOr<SynchronizeReply> reply = held.Get();
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->start.size(), 2u);
  EXPECT_EQ(reply->start[0].sweep_name, "s");
  const Json specification = Json::parse(reply->start[1].specification_json);
  EXPECT_EQ(specification["seed"], 1);
  EXPECT_EQ(specification["budget"]["steps"], 1000);
  EXPECT_EQ(specification["parameters"]["optimizer.weight_decay"], 1e-4);
}

TEST_F(CoordinatorTest, ANewerCallAnswersTheOlderAndTimeAnswersBoth) {
  Open();
  Synchronize(CallOf("w", 1, 1));
  Pending<SynchronizeReply> older;
  Pending<SynchronizeReply> newer;
  coordinator_->Synchronize(CallOf("w", 2, 1), older.Callback());
  coordinator_->Synchronize(CallOf("w", 3, 1), newer.Callback());
  EXPECT_TRUE(older.Get().ok());
  clock_.Advance(options_.settings.lease_duration / 3 - absl::Milliseconds(1));
  LetTurnsPass(3);
  EXPECT_FALSE(newer.IsThere());
  clock_.Advance(absl::Milliseconds(1));
  const absl::StatusOr<SynchronizeReply> reply = newer.Get();
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->answer.next_call_after, absl::ZeroDuration());

  Pending<SynchronizeReply> released;
  coordinator_->Synchronize(CallOf("w", 4, 1), released.Callback());
  coordinator_->ReleaseHeld(WorkerId("w"), 3);  // another call's
  LetTurnsPass(2);
  EXPECT_FALSE(released.IsThere());
  coordinator_->ReleaseHeld(WorkerId("w"), 4);
  EXPECT_TRUE(released.Get().ok());
}

TEST_F(CoordinatorTest, ACancelledRunWakesItsWorker) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  core::Synchronize call = CallOf("w", ++number_, 1);
  call.leases.push_back({lease, 0, true});
  Pending<SynchronizeReply> held;
  coordinator_->Synchronize(call, held.Callback());
  LetTurnsPass(2);
  EXPECT_FALSE(held.IsThere());
  const auto cancelled = ControlSweeps(coordinator_.get(), "s", {}, CancelAction{});
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->changed, 1);
  const absl::StatusOr<SynchronizeReply> reply = held.Get();
  ASSERT_TRUE(reply.ok());
  ASSERT_EQ(reply->answer.stop.size(), 1u);
  EXPECT_EQ(reply->answer.stop[0].lease.run, lease.run);
  EXPECT_EQ(ReportAndWait(ReportOf("w", lease, 1), std::nullopt).verdict, core::ReportVerdict::kRefused);
}

TEST_F(CoordinatorTest, PausingNowWakesAndDrainingTells) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  core::Synchronize call = CallOf("w", ++number_, 1);
  call.leases.push_back({lease, 0, true});
  Pending<SynchronizeReply> held;
  coordinator_->Synchronize(call, held.Callback());
  ASSERT_TRUE(ControlSweeps(coordinator_.get(), "last", {}, PauseAction{true}).ok());
  const absl::StatusOr<SynchronizeReply> reply = held.Get();
  ASSERT_TRUE(reply.ok());
  ASSERT_EQ(reply->answer.stop.size(), 1u);
  EXPECT_TRUE(reply->answer.stop[0].hand_back);

  call.number = ++number_;
  call.leases.clear();
  Pending<SynchronizeReply> idle;
  coordinator_->Synchronize(call, idle.Callback());
  EXPECT_EQ(*ControlWorkers(coordinator_.get(), "w", WorkerAction::kDrain), 1);
  EXPECT_EQ(idle.Get()->answer.state, core::WorkerState::kDraining);
  EXPECT_THAT(std::string(ControlWorkers(coordinator_.get(), "x", WorkerAction::kDrain).status().message()),
              HasSubstr("no worker 'x'"));
}

TEST_F(CoordinatorTest, ReportsWaitForEachOtherUntilARunEnds) {
  options_.loop.metric_delay = absl::Hours(1);
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 2)).ok());
  const SynchronizeReply granted = Synchronize(CallOf("w", 1, 2));
  ASSERT_EQ(granted.start.size(), 2u);
  const core::LeaseKey one = granted.start[0].lease.lease;
  const core::LeaseKey two = granted.start[1].lease.lease;
  Pending<core::ReportAnswer> first, second, other;
  Report(&first, ReportOf("w", one, 1, 9), RowsOf(one.run, 0, 10));
  Report(&other, ReportOf("w", two, 1, 4), RowsOf(two.run, 0, 5));
  LetTurnsPass(5);
  EXPECT_FALSE(first.IsThere());
  EXPECT_EQ(RowsInDatabase(one.run), 0);
  core::Report end = ReportOf("w", one, 2, 19);
  end.end = Finished(19);
  Report(&second, end, RowsOf(one.run, 10, 10));
  EXPECT_EQ(first.Get()->verdict, core::ReportVerdict::kAccepted);
  EXPECT_EQ(second.Get()->acknowledged_sequence, 2);
  EXPECT_EQ(RowsInDatabase(one.run), 20);
  LetTurnsPass(2);
  EXPECT_FALSE(other.IsThere());  // its run goes on
  // Enough bytes send all.
  Pending<core::ReportAnswer> large;
  Report(&large, ReportOf("w", two, 2, 9), RowsOf(two.run, 5, 5), options_.loop.metric_bytes);
  EXPECT_TRUE(other.Get().ok());
  EXPECT_EQ(large.Get()->acknowledged_sequence, 2);
  // Sent again, it is acknowledged again, although the attempt is over.
  EXPECT_EQ(ReportAndWait(end, RowsOf(one.run, 10, 10)).verdict, core::ReportVerdict::kDuplicate);
}

TEST_F(CoordinatorTest, ALeavingWorkersReportsAreNotLost) {
  options_.loop.metric_delay = absl::Hours(1);
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  Pending<core::ReportAnswer> report;
  Report(&report, ReportOf("w", lease, 1, 9), RowsOf(lease.run, 0, 10));
  core::Synchronize goodbye = CallOf("w", ++number_, 0);
  goodbye.goodbye = true;
  EXPECT_EQ(Synchronize(goodbye).answer.state, core::WorkerState::kGone);
  EXPECT_EQ(report.Get()->verdict, core::ReportVerdict::kAccepted);
}

TEST_F(CoordinatorTest, AFailedCommitAnswersUnavailableAndTheStateComesBack) {
  options_.most_pages = 500;
  options_.loop.first_retry = absl::Milliseconds(300);
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  Pending<SynchronizeReply> held;
  Synchronize(CallOf("idle", 1, 1));
  coordinator_->Synchronize(CallOf("idle", 2, 1), held.Callback());

  constexpr int64_t kTooMany = 400'000;  // rows, for 500 pages
  Pending<core::ReportAnswer> lost;
  Report(&lost, ReportOf("w", lease, 1, kTooMany - 1), RowsOf(lease.run, 0, kTooMany));
  EXPECT_EQ(lost.Get().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(held.Get().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(coordinator_->ExecuteAndWait(core::PauseSweep{SweepId(1), false}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(coordinator_->Inspect([](LiveView) {}).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(coordinator_->Info().degraded);
  EXPECT_TRUE(coordinator_->reader().ListSweeps().ok());  // reading goes on
  clock_.Advance(absl::Hours(1));                         // nothing expires meanwhile
  ASSERT_TRUE(Eventually([&] { return !coordinator_->Info().degraded; }));
  LetTurnsPass(3);
  EXPECT_EQ(RowsInDatabase(lease.run), 0);
  const core::ReportAnswer answer = ReportAndWait(ReportOf("w", lease, 1, 9), RowsOf(lease.run, 0, 10));
  EXPECT_EQ(answer.verdict, core::ReportVerdict::kAccepted);
  EXPECT_EQ(RowsInDatabase(lease.run), 10);
  const auto events = coordinator_->reader().LatestEvents();
  ASSERT_TRUE(events.ok());
  EXPECT_TRUE(std::any_of(events->begin(), events->end(),
                          [](const EventRow& event) { return event.kind == "commits_resumed"; }));
}

TEST_F(CoordinatorTest, WithAFullDiskMetricsWaitAndControlGoesOn) {
  free_bytes_ = options_.least_free_bytes - 1;
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  EXPECT_TRUE(coordinator_->Info().metrics_held);
  Pending<core::ReportAnswer> report;
  core::Report end = ReportOf("w", lease, 1, 9);
  end.end = Finished(9);
  Report(&report, end, RowsOf(lease.run, 0, 10));
  LetTurnsPass(10);
  EXPECT_FALSE(report.IsThere());
  EXPECT_TRUE(ControlSweeps(coordinator_.get(), "s", {}, PauseAction{}).ok());
  EXPECT_FALSE(report.IsThere());
  free_bytes_ = options_.least_free_bytes;
  EXPECT_EQ(report.Get()->verdict, core::ReportVerdict::kAccepted);
  EXPECT_EQ(RowsInDatabase(lease.run), 10);
}

TEST_F(CoordinatorTest, AnExpiredLeaseGoesToWhoWaits) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lost = LeaseOne("w");
  Synchronize(CallOf("idle", 1, 1));
  SynchronizeReply reply;
  for (int64_t number = 2; number < 10 && reply.start.empty(); ++number) {
    Pending<SynchronizeReply> held;
    coordinator_->Synchronize(CallOf("idle", number, 1), held.Callback());
    while (!held.IsThere()) {
      // In steps below the suspension gap, as time passes on a machine that is awake.
      clock_.Advance(absl::Seconds(1));
      LetTurnsPass(2);
    }
    reply = *held.Get();
  }
  ASSERT_EQ(reply.start.size(), 1u);
  EXPECT_EQ(reply.start[0].lease.lease.run, lost.run);
  EXPECT_EQ(reply.start[0].lease.lease.attempt, 2);
  EXPECT_EQ(ReportAndWait(ReportOf("w", lost, 1), std::nullopt).verdict, core::ReportVerdict::kRefused);
}

TEST_F(CoordinatorTest, AStopCommitsWhatWaitsAndAnswersAll) {
  options_.loop.metric_delay = absl::Hours(1);
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  Synchronize(CallOf("idle", 1, 1));
  Pending<SynchronizeReply> held;
  coordinator_->Synchronize(CallOf("idle", 2, 1), held.Callback());
  Pending<core::ReportAnswer> report;
  Report(&report, ReportOf("w", lease, 1, 9), RowsOf(lease.run, 0, 10));
  coordinator_->PrepareToStop();
  EXPECT_EQ(report.Get()->verdict, core::ReportVerdict::kAccepted);
  EXPECT_TRUE(held.Get().ok());
  EXPECT_EQ(coordinator_->ExecuteAndWait(core::PauseSweep{SweepId(1), false}).status().code(),
            absl::StatusCode::kUnavailable);
  coordinator_.reset();
  EXPECT_FALSE(std::filesystem::exists(DatabasePath(options_.directory) + "-wal"));  // one file to copy or open
  Open();
  EXPECT_EQ(RowsInDatabase(lease.run), 10);
  // The lease is still good, and its reports go on where they were.
  core::Report end = ReportOf("w", lease, 2, 11);
  end.end = Finished(11);  // which is not kept waiting
  EXPECT_EQ(ReportAndWait(end, RowsOf(lease.run, 10, 2)).verdict, core::ReportVerdict::kAccepted);
  EXPECT_EQ(RowsInDatabase(lease.run), 12);
}

TEST_F(CoordinatorTest, EmbeddedWorkersThatAreGoneLoseTheirLeasesAtOnce) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const core::LeaseKey before = LeaseOne("w");
  coordinator_.reset();
  options_.workers_are_gone = true;
  Open();
  const core::LeaseKey after = LeaseOne("w2");
  EXPECT_EQ(after.run, before.run);
  EXPECT_EQ(after.attempt, before.attempt + 1);
}

TEST_F(CoordinatorTest, DeletingTakesRowsLogsAndTheSweep) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 3)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  coordinator_->AppendLog(lease, "hello\n");
  coordinator_->AppendLog({RunId(77), 1, Fence(1)}, "no such run\n");
  const std::string path = coordinator_->LogPath(lease.run, lease.attempt);
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(path); }));
  EXPECT_FALSE(std::filesystem::exists(coordinator_->LogPath(RunId(77), 1)));
  const auto deleted = ControlSweeps(coordinator_.get(), "s", {}, DeleteAction{});
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_TRUE(Eventually([&] { return !std::filesystem::exists(path); }));
  EXPECT_EQ(SelectSweeps(coordinator_.get(), "all")->size(), 0u);
  EXPECT_EQ(ControlSweeps(coordinator_.get(), "s", {}, DeleteAction{}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CoordinatorTest, ProgressFollowsStepsAndEnds) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 3)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  ReportAndWait(ReportOf("w", lease, 1, 100), RowsOf(lease.run, 100, 1));
  clock_.Advance(absl::Seconds(1.5));
  LetTurnsPass(2);
  ReportAndWait(ReportOf("w", lease, 2, 400), RowsOf(lease.run, 400, 1));
  ASSERT_TRUE(coordinator_
                  ->Inspect([&](LiveView view) {
                    // 400 steps within the 1.5 s since the first were seen.
                    EXPECT_NEAR(view.progress.StepsPerSecond(view.now), 400 / 1.5, 1e-9);
                    // 600 are left of this run and 1,000 of each of the others.
                    EXPECT_NEAR(*view.progress.SecondsLeft(view.state, {SweepId(1)}, view.now), 2600 / (400 / 1.5),
                                1e-6);
                    EXPECT_EQ(view.progress.FindLive(lease.run)->step, 400);
                  })
                  .ok());
  core::Report end = ReportOf("w", lease, 3, 500);
  end.end = Finished(500);
  ReportAndWait(end, RowsOf(lease.run, 500, 1));
  ASSERT_TRUE(coordinator_
                  ->Inspect([&](LiveView view) {
                    ASSERT_EQ(view.progress.ended().size(), 1u);
                    EXPECT_EQ(view.progress.ended()[0].outcome, "grokked");
                    EXPECT_EQ(view.progress.ended()[0].last_step, 500);
                    // The two others are now taken to last 500 steps each.
                    EXPECT_NEAR(*view.progress.SecondsLeft(view.state, {SweepId(1)}, view.now), 1000 / (500 / 1.5),
                                1e-6);
                  })
                  .ok());
}

TEST_F(CoordinatorTest, OneCoordinatorPerDirectoryAndReadersBesideIt) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 1)).ok());
  const auto second = Coordinator::Open(options_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition) << second.status();
  CoordinatorOptions reading;
  reading.directory = options_.directory;
  reading.read_only = true;
  const auto beside = Coordinator::Open(reading);
  ASSERT_TRUE(beside.ok()) << beside.status();
  EXPECT_EQ(SelectSweeps(beside->get(), "s")->size(), 1u);
  EXPECT_EQ(Submit(beside->get(), "b", SweepText("t", 1, 1)).status().code(), absl::StatusCode::kFailedPrecondition);
  reading.directory = directory_.path() + "/nowhere";
  EXPECT_EQ(Coordinator::Open(reading).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace seedbed::coordinator_test
