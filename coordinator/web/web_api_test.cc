// What /api/v1 and /metrics say, and the limits of what may be asked.
#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "coordinator/operations.h"
#include "coordinator/web/json_views.h"
#include "coordinator/web/web_fixture.h"

namespace seedbed::web_test {
namespace {

using coordinator_test::CallOf;
using coordinator_test::Finished;
using coordinator_test::ReportOf;
using coordinator_test::RowsOf;
using coordinator_test::Submit;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class WebApiTest : public WebTest {
 protected:
  // A sweep "small" of two configurations and two seeds; three of its runs are leased, and the first has ended.
  void MakeRuns() {
    ASSERT_TRUE(Submit(coordinator_.get(), "id", SweepText("small", 2, 2)).ok());
    Pending<SynchronizeReply> pending;
    coordinator_->Synchronize(CallOf("w", 1, 3), pending.Callback());
    const absl::StatusOr<SynchronizeReply> reply = pending.Get();
    ASSERT_TRUE(reply.ok()) << reply.status();
    ASSERT_THAT(reply->start, SizeIs(3));
    run_ = reply->start[0].lease.lease.run;
    core::Report report = ReportOf("w", reply->start[0].lease.lease, 1, 999);
    report.end = Finished(999);
    report.end->result->summary_json = R"({"t_train_99": 40, "t_test_99": 700, "final_test_accuracy": 0.995})";
    MetricRows rows = RowsOf(run_, 0, 1000);
    MetricSeries loss{"test_loss", {}};
    for (int i = 0; i < 1000; ++i) loss.values.push_back(i == 500 ? std::numeric_limits<double>::infinity() : 0.5);
    rows.series.push_back(std::move(loss));
    Pending<core::ReportAnswer> reported;
    coordinator_->Report(std::move(report), std::move(rows), 100, reported.Callback());
    ASSERT_TRUE(reported.Get().ok());
  }
  Json Ask(const std::string& route) { return GetJson("/api/v1/" + route, Bearer(AdminToken())); }
  httplib::Response Refusal(const std::string& route, int status) {
    const httplib::Response response = Get("/api/v1/" + route, Bearer(AdminToken()));
    EXPECT_EQ(response.status, status) << route << ": " << response.body;
    const auto json = ParseJson(response.body, route);
    EXPECT_TRUE(json.ok() && json->contains("error")) << response.body;
    return response;
  }
  // "query?sql=" for this text.
  static std::string Query(const std::string& sql) {
    return "query?" + httplib::detail::params_to_query_str({{"sql", sql}});
  }
  RunId run_;
};

TEST_F(WebApiTest, ListsSweepsConfigurationsRunsAndWorkers) {
  MakeRuns();
  Serve();
  const Json sweeps = Ask("sweeps");
  ASSERT_THAT(sweeps["sweeps"], SizeIs(1));
  EXPECT_EQ(sweeps["sweeps"][0]["name"], "small");
  EXPECT_EQ(sweeps["sweeps"][0]["state"], "active");
  EXPECT_EQ(sweeps["sweeps"][0]["budget_steps"], 1000);
  // Two are leased, and wait for a slot.
  const Json counts = {{"queued", 3}, {"running", 0}, {"finished", 1}, {"failed", 0}, {"cancelled", 0}, {"total", 4}};
  EXPECT_EQ(sweeps["sweeps"][0]["runs"], counts);
  EXPECT_THAT(Ask("sweeps/small")["source"].get<std::string>(), HasSubstr("name: small"));
  EXPECT_EQ(Ask("sweeps/1")["name"], "small");
  const Json configurations = Ask("sweeps/small/configurations");
  ASSERT_THAT(configurations["configurations"], SizeIs(2));
  const Json& first = configurations["configurations"][0];
  EXPECT_EQ(first["varied"]["optimizer.weight_decay"], 1e-4);
  EXPECT_EQ(first["median_t_train"], 40);
  EXPECT_EQ(first["median_delay"], 660);
  EXPECT_EQ(first["outcomes"], Json({{"grokked", 1}}));
  EXPECT_EQ(configurations["more"], false);
  EXPECT_EQ(Ask("sweeps/small/configurations?limit=1")["more"], true);
  EXPECT_EQ(Ask("sweeps/small/configurations?limit=1&offset=1")["configurations"][0]["ordinal"], 1);

  EXPECT_THAT(Ask("runs")["runs"], SizeIs(4));
  EXPECT_THAT(Ask("runs?sweep=small&state=running,queued")["runs"], SizeIs(3));
  EXPECT_THAT(Ask("runs?outcome=grokked")["runs"], SizeIs(1));
  EXPECT_THAT(Ask(absl::StrCat("runs?configuration=", first["configuration_id"].get<int64_t>()))["runs"], SizeIs(2));
  const Json newest = Ask("runs?order=newest&limit=1");
  EXPECT_EQ(newest["more"], true);
  EXPECT_EQ(newest["runs"][0]["run_id"], 4);
  EXPECT_EQ(Ask("runs?order=newest&limit=1&after=4")["runs"][0]["run_id"], 3);
  const Json run = Ask(absl::StrCat("runs/", run_.value()));
  EXPECT_EQ(run["outcome"], "grokked");
  EXPECT_EQ(run["specification"]["parameters"]["optimizer.weight_decay"], 1e-4);
  EXPECT_EQ(run["summary"]["t_test_99"], 700);
  EXPECT_THAT(run["attempt_list"], SizeIs(1));

  const Json workers = Ask("workers");
  ASSERT_THAT(workers["workers"], SizeIs(1));
  EXPECT_EQ(workers["workers"][0]["name"], "w");
  EXPECT_THAT(workers["workers"][0]["leased_runs"], SizeIs(2));
  EXPECT_EQ(workers["workers"][0]["training"], 0) << "both wait for a slot";
  EXPECT_EQ(Ask("server")["degraded"], false);
}

TEST(SweepView, IsDoneWhenAllRunsHaveEnded) {
  SweepRow row;
  row.state = "active";
  row.runs.finished = 2;
  EXPECT_EQ(ViewOf(row, 0)["state"], "done");
  row.runs.queued = 1;
  EXPECT_EQ(ViewOf(row, 0)["state"], "active");
  row.runs.queued = 0;
  row.state = "paused";
  EXPECT_EQ(ViewOf(row, 0)["state"], "paused");
}

TEST_F(WebApiTest, MistakesAreSaidSo) {
  MakeRuns();
  Serve();
  EXPECT_THAT(Refusal("sweeps/smal", 404).body, HasSubstr("small"));
  Refusal("sweeps/", 400);
  Refusal("sweeps/last/nothing", 404);
  Refusal("runs/0", 400);
  Refusal("runs/x", 400);
  Refusal("runs/99", 404);
  Refusal("runs/99/curve", 404);
  Refusal("runs?state=odd", 400);
  EXPECT_THAT(Refusal("runs?outcome=groked", 400).body, HasSubstr("grokked, memorised"));
  Refusal("runs?limit=0", 400);
  Refusal("runs?limit=2001", 400);
  Refusal("runs?order=up", 400);
  EXPECT_THAT(Refusal("runs?stat=queued", 400).body, HasSubstr("no parameter 'stat'"));
  Refusal("workers?gone=2", 400);
  Refusal("runs/1/curve?points=1", 400);
  EXPECT_THAT(Refusal("runs/1/curve?metrics=foo", 400).body, HasSubstr("test_loss"));
}

TEST_F(WebApiTest, ACurveIsBounded) {
  MakeRuns();
  Serve();
  const std::string route = absl::StrCat("runs/", run_.value(), "/curve");
  const Json whole = Ask(route + "?points=2000");
  EXPECT_EQ(whole["rows"], 1000);
  ASSERT_THAT(whole["series"], SizeIs(2));
  EXPECT_EQ(whole["series"][1]["metric"], "train_loss");
  EXPECT_THAT(whole["series"][1]["steps"], SizeIs(1000));
  const Json some = Ask(route + "?points=100&metrics=test_loss");
  ASSERT_THAT(some["series"], SizeIs(1));
  EXPECT_LE(some["series"][0]["steps"].size(), 100u);
  const Json& values = some["series"][0]["values"];
  EXPECT_NE(std::find(values.begin(), values.end(), Json("Infinity")), values.end()) << "JSON has no number for it";
  EXPECT_THAT(Ask("runs/4/curve")["series"], SizeIs(0));
}

TEST_F(WebApiTest, AQueryOnlyReads) {
  MakeRuns();
  Serve();
  const Json answer = Ask(Query("SELECT run_id, outcome, 0.5, NULL, x'00ff' FROM runs ORDER BY run_id LIMIT 1"));
  EXPECT_EQ(answer["columns"][1], "outcome");
  EXPECT_EQ(answer["rows"], Json::parse(R"([[1, "grokked", 0.5, null, "00ff"]])"));
  EXPECT_EQ(answer["truncated"], false);
  for (const std::string sql : {"DELETE FROM runs", "UPDATE runs SET seed = 7", "DROP TABLE steps", "ATTACH 'x' AS y",
                                "PRAGMA user_version = 1", "CREATE TEMP TABLE t (a)", "SELECT load_extension('x')",
                                "INSERT INTO events (kind) VALUES ('x')", "VACUUM INTO 'x'"}) {
    EXPECT_EQ(Get("/api/v1/" + Query(sql), Bearer(AdminToken())).status / 100, 4) << sql;
  }
  EXPECT_THAT(Refusal(Query("SELECT nothing FROM runs"), 400).body, HasSubstr("nothing"));
  Refusal(Query("SELECT 1; SELECT 2"), 400);
  Refusal("query", 400);
  EXPECT_EQ(Ask(Query("SELECT count(*) FROM runs"))["rows"][0][0], 4) << "nothing was changed";
}

TEST_F(WebApiTest, ByDefaultAQueryHasTenSeconds) {
  EXPECT_EQ(options_.limits.query_time, absl::Seconds(10));
}

TEST_F(WebApiTest, AQueryIsBounded) {
  options_.limits.query_rows = 100;
  options_.limits.query_bytes = 10'000;
  options_.limits.query_time = absl::Milliseconds(200);
  MakeRuns();
  Serve();
  const Json rows = Ask(Query("SELECT step FROM steps ORDER BY step"));
  EXPECT_THAT(rows["rows"], SizeIs(100));
  EXPECT_EQ(rows["truncated"], true);
  const Json bytes = Ask(Query("SELECT printf('%.*c', 3000, 'x') FROM steps LIMIT 50"));
  EXPECT_LE(bytes["rows"].size(), 5u);
  EXPECT_EQ(bytes["truncated"], true);
  // A byte of a text may be six of the answer, one of a blob two.
  for (const char* column : {"replace(hex(zeroblob(1000)), '0', char(1))", "zeroblob(2000)", "'\"' || step"}) {
    const std::string sql = absl::StrCat("SELECT ", column, " FROM steps LIMIT 5000");
    const httplib::Response answer = Get("/api/v1/" + Query(sql), Bearer(AdminToken()));
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_LE(answer.body.size(), 10'200u) << sql;
  }
  EXPECT_THAT(Ask(Query("SELECT step FROM steps") + "&limit=3")["rows"], SizeIs(3));
  Refusal(Query("SELECT 1") + "&limit=101", 400);
  const absl::Time begun = absl::Now();
  Refusal(Query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"), 504);
  EXPECT_LT(absl::Now() - begun, absl::Seconds(8));
  EXPECT_EQ(Get("/api/v1/" + Query("SELECT '" + std::string(9000, 'x') + "'"), Bearer(AdminToken())).status, 414);
}

TEST_F(WebApiTest, QueriesAtOnceAreBounded) {
  options_.limits.queries = 0;
  Serve();
  EXPECT_THAT(Refusal(Query("SELECT 1"), 503).body, HasSubstr("under way"));
}

TEST_F(WebApiTest, TextOfPeopleDoesNotBreakTheAnswer) {
  Serve();
  const Json answer = Ask(Query("SELECT CAST(x'ff3c' AS TEXT), '<script>'"));
  EXPECT_EQ(answer["rows"][0][0], "\xef\xbf\xbd<");
  EXPECT_EQ(answer["rows"][0][1], "<script>");
  EXPECT_THAT(Get("/api/v1/server", Bearer(AdminToken())).get_header_value("Content-Type"), HasSubstr("json"));
}

TEST_F(WebApiTest, MetricsAreInPrometheusFormat) {
  MakeRuns();
  ASSERT_TRUE(Submit(coordinator_.get(), "ended", SweepText("ended", 1, 1)).ok());
  ASSERT_TRUE(ControlSweeps(coordinator_.get(), "ended", {}, CancelAction()).ok());
  Serve();
  const httplib::Response response = Get("/metrics", Bearer(AdminToken()));
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.get_header_value("Content-Type"), HasSubstr("version=0.0.4"));
  for (const std::string line :
       {"seedbed_runs{state=\"queued\"} 3\n", "seedbed_runs{state=\"running\"} 0\n",  // two wait at their worker
        "seedbed_runs{state=\"finished\"} 1\n", "seedbed_sweeps{state=\"active\"} 1\n",
        "seedbed_sweeps{state=\"done\"} 1\n", "seedbed_sweeps{state=\"paused\"} 0\n",
        "seedbed_workers{state=\"active\"} 1\n", "seedbed_slots 4\n", "seedbed_leases 2\n", "seedbed_degraded 0\n",
        "# TYPE seedbed_commits_total counter\n", "seedbed_epoch 1\n"}) {
    EXPECT_THAT(response.body, HasSubstr(line));
  }
  const auto value_of = [](const std::string& text, const std::string& name) {
    const size_t line = text.find("\n" + name + " ");
    EXPECT_NE(line, std::string::npos) << name;
    return line == std::string::npos ? -1.0 : std::stod(text.substr(line + name.size() + 2));
  };
  EXPECT_GT(value_of(response.body, "seedbed_write_ahead_log_bytes"), 0);
  EXPECT_GE(value_of(response.body, "seedbed_uptime_seconds"), 0);
  const double commits = value_of(response.body, "seedbed_commits_total");
  EXPECT_GE(commits, 3);
  ASSERT_TRUE(Submit(coordinator_.get(), "other", SweepText("other", 1, 1)).ok());
  EXPECT_GT(value_of(Get("/metrics", Bearer(AdminToken())).body, "seedbed_commits_total"), commits);
}

TEST_F(WebApiTest, PagesAreServedWithTheirTypes) {
  Serve();
  const httplib::Response page = Get("/", Bearer(AdminToken()));
  EXPECT_THAT(page.get_header_value("Content-Type"), HasSubstr("text/html"));
  EXPECT_THAT(page.body, HasSubstr("/app.js"));
  EXPECT_EQ(page.body.find("<script>"), std::string::npos) << "no inline script: the policy forbids it";
  EXPECT_EQ(page.body.find("style="), std::string::npos);
  const std::string packed = Say(
      "GET /style.css HTTP/1.1",
      HostLine() + "accept-ENCODING: br, gzip\r\nRange: bytes=0-1\r\nAuthorization: Bearer " + AdminToken() + "\r\n");
  EXPECT_THAT(packed, testing::StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(packed.find("Content-Encoding"), std::string::npos) << "compressing costs more than it spares";
  EXPECT_THAT(packed, HasSubstr("color-scheme"));
  EXPECT_THAT(Get("/style.css", Bearer(AdminToken())).get_header_value("Content-Type"), HasSubstr("text/css"));
  EXPECT_THAT(Get("/app.js", Bearer(AdminToken())).get_header_value("Content-Type"), HasSubstr("text/javascript"));
  for (const std::string path : {"/../secret", "/..%2f..%2fetc%2fpasswd", "//", "/app.js/", "/APP.JS"}) {
    EXPECT_EQ(StatusOf(path, Bearer(AdminToken())), 404) << path;
  }
}

}  // namespace
}  // namespace seedbed::web_test
