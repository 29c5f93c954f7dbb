#include <sys/resource.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/reader.h"
#include "coordinator/storage/storage_test_support.h"
#include "gmock/gmock.h"

// What a query may cost before it runs, and what others notice of it.
namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file
using ::testing::HasSubstr;

class QueryLimitsTest : public ::testing::Test {
 protected:
  QueryLimitsTest() : store_(OpenStore(FastOptions(directory_.path()))) {
    std::vector<core::Event> events = SweepEvents("sweep", 3, 2);
    events.push_back(WorkerEvent("w1"));
    events.push_back(Grant(RunId(1), 1, 1));
    Write(Events(events));
  }
  void Write(const Batch& batch) { SEEDBED_ASSERT_OK(store_->Write(batch)); }

  TemporaryDirectory directory_;
  std::unique_ptr<Store> store_;
};

// Two references in every level: SQLite doubles the statement with each, before any of it runs.
std::string Doubling(int levels) {
  std::string sql = "WITH c0(x) AS (SELECT 1)";
  for (int i = 1; i <= levels; ++i) {
    absl::StrAppend(&sql, ", c", i, "(x) AS (SELECT 1 FROM c", i - 1, ", c", i - 1, ")");
  }
  return absl::StrCat(sql, " SELECT count(*) FROM c", levels, " LIMIT 0");
}

// Always 0 under a sanitizer, whose own memory grows with ours.
int64_t MostResidentBytes() {
#ifdef SEEDBED_SANITIZED
  return 0;
#endif
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * int64_t{1024};
}

TEST_F(QueryLimitsTest, ByDefaultAReaderHasTenSeconds) {
  EXPECT_EQ(ReaderOptions().query_limit, absl::Seconds(10));
}

