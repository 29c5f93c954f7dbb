#include "cli/commands.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

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
  EXPECT_THAT(help.out, HasSubstr("Usage: seedbed export "));
  EXPECT_THAT(help.out, HasSubstr("--server, --data, "));
  EXPECT_THAT(help.out, HasSubstr("Examples:\n  seedbed export goldilocks --format csv > runs.csv\n"));
}

// Every command that the interface promises.
TEST_F(CommandLine, KnowsEveryCommand) {
  for (const char* name :
       {"plan",  "run",     "submit",     "wait",       "status", "sweeps",  "runs",  "show",     "watch",  "logs",
        "pause", "resume",  "cancel",     "retry",      "extend", "workers", "drain", "query",    "export", "delete",
        "prune", "version", "completion", "checkpoint", "verify", "token",   "tls",   "dashboard"}) {
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

TEST_F(CommandLine, SaysWhatAWordShouldHaveBeen) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"drain"}, "`seedbed drain` needs WORKER: Name or id\n"},
      {{"show"}, "`seedbed show` needs RUN|SWEEP: Run ids, or a sweep\n"},
      {{"logs", "x"}, "run: expected a whole number of at least 1, got x\n"},
      {{"extend", "a", "--seeds", "1.5"}, "--seeds: expected a whole number of at least 1, got 1.5\n"},
      {{"runs", "--limit", "-1"}, "--limit: expected a whole number of at least 0, got -1\n"},
      {{"sweeps", "--server", "127.0.0.1"},
       "--server: expected HOST:PORT (port 1 to 65535) or unix:/path, got 127.0.0.1\n"},
      {{"sweeps", "--server", "head:77333"},
       "--server: expected HOST:PORT (port 1 to 65535) or unix:/path, got head:77333\n"},
      {{"wait", "--timeout", "soon"}, "--timeout: expected a number of at least 0, got soon\n"},
  };
  for (const auto& [words, message] : cases) {
    const Result result = Run(words);
    EXPECT_EQ(result.code, kExitUsage);
    EXPECT_THAT(result.err, StartsWith("seedbed: " + message));
  }
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
  EXPECT_EQ(Run({"run", "f.yaml", "--device", "cuda:1", "--pack", "8", "--checkpoint-every", "2.5", "--least-free-disk",
                 "100"})
                .code,
            kExitOk);
  EXPECT_EQ(run_options.device, "cuda:1");
  EXPECT_EQ(run_options.pack, "8");
  EXPECT_EQ(run_options.checkpoint_every, 2.5);
  EXPECT_EQ(run_options.least_free_disk, 100);
  EXPECT_EQ(Run({"run", "f.yaml", "--http", "127.0.0.1:0"}).code, kExitOk);
  EXPECT_EQ(run_options.http, "127.0.0.1:0");
  for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{{"--device", "tpu"},
                                                                                     {"--pack", "0"},
                                                                                     {"--checkpoint-every", "-1"},
                                                                                     {"--least-free-disk", "x"},
                                                                                     {"--http", "8080"}}) {
    const Result result = Run({"run", "f.yaml", wrong[0], wrong[1]});
    EXPECT_EQ(result.code, kExitUsage) << wrong[0];
    EXPECT_THAT(result.err, HasSubstr(wrong[0]));
  }
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

TEST_F(CommandLine, TheFilesOfADirectoryAreNoCoordinatorThatDoesNotAnswer) {
  EXPECT_EQ(ExitCodeOf(absl::UnavailableError("cannot read results.db: another program holds a lock")), kExitFailed);
  const auto channel = grpc::CreateChannel("unix:/nowhere/at/all", grpc::InsecureChannelCredentials());
  Client there(channel, "unix:/nowhere/at/all", "");
  const absl::Status nobody = there.ListWorkers(false).status();
  EXPECT_EQ(ExitCodeOf(nobody), kExitUnreachable) << nobody;
  EXPECT_THAT(std::string(nobody.message()), HasSubstr("Is seedbed-coordinator running there?"));
  Client here(channel, "", "");
  const absl::Status files = here.ListWorkers(false).status();
  EXPECT_EQ(files.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ExitCodeOf(files), kExitFailed) << files;
  EXPECT_THAT(std::string(files.message()), Not(HasSubstr("coordinator")));
}

using Lists = CommandTest;

TEST_F(Lists, SweepsAsTableAndJson) {
  AddSweep(3, "goldilocks")->mutable_runs()->set_finished(6);
  const Result table = Run({"sweeps"});
  EXPECT_THAT(table.out, HasSubstr("goldilocks  done"));
  const OrderedJson json = Parse(Run({"sweeps", "3", "--json"}).out);
  EXPECT_EQ(fake.selectors.back(), "3");
  EXPECT_EQ(json["sweeps"][0]["sweep_id"], 3);
  EXPECT_EQ(json["sweeps"][0]["runs"]["total"], 6);
  EXPECT_EQ(json["sweeps"][0]["state"], "done") << "the word of the table";
  fake.sweeps.mutable_sweeps(0)->mutable_runs()->set_queued(1);
  EXPECT_EQ(Parse(Run({"sweeps", "--json"}).out)["sweeps"][0]["state"], "active");
  fake.sweeps.mutable_sweeps(0)->mutable_runs()->set_queued(0);
  fake.sweeps.mutable_sweeps(0)->set_state(v1::SWEEP_STATE_PAUSED);
  EXPECT_EQ(Parse(Run({"sweeps", "--json"}).out)["sweeps"][0]["state"], "paused");
}

