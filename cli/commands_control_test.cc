// pause, resume, cancel, retry, extend, delete, prune and drain.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/testing/command_fixture.h"

namespace seedbed::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Control = CommandTest;

TEST_F(Control, SendsWhatWasAsked) {
  fake.controlled.set_changed(12);
  fake.controlled.add_sweeps("goldilocks");
  EXPECT_EQ(Run({"cancel", "goldilocks"}).out, "cancelled 12 runs of goldilocks\n");
  Run({"cancel", "--runs", "3-5,9"});
  Run({"pause", "all", "--now"});
  Run({"resume", "3-7"});
  Run({"retry", "--failed"});
  Run({"retry", "x", "--cancelled", "--resume"});
  Run({"extend", "--seeds", "5"});
  Run({"retry", "--runs", "3-5"});
  Run({"retry", "--runs", "3-5", "--failed"});
  ASSERT_THAT(fake.control_requests, SizeIs(9));
  EXPECT_TRUE(fake.control_requests[0].has_cancel());
  EXPECT_THAT(fake.control_requests[1].run_ids(), ElementsAre(3, 4, 5, 9));
  EXPECT_EQ(fake.control_requests[1].sweep(), "");
  EXPECT_TRUE(fake.control_requests[2].pause().now());
  EXPECT_EQ(fake.control_requests[3].sweep(), "3-7");
  EXPECT_EQ(fake.control_requests[4].sweep(), "last");
  EXPECT_FALSE(fake.control_requests[4].retry().include_cancelled());
  EXPECT_TRUE(fake.control_requests[5].retry().include_cancelled());
  EXPECT_TRUE(fake.control_requests[5].retry().keep_rows());
  EXPECT_EQ(fake.control_requests[6].extend().seeds(), 5);
  EXPECT_FALSE(fake.control_requests[7].retry().pass_over());
  EXPECT_THAT(fake.control_requests[8].run_ids(), ElementsAre(3, 4, 5));
  EXPECT_TRUE(fake.control_requests[8].retry().pass_over());
}

TEST_F(Control, SaysThatNothingWasDone) {
  fake.controlled.add_sweeps("a");
  EXPECT_EQ(Run({"cancel", "a"}).out, "nothing was done: all of these runs had ended already\n");
  EXPECT_EQ(Run({"retry", "a", "--failed"}).out, "nothing was done: none of these runs has failed\n");
  EXPECT_EQ(Run({"extend", "a", "--seeds", "1"}).out,
            "nothing was done: every configuration has that many seeds already\n");
  EXPECT_EQ(Run({"cancel", "a", "--json"}).out, "{\"changed\":0,\"sweeps\":[\"a\"],\"unchanged\":[]}\n");
}

TEST_F(Control, SaysWhatChangedAndWhatDidNot) {
  const auto unchanged = [this](const std::string& sweep, const std::string& reason) {
    v1::UnchangedSweep* added = fake.controlled.add_unchanged();
    added->set_sweep(sweep);
    added->set_reason(reason);
  };
  unchanged("b", "paused already");
  EXPECT_EQ(Run({"pause", "b"}).out, "nothing was done\nunchanged: b (paused already)\n");
  fake.controlled.set_changed(1);
  fake.controlled.add_sweeps("a");
  unchanged("c", "all of its runs have ended");
  unchanged("d", "paused already");
  EXPECT_EQ(Run({"pause", "all"}).out,
            "paused 1 sweep: a\n"
            "unchanged: c (all of its runs have ended)\n"
            "unchanged: b, d (paused already)\n");
  const OrderedJson json = Parse(Run({"pause", "all", "--json"}).out);
  EXPECT_EQ(json["changed"], 1);
  EXPECT_THAT(json["unchanged"], SizeIs(3));
  EXPECT_EQ(json["unchanged"][0], OrderedJson::parse(R"({"sweep":"b","reason":"paused already"})"));
}

