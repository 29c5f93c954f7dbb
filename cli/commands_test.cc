#include "cli/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "cli/testing/command_fixture.h"

namespace seedbed::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

using CommandLine = CommandTest;

TEST_F(CommandLine, HelpIsNoError) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{}, {"--help"}, {"-h"}}) {
    const Result result = Run(words);
    EXPECT_EQ(result.code, kExitOk);
    EXPECT_THAT(result.out, HasSubstr("quickstart.yaml"));
    EXPECT_EQ(result.err, "");
  }
  const Result help = Run({"export", "--help"});
  EXPECT_EQ(help.code, kExitOk);
  EXPECT_THAT(help.out, HasSubstr("Examples:\n  seedbed export goldilocks --format csv > runs.csv\n"));
}

// Every command that the interface promises.
TEST_F(CommandLine, KnowsEveryCommand) {
  for (const char* name :
       {"plan",   "run",    "submit", "wait",    "status",     "sweeps",     "runs",    "show",  "watch",
        "logs",   "pause",  "resume", "cancel",  "retry",      "extend",     "workers", "drain", "query",
        "export", "delete", "prune",  "version", "completion", "checkpoint", "verify",  "token", "tls"}) {
    const Result result = Run({name, "--help"});
    EXPECT_EQ(result.code, kExitOk) << name;
    EXPECT_THAT(result.out, HasSubstr(name));
  }
}

TEST_F(CommandLine, NamesTheNearestCommandOrOption) {
  Result result = Run({"stauts"});
  EXPECT_EQ(result.code, kExitUsage);
  EXPECT_THAT(result.err, StartsWith("seedbed: there is no command \"stauts\". Did you mean `seedbed status`?\n"));
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(Run({"--data", "elsewhere", "stauts"}).err, StartsWith("seedbed: there is no command \"stauts\"."));
  result = Run({"--server", "host:1", "wokers"});
  EXPECT_THAT(result.err, HasSubstr("Did you mean `seedbed workers`?"));
  result = Run({"runs", "--outcme", "grokked"});
  EXPECT_EQ(result.code, kExitUsage);
  EXPECT_THAT(result.err, HasSubstr("no option --outcme. Did you mean --outcome?"));
  result = Run({"extend", "last", "--seeds", "0"});
  EXPECT_EQ(result.code, kExitUsage);
  EXPECT_THAT(result.err, HasSubstr("--seeds"));
  EXPECT_EQ(Run({"xyzzy"}).code, kExitUsage);
  EXPECT_EQ(Run({"pause"}).code, kExitUsage);
}

TEST_F(CommandLine, GlobalOptionsMayStandAnywhere) {
  Run({"--server", "a:1", "sweeps", "--json"});
  EXPECT_EQ(seen_options.server, "a:1");
  EXPECT_TRUE(seen_options.json);
  Run({"sweeps", "--server=b:2", "--token-file", "t"});
  EXPECT_EQ(seen_options.server, "b:2");
  EXPECT_EQ(seen_options.token_file, "t");
}

TEST_F(CommandLine, ADirectoryOnTheCommandLineGoesBeforeAServerInTheEnvironment) {
  setenv("SEEDBED_SERVER", "node1:7070", 1);
  Run({"sweeps"});
  EXPECT_EQ(seen_options.server, "node1:7070");
  Run({"sweeps", "--data", "here"});
  EXPECT_EQ(seen_options.server, "");
  EXPECT_EQ(seen_options.data, "here");
  Run({"sweeps", "--data", "here", "--server", "b:2"});
  EXPECT_EQ(seen_options.server, "b:2");
  unsetenv("SEEDBED_SERVER");
}

TEST_F(CommandLine, RunTakesItsOptions) {
  EXPECT_EQ(Run({"run", "f.yaml", "seeds=3", "a.b=1e-4,1e-3", "--workers", "2", "--slots", "4"}).code, kExitOk);
  EXPECT_EQ(run_options.file, "f.yaml");
  EXPECT_THAT(run_options.overrides, ElementsAre("seeds=3", "a.b=1e-4,1e-3"));
  EXPECT_EQ(run_options.workers, 2);
  EXPECT_EQ(run_options.slots, 4);
  EXPECT_EQ(run_options.device, "auto");
  EXPECT_EQ(Run({"run", "f.yaml", "--workers", "0"}).code, kExitUsage);
  EXPECT_EQ(Run({"run"}).code, kExitUsage);
}

TEST_F(CommandLine, ErrorsOfTheCoordinatorBecomeExitCodes) {
  const std::vector<std::pair<absl::Status, int>> cases = {{absl::NotFoundError("no sweep \"x\""), kExitNotFound},
                                                           {absl::UnavailableError("refused"), kExitUnreachable},
                                                           {absl::UnauthenticatedError("wrong"), kExitUnreachable},
                                                           {absl::InvalidArgumentError("bad"), kExitUsage},
                                                           {absl::FailedPreconditionError("no"), kExitFailed}};
  for (const auto& [error, code] : cases) {
    fake.error = error;
    const Result result = Run({"sweeps", "x"});
    EXPECT_EQ(result.code, code) << error;
    EXPECT_THAT(result.err, StartsWith("seedbed: "));
    EXPECT_THAT(result.err, HasSubstr(std::string(error.message())));
    EXPECT_EQ(result.out, "");
  }
}

