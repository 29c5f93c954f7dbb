#include "coordinator/storage/query_functions.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "coordinator/storage/reader_fixture.h"
#include "coordinator/storage/watchdog.h"
#include "gmock/gmock.h"

// That no function outruns a query's time, and that those which are ours give what SQLite's own give.
namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file
using ::testing::HasSubstr;

using QueryFunctionsTest = ReaderTest;

TEST_F(QueryFunctionsTest, AStraightLineOfThemEndsInTime) {
  ReaderOptions options;
  options.query_limit = absl::Milliseconds(500) * SEEDBED_TIME_FACTOR;
  const std::unique_ptr<Reader> hasty = *Reader::Open(store_->database_path(), options);
  const std::string texts = " FROM (SELECT replace(hex(zeroblob(3999000)), '0', 'a') AS x LIMIT 1)";
  for (const char* call : {"(x GLOB '*a?a?a?a?a?a?b*')", "(x LIKE '%a_a_a_a_a_a_b%')"}) {
    // Each takes a tenth of a second. Copies of the text are looked at too, but 64 requests for memory pass in between.
    const std::string sum = absl::StrJoin(std::vector<std::string>(600, call), " + ");
    const absl::Time begun = absl::Now();
    const absl::Status status = hasty->Query(absl::StrCat("SELECT ", sum, texts)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << call << ": " << status;
    EXPECT_LT(absl::Now() - begun, absl::Seconds(3) * SEEDBED_TIME_FACTOR) << call;
  }
}

TEST_F(QueryFunctionsTest, OneThatWouldTakeLongIsRefused) {
  const std::string texts = " FROM (SELECT replace(hex(zeroblob(3999000)), '0', 'a') AS x)";
  const std::string pattern(60, 'a');
  for (const std::string& call :
       {"x GLOB '*" + pattern + "b*'", "x LIKE '%" + pattern + "b%'", "x LIKE '%" + pattern + "b%' ESCAPE '!'"}) {
    const absl::Status status = reader_->Query("SELECT " + call + texts).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << call;
    EXPECT_THAT(std::string(status.message()), HasSubstr("takes too long"));
  }
  for (const char* call :
       {"printf('%.2147483647c', 'x')", "printf('%.*c', 2000000000, 'x')", "format('%*d', -9000000, 1)",
        "printf('%d %s %.*c%.*c', 1, 2, 5000000, 'x', 5000000, 'x')"}) {
    const absl::Status status = reader_->Query(absl::StrCat("SELECT ", call)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << call;
    EXPECT_THAT(std::string(status.message()), HasSubstr("widths and precisions")) << call;
  }
  EXPECT_TRUE(reader_->Query("SELECT x LIKE '%aab%', x GLOB '*b*'" + texts).ok());
  EXPECT_TRUE(reader_->Query("SELECT printf('%d%%%*d%s', 123456789, 5, 987654321, 'x')").ok());
}

TEST_F(QueryFunctionsTest, CountingEndsInTimeWithoutAJump) {
  // In a table of its own: to be counted without a condition is one instruction.
  Watchdog watchdog;
  Database::Options options;
  options.access = Database::Options::Access::kCreate;
  options.watchdog = &watchdog;
  const std::unique_ptr<Database> database = *Database::Open(directory_.path() + "/big.db", options);
  SEEDBED_ASSERT_OK(database->Execute(
      "CREATE TABLE big (x); INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
      "200000) SELECT zeroblob(3000) FROM n"));
  database->LimitTime(absl::Milliseconds(1));
  EXPECT_EQ(database->QueryInt("SELECT count(*) FROM big").status().code(), absl::StatusCode::kDeadlineExceeded);
  database->LimitTime(absl::InfiniteDuration());
  EXPECT_EQ(*database->QueryInt("SELECT count(*) FROM big"), 200'000);
}

// Against SQLite's own, on a connection that still has them.
TEST_F(QueryFunctionsTest, GiveWhatSqlitesOwnGive) {
  const std::unique_ptr<Database> own = OpenRaw(directory_.path() + "/own.db");
  std::mt19937_64 random(5);
  const std::vector<std::string> pieces = {"a", "A", "b", "%",  "_",      "*",      "?",      "[ab]",       "[^a]", "[",
                                           "]", "-", "!", "\\", "\u00e9", "\u00c9", "\u20ac", "\U0001f600", "\x01"};
  const std::vector<std::string> formats = {"%d",  "%5d",  "%-5s|", "%05.2f", "%e", "%g", "%x", "%%",
                                            "%c",  "%.3c", "%*d",   "%.*f",   "%q", "%Q", "%w", "%s",
                                            "%,d", "%lld", "%+i",   "%!.4s",  "%n", "%y", "x"};
  const auto text = [&](const std::vector<std::string>& from, uint64_t most) {
    std::string made;
    for (uint64_t count = random() % most; count > 0; --count) made += from[random() % from.size()];
    return absl::StrCat("'", made, "'");
  };
  const auto argument = [&]() -> std::string {
    switch (random() % 10) {
      case 0:
        return "NULL";
      case 1:
        return absl::StrCat(static_cast<int64_t>(random() % 400) - 200);
      case 2:
        return "1.5";
      case 3:
        return random() % 2 == 0 ? "x'6162'" : "x'c3a961'";
      default:
        return text(pieces, 6);
    }
  };
  for (int i = 0; i < 6000; ++i) {
    std::string call;
    switch (random() % 4) {
      case 0:
        call = absl::StrCat(argument(), " GLOB ", argument());
        break;
      case 1:
        call = absl::StrCat(argument(), " LIKE ", argument());
        break;
      case 2:
        call = absl::StrCat(argument(), " LIKE ", argument(), " ESCAPE ",
                            random() % 8 == 0 ? argument() : absl::StrCat("'", pieces[random() % 4 + 2], "'"));
        break;
      default:
        call = absl::StrCat("printf(", text(formats, 4), ", ", argument(), ", ", argument(), ", ", argument(), ")");
        break;
    }
    const std::string sql = absl::StrCat("SELECT typeof(", call, ") || ':' || coalesce(quote(", call, "), '')");
    const absl::StatusOr<QueryResult> ours = reader_->Query(sql);
    const std::string theirs = One(own.get(), sql);
    if (!ours.ok()) {
      ASSERT_THAT(theirs, HasSubstr("ESCAPE expression must be")) << sql << ": " << ours.status();
      continue;
    }
    ASSERT_EQ(std::get<std::string>(ours->rows[0][0]), theirs) << sql;
  }
}

}  // namespace
}  // namespace seedbed
