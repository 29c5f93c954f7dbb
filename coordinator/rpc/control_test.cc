// Control while something long is under way.
#include <future>
#include <thread>

#include "absl/strings/str_cat.h"
#include "coordinator/rpc/rpc_fixture.h"

namespace seedbed::rpc_test {
namespace {

class ControlTest : public RpcTest {
 protected:
  grpc::Status Control(const v1::ControlSweepRequest& request, v1::ControlSweepResponse* response) {
    grpc::ClientContext context;
    SetDeadline(&context);
    return sweeps_->ControlSweep(&context, request, response);
  }
  // Runs of sweep `name`.
  int64_t RunsOf(const std::string& name) {
    int64_t runs = -1;
    const absl::Status looked = coordinator_->Inspect([&](LiveView view) {
      const core::SweepEntry* sweep = view.state.FindSweepByName(name);
      if (sweep != nullptr) runs = sweep->counts.total();
    });
    EXPECT_TRUE(looked.ok()) << looked;
    return runs;
  }
};

TEST_F(ControlTest, AnExtensionHoldsUpNoOtherControlAndEndsWithItsCaller) {
  constexpr int64_t kSeeds = 1'000'000;  // minutes of work, ten commits a second
  v1::SubmitSweepResponse submitted;
  ASSERT_TRUE(Submit("one", SweepText("wide", 9, 1), &submitted).ok());
  ASSERT_TRUE(Submit("two", SweepText("other", 1, 2), &submitted).ok());
  grpc::ClientContext extending;
  v1::ControlSweepRequest extend;
  extend.set_sweep("wide");
  extend.mutable_extend()->set_seeds(kSeeds);
  v1::ControlSweepResponse extended;
  std::future<grpc::Status> extension =
      std::async(std::launch::async, [&] { return sweeps_->ControlSweep(&extending, extend, &extended); });
  ASSERT_TRUE(coordinator_test::Eventually([this] { return RunsOf("wide") > 9; }));

  v1::ControlSweepRequest pause;
  pause.set_sweep("other");
  pause.mutable_pause();
  v1::ControlSweepResponse changed;
  EXPECT_TRUE(Control(pause, &changed).ok());
  v1::ControlSweepRequest cancel;
  cancel.set_sweep("other");
  cancel.mutable_cancel();
  EXPECT_TRUE(Control(cancel, &changed).ok());
  EXPECT_EQ(changed.changed(), 2);
  EXPECT_EQ(extension.wait_for(std::chrono::seconds(0)), std::future_status::timeout) << "it was to be under way";

  extending.TryCancel();
  EXPECT_EQ(extension.get().error_code(), grpc::StatusCode::CANCELLED);
  // The thread is free: the next that needs it is answered.
  extend.mutable_extend()->set_seeds(1);
  EXPECT_TRUE(Control(extend, &changed).ok());
  EXPECT_LT(RunsOf("wide"), 9 * kSeeds);
}

TEST_F(ControlTest, ADeletionIsOfWhatWasListedAndAsItWasListed) {
  v1::SubmitSweepResponse first;
  v1::SubmitSweepResponse second;
  ASSERT_TRUE(Submit("one", SweepText("s", 1, 2), &first).ok());
  ASSERT_TRUE(Submit("two", SweepText("other", 1, 2), &second).ok());
  v1::ControlSweepRequest remove;
  remove.set_sweep("s");
  remove.mutable_delete_()->add_listed_sweep_ids(second.sweep_id());
  v1::ControlSweepResponse changed;
  EXPECT_EQ(Control(remove, &changed).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  remove.mutable_delete_()->add_listed_sweep_ids(first.sweep_id());
  remove.mutable_delete_()->set_only_if_all_cancelled(true);
  EXPECT_EQ(Control(remove, &changed).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(RunsOf("s"), 2);
  v1::ControlSweepRequest cancel;
  cancel.set_sweep("s");
  cancel.mutable_cancel();
  EXPECT_TRUE(Control(cancel, &changed).ok());
  const grpc::Status deleted = Control(remove, &changed);
  EXPECT_TRUE(deleted.ok()) << deleted.error_message();
  EXPECT_EQ(RunsOf("s"), -1);
}

// A worker of other make may send longer ones than ours does.
TEST_F(ControlTest, ALongReasonIsCutBetweenTwoCharacters) {
  const std::vector<v1::LeaseToStart> granted = LeaseAll(1);
  ASSERT_EQ(granted.size(), 1u);
  std::string reason = "x";
  for (int i = 0; i < 3000; ++i) reason += "ü";
  {
    grpc::ClientContext context;
    SetDeadline(&context);
    const auto stream = workers_->Report(&context);
    v1::ReportRequest failed = ReportOf(granted[0].lease(), 1, 0, 0);
    failed.mutable_ended()->set_end(v1::ATTEMPT_END_FAILED);
    failed.mutable_ended()->set_reason(reason);
    EXPECT_EQ(Exchange(stream.get(), failed).verdict(), v1::ReportResponse::VERDICT_ACKNOWLEDGED);
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
  }
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::GetRunRequest show;
  show.set_run_id(granted[0].lease().run_id());
  v1::GetRunResponse shown;
  const grpc::Status status = sweeps_->GetRun(&context, show, &shown);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(shown.run().reason(), reason.substr(0, 1 + 2 * 2047));
}

// `retry` with --resume and without.
TEST_F(ControlTest, ARetryGoesOnFromTheCheckpointOnlyWhereThatIsAsked) {
  std::vector<v1::LeaseToStart> granted = LeaseAll(1);
  ASSERT_EQ(granted.size(), 1u);
  int64_t number = 1;
  for (const bool keep_rows : {true, false}) {
    const v1::LeaseKey lease = granted[0].lease();
    core::StoreCheckpoint saved;
    saved.worker = WorkerId("w");
    saved.lease = {RunId(lease.run_id()), lease.attempt(), Fence(lease.fence())};
    saved.checkpoint.step = 10 * lease.attempt();
    saved.checkpoint.path = absl::StrCat("checkpoints/", lease.attempt());
    saved.checkpoint.sha256 = std::string(64, 'a');
    saved.checkpoint.bytes = 1;
    saved.numerics_json = "{}";
    const absl::StatusOr<core::Answer> stored = coordinator_->ExecuteAndWait(std::move(saved));
    ASSERT_TRUE(stored.ok()) << stored.status();
    ASSERT_EQ(std::get<core::CheckpointAnswer>(*stored).verdict, core::CheckpointVerdict::kStored);
    {
      grpc::ClientContext context;
      SetDeadline(&context);
      const auto stream = workers_->Report(&context);
      v1::ReportRequest failed = ReportOf(lease, 1, 0, 0);
      failed.mutable_ended()->set_end(v1::ATTEMPT_END_FAILED);
      EXPECT_EQ(Exchange(stream.get(), failed).verdict(), v1::ReportResponse::VERDICT_ACKNOWLEDGED);
      stream->WritesDone();
      EXPECT_TRUE(stream->Finish().ok());
    }
    v1::ControlSweepRequest retry;
    retry.set_sweep("s");
    retry.mutable_retry()->set_keep_rows(keep_rows);
    v1::ControlSweepResponse changed;
    ASSERT_TRUE(Control(retry, &changed).ok());
    EXPECT_EQ(changed.changed(), 1);
    v1::SynchronizeResponse again;
    ASSERT_TRUE(Synchronize(CallOf("w", ++number, 1), &again).ok());
    granted.assign(again.start().begin(), again.start().end());
    ASSERT_EQ(granted.size(), 1u);
    ASSERT_EQ(granted[0].has_resume_step(), keep_rows);
    EXPECT_EQ(granted[0].resume_step(), keep_rows ? 10 : 0);
  }
}

}  // namespace
}  // namespace seedbed::rpc_test