TEST_F(QueryLimitsTest, PreparingAQueryIsBoundedInMemory) {
  const std::unique_ptr<Reader> reader = *Reader::Open(store_->database_path());
  SEEDBED_EXPECT_OK(reader->Query(Doubling(8)).status());
  const int64_t before = MostResidentBytes();
  const absl::Status refused = reader->Query(Doubling(18)).status();  // 830 MB, if it is let
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("256 MiB"));
  EXPECT_LT(MostResidentBytes() - before, int64_t{400} << 20);
  if (HasFailure()) return;  // the next one would take 50 GB
  EXPECT_EQ(reader->Query(Doubling(24)).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_LT(MostResidentBytes() - before, int64_t{400} << 20);
  SEEDBED_EXPECT_OK(reader->Query(Doubling(8)).status());  // the connection is of use afterwards
  // What is long, and no more than that, is not refused.
  std::string list = "1";
  for (int i = 0; i < 5'000; ++i) list += ",1";
  SEEDBED_EXPECT_OK(reader->Query(absl::StrCat("SELECT 1 IN (", list, ")")).status());
}

TEST_F(QueryLimitsTest, PreparingAQueryIsBoundedInTime) {
  ReaderOptions options;
  options.query_limit = absl::Milliseconds(1);
  const std::unique_ptr<Reader> hasty = *Reader::Open(store_->database_path(), options);
  const absl::Status late = hasty->Query(Doubling(14)).status();  // a hundred times as long, and little memory
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("cannot prepare"));
  EXPECT_EQ(hasty
                ->Stream(
                    Doubling(14), absl::Milliseconds(1), [](const auto&) {}, [](const auto&) { return true; })
                .code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(QueryLimitsTest, AQueryWithoutMemoryTakesNoneFromTheWriter) {
  ReaderOptions options;
  options.most_memory_bytes = 1 << 20;
  const std::unique_ptr<Reader> reader = *Reader::Open(store_->database_path(), options);
  for (int i = 0; i < 20; ++i) {
    const absl::Status refused = reader->Query(Doubling(14)).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("it takes more than 1 MiB"));
    Write(Metrics({{RunId(1), {i}, {{"train_loss", {1}}}, {}}}));  // on the same thread
    SEEDBED_EXPECT_OK(reader->Query("SELECT count(*) FROM steps").status());
  }
  EXPECT_EQ(One(*store_, "SELECT count(*) FROM steps"), "20");
}

TEST_F(QueryLimitsTest, ARowIsBounded) {
  const std::unique_ptr<Reader> reader = *Reader::Open(store_->database_path());
  const auto of = [](const std::string& column, int count) {
    std::string sql = "SELECT " + column;
    for (int i = 1; i < count; ++i) absl::StrAppend(&sql, ", ", column);
    return sql;
  };
  for (const std::string& sql : {of("zeroblob(8388600)", 20), of("zeroblob(8388600)", 1),
                                 of("hex(zeroblob(4000000))", 3), of("zeroblob(4000000)", 3)}) {
    const absl::Status refused = reader->Query(sql).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("row 1 of the query takes"));
    int64_t rows = 0;
    EXPECT_EQ(reader
                  ->Stream(
                      sql, absl::Seconds(60), [](const auto&) {}, [&rows](const auto&) { return ++rows > 0; })
                  .code(),
              absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(rows, 0);
  }
  SEEDBED_EXPECT_OK(reader->Query(of("hex(zeroblob(3900000))", 2)).status());
  SEEDBED_EXPECT_OK(reader->Query(of("zeroblob(3900000)", 2)).status());
  EXPECT_THAT(std::string(reader->Query("VALUES (1), (2), (zeroblob(8388600))").status().message()),
              HasSubstr("row 3 of"));
}

TEST_F(QueryLimitsTest, AStatementsInstructionsAreBounded) {
  const std::unique_ptr<Reader> reader = *Reader::Open(store_->database_path());
  std::string list = "1";
  for (int i = 0; i < 100'000; ++i) list += ",1";
  const absl::Status refused = reader->Query(absl::StrCat("SELECT 1 IN (", list, ")")).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("instructions"));
  SEEDBED_EXPECT_OK(reader->Query(absl::StrCat("SELECT 1 IN (SELECT value FROM json_each('[", list, "]'))")).status());
}

TEST_F(QueryLimitsTest, NamesOfColumnsAreBounded) {
  const std::unique_ptr<Reader> reader = *Reader::Open(store_->database_path());
  std::string columns = "a.*";
  for (int i = 0; i < 19; ++i) columns += ", a.*";
  const absl::Status refused =
      reader->Query("SELECT " + columns + " FROM (SELECT 1 AS \"" + std::string(900'000, 'x') + "\") AS a").status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("names of the query's columns"));
}

TEST_F(QueryLimitsTest, AListIsBoundedInBytes) {
  SEEDBED_ASSERT_OK(OpenRaw(store_->database_path())
                        ->Execute("UPDATE configurations SET parameters = json_object('a', hex(zeroblob(100000)))"));
  ReaderOptions options;
  const auto runs = [&] { return (*Reader::Open(store_->database_path(), options))->ListRuns({}).status(); };
  const auto configurations = [&] {
    return (*Reader::Open(store_->database_path(), options))->ListConfigurations(SweepId(1)).status();
  };
  options.most_list_bytes = 2 << 20;  // six runs of three configurations
  SEEDBED_EXPECT_OK(runs());
  SEEDBED_EXPECT_OK(configurations());
  options.most_list_bytes = 1 << 20;
  EXPECT_EQ(runs().code(), absl::StatusCode::kResourceExhausted) << runs();
  SEEDBED_EXPECT_OK(configurations());
  options.most_list_bytes = 500'000;
  EXPECT_EQ(configurations().code(), absl::StatusCode::kResourceExhausted) << configurations();
}

TEST_F(QueryLimitsTest, WhatQueriesGiveBackIsTheirsAgain) {
  ReaderOptions options;
  options.most_memory_bytes = 32 << 20;
  options.most_connections = 1;
  const std::unique_ptr<Reader> reader = *Reader::Open(store_->database_path(), options);
  // Two hundred times 4 MB of them: within one statement's life, and beyond it, where the count begins anew.
  for (int i = 0; i < 10; ++i) {
    const absl::StatusOr<QueryResult> result = reader->Query(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20) "
        "SELECT length(hex(zeroblob(2000000 + x))) FROM n");
    ASSERT_TRUE(result.ok()) << result.status();
  }
}

}  // namespace
}  // namespace seedbed
