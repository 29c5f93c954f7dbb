#include "cli/render/progress.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "cli/render/text_width.h"

namespace seedbed::cli {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

v1::ProgressResponse Parse(const std::string& text) {
  v1::ProgressResponse progress;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &progress)) << text;
  return progress;
}

constexpr char kHalfway[] = R"pb(
  sweeps {
    sweep_id: 1
    name: "goldilocks"
    state: SWEEP_STATE_ACTIVE
    runs { queued: 2 running: 2 finished: 3 failed: 1 }
  }
  steps_per_second: 5432
  seconds_left: 80
  active_workers: 1
  ended {
    run_id: 4
    sweep: "goldilocks"
    seed: 1
    varied_json: "{\"optimizer.weight_decay\":0.3}"
    state: RUN_STATE_FINISHED
    outcome: "grokked"
    last_step: 3450
  }
  ended { run_id: 5 seed: 2 state: RUN_STATE_FAILED reason: "out of disk" last_step: 10 }
)pb";

TEST(LiveBlock, ShowsBarRateTimeAndTheLastOutcomes) {
  ProgressState state;
  state.Update(Parse(kHalfway));
  const std::vector<std::string> lines = RenderLiveBlock(state, 12, "", Style{false, 77});
  ASSERT_EQ(lines.size(), 4u);
  // 8 runs: 4 ended, 2 running, 2 queued; the bar has the 24 columns that 77 leave.
  EXPECT_EQ(lines[0], "goldilocks  ━━━━━━━━━━━━╸╸╸╸╸╸──────  4/8 runs  2 running  2 queued  1 failed");
  EXPECT_EQ(lines[1], "5,432 steps/s · about 1m 20s left · 12s so far · 1 worker");
  EXPECT_EQ(lines[2], "  run 4 grokked (weight_decay=0.3, seed 1), 3,450 steps");
  EXPECT_EQ(lines[3], "  run 5 failed (seed 2), 10 steps: out of disk");
}

TEST(EndedRun, NamesNoStepWhereNoneWasReported) {
  v1::FinishedRun run;
  run.set_run_id(5);
  run.set_state(v1::RUN_STATE_CANCELLED);
  run.set_last_step(-1);
  EXPECT_EQ(RenderEndedRun(run, false, Style{}), "run 5 cancelled (seed 0), no step");
}

TEST(LiveBlock, FitsEveryWidth) {
  ProgressState state;
  state.Update(Parse(kHalfway));
  for (int width = 10; width < 160; ++width) {
    for (const std::string& line :
         RenderLiveBlock(state, 12, "a note that is rather long, too long for some", Style{false, width})) {
      EXPECT_LE(DisplayWidth(line), width) << line;
    }
  }
}

TEST(LiveBlock, KeepsOnlyTheLatestOutcomes) {
  ProgressState state;
  for (int i = 1; i <= 20; ++i) {
    v1::ProgressResponse progress = Parse(kHalfway);
    progress.clear_ended();
    v1::FinishedRun* run = progress.add_ended();
    run->set_run_id(i);
    run->set_state(v1::RUN_STATE_FINISHED);
    run->set_outcome("memorised");
    state.Update(progress);
  }
  ASSERT_THAT(state.recent(), SizeIs(ProgressState::kMostRecent));
  EXPECT_EQ(state.recent().back().run_id(), 20);
  EXPECT_EQ(state.recent().front().run_id(), 16);
}

TEST(LiveBlock, PutsUnfinishedSweepsFirstAndCountsTheRest) {
  v1::ProgressResponse progress;
  for (int i = 1; i <= 9; ++i) {
    v1::SweepSummary* sweep = progress.add_sweeps();
    sweep->set_name("sweep-" + std::to_string(i));
    sweep->mutable_runs()->set_finished(2);
    if (i == 9) sweep->mutable_runs()->set_queued(1);
  }
  ProgressState state;
  state.Update(progress);
  const std::vector<std::string> lines = RenderLiveBlock(state, 1, "", Style{false, 80});
  EXPECT_THAT(lines[0], HasSubstr("sweep-9"));
  EXPECT_THAT(lines, Contains("and 3 sweeps more"));
}

TEST(LiveBlock, ManyRunsAndOneRunning) {
  v1::ProgressResponse progress;
  v1::SweepSummary* sweep = progress.add_sweeps();
  sweep->set_name("big");
  sweep->mutable_runs()->set_queued(999'999);
  sweep->mutable_runs()->set_running(1);
  ProgressState state;
  state.Update(progress);
  EXPECT_THAT(RenderLiveBlock(state, 1, "", Style{false, 80})[0], HasSubstr("╸─"));
}

TEST(LiveBlock, SaysSomethingBeforeThereIsAnything) {
  EXPECT_THAT(RenderLiveBlock(ProgressState(), 0, "starting", Style{false, 80}), Contains("starting"));
}

TEST(PlainStatus, IsOneLine) {
  EXPECT_EQ(RenderPlainStatus(Parse(kHalfway)),
            "goldilocks: 4 of 8 runs done (1 failed), 2 running, 2 queued, 5,432 steps/s, about 1m 20s left");
  EXPECT_EQ(RenderPlainStatus(Parse("sweeps { name: 'a' runs { finished: 1 } } done: true")), "a: 1 of 1 run done");
}

TEST(PlainStatus, SaysNoSpeedWhereNoneIsKnown) {
  v1::ProgressResponse progress = Parse("sweeps { name: 'a' runs { running: 2 } }");
  EXPECT_EQ(RenderPlainStatus(progress), "a: 0 of 2 runs done, 2 running");
  ProgressState state;
  state.Update(progress);
  EXPECT_THAT(RenderLiveBlock(state, 3, "", Style{false, 80}), Contains("3.0s so far · 0 workers"));
  progress.set_steps_per_second(0.25);
  EXPECT_EQ(RenderPlainStatus(progress), "a: 0 of 2 runs done, 2 running, 0.2 steps/s");
}

TEST(EndedRun, CannotMoveTheCursor) {
  v1::FinishedRun run;
  run.set_run_id(3);
  run.set_state(v1::RUN_STATE_FAILED);
  run.set_reason("bad\x1b[2J\nthing");
  EXPECT_EQ(RenderEndedRun(run, false, Style{}), "run 3 failed (seed 0), 0 steps: bad\\x1b[2J\\nthing");
}

}  // namespace
}  // namespace seedbed::cli
