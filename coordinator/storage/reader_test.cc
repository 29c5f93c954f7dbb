#include "coordinator/storage/reader.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/storage/storage_test_support.h"
#include "coordinator/storage/store.h"
#include "gmock/gmock.h"

namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

std::string Summary(std::optional<int64_t> train, std::optional<int64_t> test) {
  const auto text = [](std::optional<int64_t> value) { return value ? absl::StrCat(*value) : std::string("null"); };
  return absl::StrCat(
      R"({"collapsed":false,"cpu_seconds":1.5,"final_test_accuracy":0.75,"final_test_loss":"NaN",)",
      R"("final_train_accuracy":1,"final_train_loss":0.125,"first_nonfinite_step":null,"t_test_50":10,"t_test_99":)",
      text(test), R"(,"t_train_50":5,"t_train_99":)", text(train), R"(,"wall_seconds":2.5})");
}

class ReaderTest : public ::testing::Test {
 protected:
  ReaderTest() : store_(OpenStore(FastOptions(directory_.path()))) {
    std::vector<core::Event> events = SweepEvents("sweep", 3, 2);
    events.push_back(WorkerEvent("w1"));
    for (int run = 1; run <= 4; ++run) events.push_back(Grant(RunId(run), 1, 1));
    Write(Events(events));
    reader_ = OpenReader(*store_);
  }
  void Write(const Batch& batch) { SEEDBED_ASSERT_OK(store_->Write(batch)); }
  void FinishRuns() {
    Write(Events(
        {Finish(RunId(1), 1, 2, "grokked", Summary(100, 500)), Finish(RunId(2), 1, 2, "memorised", Summary(90, {})),
         core::AttemptEnded{
             RunId(3), 1, Fence(2), core::AttemptEnd::kCrashed, "signal 9", core::RunState::kFailed, {}, 3, 0}}));
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Reader> reader_;
};

TEST_F(ReaderTest, WhatALeaseNeeds) {
  EXPECT_THAT(*reader_->TemplateJson(SweepId(1)), HasSubstr(R"("trainer":"modular")"));
  EXPECT_EQ(*reader_->ParametersJson(ConfigurationId(3)), R"({"model.activation":"gelu","optimizer.weight_decay":2})");
  const auto several = *reader_->ParametersJson(ConfigurationId(2), ConfigurationId(4));
  ASSERT_EQ(several.size(), 2u);
  EXPECT_EQ(several[0].first, ConfigurationId(2));
  EXPECT_EQ(several[1].second, *reader_->ParametersJson(ConfigurationId(3)));
  EXPECT_TRUE(reader_->ParametersJson(ConfigurationId(4000), ConfigurationId(4004))->empty());
  EXPECT_EQ(reader_->TemplateJson(SweepId(9)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(reader_->ParametersJson(ConfigurationId(9)).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ReaderTest, AMissingOrForeignDatabaseIsSaid) {
  EXPECT_EQ(Reader::Open(directory_.path() + "/none.db").status().code(), absl::StatusCode::kNotFound);
  const std::string other = directory_.path() + "/other.db";
  SEEDBED_ASSERT_OK(OpenRaw(other)->Execute("CREATE TABLE theirs (a)"));
  EXPECT_EQ(Reader::Open(other).status().code(), absl::StatusCode::kFailedPrecondition);
  std::ofstream(directory_.path() + "/empty.db");
  EXPECT_EQ(Reader::Open(directory_.path() + "/empty.db").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ReaderTest, ASweepWithItsCounts) {
  FinishRuns();
  const std::vector<SweepRow> sweeps = *reader_->ListSweeps();
  ASSERT_EQ(sweeps.size(), 1u);
  EXPECT_EQ(sweeps[0].name, "sweep");
  EXPECT_EQ(sweeps[0].trainer, "modular");
  EXPECT_EQ(sweeps[0].configurations, 3);
  EXPECT_EQ(sweeps[0].runs.queued, 2);
  EXPECT_EQ(sweeps[0].runs.running, 1);
  EXPECT_EQ(sweeps[0].runs.finished, 2);
  EXPECT_EQ(sweeps[0].runs.failed, 1);
  EXPECT_THAT(sweeps[0].outcomes, ElementsAre(std::make_pair("grokked", 1), std::make_pair("memorised", 1)));
  EXPECT_EQ(*reader_->SweepSource(SweepId(1)), "name: sweep\n");
}

TEST_F(ReaderTest, ARunWithItsAttempts) {
  FinishRuns();
  const RunDetail detail = *reader_->GetRun(RunId(1));
  EXPECT_EQ(detail.run.sweep_name, "sweep");
  EXPECT_EQ(detail.run.state, "finished");
  EXPECT_EQ(detail.run.outcome, "grokked");
  EXPECT_EQ(detail.run.worker, "name of w1");
  EXPECT_EQ(detail.run.t_train_50, 5);
  EXPECT_EQ(detail.run.t_train_90, std::nullopt);
  EXPECT_EQ(detail.run.t_train_99, 100);
  EXPECT_EQ(detail.run.t_test_99, 500);
  EXPECT_EQ(detail.run.delay, 400);
  EXPECT_EQ(detail.run.final_train_accuracy, 1.0);
  EXPECT_EQ(detail.run.final_test_loss, std::nullopt) << "NaN is absent";
  EXPECT_EQ(detail.run.collapsed, false);
  EXPECT_EQ(detail.run.wall_seconds, 2.5);
  EXPECT_EQ(detail.run.cpu_seconds, 1.5);
  EXPECT_EQ(detail.run.last_step, 100);
  ASSERT_EQ(detail.attempts.size(), 1u);
  EXPECT_EQ(detail.attempts[0].end, "finished");
  EXPECT_EQ(detail.attempts[0].host, "node1");
  EXPECT_EQ(reader_->GetRun(RunId(2))->run.delay, std::nullopt);
  EXPECT_EQ(reader_->GetRun(RunId(3))->attempts[0].reason, "signal 9");
  EXPECT_EQ(reader_->GetRun(RunId(99)).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ReaderTest, RunsByEachFilter) {
  FinishRuns();
  const auto ids = [this](const RunFilter& filter) {
    std::vector<int64_t> found;
    const absl::StatusOr<std::vector<RunRow>> runs = reader_->ListRuns(filter);
    EXPECT_TRUE(runs.ok()) << runs.status();
    for (const RunRow& run : *runs) found.push_back(run.id.value());
    EXPECT_GE(*reader_->CountRuns(filter), static_cast<int64_t>(found.size()));
    return found;
  };
  RunFilter filter;
  EXPECT_THAT(ids(filter), ElementsAre(1, 2, 3, 4, 5, 6));
  filter.limit = 2;
  filter.offset = 3;
  EXPECT_THAT(ids(filter), ElementsAre(4, 5));
  EXPECT_EQ(*reader_->CountRuns(filter), 6);
  filter = {};
  filter.states = {core::RunState::kQueued, core::RunState::kFailed};
  EXPECT_THAT(ids(filter), ElementsAre(3, 5, 6));
  filter = {};
  filter.outcomes = {"grokked", "diverged"};
  EXPECT_THAT(ids(filter), ElementsAre(1));
  filter = {};
  filter.parameters = {{"optimizer.weight_decay", "1.0"}, {"model.activation", "\"gelu\""}};
  EXPECT_THAT(ids(filter), ElementsAre(3, 4)) << "1.0 equals 1";
  filter.parameters = {{"model.activation", "\"relu\""}};
  EXPECT_THAT(ids(filter), IsEmpty());
  filter = {};
  filter.sweep = SweepId(2);
  EXPECT_THAT(ids(filter), IsEmpty());
  filter = {};
  filter.configuration = ConfigurationId(2);
  EXPECT_THAT(ids(filter), ElementsAre(3, 4));
  filter = {};
  filter.runs = {RunId(6), RunId(2)};
  EXPECT_THAT(ids(filter), ElementsAre(2, 6));
  filter = {};
  filter.order = RunFilter::Order::kLastEnded;
  filter.limit = 1;
  EXPECT_THAT(ids(filter), ElementsAre(3)) << "the latest of equal times is the highest id";
  filter = {};
  filter.parameters = {{"x\" OR 1", "1"}};
  EXPECT_EQ(reader_->ListRuns(filter).status().code(), absl::StatusCode::kInvalidArgument);
  filter.parameters = {{"x", "not JSON"}};
  EXPECT_EQ(reader_->ListRuns(filter).status().code(), absl::StatusCode::kInvalidArgument);
}

// The view against the textbook: sort with "not reached" as infinity, take the middle; mean and sample deviation of the
// rest.
TEST_F(ReaderTest, StatisticsOfAConfigurationAgreeWithBruteForce) {
  std::mt19937_64 random(11);
  const int kConfigurations = 40;
  const int kSeeds = 5;
  Write(Events(SweepEvents("many", kConfigurations, kSeeds, SweepId(2), 100, 1000)));
  std::vector<std::vector<double>> delays(kConfigurations), groks(kConfigurations);
  std::vector<core::Event> events;
  for (int i = 0; i < kConfigurations; ++i) {
    const int finished = static_cast<int>(random() % (kSeeds + 1));
    for (int seed = 0; seed < finished; ++seed) {
      const RunId run(1000 + i * kSeeds + seed);
      const int64_t train = 10 + static_cast<int64_t>(random() % 1000);
      const bool reached = random() % 3 != 0;
      const int64_t test = train + static_cast<int64_t>(random() % 100'000);
      events.push_back(Grant(run, 1, 1));
      events.push_back(Finish(run, 1, 2, reached ? "grokked" : "memorised",
                              Summary(train, reached ? std::optional(test) : std::nullopt)));
      delays[i].push_back(reached ? static_cast<double>(test - train) : HUGE_VAL);
      groks[i].push_back(reached ? static_cast<double>(test) : HUGE_VAL);
    }
  }
  Write(Events(events));
  const auto median = [](std::vector<double> values) -> std::optional<double> {
    if (values.empty()) return std::nullopt;
    std::sort(values.begin(), values.end());
    const size_t n = values.size();
    const double middle = n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    return std::isinf(middle) ? std::nullopt : std::optional<double>(middle);
  };
  const std::vector<ConfigurationRow> rows = *reader_->ListConfigurations(SweepId(2));
  ASSERT_EQ(rows.size(), static_cast<size_t>(kConfigurations));
  for (int i = 0; i < kConfigurations; ++i) {
    SCOPED_TRACE(i);
    std::vector<double> survivors;
    std::copy_if(delays[i].begin(), delays[i].end(), std::back_inserter(survivors),
                 [](double d) { return !std::isinf(d); });
    double sum = 0, squares = 0;
    for (const double d : survivors) sum += d;
    const double mean = sum / static_cast<double>(survivors.size());
    for (const double d : survivors) squares += (d - mean) * (d - mean);
    EXPECT_EQ(rows[i].ordinal, i);
    EXPECT_EQ(rows[i].seeds, kSeeds);
    EXPECT_EQ(rows[i].finished, static_cast<int64_t>(delays[i].size()));
    EXPECT_EQ(rows[i].reached_test_99, static_cast<int64_t>(survivors.size()));
    EXPECT_EQ(rows[i].median_delay, median(delays[i]));
    EXPECT_EQ(rows[i].median_t_grok, median(groks[i]));
    ASSERT_EQ(rows[i].survivors_mean_delay.has_value(), !survivors.empty());
    if (!survivors.empty()) {
      EXPECT_NEAR(*rows[i].survivors_mean_delay, mean, 1e-6);
    }
    ASSERT_EQ(rows[i].survivors_sd_delay.has_value(), survivors.size() > 1);
    if (survivors.size() > 1) {
      EXPECT_NEAR(*rows[i].survivors_sd_delay, std::sqrt(squares / static_cast<double>(survivors.size() - 1)), 1e-6);
    }
  }
}

TEST_F(ReaderTest, WorkersWithWhatTheyHold) {
  FinishRuns();
  Write(Events({WorkerEvent("w0"), core::WorkerStateChanged{WorkerId("w0"), core::WorkerState::kActive,
                                                            core::WorkerState::kGone, "left"}}));
  std::vector<WorkerRow> workers = *reader_->ListWorkers();
  ASSERT_EQ(workers.size(), 1u);
  EXPECT_EQ(workers[0].id, "w1");
  EXPECT_EQ(workers[0].running, 1);
  EXPECT_THAT(workers[0].trainers_json, HasSubstr("modular"));
  workers = *reader_->ListWorkers(/*include_gone=*/true);
  ASSERT_EQ(workers.size(), 2u);
  EXPECT_EQ(workers[0].reason, "left");
}

TEST_F(ReaderTest, EventsFromAPlaceOn) {
  FinishRuns();
  const std::vector<EventRow> all = *reader_->ListEvents(0);
  ASSERT_GT(all.size(), 3u);
  const std::vector<EventRow> later = *reader_->ListEvents(all[1].id, std::nullopt, 2);
  ASSERT_EQ(later.size(), 2u);
  EXPECT_EQ(later[0].id, all[2].id);
  EXPECT_EQ(reader_->LatestEvents(1)->front().id, all.back().id);
  const std::vector<EventRow> of_sweep = *reader_->ListEvents(0, SweepId(1));
  for (const EventRow& event : of_sweep) EXPECT_EQ(event.sweep, SweepId(1)) << event.kind;
}

TEST_F(ReaderTest, StepsAsColumns) {
  MetricRows rows{RunId(1), {0, 10, 20}, {{"train_loss", {3, 2, 1}}, {"test_accuracy", {0.5, kNone, 0.75}}}, {}};
  rows.series.push_back({"layer.0", {7, kNone, 9}});
  Write(Metrics({rows}));
  const MetricTable table = *reader_->StepsOf(RunId(1));
  EXPECT_THAT(table.steps, ElementsAre(0, 10, 20));
  ASSERT_EQ(table.series.size(), 3u);
  for (const auto& [name, values] : table.series) {
    if (name == "train_loss") {
      EXPECT_THAT(values, ElementsAre(3, 2, 1));
    } else {
      EXPECT_TRUE(std::isnan(values[1])) << name;
    }
    if (name == "layer.0") {
      EXPECT_EQ(values[2], 9);
    }
  }
  EXPECT_FALSE(table.more);
  const MetricTable part = *reader_->StepsOf(RunId(1), 0, 1);
  EXPECT_THAT(part.steps, ElementsAre(10));
  EXPECT_TRUE(part.more);
  EXPECT_THAT(reader_->StepsOf(RunId(2))->steps, IsEmpty());
}

TEST_F(ReaderTest, AReaderFollowsNewColumns) {
  Write(Metrics({{RunId(1), {0}, {{"train_loss", {3}}}, {}}}));
  ASSERT_EQ(reader_->StepsOf(RunId(1))->series.size(), 1u);
  ASSERT_EQ(reader_->Query("SELECT * FROM curves")->rows.size(), 1u);
  Write(Metrics({{RunId(1), {1}, {{"sharpness", {4}}}, {}}}));
  EXPECT_EQ(reader_->StepsOf(RunId(1))->series.size(), 2u);
  EXPECT_EQ(std::get<double>(reader_->Query("SELECT sharpness FROM curves WHERE step = 1")->rows[0][0]), 4);
}

// --- queries of people

TEST_F(ReaderTest, AQueryGivesTypedValues) {
  const QueryResult result =
      *reader_->Query("SELECT 1 AS a, 2.5 AS b, 'text' AS c, NULL AS d, x'0aff' AS e; -- and a remark");
  EXPECT_THAT(result.columns, ElementsAre("a", "b", "c", "d", "e"));
  ASSERT_EQ(result.rows.size(), 1u);
  EXPECT_THAT(result.rows[0],
              ElementsAre(Value(int64_t{1}), Value(2.5), Value("text"), Value(std::monostate()), Value("0aff")));
  EXPECT_EQ(reader_->Query("WITH n(x) AS (VALUES (1), (2)) SELECT sum(x) FROM n")->rows.size(), 1u);
  EXPECT_TRUE(reader_->Query("SELECT name FROM pragma_table_info('steps')").ok());
  EXPECT_TRUE(reader_->Query("SELECT value FROM configurations, json_each(parameters)").ok());
  EXPECT_TRUE(reader_->Query("SELECT sql FROM sqlite_schema").ok());
  EXPECT_TRUE(reader_->Query("EXPLAIN QUERY PLAN SELECT * FROM run_results").ok());
}

TEST_F(ReaderTest, NothingButReadingIsAllowed) {
  const std::string outside = directory_.path() + "/outside.db";
  for (const std::string& sql : {std::string("DELETE FROM runs"),
                                 std::string("UPDATE runs SET seed = 1 RETURNING seed"),
                                 std::string("CREATE TABLE t (a)"),
                                 std::string("CREATE TEMP TABLE t (a)"),
                                 std::string("PRAGMA journal_mode = DELETE"),
                                 std::string("PRAGMA user_version = 5"),
                                 absl::StrCat("ATTACH '", outside, "' AS o"),
                                 absl::StrCat("VACUUM INTO '", outside, "'"),
                                 std::string("BEGIN"),
                                 std::string("PRAGMA writable_schema = 1"),
                                 std::string("REINDEX"),
                                 std::string("ANALYZE"),
                                 std::string("INSERT INTO events DEFAULT VALUES"),
                                 std::string("REPLACE INTO meta VALUES ('epoch', 9)"),
                                 std::string("DROP TABLE runs"),
                                 std::string("ALTER TABLE runs ADD COLUMN x"),
                                 std::string("CREATE INDEX i ON runs (seed)"),
                                 std::string("CREATE TEMP VIEW v AS SELECT 1"),
                                 std::string("CREATE TEMP TRIGGER t AFTER INSERT ON runs BEGIN SELECT 1; END"),
                                 std::string("CREATE VIRTUAL TABLE temp.t USING fts5(a)"),
                                 std::string("DETACH main"),
                                 std::string("SAVEPOINT s"),
                                 std::string("COMMIT"),
                                 std::string("VACUUM"),
                                 std::string("PRAGMA query_only = 0"),
                                 std::string("PRAGMA trusted_schema = 1"),
                                 std::string("PRAGMA wal_checkpoint(TRUNCATE)"),
                                 std::string("PRAGMA temp_store_directory = '/tmp'"),
                                 std::string("PRAGMA hard_heap_limit = 1"),
                                 std::string("WITH n AS (SELECT 1) DELETE FROM runs"),
                                 std::string("EXPLAIN DELETE FROM runs")}) {
    EXPECT_EQ(reader_->Query(sql).status().code(), absl::StatusCode::kPermissionDenied)
        << sql << ": " << reader_->Query(sql).status();
  }
  EXPECT_FALSE(std::filesystem::exists(outside));
  for (const char* sql :
       {"SELECT FROM", "SELECT nothing FROM runs", "", "  -- only a remark", "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE runs", "SELECT load_extension('x')", "UPDATE sqlite_schema SET sql = ''"}) {
    EXPECT_EQ(reader_->Query(sql).status().code(), absl::StatusCode::kInvalidArgument) << sql;
  }
  EXPECT_EQ(reader_->ListRuns({})->size(), 6u);
}

constexpr char kEndless[] = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n";

TEST_F(ReaderTest, AQueryIsCutOffAtItsLimits) {
  QueryResult result = *reader_->Query(kEndless, {10, 1 << 20});
  EXPECT_EQ(result.rows.size(), 10u);
  EXPECT_TRUE(result.truncated);
  result = *reader_->Query(absl::StrCat("SELECT hex(zeroblob(1000)) FROM (", kEndless, ")"), {1000, 10'000});
  EXPECT_LT(result.rows.size(), 10u);
  EXPECT_TRUE(result.truncated);
  EXPECT_FALSE(reader_->Query("SELECT length(zeroblob(1000000000))").ok());
  ReaderOptions options;
  options.query_limit = absl::Milliseconds(5);
  const std::unique_ptr<Reader> hasty = *Reader::Open(store_->database_path(), options);
  EXPECT_EQ(hasty->Query(absl::StrCat("SELECT count(*) FROM (", kEndless, ")")).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(hasty->ListRuns({})->size(), 6u) << "the connection is of use afterwards";
}

TEST_F(ReaderTest, AQuerysTemporaryFilesAreBounded) {
  ReaderOptions options;
  options.most_temporary_bytes = 32 << 20;
  const std::unique_ptr<Reader> reader = *Reader::Open(store_->database_path(), options);
  const auto rows_of = [](int count) {
    return absl::StrCat("(WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ", count,
                        ") SELECT x, hex(randomblob(250)) AS text FROM n)");
  };
  // Half a kilobyte a row: neither fits into the memory that SQLite sorts in, and the fewer ones fit into the files.
  const int some = 20'000;
  const int many = 120'000;
  for (const std::string& form :
       {std::string("SELECT x FROM $ ORDER BY text, x LIMIT -1 OFFSET 10"),
        std::string("SELECT count(*) FROM (SELECT text, count(*) FROM $ GROUP BY text)"),
        std::string("SELECT count(*) FROM (SELECT DISTINCT text FROM $)"),
        std::string("WITH kept AS MATERIALIZED (SELECT * FROM $) SELECT sum(length(text)) FROM kept"),
        std::string("SELECT count(*) FROM (SELECT text FROM $ UNION SELECT 'x')")}) {
    const auto code = [&](int count) {
      std::string sql = form;
      while (sql.find('$') != std::string::npos) sql.replace(sql.find('$'), 1, rows_of(count));
      return reader->Query(sql).status();
    };
    SEEDBED_EXPECT_OK(code(some));
    const absl::Status refused = code(many);
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << form << ": " << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("32 MiB"));
    SEEDBED_EXPECT_OK(code(some));  // what the refused one had written is gone
  }
}

TEST_F(ReaderTest, AQueryThatIsMadeToBeExpensiveIsRefused) {
  const auto code = [this](const std::string& sql) { return reader_->Query(sql).status().code(); };
  EXPECT_EQ(code("SELECT 1 " + std::string(1 << 20, ' ')), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("SELECT '" + std::string(100'000, 'x') + "'"), absl::StatusCode::kOk);
  EXPECT_EQ(code("SELECT 'a' LIKE '" + std::string(300, '%') + "'"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("SELECT 'a' GLOB '" + std::string(300, '*') + "'"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("SELECT length(replace(hex(zeroblob(4000000)), '0', 'xx'))"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("SELECT length(hex(zeroblob(9000000)))"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("SELECT " + std::string(5000, '(') + "1" + std::string(5000, ')')),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("SELECT load_extension('/lib/x.so', 'f')"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("SELECT json_patch('{}', '{}')"), absl::StatusCode::kInvalidArgument);
  std::string columns = "1";
  for (int i = 1; i < 256; ++i) columns += ", 1";
  EXPECT_EQ(code("SELECT " + columns), absl::StatusCode::kOk);
  EXPECT_EQ(code("SELECT " + columns + ", 1"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reader_->ListRuns({})->size(), 6u);
}

TEST_F(ReaderTest, AQuerysMemoryIsBounded) {
  ReaderOptions options;
  options.most_memory_bytes = 256 << 20;
  const std::unique_ptr<Reader> reader = *Reader::Open(store_->database_path(), options);
  const auto query = [&](int texts) {
    std::string list;
    for (int i = 0; i < texts; ++i) absl::StrAppend(&list, i > 0 ? ", " : "", "hex(zeroblob(4000000 + x + ", i, "))");
    return reader->Query(absl::StrCat("WITH t(x) AS (VALUES (1)) SELECT length(max(", list, ")) FROM t")).status();
  };
  SEEDBED_EXPECT_OK(query(4));
  EXPECT_EQ(query(100).code(), absl::StatusCode::kResourceExhausted) << query(100);
  SEEDBED_EXPECT_OK(query(4));  // it is given back
}

// Against SQLite's own, on a connection that still has them.
TEST_F(ReaderTest, TextFunctionsGiveWhatSqlitesOwnGive) {
  const std::unique_ptr<Database> own = OpenRaw(directory_.path() + "/own.db");
  std::mt19937_64 random(3);
  const std::vector<std::string> pieces = {"a", "b", "ab", "\u00e9", "\u20ac", "\U0001f600", " ", ""};
  const auto argument = [&] {
    switch (random() % 8) {
      case 0:
        return std::string("NULL");
      case 1:
        return absl::StrCat(random() % 200);
      case 2:
        return absl::StrCat("x'", random() % 2 == 0 ? "6162" : "c3a961", "'");
      default:
        break;
    }
    std::string text;
    for (uint64_t count = random() % 7; count > 0; --count) text += pieces[random() % pieces.size()];
    return absl::StrCat("'", text, "'");
  };
  for (int i = 0; i < 4000; ++i) {
    std::string call;
    switch (random() % 4) {
      case 0:
        call = absl::StrCat("instr(", argument(), ", ", argument(), ")");
        break;
      case 1:
        call = absl::StrCat("replace(", argument(), ", ", argument(), ", ", argument(), ")");
        break;
      case 2:
        call = absl::StrCat(random() % 2 == 0 ? "ltrim(" : "rtrim(", argument(), ", ", argument(), ")");
        break;
      default:
        call = random() % 4 == 0 ? absl::StrCat("trim(", argument(), ")")
                                 : absl::StrCat("trim(", argument(), ", ", argument(), ")");
        break;
    }
    const std::string sql = absl::StrCat("SELECT typeof(", call, ") || ':' || coalesce(quote(", call, "), '')");
    const absl::StatusOr<QueryResult> ours = reader_->Query(sql);
    ASSERT_TRUE(ours.ok()) << sql << ": " << ours.status();
    ASSERT_EQ(std::get<std::string>(ours->rows[0][0]), One(own.get(), sql)) << sql;
  }
}

TEST_F(ReaderTest, NoFunctionTakesTimeBeyondItsTextsLength) {
  // SQLite's own would take minutes for the first two and days for the rest, and would not be interrupted.
  constexpr char kTexts[] =
      "WITH t(x, y) AS (SELECT replace(hex(zeroblob(3500000)), '0', 'a'), "
      "replace(hex(zeroblob(1750000)), '0', 'a')) SELECT ";
  const std::pair<const char*, int64_t> cases[] = {{"instr(x, y || 'b') FROM t", 0},
                                                   {"length(replace(x, y || 'b', '')) FROM t", 7'000'000},
                                                   {"length(trim(x, replace(y, 'a', 'b') || 'a')) FROM t", 0},
                                                   {"length(ltrim(x, replace(y, 'a', 'b') || 'a')) FROM t", 0},
                                                   {"length(rtrim(x, replace(y, 'a', 'b') || 'a')) FROM t", 0}};
  for (const auto& [call, expected] : cases) {
    const absl::StatusOr<QueryResult> result = reader_->Query(absl::StrCat(kTexts, call));
    ASSERT_TRUE(result.ok()) << call << ": " << result.status();
    EXPECT_EQ(std::get<int64_t>(result->rows[0][0]), expected) << call;
  }
}

TEST_F(ReaderTest, AStreamEndsWhenItsReaderHasEnough) {
  std::vector<std::string> columns;
  int64_t rows = 0;
  SEEDBED_ASSERT_OK(reader_->Stream(
      kEndless, absl::Seconds(60), [&](const std::vector<std::string>& names) { columns = names; },
      [&](const std::vector<Value>& row) {
        ++rows;
        return std::get<int64_t>(row[0]) < 100'000;
      }));
  EXPECT_THAT(columns, ElementsAre("x"));
  EXPECT_EQ(rows, 100'000);
  EXPECT_EQ(reader_
                ->Stream(
                    "DELETE FROM runs", absl::Seconds(1), [](const auto&) {}, [](const auto&) { return true; })
                .code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(ReaderTest, AStreamsTimeIsComparedAtEveryRow) {
  // Too few instructions for SQLite's own look at the clock.
  int64_t rows = 0;
  const absl::Status status = reader_->Stream(
      "SELECT run_id FROM runs", absl::Nanoseconds(1), [](const auto&) {},
      [&](const auto&) {
        ++rows;
        return true;
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_EQ(rows, 0);
}

TEST_F(ReaderTest, AnExportKeepsNobodyWaiting) {
  ReaderOptions options;
  options.most_connections = 1;
  const std::unique_ptr<Reader> reader = *Reader::Open(store_->database_path(), options);
  bool seen = false;
  SEEDBED_ASSERT_OK(reader->Stream(
      "SELECT run_id FROM runs", absl::Seconds(60), [](const auto&) {},
      [&](const auto&) {
        SEEDBED_EXPECT_OK(reader->TemplateJson(SweepId(1)).status());
        SEEDBED_EXPECT_OK(reader->Query("SELECT 1").status());
        seen = true;
        return false;
      }));
  EXPECT_TRUE(seen);
}

TEST_F(ReaderTest, ManyThreadsReadWhileOneWrites) {
  std::vector<std::thread> threads;
  std::vector<absl::Status> failures(8);
  for (size_t t = 0; t < failures.size(); ++t) {
    threads.emplace_back([this, t, &failures] {
      for (int i = 0; i < 40 && failures[t].ok(); ++i) {
        const absl::StatusOr<MetricTable> table = reader_->StepsOf(RunId(1));
        if (!table.ok()) failures[t] = table.status();
        // Whole commits only: each adds two steps.
        if (table.ok() && table->steps.size() % 2 != 0) failures[t] = absl::InternalError("half a commit");
      }
    });
  }
  for (int64_t step = 0; step < 100; step += 2) {
    Write(Metrics({{RunId(1), {step, step + 1}, {{"train_loss", {1, 2}}}, {}}}));
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& failure : failures) EXPECT_TRUE(failure.ok()) << failure;
}

TEST_F(ReaderTest, ReadsWithNoWriterLeft) {
  FinishRuns();
  const std::string path = store_->database_path();
  store_.reset();
  EXPECT_EQ(WriteAheadLogBytes(path), 0) << "a reader that is still there does not keep the log";
  EXPECT_EQ(reader_->ListRuns({})->size(), 6u);
  reader_.reset();
  EXPECT_EQ((*Reader::Open(path))->ListRuns({})->size(), 6u);
}

}  // namespace
}  // namespace seedbed
