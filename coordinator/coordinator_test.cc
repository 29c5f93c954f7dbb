#include "coordinator/coordinator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "coordinator/coordinator_fixture.h"

namespace seedbed::coordinator_test {
namespace {

using ::testing::HasSubstr;

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

// What tells each configuration from the others, one a line.
std::string VariedOf(Coordinator* coordinator, SweepId sweep) {
  std::string text;
  const auto rows = coordinator->reader().ListConfigurations(sweep, 100);
  EXPECT_TRUE(rows.ok()) << rows.status();
  for (const ConfigurationRow& row : *rows) absl::StrAppend(&text, row.varied_json, "\n");
  return text;
}

TEST_F(CoordinatorTest, ConfigurationsThatComeLaterAreToldApartFromThoseThatAreThere) {
  Open();
  const std::string text = SweepText("s", 1, 1);
  const auto submit = [&](const std::string& id, std::vector<std::string> overrides) {
    const auto result = SubmitSweep(coordinator_.get(), {id, text, "test.yaml", std::move(overrides)});
    EXPECT_TRUE(result.ok()) << result.status();
    return result->sweep;
  };
  const SweepId sweep = submit("a", {});
  EXPECT_EQ(VariedOf(coordinator_.get(), sweep), "{}\n");
  submit("b", {"optimizer.weight_decay=0.5"});
  EXPECT_EQ(VariedOf(coordinator_.get(), sweep),
            "{\"optimizer.weight_decay\":0.0001}\n"
            "{\"optimizer.weight_decay\":0.5}\n");
  // Further parameters tell the old ones apart too. Those that apply at some points only are named there.
  submit("c", {"optimizer.weight_decay=0.5", "optimizer.learning_rate=0.25"});
  const std::string three = VariedOf(coordinator_.get(), sweep);
  EXPECT_THAT(three, HasSubstr("{\"optimizer.learning_rate\":0.25,\"optimizer.weight_decay\":0.5}\n"));
  EXPECT_EQ(std::count(three.begin(), three.end(), '\n'), 3);
  for (size_t at = 0, lines = 0; lines < 3; ++lines) {
    const size_t end = three.find('\n', at);
    EXPECT_THAT(three.substr(at, end - at), HasSubstr("learning_rate"));
    at = end + 1;
  }
  submit("d", {});
  EXPECT_EQ(VariedOf(coordinator_.get(), sweep), three) << "what is there already changes nothing";
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

  // One such event is written by each transaction that adds some.
  int64_t added = 0;
  const absl::Status read = coordinator_->reader().Stream(
      "SELECT detail FROM events WHERE kind = 'runs_added' ORDER BY event_id", absl::Seconds(10),
      [](const std::vector<std::string>&) {},
      [&added](const std::vector<Value>& row) {
        long configurations = 0;
        long runs = 0;
        const auto* detail = std::get_if<std::string>(&row[0]);
        EXPECT_TRUE(detail != nullptr &&
                    std::sscanf(detail->c_str(), "%ld configurations, %ld runs", &configurations, &runs) == 2);
        EXPECT_LE(runs, core::kMostRunsPerChunk);
        added += runs;
        return true;
      });
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_EQ(added, 4 * 2002);
}

TEST_F(CoordinatorTest, ASubmissionBeyondTheRunsThatASweepMayHaveAddsNothing) {
  options_.settings.most_runs_of_sweep = 4'000;
  Open();
  const auto first = Submit(coordinator_.get(), "a", SweepText("wide", 2, 500));
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string varied = VariedOf(coordinator_.get(), first->sweep);
  // By chunks that would fit one by one.
  const std::string more = SweepText("wide", 6, 1000);
  const absl::Status refused = Submit(coordinator_.get(), "b", "description: larger\n" + more).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("more than 4000 runs"));
  EXPECT_EQ(VariedOf(coordinator_.get(), first->sweep), varied);
  EXPECT_TRUE(
      coordinator_->Inspect([&](LiveView view) { EXPECT_EQ(view.state.FindSweep(first->sweep)->counts.total(), 1000); })
          .ok());
  EXPECT_EQ(coordinator_->reader().ListSweeps()->at(0).description, "");
  // What is there already counts once.
  const auto fits = Submit(coordinator_.get(), "c", SweepText("wide", 4, 1000));
  ASSERT_TRUE(fits.ok()) << fits.status();
  EXPECT_EQ(fits->runs_added, 3000);
}

TEST_F(CoordinatorTest, WhatTheFileSaysOfCheckpointsAndNumericsReachesTheCore) {
  Open();
  const auto submit = [this](const std::string& name, const std::string& lines) {
    const auto submitted = Submit(coordinator_.get(), name + lines, SweepText(name, 1, 1) + lines);
    EXPECT_TRUE(submitted.ok()) << submitted.status();
    std::string kept;
    const absl::Status looked = coordinator_->Inspect([&](LiveView view) {
      const core::SweepEntry* sweep = view.state.FindSweepByName(name);
      kept = absl::StrCat(core::Name(sweep->keep_checkpoints), " ", core::Name(sweep->numerics));
    });
    EXPECT_TRUE(looked.ok()) << looked;
    return kept;
  };
  EXPECT_EQ(submit("s", ""), "last any");
  for (const auto& [keep, numerics] : {std::pair("none", "strict"), {"all", "any"}, {"last", "strict"}}) {
    const std::string lines = absl::StrCat("checkpoints: {keep: ", keep, "}\nnumerics: ", numerics, "\n");
    const std::string expected = absl::StrCat(keep, " ", numerics);
    EXPECT_EQ(submit(absl::StrCat("s-", keep), lines), expected);
    EXPECT_EQ(submit("s", lines), expected) << "these may change under the same name";
  }
}

TEST_F(CoordinatorTest, AMistakeInTheFileCreatesNothing) {
  Open();
  const auto wrong = Submit(coordinator_.get(), "a", "name: x\ntrainer: modular\nsedes: 3\n");
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("seeds"));
  EXPECT_EQ(Submit(coordinator_.get(), "", SweepText("x", 1, 1)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SelectSweeps(coordinator_.get(), "")->size(), 0u);
}

TEST_F(CoordinatorTest, DeletingTakesRowsLogsAndTheSweep) {
  Open();
  ASSERT_TRUE(Submit(coordinator_.get(), "a", SweepText("s", 1, 3)).ok());
  const core::LeaseKey lease = LeaseOne("w");
  coordinator_->AppendLog(WorkerId("w"), lease, "hello\n");
  coordinator_->AppendLog(WorkerId("w"), {RunId(77), 1, Fence(1)}, "no such run\n");
  const std::string path = coordinator_->LogPath(lease.run, lease.attempt);
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(path); }));
  EXPECT_FALSE(std::filesystem::exists(coordinator_->LogPath(RunId(77), 1)));
  const auto deleted = ControlSweeps(coordinator_.get(), "s", {}, DeleteAction{});
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_TRUE(Eventually([&] { return !std::filesystem::exists(path); }));
  EXPECT_EQ(SelectSweeps(coordinator_.get(), "all")->size(), 0u);
  EXPECT_EQ(ControlSweeps(coordinator_.get(), "s", {}, DeleteAction{}).status().code(), absl::StatusCode::kNotFound);
}

