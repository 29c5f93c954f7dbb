#include "coordinator/storage/query_authorizer.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/storage/reader_fixture.h"
#include "gmock/gmock.h"

// Which functions and virtual tables of SQLite's people's queries reach.
namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class QueryAuthorizerTest : public ReaderTest {
 protected:
  // On a connection without an authorizer.
  std::vector<std::string> AllOf(const std::string& sql) {
    return *OpenRaw(directory_.path() + "/own.db")->QueryTexts(sql);
  }
};

TEST_F(QueryAuthorizerTest, OfSqlitesFunctionsThoseOfTheListAreCalledAndNoOthers) {
  std::set<std::string> refused;
  for (const std::string& function : AllOf("SELECT DISTINCT name || ' ' || narg FROM pragma_function_list")) {
    const std::string name = function.substr(0, function.find(' '));
    int arguments = 0;
    ASSERT_TRUE(absl::SimpleAtoi(function.substr(name.size() + 1), &arguments));
    if (arguments < 0) arguments = 1;
    const std::vector<std::string> nulls(static_cast<size_t>(arguments), "NULL");
    const absl::Status status =
        reader_->Query(absl::StrCat("SELECT \"", name, "\"(", absl::StrJoin(nulls, ", "), ")")).status();
    if (IsAllowedFunction(name.c_str())) {
      EXPECT_THAT(std::string(status.message()), Not(HasSubstr("not authorized"))) << function;
    } else {
      EXPECT_THAT(std::string(status.message()), HasSubstr("not authorized to use function")) << function;
      refused.insert(name);
    }
  }
  // As Debian's library is built; others have fewer of them.
  for (const std::string& function : refused) {
    EXPECT_THAT((std::vector<std::string>{"bm25",
                                          "changes",
                                          "fts3_tokenizer",
                                          "fts5",
                                          "fts5_source_id",
                                          "highlight",
                                          "json_patch",
                                          "last_insert_rowid",
                                          "load_extension",
                                          "match",
                                          "matchinfo",
                                          "offsets",
                                          "optimize",
                                          "rtreecheck",
                                          "rtreedepth",
                                          "rtreenode",
                                          "snippet",
                                          "sqlite_compileoption_get",
                                          "sqlite_compileoption_used",
                                          "sqlite_log",
                                          "sqlite_source_id",
                                          "subtype",
                                          "total_changes"}),
                Contains(function))
        << "is new: decide in query_authorizer.cc whether a query may call it";
  }
  EXPECT_GT(refused.size(), 5u);
}

TEST_F(QueryAuthorizerTest, OfVirtualTablesThoseOfTheListAreReadAndNoOthers) {
  const std::set<std::string> allowed = {
      "json_each",         "json_tree",         "pragma_table_info", "pragma_table_xinfo",
      "pragma_table_list", "pragma_index_list", "pragma_index_info", "pragma_foreign_key_list"};
  std::vector<std::string> tables = AllOf("SELECT name FROM pragma_module_list");
  for (const std::string& pragma : AllOf("SELECT name FROM pragma_pragma_list")) tables.push_back("pragma_" + pragma);
  tables.insert(tables.end(), allowed.begin(), allowed.end());
  ASSERT_GT(tables.size(), 50u);
  for (const std::string& table : tables) {
    for (const char* columns : {"*", "count(*)", "1"}) {
      const absl::Status status = reader_->Query(absl::StrCat("SELECT ", columns, " FROM ", table)).status();
      if (allowed.count(table) > 0) {
        EXPECT_TRUE(status.ok()) << table << ": " << status;
      } else if (status.code() != absl::StatusCode::kPermissionDenied) {
        EXPECT_THAT(std::string(status.message()), HasSubstr("no such table: " + table));
      }
    }
  }
}

TEST_F(QueryAuthorizerTest, WhatReachesMemoryIsRefused) {
  // The second one has SQLite call the address 0x4141414141414141.
  for (const char* sql : {"SELECT hex(fts3_tokenizer('simple'))",
                          "SELECT t.* FROM (SELECT fts3_tokenizer('simple', x'4141414141414141') AS a) AS s, "
                          "pragma_table_info(iif(length(a) >= 0, 'fts3tokenize', '')) AS t",
                          "SELECT * FROM fts3tokenize('simple', 'a b')"}) {
    EXPECT_EQ(reader_->Query(sql).status().code(), absl::StatusCode::kInvalidArgument) << sql;
  }
  // Neither is it within reach of who has no authorizer.
  const std::unique_ptr<Database> own = OpenRaw(directory_.path() + "/own.db");
  EXPECT_THAT(One(own.get(), "SELECT hex(fts3_tokenizer('simple'))"), AnyOf("", HasSubstr("no such function")));
}

TEST_F(QueryAuthorizerTest, WhatQueriesNeedGoesOn) {
  for (const char* sql :
       {"SELECT parameters ->> '$.seed', parameters -> '$.seed', json_extract(parameters, '$.a') FROM configurations",
        "SELECT key, value, atom, fullkey FROM configurations, json_tree(parameters)",
        "SELECT name LIKE 's%', name GLOB 's*', name LIKE '%' ESCAPE 'x', instr(name, 'w') FROM sweeps",
        "SELECT printf('%05.2f', 1.5), format('%s', 1), iif(1, 2, 3), coalesce(NULL, 1), ifnull(NULL, 2)",
        "SELECT datetime(created_at / 1e6, 'unixepoch'), strftime('%s', 'now'), CURRENT_TIMESTAMP FROM sweeps",
        "SELECT sqrt(2), pow(2, 3), ln(2), exp(1), log10(100), floor(1.5), mod(5, 3), round(1.25, 1)",
        "SELECT run_id, row_number() OVER (ORDER BY run_id), lag(seed) OVER (ORDER BY run_id), "
        "ntile(4) OVER (ORDER BY seed), sum(seed) OVER (ORDER BY run_id ROWS 2 PRECEDING) FROM runs",
        "SELECT group_concat(run_id), json_group_array(seed), json_group_object(run_id, seed), avg(seed), "
        "total(seed), count(*) FILTER (WHERE seed > 0) FROM runs",
        "SELECT seed FROM (SELECT seed, percent_rank() OVER (ORDER BY seed) AS p FROM runs) WHERE p >= 0.5 LIMIT 1",
        "SELECT replace(hex(randomblob(4)), 'A', 'b'), upper(trim(' a ')), substr('abc', 2), CAST(1 AS TEXT) || 'x'",
        "SELECT m.name, i.name FROM pragma_table_list AS m, pragma_index_list(m.name) AS i",
        "PRAGMA table_info(runs)"}) {
    EXPECT_TRUE(reader_->Query(sql).ok()) << sql << ": " << reader_->Query(sql).status();
  }
}

}  // namespace
}  // namespace seedbed
