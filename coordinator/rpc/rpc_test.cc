// What the messages of workers and people do.
#include <atomic>
#include <functional>
#include <thread>

#include "common/base/json.h"
#include "coordinator/rpc/rpc_fixture.h"
#include "gmock/gmock.h"

namespace seedbed::rpc_test {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

TEST_F(RpcTest, AWatcherIsToldWhatListsTellOfASweep) {
  v1::SubmitSweepResponse submitted;
  ASSERT_TRUE(Submit("first", SweepText("s", 1, 1) + "description: before\n", &submitted).ok());
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::WatchProgressRequest request;
  request.set_interval_milliseconds(100);
  const auto watch = sweeps_->WatchProgress(&context, request);
  v1::ProgressResponse progress;
  ASSERT_TRUE(watch->Read(&progress));
  EXPECT_EQ(progress.sweeps(0).description(), "before");
  EXPECT_GT(progress.sweeps(0).created_at(), 0);
  ASSERT_TRUE(Submit("second", SweepText("s", 1, 2) + "description: after\n", &submitted).ok());
  do {
    ASSERT_TRUE(watch->Read(&progress));
  } while (progress.sweeps(0).runs().queued() < 2);
  EXPECT_EQ(progress.sweeps(0).description(), "after");
  context.TryCancel();
}

TEST_F(RpcTest, AWorkerRunsASweepToItsEnd) {
  const std::vector<v1::LeaseToStart> leases = LeaseAll(2);
  const Json specification = Json::parse(leases[0].specification_json());
  EXPECT_EQ(specification["trainer"], "modular");
  EXPECT_EQ(leases[0].sweep(), "s");

  grpc::ClientContext watch_context;
  SetDeadline(&watch_context);
  v1::WatchProgressRequest watch_request;
  watch_request.set_sweep("s");
  watch_request.set_until_done(true);
  watch_request.set_interval_milliseconds(100);
  const auto watch = sweeps_->WatchProgress(&watch_context, watch_request);
  v1::ProgressResponse progress;
  ASSERT_TRUE(watch->Read(&progress));
  EXPECT_EQ(progress.sweeps(0).runs().queued(), 2) << "granted, and the worker has not said that it trains them";
  EXPECT_FALSE(progress.done());

  grpc::ClientContext context;
  SetDeadline(&context);
  const auto stream = workers_->Report(&context);
  for (const v1::LeaseToStart& start : leases) {
    const v1::LeaseKey& lease = start.lease();
    v1::ReportRequest log;
    log.set_worker_id("w");
    *log.mutable_lease() = lease;
    log.set_log("hello from " + std::to_string(lease.run_id()) + "\n");
    ASSERT_TRUE(stream->Write(log));
    v1::ReportResponse answer = Exchange(stream.get(), ReportOf(lease, 1, 0, 4));
    EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_ACKNOWLEDGED);
    EXPECT_EQ(answer.sequence(), 1);
    answer = Exchange(stream.get(), ReportOf(lease, 1, 0, 4));  // sent again
    EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_ACKNOWLEDGED);
    answer = Exchange(stream.get(), ReportOf(lease, 4, 8, 2));  // two are missing
    EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_GAP);
    EXPECT_EQ(answer.sequence(), 1);
    v1::ReportRequest end = ReportOf(lease, 2, 4, 2);
    Finish(&end, 5);
    answer = Exchange(stream.get(), end);
    EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_ACKNOWLEDGED);
    EXPECT_EQ(answer.sequence(), 2);
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());

  int ended = 0;
  while (watch->Read(&progress)) {
    for (const v1::FinishedRun& run : progress.ended()) {
      EXPECT_EQ(run.outcome(), "grokked");
      EXPECT_EQ(run.last_step(), 5);
      ++ended;
    }
  }
  EXPECT_TRUE(watch->Finish().ok());
  EXPECT_TRUE(progress.done());
  EXPECT_EQ(ended, 2);

  grpc::ClientContext list_context;
  SetDeadline(&list_context);
  v1::ListRunsRequest list_request;
  list_request.set_sweep("last");
  list_request.add_states(v1::RUN_STATE_FINISHED);
  (*list_request.mutable_parameters())["optimizer.weight_decay"] = "1e-4";
  v1::ListRunsResponse list;
  const grpc::Status listed = sweeps_->ListRuns(&list_context, list_request, &list);
  ASSERT_TRUE(listed.ok()) << listed.error_message();
  ASSERT_EQ(list.runs_size(), 2);
  EXPECT_EQ(list.runs(0).outcome(), "grokked");
  EXPECT_EQ(list.runs(0).last_step(), 5);
  EXPECT_EQ(list.runs(0).worker(), "name-of-w");
  EXPECT_FALSE(list.more());

  grpc::ClientContext configurations_context;
  SetDeadline(&configurations_context);
  v1::ListConfigurationsRequest configurations_request;
  configurations_request.set_sweep("s");
  v1::ListConfigurationsResponse configurations;
  ASSERT_TRUE(sweeps_->ListConfigurations(&configurations_context, configurations_request, &configurations).ok());
  ASSERT_EQ(configurations.configurations_size(), 1);
  EXPECT_EQ(configurations.configurations(0).outcomes().at("grokked"), 2);
  EXPECT_EQ(configurations.configurations(0).runs().finished(), 2);
  EXPECT_EQ(configurations.configurations(0).median_t_test(), 3);

  grpc::ClientContext query_context;
  SetDeadline(&query_context);
  v1::QueryRequest query;
  query.set_sql("SELECT step, train_loss, test_accuracy FROM steps WHERE run_id = " +
                std::to_string(leases[0].lease().run_id()) + " ORDER BY step");
  const auto rows = sweeps_->Query(&query_context, query);
  v1::QueryResponse answer;
  ASSERT_TRUE(rows->Read(&answer));
  EXPECT_THAT(answer.columns(), ::testing::ElementsAre("step", "train_loss", "test_accuracy"));
  ASSERT_EQ(answer.rows_size(), 6);
  EXPECT_EQ(answer.rows(3).values(1).real(), 1.5);
  EXPECT_TRUE(answer.rows(3).values(2).is_null());
  EXPECT_EQ(answer.rows(4).values(2).real(), 0.25);
  EXPECT_FALSE(rows->Read(&answer));
  EXPECT_TRUE(rows->Finish().ok());

  grpc::ClientContext log_context;
  SetDeadline(&log_context);
  v1::ReadLogRequest log_request;
  log_request.set_run_id(leases[0].lease().run_id());
  log_request.set_follow(true);  // ends by itself: the attempt has ended
  const auto log = sweeps_->ReadLog(&log_context, log_request);
  v1::ReadLogResponse text;
  ASSERT_TRUE(log->Read(&text));
  EXPECT_EQ(text.text(), "hello from " + std::to_string(leases[0].lease().run_id()) + "\n");
  EXPECT_FALSE(log->Read(&text));
  EXPECT_TRUE(log->Finish().ok());
}