TEST_F(Lists, EmptyListsAreEmptyDocuments) {
  EXPECT_EQ(Parse(Run({"sweeps", "--json"}).out), OrderedJson::parse(R"({"sweeps":[]})"));
  EXPECT_EQ(Parse(Run({"runs", "--json"}).out), OrderedJson::parse(R"({"runs":[]})"));
  EXPECT_EQ(Parse(Run({"workers", "--json"}).out), OrderedJson::parse(R"({"workers":[]})"));
  EXPECT_EQ(Run({"runs"}).out, "");
}

TEST_F(Lists, RunsHandsItsFiltersOn) {
  Run({"runs", "--where", "optimizer.weight_decay=0.3", "--state", "failed,running", "--outcome", "grokked,memorised",
       "last", "--newest-first"});
  ASSERT_THAT(fake.list_runs_requests, SizeIs(2)) << "nothing matched: the second asks what parameters the runs have";
  const v1::ListRunsRequest& request = fake.list_runs_requests[0];
  EXPECT_EQ(request.sweep(), "last");
  EXPECT_EQ(request.outcome(), "grokked,memorised");
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

TEST_F(Lists, AFilterThatMatchesNothingIsMeantWell) {
  EXPECT_EQ(Run({"runs"}).err, "seedbed: no runs match\n");
  EXPECT_EQ(Run({"runs", "--outcome", "grokked"}).err, "seedbed: no runs match\n");
  const Result unknown = Run({"runs", "--outcome", "grokked,groked"});
  EXPECT_EQ(unknown.code, kExitUsage);
  EXPECT_EQ(unknown.err,
            "seedbed: \"groked\" is no outcome: expected diverged, generalised, grokked, memorised, not_memorised. Did "
            "you mean grokked?\n");
  EXPECT_EQ(Run({"runs", "--where", "weight_decay=0"}).err,
            "seedbed: no runs match. Did you mean --where optimizer.weight_decay=0?\n");
}

TEST_F(Lists, WorkersOfACoordinatorThatIsNotThereAreMemories) {
  fake.workers.add_workers()->set_name("w");
  EXPECT_EQ(Run({"workers"}).err, "");
  offline = true;
  EXPECT_THAT(Run({"workers"}).err, HasSubstr("what was known last"));
}

TEST_F(Lists, CommandsThatArePrintedCanBePasted) {
  EXPECT_EQ(Run({"workers"}).err, "seedbed: no worker is connected: start one with `seedbed-worker --server test`\n");
  EXPECT_EQ(Run({"--server", "head:1", "--tls-ca", "my ca.crt", "--token-file", "t", "sweeps"}).err,
            "seedbed: no sweeps yet: `seedbed --server head:1 --token-file t --tls-ca 'my ca.crt' run FILE` or "
            "`seedbed --server head:1 --token-file t --tls-ca 'my ca.crt' submit FILE` makes one\n");
  offline = true;
  EXPECT_THAT(Run({"workers", "--data", "it's here"}).err, HasSubstr("`seedbed-coordinator --data 'it'\\''s here'`"));
}

TEST_F(Lists, ALogThatIsEmptyIsSaidToBe) {
  EXPECT_EQ(Run({"logs", "17"}).err, "seedbed: run 17 has written nothing\n");
  EXPECT_EQ(Run({"logs", "17", "--json"}).out, "{\"run_id\":17,\"text\":\"\"}\n");
}

TEST_F(Lists, LogsComeAsTheyAre) {
  fake.log = {"one\n", "two \x1b[31m"};
  EXPECT_EQ(Run({"logs", "17", "--attempt", "2", "--follow"}).out, "one\ntwo \x1b[31m");
  EXPECT_EQ(fake.log_requests[0].attempt(), 2);
  EXPECT_TRUE(fake.log_requests[0].follow());
  style.width = 80;
  fake.log = {"\x1b[1;31mred\x1b[m\r\n\x1b]0;title\x07 \x1b[2J\x1b["};
  EXPECT_EQ(Run({"logs", "17"}).out, "\x1b[1;31mred\x1b[m\r\n\\x1b]0;title\\x07 \\x1b[2J\\x1b[") << "a terminal obeys";
  fake.log = {"\xe2\x82", "\xac \x1b[3", "1mred\x1b[m \xf0\x9f"};
  EXPECT_EQ(Run({"logs", "17"}).out, "\xe2\x82\xac \x1b[31mred\x1b[m \xef\xbf\xbd\xef\xbf\xbd") << "parts cut anywhere";
}

using Program = CommandTest;

TEST_F(Program, VersionAndCompletion) {
  const std::string version = Parse(Run({"version", "--json"}).out)["version"].get<std::string>();
  EXPECT_THAT(version, Not(IsEmpty()));
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"version"}, {"--version"}, {"--data", "x", "--version"}, {"runs", "--version"}}) {
    const Result printed = Run(words);
    EXPECT_EQ(printed.code, kExitOk);
    EXPECT_EQ(printed.out, "seedbed " + version + "\n");
    EXPECT_EQ(printed.err, "");
  }
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
