// Control while something long is under way.
#include <future>
#include <thread>

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
  std::future<grpc::Status> extension = std::async(
      std::launch::async, [&] { return sweeps_->ControlSweep(&extending, extend, &extended); });
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

}  // namespace
}  // namespace seedbed::rpc_test