// While somebody was asked, "a" was deleted and submitted again.
TEST_F(CoordinatorTest, DeletingPassesOverWhatWasNotListed) {
  Open();
  const auto submit = [this](const std::string& submission_id, const std::string& name) {
    const auto submitted = Submit(coordinator_.get(), submission_id, SweepText(name, 1, 1));
    EXPECT_TRUE(submitted.ok()) << submitted.status();
    return submitted.ok() ? submitted->sweep : SweepId();
  };
  const auto remove = [this](const std::string& selector, const DeleteAction& action) {
    return ControlSweeps(coordinator_.get(), selector, {}, action);
  };
  DeleteAction listed;
  listed.listed = {submit("1", "a"), submit("2", "b")};
  const SweepId unasked = submit("3", "c");
  ASSERT_TRUE(remove("a", DeleteAction{}).ok());
  const SweepId again = submit("4", "a");
  const absl::StatusOr<ControlResult> deleted = remove("a,b,c", listed);
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(deleted->sweeps, std::vector<std::string>{"b"});
  EXPECT_EQ(deleted->changed, 1);
  ASSERT_EQ(deleted->unchanged.size(), 2u);
  EXPECT_EQ(deleted->unchanged[0].name, "c");
  EXPECT_EQ(deleted->unchanged[1].name, "a");
  EXPECT_THAT(deleted->unchanged[1].why, HasSubstr(absl::StrCat("another one now, with the id ", again.value())));
  EXPECT_EQ(*SelectSweeps(coordinator_.get(), "all"), (std::vector<SweepId>{unasked, again}));
  EXPECT_EQ(remove("a", listed).status().code(), absl::StatusCode::kFailedPrecondition) << "nothing is left to do";
  EXPECT_TRUE(remove("a", DeleteAction{}).ok()) << "for a client that does not say what it listed";
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