TEST_F(RpcTest, ALeaseThatWaitsForASlotIsQueuedWhereverItIsShown) {
  const std::vector<v1::LeaseToStart> leases = LeaseAll(3);
  v1::SynchronizeRequest call = CallOf("w", 2, 0);
  for (const v1::LeaseToStart& start : leases) {
    v1::HeldLease* held = call.add_leases();
    *held->mutable_lease() = start.lease();
    held->set_training(start.lease().run_id() == leases[1].lease().run_id());
  }
  v1::SynchronizeResponse answer;
  ASSERT_TRUE(Synchronize(call, &answer).ok());

  const auto list = [this](std::vector<v1::RunState> states) {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::ListRunsRequest request;
    for (const v1::RunState state : states) request.add_states(state);
    v1::ListRunsResponse response;
    EXPECT_TRUE(sweeps_->ListRuns(&context, request, &response).ok());
    std::vector<std::pair<int64_t, v1::RunState>> runs;
    for (const v1::RunSummary& run : response.runs()) {
      runs.emplace_back(run.run_id(), run.state());
      EXPECT_EQ(run.prefetched(), run.state() == v1::RUN_STATE_QUEUED);
    }
    return runs;
  };
  const auto queued = [&](size_t i) { return std::make_pair(leases[i].lease().run_id(), v1::RUN_STATE_QUEUED); };
  const auto training = std::make_pair(leases[1].lease().run_id(), v1::RUN_STATE_RUNNING);
  EXPECT_THAT(list({}), UnorderedElementsAre(queued(0), training, queued(2)));
  EXPECT_THAT(list({v1::RUN_STATE_RUNNING}), UnorderedElementsAre(training));
  EXPECT_THAT(list({v1::RUN_STATE_QUEUED, v1::RUN_STATE_FAILED}), UnorderedElementsAre(queued(0), queued(2)));
  EXPECT_EQ(list({v1::RUN_STATE_QUEUED, v1::RUN_STATE_RUNNING}).size(), 3u);
  EXPECT_TRUE(list({v1::RUN_STATE_FINISHED}).empty());

  const auto expect = [](const v1::RunCounts& counts) {
    EXPECT_EQ(counts.running(), 1);
    EXPECT_EQ(counts.queued(), 2);
  };
  grpc::ClientContext sweeps_context;
  SetDeadline(&sweeps_context);
  v1::ListSweepsResponse sweeps;
  ASSERT_TRUE(sweeps_->ListSweeps(&sweeps_context, {}, &sweeps).ok());
  expect(sweeps.sweeps(0).runs());
  grpc::ClientContext configurations_context;
  SetDeadline(&configurations_context);
  v1::ListConfigurationsRequest configurations_request;
  configurations_request.set_sweep("s");
  v1::ListConfigurationsResponse configurations;
  ASSERT_TRUE(sweeps_->ListConfigurations(&configurations_context, configurations_request, &configurations).ok());
  expect(configurations.configurations(0).runs());
  grpc::ClientContext watch_context;
  SetDeadline(&watch_context);
  const auto watch = sweeps_->WatchProgress(&watch_context, {});
  v1::ProgressResponse progress;
  ASSERT_TRUE(watch->Read(&progress));
  expect(progress.sweeps(0).runs());
  watch_context.TryCancel();
}

