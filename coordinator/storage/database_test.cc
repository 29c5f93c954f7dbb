#include "coordinator/storage/database.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "coordinator/storage/log_check.h"
#include "coordinator/storage/storage_test_support.h"
#include "gmock/gmock.h"

namespace seedbed {
namespace {

using ::seedbed::storage_test::One;
using ::seedbed::storage_test::OpenRaw;
using ::seedbed::storage_test::TemporaryDirectory;
using ::testing::HasSubstr;

class DatabaseTest : public ::testing::Test {
 protected:
  DatabaseTest() : path_(directory_.path() + "/test.db"), database_(OpenRaw(path_)) {}

  TemporaryDirectory directory_;
  std::string path_;
  std::unique_ptr<Database> database_;
};

TEST_F(DatabaseTest, EveryTypeComesBackAsItWas) {
  SEEDBED_ASSERT_OK(database_->Execute("CREATE TABLE t (a INTEGER, b REAL, c TEXT, d INTEGER, e REAL) STRICT"));
  const std::string text("with \0 inside and 'quotes'", 26);
  SEEDBED_ASSERT_OK(database_
                        ->Change("INSERT INTO t VALUES (?, ?, ?, ?, ?)", std::numeric_limits<int64_t>::min(), -0.1,
                                 text, std::optional<int64_t>(), std::numeric_limits<double>::infinity())
                        .status());
  Statement read = *database_->Prepare("SELECT a, b, c, d, e FROM t");
  ASSERT_TRUE(*read.Step());
  EXPECT_EQ(read.Int(0), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(read.Real(1), -0.1);
  EXPECT_EQ(read.Text(2), text);
  EXPECT_EQ(read.OptionalInt(3), std::nullopt);
  EXPECT_EQ(read.OptionalReal(4), std::numeric_limits<double>::infinity());
  EXPECT_FALSE(*read.Step());
}

// Whether another process than this one finds a lock on the file.
bool IsLockedForOthers(const std::string& path) {
  const pid_t child = fork();
  if (child == 0) {
    const int descriptor = open(path.c_str(), O_RDWR | O_CLOEXEC);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    _exit(descriptor >= 0 && fcntl(descriptor, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? 1 : 0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

// A process's locks on a file go with the first of its descriptors that is closed. Without them another program that
// closes the database takes its log away, with what is committed there from then on.
TEST_F(DatabaseTest, FurtherConnectionsLeaveTheLocksOfTheFirst) {
  SEEDBED_ASSERT_OK(database_->Execute("PRAGMA journal_mode = WAL"));
  SEEDBED_ASSERT_OK(database_->Execute("CREATE TABLE t (a INTEGER) STRICT"));
  ASSERT_TRUE(IsLockedForOthers(path_));
  OpenRaw(path_).reset();
  EXPECT_TRUE(IsLockedForOthers(path_));
  SEEDBED_EXPECT_OK(CheckLog(path_));
  EXPECT_TRUE(IsLockedForOthers(path_));
}

TEST_F(DatabaseTest, NotANumberIsNull) {
  SEEDBED_ASSERT_OK(database_->Execute("CREATE TABLE t (a REAL) STRICT"));
  SEEDBED_ASSERT_OK(database_->Change("INSERT INTO t VALUES (?)", std::nan("")).status());
  EXPECT_EQ(One(database_.get(), "SELECT a FROM t"), "NULL");
}

TEST_F(DatabaseTest, NamedParametersAndTheirMistakes) {
  Statement select = *database_->Prepare("SELECT :left - :right");
  select.BindNamed(":right", 2);
  select.BindNamed(":left", 7);
  ASSERT_TRUE(*select.Step());
  EXPECT_EQ(select.Int(0), 5);
  select.Reset();
  select.BindNamed(":middle", 1);
  EXPECT_TRUE(absl::IsInternal(select.Step().status()));
  select.Reset();
  EXPECT_TRUE(*select.Step());
}

TEST_F(DatabaseTest, AStatementOfTheCacheForgetsItsValues) {
  EXPECT_EQ(*database_->QueryInt("SELECT ?1", 5), 5);
  EXPECT_EQ(*database_->QueryInt("SELECT ?1"), std::nullopt);
}

TEST_F(DatabaseTest, ATransactionIsRolledBackUnlessCommitted) {
  SEEDBED_ASSERT_OK(database_->Execute("CREATE TABLE t (a INTEGER) STRICT"));
  {
    Transaction transaction = *Transaction::Begin(database_.get());
    SEEDBED_ASSERT_OK(database_->Change("INSERT INTO t VALUES (1)").status());
  }
  EXPECT_EQ(One(database_.get(), "SELECT count(*) FROM t"), "0");
  {
    Transaction transaction = *Transaction::Begin(database_.get());
    SEEDBED_ASSERT_OK(database_->Change("INSERT INTO t VALUES (1)").status());
    SEEDBED_ASSERT_OK(transaction.Commit());
  }
  EXPECT_EQ(One(database_.get(), "SELECT count(*) FROM t"), "1");
}

TEST_F(DatabaseTest, AFullDiskIsResourceExhaustedAndNamesTheFile) {
  SEEDBED_ASSERT_OK(database_->Execute("CREATE TABLE t (a) ; PRAGMA max_page_count = 3"));
  const absl::Status status = database_->Change("INSERT INTO t VALUES (zeroblob(100000))").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
  EXPECT_THAT(std::string(status.message()), HasSubstr("free some space"));
}

TEST_F(DatabaseTest, AnotherProgramsLockIsUnavailable) {
  const std::unique_ptr<Database> other = OpenRaw(path_);
  const Transaction held = *Transaction::Begin(other.get());
  const absl::Status status = Transaction::Begin(database_.get()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("another program holds a lock"));
}

TEST_F(DatabaseTest, ADamagedFileIsDataLoss) {
  SEEDBED_ASSERT_OK(database_->Execute("CREATE TABLE t (a)"));
  SEEDBED_ASSERT_OK(database_->Change("INSERT INTO t VALUES (zeroblob(100000))").status());
  database_.reset();
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(8192, '\xff');
  }
  database_ = OpenRaw(path_);
  const absl::Status status = database_->QueryInt("SELECT sum(length(a)) FROM t").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("restore a backup"));
}

TEST_F(DatabaseTest, AFileThatIsNoDatabaseIsDataLoss) {
  const std::string path = directory_.path() + "/text.db";
  std::ofstream(path) << std::string(5000, 'x');
  const std::unique_ptr<Database> text = OpenRaw(path);
  EXPECT_EQ(text->QueryInt("SELECT count(*) FROM sqlite_schema").status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(DatabaseTest, AReadOnlyConnectionWritesNothing) {
  SEEDBED_ASSERT_OK(database_->Execute("CREATE TABLE t (a)"));
  const std::unique_ptr<Database> reader = OpenRaw(path_, /*writable=*/false);
  EXPECT_EQ(reader->Change("INSERT INTO t VALUES (1)").status().code(), absl::StatusCode::kFailedPrecondition);
}

// By itself: this connection could write.
TEST_F(DatabaseTest, TheAuthorizerLetsNothingButSelectBePrepared) {
  SEEDBED_ASSERT_OK(database_->Execute("CREATE TABLE t (a)"));
  database_->AllowOnlySelect(/*most_value_bytes=*/1 << 20, /*most_memory_bytes=*/int64_t{1} << 40);
  for (const char* sql :
       {"INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t", "CREATE TABLE u (a)",
        "CREATE TEMP TABLE u (a)", "CREATE VIEW v AS SELECT 1", "CREATE INDEX i ON t (a)", "DROP TABLE t",
        "ALTER TABLE t RENAME TO u", "ANALYZE", "BEGIN", "SAVEPOINT s", "ATTACH 'x' AS y", "PRAGMA user_version = 1",
        "PRAGMA writable_schema = 1"}) {
    EXPECT_EQ(database_->Prepare(sql).status().code(), absl::StatusCode::kPermissionDenied) << sql;
  }
  for (const char* sql :
       {"SELECT a FROM t", "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n LIMIT 3) SELECT i FROM n",
        "SELECT name FROM pragma_table_info('t')", "SELECT value FROM json_each('[1]')"}) {
    SEEDBED_EXPECT_OK(database_->Prepare(sql).status());
  }
}

TEST_F(DatabaseTest, AMissingFileIsFailedPrecondition) {
  EXPECT_EQ(Database::Open(directory_.path() + "/none.db", {}).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(DatabaseTest, AQueryBeyondItsTimeIsCutOff) {
  constexpr char kEndless[] = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
  database_->LimitTime(absl::Milliseconds(1));
  EXPECT_EQ(database_->QueryInt(kEndless).status().code(), absl::StatusCode::kDeadlineExceeded);
  database_->LimitTime(absl::InfiniteDuration());
  EXPECT_EQ(*database_->QueryInt("SELECT 1"), 1);
}

}  // namespace
}  // namespace seedbed