TEST_F(Control, RefusesWhatIsUnclear) {
  EXPECT_EQ(Run({"cancel"}).code, kExitUsage);
  EXPECT_EQ(Run({"cancel", "a", "--runs", "3"}).code, kExitUsage);
  EXPECT_EQ(Run({"cancel", "--runs", "x"}).code, kExitUsage);
  EXPECT_EQ(Run({"cancel", "--runs", "9-3"}).code, kExitUsage);
  EXPECT_EQ(Run({"retry"}).code, kExitUsage);
  EXPECT_EQ(Run({"extend", "a"}).code, kExitUsage);
  EXPECT_THAT(fake.control_requests, IsEmpty());
}

TEST_F(Control, DeletesOnlyAfterAYes) {
  AddSweep(1, "a")->mutable_runs()->set_finished(6);
  Result result = Run({"delete", "a"});
  EXPECT_EQ(result.code, kExitFailed);
  EXPECT_THAT(result.err, HasSubstr("--yes"));
  may_ask = true;
  answer = "n";
  EXPECT_EQ(Run({"delete", "a"}).code, kExitFailed);
  EXPECT_THAT(fake.control_requests, IsEmpty());
  answer = "y";
  result = Run({"delete", "a"});
  EXPECT_EQ(result.code, kExitOk);
  EXPECT_THAT(result.err, HasSubstr("Delete a with 6 runs"));
  may_ask = false;
  EXPECT_EQ(Run({"delete", "a", "--yes"}).code, kExitOk);
  ASSERT_THAT(fake.control_requests, SizeIs(2));
  EXPECT_EQ(fake.control_requests[0].sweep(), "a");
  EXPECT_TRUE(fake.control_requests[0].has_delete_());
  EXPECT_FALSE(fake.control_requests[0].delete_().only_if_all_cancelled());
}

TEST_F(Control, DeletesWhatItListedAndHoldsNothingWhileItAsks) {
  AddSweep(4, "a")->mutable_runs()->set_cancelled(1);
  AddSweep(9, "b")->mutable_runs()->set_cancelled(1);
  may_ask = true;
  answer = "y";
  for (const char* command : {"delete", "prune"}) {
    fake.control_requests.clear();
    accesses.clear();
    connected_while_asked = true;
    EXPECT_EQ(Run({command, "all"}).code, kExitOk);
    EXPECT_FALSE(connected_while_asked) << command;
    EXPECT_THAT(accesses, ElementsAre(Access::kRead, Access::kChange)) << command;
    ASSERT_THAT(fake.control_requests, SizeIs(1));
    EXPECT_EQ(fake.control_requests[0].sweep(), "a,b");
    EXPECT_THAT(fake.control_requests[0].delete_().listed_sweep_ids(), ElementsAre(4, 9)) << command;
  }
}

TEST_F(Control, PrunesOnlySweepsOfCancelledRuns) {
  AddSweep(1, "good")->mutable_runs()->set_finished(1);
  AddSweep(2, "dropped")->mutable_runs()->set_cancelled(4);
  v1::SweepSummary* mixed = AddSweep(3, "mixed");
  mixed->mutable_runs()->set_cancelled(3);
  mixed->mutable_runs()->set_failed(1);
  EXPECT_THAT(Run({"prune", "--dry-run"}).out, HasSubstr("dropped with 4 runs"));
  EXPECT_THAT(fake.control_requests, IsEmpty());
  EXPECT_EQ(Run({"prune", "--yes"}).code, kExitOk);
  ASSERT_THAT(fake.control_requests, SizeIs(1));
  EXPECT_EQ(fake.control_requests[0].sweep(), "dropped");
  EXPECT_THAT(fake.control_requests[0].delete_().listed_sweep_ids(), ElementsAre(2));
  EXPECT_TRUE(fake.control_requests[0].delete_().only_if_all_cancelled());
}

TEST_F(Control, DrainsAndUndrains) {
  fake.controlled_worker.set_changed(1);
  Run({"drain", "node7"});
  Run({"drain", "node7", "--undo"});
  EXPECT_EQ(fake.worker_requests[0].action(), v1::ControlWorkerRequest::ACTION_DRAIN);
  EXPECT_EQ(fake.worker_requests[1].action(), v1::ControlWorkerRequest::ACTION_RESUME);
}

}  // namespace
}  // namespace seedbed::cli