// No row is written until there is room on the disk, and few wait for it.
class NoRoomTest : public RpcTest {
 protected:
  void Configure(CoordinatorOptions* options) override {
    options->free_bytes = [this] { return absl::StatusOr<int64_t>(free_bytes_.load()); };
    options->housekeeping_every = absl::Milliseconds(5);
    options->loop.most_waiting_bytes = 8 << 20;
  }
  std::atomic<int64_t> free_bytes_{0};
};

TEST_F(NoRoomTest, AStreamIsReadNoFurtherThanItsWindow) {
  const v1::LeaseKey lease = LeaseAll(1)[0].lease();
  grpc::ClientContext context;
  SetDeadline(&context);
  const auto stream = workers_->Report(&context);
  constexpr int64_t kReports = 14;
  constexpr int64_t kSteps = 40'000;  // of each: about a megabyte
  std::atomic<int64_t> written{0};
  std::thread writer([&] {
    while (written < kReports && stream->Write(ReportOf(lease, written + 1, written * kSteps, kSteps))) ++written;
  });
  ASSERT_TRUE(coordinator_test::Eventually([&] { return written >= 4; }));
  // Read without a window, they would be more than may wait by now, and be refused.
  for (int i = 0; i < 50; ++i) {
    grpc::ClientContext asking;
    SetDeadline(&asking);
    v1::ListRunsResponse runs;
    EXPECT_TRUE(sweeps_->ListRuns(&asking, v1::ListRunsRequest(), &runs).ok());
  }
  EXPECT_LT(written, kReports);
  free_bytes_ = int64_t{1} << 40;
  v1::ReportResponse response;
  while (response.sequence() < kReports && stream->Read(&response)) {
    EXPECT_EQ(response.verdict(), v1::ReportResponse::VERDICT_ACKNOWLEDGED) << response.reason();
  }
  EXPECT_EQ(response.sequence(), kReports);
  context.TryCancel();
  writer.join();
}