using Lists = CommandTest;

TEST_F(Lists, SweepsAsTableAndJson) {
  AddSweep(3, "goldilocks")->mutable_runs()->set_finished(6);
  const Result table = Run({"sweeps"});
  EXPECT_THAT(table.out, HasSubstr("goldilocks  done"));
  const OrderedJson json = Parse(Run({"sweeps", "3", "--json"}).out);
  EXPECT_EQ(json["sweeps"][0]["sweep_id"], 3);
  EXPECT_EQ(json["sweeps"][0]["runs"]["total"], 6);
  EXPECT_EQ(fake.selectors.back(), "3");
}

TEST_F(Lists, EmptyListsAreEmptyDocuments) {
  EXPECT_EQ(Parse(Run({"sweeps", "--json"}).out), OrderedJson::parse(R"({"sweeps":[]})"));
  EXPECT_EQ(Parse(Run({"runs", "--json"}).out), OrderedJson::parse(R"({"runs":[]})"));
  EXPECT_EQ(Parse(Run({"workers", "--json"}).out), OrderedJson::parse(R"({"workers":[]})"));
  EXPECT_EQ(Run({"runs"}).out, "");
}

TEST_F(Lists, RunsHandsItsFiltersOn) {
  Run({"runs", "--where", "optimizer.weight_decay=0.3", "--state", "failed,running", "--outcome", "grokked", "last",
       "--newest-first"});
  ASSERT_THAT(fake.list_runs_requests, SizeIs(1));
  const v1::ListRunsRequest& request = fake.list_runs_requests[0];
  EXPECT_EQ(request.sweep(), "last");
  EXPECT_EQ(request.outcome(), "grokked");
  EXPECT_THAT(request.states(), ElementsAre(v1::RUN_STATE_FAILED, v1::RUN_STATE_RUNNING));
  EXPECT_EQ(request.parameters().at("optimizer.weight_decay"), "0.3");
  EXPECT_TRUE(request.newest_first());
  const Result wrong = Run({"runs", "--state", "runing"});
  EXPECT_EQ(wrong.code, kExitUsage);
  EXPECT_THAT(wrong.err, HasSubstr("Did you mean running?"));
  EXPECT_EQ(Run({"runs", "--where", "novalue"}).code, kExitUsage);
}

