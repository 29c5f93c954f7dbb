// Queries and streams of people's: what they may, and within which limits.
#include <algorithm>
#include <filesystem>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/storage/reader_fixture.h"
#include "coordinator/storage/store.h"
#include "gmock/gmock.h"

namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file
using ::testing::ElementsAre;
using ::testing::HasSubstr;

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
  options.query_limit = absl::Milliseconds(500);
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
  ReaderOptions options;
  options.query_limit = absl::Seconds(10 * SEEDBED_TIME_FACTOR);
  const std::unique_ptr<Reader> reader = *Reader::Open(store_->database_path(), options);
  for (const auto& [call, expected] : cases) {
    const absl::StatusOr<QueryResult> result = reader->Query(absl::StrCat(kTexts, call));
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