TEST_F(RpcTest, ARefusalNamesOneLeaseAndTheStreamGoesOn) {
  const std::vector<v1::LeaseToStart> leases = LeaseAll(9);
  v1::LeaseKey stale = leases[8].lease();
  stale.set_fence(stale.fence() + 1);
  grpc::ClientContext context;
  SetDeadline(&context);
  const auto stream = workers_->Report(&context);
  v1::ReportResponse answer = Exchange(stream.get(), ReportOf(stale, 1, 0, 1));
  EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_REFUSED);
  EXPECT_EQ(answer.lease().fence(), stale.fence());
  EXPECT_FALSE(answer.reason().empty());

  const struct {
    std::function<void(v1::ReportRequest*)> spoil;
    const char* reason;
  } rows[] = {
      {[](auto* report) { report->mutable_rows()->mutable_series(0)->add_values(1); }, "as many values as steps (2)"},
      {[](auto* report) { report->mutable_rows()->set_steps(1, 0); }, "strictly rising"},
      {[](auto* report) { report->mutable_rows()->mutable_series(0)->set_metric("Step"); }, "'Step'"},
      {[](auto* report) { report->mutable_rows()->set_steps(1, (int64_t{1} << 53) + 1); }, "0 to 9007199254740992"},
      {[](auto* report) { report->mutable_rows()->set_first_nonfinite_step(-1); }, "rows.first_nonfinite_step"},
      {[](auto* report) { Finish(report, int64_t{1} << 62); }, "ended.result.last_step"},
      {[](auto* report) { report->mutable_ended()->set_end(v1::ATTEMPT_END_CANCELLED); }, "ended.end"},
      {[](auto* report) { report->mutable_ended()->set_end(v1::ATTEMPT_END_FINISHED); }, "ended.result"},
  };
  for (int i = 0; i < 8; ++i) {
    const v1::LeaseKey& lease = leases[static_cast<size_t>(i)].lease();
    v1::ReportRequest wrong = ReportOf(lease, 1, 0, 2);
    rows[i].spoil(&wrong);
    answer = Exchange(stream.get(), wrong);
    EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_REFUSED) << rows[i].reason;
    EXPECT_THAT(answer.reason(), HasSubstr(rows[i].reason));
    // What the worker hears, people find at the attempt.
    grpc::ClientContext show_context;
    SetDeadline(&show_context);
    v1::GetRunRequest show;
    show.set_run_id(lease.run_id());
    v1::GetRunResponse shown;
    ASSERT_TRUE(sweeps_->GetRun(&show_context, show, &shown).ok());
    ASSERT_EQ(shown.attempts_size(), 1);
    EXPECT_EQ(shown.attempts(0).end(), v1::ATTEMPT_END_FAILED);
    EXPECT_EQ(shown.attempts(0).reason(), answer.reason());
  }
  answer = Exchange(stream.get(), ReportOf(leases[8].lease(), 1, 0, 1));
  EXPECT_EQ(answer.verdict(), v1::ReportResponse::VERDICT_ACKNOWLEDGED);

  // A message that names no lease at all ends it.
  ASSERT_TRUE(stream->Write(v1::ReportRequest()));
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(RpcTest, BadMessagesAreInvalid) {
  struct Row {
    std::string field;
    std::function<void(v1::SynchronizeRequest*)> spoil;
  };
  const std::vector<Row> rows = {
      {"worker_id", [](auto* r) { r->clear_worker_id(); }},
      {"worker_id", [](auto* r) { r->set_worker_id("a b"); }},
      {"name", [](auto* r) { r->set_name(std::string(200, 'x')); }},
      {"host", [](auto* r) { r->set_host(std::string(5000, 'x')); }},
      {"slots", [](auto* r) { r->set_slots(-1); }},
      {"free_slots", [](auto* r) { r->set_free_slots(1 << 30); }},
      {"number", [](auto* r) { r->set_number(0); }},
      {"trainers", [](auto* r) { r->mutable_trainers(0)->set_trainer(""); }},
      {"numerics_json", [](auto* r) { r->mutable_trainers(0)->set_numerics_json("[1]"); }},
      {"numerics_json", [](auto* r) { r->mutable_trainers(0)->set_numerics_json("{"); }},
      {"at most 16384 bytes together, not 16406",
       [](auto* r) {
         r->mutable_trainers(0)->set_trainer("m");
         r->mutable_trainers(0)->set_numerics_json(R"({"cpu":")" + std::string(8 << 10, 'x') + R"("})");
         *r->add_trainers() = r->trainers(0);
       }},
      {"lease", [](auto* r) { r->add_leases(); }},
      {"pack_key", [](auto* r) { r->add_engines()->set_pack_key("xyz"); }},
  };
  for (const Row& row : rows) {
    v1::SynchronizeRequest request = CallOf("w", 1, 1);
    row.spoil(&request);
    v1::SynchronizeResponse response;
    const grpc::Status status = Synchronize(request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << row.field;
    EXPECT_THAT(status.error_message(), HasSubstr(row.field));
  }
  v1::SubmitSweepResponse submitted;
  EXPECT_EQ(Submit("", SweepText("s", 1, 1), &submitted).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const grpc::Status mistake = Submit("a", "name: s\ntrainr: modular\n", &submitted);
  EXPECT_EQ(mistake.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(mistake.error_message(), HasSubstr("test.yaml:2:1"));
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::ControlSweepRequest control;
  control.set_sweep("s");
  v1::ControlSweepResponse controlled;
  EXPECT_EQ(sweeps_->ControlSweep(&context, control, &controlled).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  grpc::ClientContext unknown_context;
  SetDeadline(&unknown_context);
  control.mutable_pause();
  EXPECT_EQ(sweeps_->ControlSweep(&unknown_context, control, &controlled).error_code(), grpc::StatusCode::NOT_FOUND);
  grpc::ClientContext query_context;
  SetDeadline(&query_context);
  v1::QueryRequest query;
  query.set_sql("DELETE FROM runs");
  const auto rows_of_query = sweeps_->Query(&query_context, query);
  v1::QueryResponse nothing;
  EXPECT_FALSE(rows_of_query->Read(&nothing));
  EXPECT_FALSE(rows_of_query->Finish().ok());
}

TEST_F(RpcTest, AWorkerHearsWhoseLeasesItHasAndForHowLong) {
  v1::SynchronizeResponse registered;
  ASSERT_TRUE(Synchronize(CallOf("w", 1, 0), &registered).ok());
  EXPECT_FALSE(registered.database_id().empty());
  EXPECT_EQ(registered.database_id(), coordinator_->Info().database_id);
  EXPECT_EQ(registered.epoch(), 1) << "the coordinator's first start";
  EXPECT_EQ(registered.lease_milliseconds(), 15'000);
}

TEST_F(RpcTest, AHeldCallWaitsForWorkAndLetsGo) {
  v1::SynchronizeResponse registered;
  ASSERT_TRUE(Synchronize(CallOf("w", 1, 1), &registered).ok());
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
    v1::SynchronizeResponse response;
    EXPECT_EQ(workers_->Synchronize(&context, CallOf("w", 2, 1), &response).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  v1::SynchronizeResponse granted;
  std::thread waiting([&] { EXPECT_TRUE(Synchronize(CallOf("w", 3, 1), &granted).ok()); });
  v1::SubmitSweepResponse submitted;
  EXPECT_TRUE(Submit("id", SweepText("s", 1, 1), &submitted).ok());
  waiting.join();
  EXPECT_EQ(granted.start_size(), 1);
  // Leases of another database are as good as not listed.
  v1::SynchronizeRequest foreign = CallOf("w", 4, 0);
  foreign.set_database_id("another");
  *foreign.add_leases()->mutable_lease() = granted.start(0).lease();
  v1::SynchronizeResponse answer;
  ASSERT_TRUE(Synchronize(foreign, &answer).ok());
  EXPECT_EQ(answer.start_size(), 1);  // the grant is repeated until it is listed
}

}  // namespace
}  // namespace seedbed::rpc_test