TEST_F(Lists, RunsPagesThroughAllOfThem) {
  for (int i = 1; i <= 12'000; ++i) {
    v1::RunSummary run;
    run.set_run_id(i);
    fake.runs.push_back(run);
  }
  const OrderedJson json = Parse(Run({"runs", "--json"}).out);
  ASSERT_EQ(json["runs"].size(), 12'000u);
  EXPECT_EQ(json["runs"][11'999]["run_id"], 12'000);
  EXPECT_EQ(fake.list_runs_requests.size(), 3u);
  EXPECT_EQ(Parse(Run({"runs", "--json", "--limit", "7"}).out)["runs"].size(), 7u);
  const Result table = Run({"runs"});
  EXPECT_EQ(std::count(table.out.begin(), table.out.end(), '\n'), 201);  // 200 and the titles
  EXPECT_THAT(table.err, HasSubstr("--limit 0 shows all"));
}

TEST_F(Lists, ShowTellsRunsFromSweeps) {
  v1::RunSummary run;
  run.set_run_id(17);
  run.set_sweep("goldilocks");
  run.set_state(v1::RUN_STATE_FINISHED);
  run.set_outcome("grokked");
  run.set_summary_json(R"({"delay":1150,"collapsed":false})");
  fake.runs.push_back(run);
  const Result shown = Run({"show", "17"});
  EXPECT_THAT(shown.out, HasSubstr("run 17 of goldilocks"));
  EXPECT_THAT(shown.out, HasSubstr("delay      1150"));
  EXPECT_EQ(Parse(Run({"show", "17", "--json"}).out)["run"]["summary"]["delay"], 1150);
  EXPECT_EQ(Run({"show", "18"}).code, kExitNotFound);
  AddSweep(17, "s17");
  Run({"show", "last"});
  EXPECT_THAT(fake.selectors, ElementsAre("last", "s17"));
  EXPECT_EQ(Parse(Run({"show", "17", "--sweep", "--json"}).out)["sweeps"][0]["name"], "s17");
}

TEST_F(Lists, LogsComeAsTheyAre) {
  fake.log = {"one\n", "two \x1b[31m"};
  EXPECT_EQ(Run({"logs", "17", "--attempt", "2", "--follow"}).out, "one\ntwo \x1b[31m");
  EXPECT_EQ(fake.log_requests[0].attempt(), 2);
  EXPECT_TRUE(fake.log_requests[0].follow());
}

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
  ASSERT_THAT(fake.control_requests, SizeIs(7));
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
}

TEST_F(Control, DrainsAndUndrains) {
  fake.controlled_worker.set_changed(1);
  Run({"drain", "node7"});
  Run({"drain", "node7", "--undo"});
  EXPECT_EQ(fake.worker_requests[0].action(), v1::ControlWorkerRequest::ACTION_DRAIN);
  EXPECT_EQ(fake.worker_requests[1].action(), v1::ControlWorkerRequest::ACTION_RESUME);
}

class SweepFile : public CommandTest {
 protected:
  SweepFile() {
    path_ = ::testing::TempDir() + "/cli_commands_test_" + std::to_string(::getpid()) + ".yaml";
    Write(
        "name: small\ntrainer: modular\nseeds: 2\nparameters:\n"
        "  optimizer.weight_decay: {values: [0, 1e-5, 1]}\nbudget: {steps: 400}\n");
  }
  ~SweepFile() override { std::remove(path_.c_str()); }
  void Write(const std::string& text) { std::ofstream(path_) << text; }
  std::string path_;
};

TEST_F(SweepFile, PlanCountsAndLists) {
  const OrderedJson json = Parse(Run({"plan", path_, "seeds=5", "--json", "--points", "2"}).out);
  EXPECT_EQ(json["name"], "small");
  EXPECT_EQ(json["configurations"], 3);
  EXPECT_EQ(json["runs"], 15);
  EXPECT_EQ(json["seeds"], OrderedJson::parse("[0,1,2,3,4]"));
  EXPECT_EQ(json["points"].size(), 2u);
  EXPECT_EQ(json["budget"]["steps"], 400);
  EXPECT_EQ(json["axes"]["optimizer.weight_decay"].size(), 3u);
  const Result plan = Run({"plan", path_});
  EXPECT_THAT(plan.out, StartsWith("small: 3 configurations × 2 seeds = 6 runs\n"));
  EXPECT_THAT(plan.out, HasSubstr("0, 1e-5, 1"));
  EXPECT_EQ(seen_options.data, "");  // it asked no coordinator
}

TEST_F(SweepFile, MistakesAreLocatedAndSendNothing) {
  Write("name: small\ntrainer: modular\nseeds: 0\nbudget: {steps: 400}\n");
  for (const char* command : {"plan", "submit"}) {
    const Result result = Run({command, path_});
    EXPECT_EQ(result.code, kExitUsage);
    EXPECT_THAT(result.err, StartsWith(path_ + ":3:"));
    EXPECT_THAT(result.err, HasSubstr("nothing was created"));
    EXPECT_EQ(result.out, "");
  }
  EXPECT_THAT(fake.submit_requests, IsEmpty());
  EXPECT_EQ(Run({"plan", path_ + ".missing"}).code, kExitNotFound);
}

TEST_F(SweepFile, SubmitSendsTheFileAndItsOverrides) {
  fake.submitted.set_name("small");
  fake.submitted.set_created(true);
  fake.submitted.set_runs_total(6);
  EXPECT_THAT(Run({"submit", path_, "seeds=3"}).out, HasSubstr("submitted"));
  Run({"submit", path_, "--json"});
  ASSERT_THAT(fake.submit_requests, SizeIs(2));
  EXPECT_THAT(fake.submit_requests[0].text(), HasSubstr("weight_decay"));
  EXPECT_THAT(fake.submit_requests[0].overrides(), ElementsAre("seeds=3"));
  EXPECT_THAT(fake.submit_requests[0].submission_id(), SizeIs(32));
  EXPECT_NE(fake.submit_requests[0].submission_id(), fake.submit_requests[1].submission_id());
}

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

using Program = CommandTest;

TEST_F(Program, VersionAndCompletion) {
  EXPECT_THAT(Parse(Run({"version", "--json"}).out)["version"].get<std::string>(), Not(IsEmpty()));
  const Result script = Run({"completion", "bash"});
  EXPECT_THAT(script.out, HasSubstr("complete -F _seedbed seedbed"));
  EXPECT_THAT(script.out, HasSubstr("--newest-first"));
  EXPECT_EQ(Run({"completion", "tcsh"}).code, kExitUsage);
}

TEST(ParseRunIds, UnderstandsListsAndRanges) {
  EXPECT_THAT(*ParseRunIds("17"), ElementsAre(17));
  EXPECT_THAT(*ParseRunIds("3-5,4,9"), ElementsAre(3, 4, 5, 9));
  for (const char* wrong :
       {"", ",", "0", "-3", "3-", "5-3", "a", "1,,2", "1-2-3", "1-99999999999", "99999999999999999999"}) {
    EXPECT_FALSE(ParseRunIds(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace seedbed::cli
