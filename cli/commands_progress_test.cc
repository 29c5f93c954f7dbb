// status, watch and wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cli/testing/command_fixture.h"

namespace seedbed::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using Progress = CommandTest;

v1::ProgressResponse Message(int64_t finished, int64_t failed, int64_t queued) {
  v1::ProgressResponse message;
  v1::SweepSummary* sweep = message.add_sweeps();
  sweep->set_name("a");
  sweep->mutable_runs()->set_finished(finished);
  sweep->mutable_runs()->set_failed(failed);
  sweep->mutable_runs()->set_queued(queued);
  message.set_active_workers(1);
  message.set_done(queued == 0);
  return message;
}

TEST_F(Progress, WaitFailsIfARunFailed) {
  AddSweep(1, "a")->mutable_runs()->set_queued(2);
  fake.progress = {Message(0, 0, 2), Message(1, 0, 1), Message(2, 0, 0)};
  EXPECT_EQ(Run({"wait", "a"}).code, kExitOk);
  fake.progress.back() = Message(1, 1, 0);
  const Result failed = Run({"wait", "a"});
  EXPECT_EQ(failed.code, kExitFailed);
  EXPECT_EQ(failed.out, "a: 2 of 2 runs done (1 failed)\n");
}

TEST_F(Progress, WaitSaysOnceThatASweepIsPaused) {
  AddSweep(1, "a")->mutable_runs()->set_queued(2);
  fake.sweeps.mutable_sweeps(0)->set_state(v1::SWEEP_STATE_PAUSED);
  v1::ProgressResponse paused = Message(0, 0, 2);
  paused.mutable_sweeps(0)->set_state(v1::SWEEP_STATE_PAUSED);
  v1::ProgressResponse cancelled = Message(0, 0, 0);
  cancelled.mutable_sweeps(0)->mutable_runs()->set_cancelled(2);
  fake.progress = {paused, paused, cancelled};
  const Result result = Run({"wait", "a"});
  EXPECT_EQ(result.code, kExitOk);
  EXPECT_EQ(result.err, "seedbed: a is paused: 2 runs will not start before `seedbed resume a`\n");
  EXPECT_THAT(Run({"--data", "my data", "wait", "a"}).err, HasSubstr("`seedbed --data 'my data' resume a`"));
  fake.progress = {Message(0, 0, 2), paused, Message(0, 0, 2), paused, cancelled};
  fake.sweeps.mutable_sweeps(0)->set_state(v1::SWEEP_STATE_ACTIVE);
  const std::string twice = Run({"wait", "a"}).err;
  EXPECT_EQ(std::count(twice.begin(), twice.end(), '\n'), 2) << twice;
}

TEST_F(Progress, WaitDoesNotHangWhereNothingTrains) {
  offline = true;
  AddSweep(1, "a")->mutable_runs()->set_queued(2);
  const Result result = Run({"wait", "a"});
  EXPECT_EQ(result.code, kExitFailed);
  EXPECT_THAT(result.err, HasSubstr("seedbed run"));
  fake.sweeps.mutable_sweeps(0)->mutable_runs()->set_queued(0);
  EXPECT_EQ(Run({"wait", "a"}).code, kExitOk);
}

TEST_F(Progress, WatchPrintsPlainLinesJsonLinesOrABlock) {
  fake.progress = {Message(0, 0, 2), Message(2, 0, 0)};
  v1::FinishedRun* ended = fake.progress[1].add_ended();
  ended->set_run_id(2);
  ended->set_state(v1::RUN_STATE_FINISHED);
  ended->set_outcome("grokked");
  const Result plain = Run({"watch", "a"});
  EXPECT_EQ(plain.code, kExitOk);
  EXPECT_EQ(plain.out, "a: 0 of 2 runs done, 2 queued\nrun 2 grokked (seed 0), 0 steps\n");
  const Result lines = Run({"watch", "--json"});
  EXPECT_EQ(std::count(lines.out.begin(), lines.out.end(), '\n'), 2);
  style.width = 80;
  const Result live = Run({"watch"});
  EXPECT_THAT(live.out, HasSubstr("2/2 runs"));
  EXPECT_THAT(live.out, HasSubstr("\x1b["));
  EXPECT_THAT(live.out, Not(HasSubstr("\x1b[32m")));  // no colour was asked for
}

TEST_F(Progress, StatusIsOneDocument) {
  AddSweep(1, "a");
  const OrderedJson json = Parse(Run({"status", "--json"}).out);
  EXPECT_EQ(json["sweeps"].size(), 1u);
  EXPECT_TRUE(json["workers"].is_array());
  EXPECT_EQ(json["offline"], false);
}

}  // namespace
}  // namespace seedbed::cli
