#include "coordinator/storage/migrations.h"

#include "absl/strings/str_cat.h"
#include "coordinator/storage/schema.h"
#include "coordinator/storage/storage_test_support.h"
#include "gmock/gmock.h"

namespace seedbed {
namespace {

using ::seedbed::storage_test::One;
using ::seedbed::storage_test::OpenRaw;
using ::seedbed::storage_test::TemporaryDirectory;
using ::testing::HasSubstr;

class MigrationsTest : public ::testing::Test {
 protected:
  MigrationsTest() : path_(directory_.path() + "/test.db"), database_(OpenRaw(path_)) {}
  // Every table and view can be read.
  void ExpectAllReadable() {
    Statement names =
        *database_->Prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name");
    while (*names.Step()) {
      const std::string count = One(database_.get(), "SELECT count(*) FROM " + names.Text(0));
      EXPECT_TRUE(count.find_first_not_of("0123456789") == std::string::npos) << names.Text(0) << ": " << count;
    }
  }

  // An empty file becomes one of an older version, as that version's program made it but for the views.
  void MakeOld(int64_t version) {
    for (int64_t i = 0; i < version; ++i) {
      const Migration& migration = Migrations()[static_cast<size_t>(i)];
      SEEDBED_ASSERT_OK(database_->Execute(migration.sql));
      if (migration.move_rows != nullptr) SEEDBED_ASSERT_OK(migration.move_rows(database_.get()));
    }
    SEEDBED_ASSERT_OK(database_->Execute("PRAGMA user_version = " + std::to_string(version)));
    SEEDBED_ASSERT_OK(database_->Execute("PRAGMA application_id = " + std::to_string(kApplicationId)));
  }

  TemporaryDirectory directory_;
  std::string path_;
  std::unique_ptr<Database> database_;
};

TEST_F(MigrationsTest, VersionsRiseFromOneWithoutGaps) {
  int64_t expected = 1;
  for (const Migration& migration : Migrations()) EXPECT_EQ(migration.version, expected++);
  EXPECT_EQ(SchemaVersion(), expected - 1);
}

TEST_F(MigrationsTest, AnEmptyFileBecomesTheNewestVersion) {
  EXPECT_EQ(*CheckSchema(database_.get(), SchemaVersion()), 0);
  SEEDBED_ASSERT_OK(Migrate(database_.get(), Migrations()));
  EXPECT_EQ(*CheckSchema(database_.get(), SchemaVersion()), SchemaVersion());
  ExpectAllReadable();
  EXPECT_EQ(One(database_.get(),
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
                "AND name NOT IN (SELECT name FROM pragma_table_list WHERE strict)"),
            "0");
}

TEST_F(MigrationsTest, EveryOldVersionReachesTheNewest) {
  for (int64_t from = 1; from <= SchemaVersion(); ++from) {
    database_ = OpenRaw(directory_.path() + "/from" + std::to_string(from) + ".db");
    MakeOld(from);
    SEEDBED_ASSERT_OK(database_->Execute("INSERT INTO meta (key, value) VALUES ('kept', 'yes')"));
    SEEDBED_ASSERT_OK(Migrate(database_.get(), Migrations()));
    EXPECT_EQ(*CheckSchema(database_.get(), SchemaVersion()), SchemaVersion());
    EXPECT_EQ(One(database_.get(), "SELECT value FROM meta WHERE key = 'kept'"), "yes");
    ExpectAllReadable();
  }
}

TEST_F(MigrationsTest, SweepsAndCheckpointsOfVersion1GetTheOrdinaryWishes) {
  MakeOld(1);
  SEEDBED_ASSERT_OK(
      database_->Execute("INSERT INTO sweeps (sweep_id, name, description, state, trainer, template, fixed, metric, "
                         "source, submission_id, "
                         "priority, retries, created_at, updated_at) "
                         "VALUES (1, 'old', '', 'active', 'modular', '{}', '{}', 'null', '', 's', 0, 0, 1, 1);"
                         "INSERT INTO configurations VALUES (1, 1, 0, 'd', 'p', '{}', '{}');"
                         "INSERT INTO runs (run_id, sweep_id, configuration_id, seed, round, state, added_at) "
                         "VALUES (1, 1, 1, 0, 0, 'failed', 1);"
                         "INSERT INTO checkpoints VALUES (1, 10, 1, 2, 'checkpoints/1', 'abc', 5, 1)"));
  SEEDBED_ASSERT_OK(Migrate(database_.get(), Migrations()));
  EXPECT_EQ(One(database_.get(), "SELECT keep_checkpoints || ' ' || numerics FROM sweeps"), "last any");
  EXPECT_EQ(One(database_.get(), "SELECT mixed_numerics FROM run_results"), "0");
  EXPECT_EQ(One(database_.get(), "SELECT step || numerics FROM checkpoints"), "10{}");
}

// Up to version 3 rows lay in a table `steps` by run and step.
TEST_F(MigrationsTest, RowsOfAnOldVersionAreInTheViewSteps) {
  constexpr char kAll[] =
      "SELECT group_concat(run_id || ':' || step || ':' || ifnull(train_loss, '-') || ':' || ifnull(\"Key\", '-'), "
      "' ') FROM (SELECT * FROM steps ORDER BY run_id, step)";
  for (int64_t from = 1; from <= 3; ++from) {
    database_ = OpenRaw(directory_.path() + "/rows" + std::to_string(from) + ".db");
    MakeOld(from);
    SEEDBED_ASSERT_OK(database_->Execute(
        "ALTER TABLE steps ADD COLUMN train_loss REAL; ALTER TABLE steps ADD COLUMN ROW_ID REAL;"
        "ALTER TABLE steps ADD COLUMN \"Key\" REAL;"
        "INSERT INTO metric_names VALUES (1, 'train_loss', 1, 'loss'), (2, 'ROW_ID', 1, ''), (3, 'Key', 1, ''), "
        "(4, 'layer.norm', 0, '');"
        "CREATE VIEW curves AS SELECT t.* FROM steps AS t;"
        "CREATE VIEW metrics AS SELECT run_id, step, 'Key' AS metric, \"Key\" AS value FROM steps;"
        "INSERT INTO step_values VALUES (1, 4, 10, 0.5);"
        "INSERT INTO steps (run_id, step, train_loss, ROW_ID, \"Key\") VALUES (7, 0, 0.25, 1.5, 3), "
        "(2, 50, NULL, 2.5, NULL), (1, 10, 2.5, NULL, 1), (1, 0, 3.5, 4.5, NULL), (7, 9, 1.0, NULL, NULL), "
        "(1, 5, 1.0, NULL, 9e999)"));
    const std::string before = One(database_.get(), kAll);
    ASSERT_EQ(before, "1:0:3.5:- 1:5:1.0:Inf 1:10:2.5:1.0 2:50:-:- 7:0:0.25:3.0 7:9:1.0:-");
    SEEDBED_ASSERT_OK(Migrate(database_.get(), Migrations()));
    EXPECT_EQ(One(database_.get(), kAll), before);
    EXPECT_EQ(One(database_.get(),
                  "SELECT group_concat(run_id || ':' || first_step || ':' || last_step || ':' || "
                  "first_row || ':' || last_row, ' ') FROM step_chunks"),
              "1:0:10:1:3 2:50:50:4:4 7:0:9:5:6");
    EXPECT_EQ(One(database_.get(), "SELECT group_concat(row_id || ':' || run_id || ':' || step, ' ') FROM step_rows"),
              "1:1:0 2:1:5 3:1:10 4:2:50 5:7:0 6:7:9");
    // A metric of the name that is the rows' key now has no column any more, and keeps its values.
    EXPECT_EQ(One(database_.get(),
                  "SELECT group_concat(run_id || ':' || step || ':' || value, ' ') FROM metrics "
                  "WHERE metric = 'ROW_ID'"),
              "1:0:4.5 2:50:2.5 7:0:1.5");
    EXPECT_EQ(One(database_.get(), "SELECT group_concat(name) FROM pragma_table_info('steps')"),
              "run_id,step,train_loss,Key");
    ExpectAllReadable();
  }
}

// Up to version 4 only the event with which it went said what a worker that is gone had been.
TEST_F(MigrationsTest, AWorkerThatIsGoneIsWhatItWasByItsLastEvent) {
  for (int64_t from = 1; from <= 4; ++from) {
    database_ = OpenRaw(directory_.path() + "/workers" + std::to_string(from) + ".db");
    MakeOld(from);
    SEEDBED_ASSERT_OK(database_->Execute(
        "WITH rows (id, state) AS (VALUES ('back', 'draining'), ('drained', 'gone'), ('old', 'gone'), "
        "('resumed', 'gone'), ('sick', 'gone'), ('there', 'quarantined')) "
        "INSERT INTO workers (worker_id, name, host, device, version, slots, trainers, state, registered_at, "
        "changed_at) SELECT id, 'n', 'h', 'cpu', '1', 1, '[]', state, 1, 1 FROM rows;"
        "INSERT INTO events (at, kind, worker_id, detail) VALUES "
        "(1, 'worker_state', 'drained', 'active to draining: drained by hand'), "
        "(1, 'worker_state', 'resumed', 'draining to gone: nothing was heard of it'), "
        "(1, 'worker_state', 'back', 'quarantined to gone: it said goodbye'), "
        "(2, 'worker_state', 'drained', 'draining to gone: nothing was heard of it'), "
        "(2, 'worker_state', 'sick', 'quarantined to gone: it said goodbye'), "
        "(2, 'worker_state', 'there', 'active to quarantined: from draining to gone: bad'), "
        "(3, 'worker_state', 'resumed', 'active to gone: nothing was heard of it'), "
        "(4, 'worker_state', 'back', 'quarantined to draining: drained by hand'), "
        "(5, 'worker_changed', 'drained', 'active to gone: of another kind')"));
    SEEDBED_ASSERT_OK(Migrate(database_.get(), Migrations()));
    EXPECT_EQ(One(database_.get(),
                  "SELECT group_concat(worker_id || ':' || coalesce(state_before_gone, '-'), ' ') FROM "
                  "(SELECT worker_id, state_before_gone FROM workers ORDER BY worker_id)"),
              "back:- drained:draining old:- resumed:active sick:quarantined there:-")
        << "from version " << from;
  }
}

TEST_F(MigrationsTest, ViewsShowNothingOfASweepThatIsBeingDeleted) {
  SEEDBED_ASSERT_OK(Migrate(database_.get(), Migrations()));
  SEEDBED_ASSERT_OK(
      database_->Execute("INSERT INTO sweeps (sweep_id, name, description, state, trainer, template, fixed, metric, "
                         "source, submission_id, priority, retries, created_at, updated_at) "
                         "VALUES (1, 's', '', 'active', 'modular', '{}', '{}', 'null', '', 's', 0, 0, 1, 1);"
                         "INSERT INTO configurations VALUES (1, 1, 0, 'd', 'p', '{}', '{}');"
                         "INSERT INTO runs (run_id, sweep_id, configuration_id, seed, round, state, added_at) "
                         "VALUES (1, 1, 1, 0, 0, 'finished', 1);"
                         "INSERT INTO step_rows (row_id, run_id, step) VALUES (1, 1, 0);"
                         "INSERT INTO step_chunks VALUES (1, 0, 0, 1, 1)"));
  for (const char* state : {"active", "deleting"}) {
    SEEDBED_ASSERT_OK(database_->Execute(std::string("UPDATE sweeps SET state = '") + state + "'"));
    for (const char* view : {"run_results", "configuration_results", "curves"}) {
      EXPECT_EQ(One(database_.get(), std::string("SELECT count(*) FROM ") + view),
                std::string(state) == "active" ? "1" : "0")
          << view << " of a sweep that is " << state;
    }
  }
}

TEST_F(MigrationsTest, ALaterStepKeepsRowsAndRunsOnce) {
  SEEDBED_ASSERT_OK(Migrate(database_.get(), Migrations()));
  SEEDBED_ASSERT_OK(database_->Execute("INSERT INTO meta (key, value) VALUES ('kept', 'yes')"));
  std::vector<Migration> longer = Migrations();
  longer.push_back({SchemaVersion() + 1,
                    "ALTER TABLE workers ADD COLUMN memory_bytes INTEGER; CREATE TABLE extra (a INTEGER) STRICT"});
  SEEDBED_ASSERT_OK(Migrate(database_.get(), longer));
  SEEDBED_ASSERT_OK(Migrate(database_.get(), longer));
  EXPECT_EQ(One(database_.get(), "SELECT value FROM meta WHERE key = 'kept'"), "yes");
  EXPECT_EQ(One(database_.get(), "PRAGMA user_version"), std::to_string(SchemaVersion() + 1));
  ExpectAllReadable();
}

TEST_F(MigrationsTest, AFailingStepChangesNothing) {
  SEEDBED_ASSERT_OK(Migrate(database_.get(), Migrations()));
  std::vector<Migration> longer = Migrations();
  longer.push_back({SchemaVersion() + 1, "CREATE TABLE extra (a INTEGER) STRICT; DROP TABLE there_is_no_such_table"});
  EXPECT_FALSE(Migrate(database_.get(), longer).ok());
  EXPECT_EQ(One(database_.get(), "PRAGMA user_version"), std::to_string(SchemaVersion()));
  EXPECT_EQ(One(database_.get(), "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'"), "0");
  EXPECT_EQ(One(database_.get(), "SELECT count(*) FROM run_results"), "0");
}

TEST_F(MigrationsTest, ASchemaFromTheFutureIsRefused) {
  SEEDBED_ASSERT_OK(Migrate(database_.get(), Migrations()));
  for (const int64_t version : {SchemaVersion() + 1, int64_t{99}}) {
    SEEDBED_ASSERT_OK(database_->Execute(absl::StrCat("PRAGMA user_version = ", version)));
    const absl::Status status = Migrate(database_.get(), Migrations());
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("schema version ", version)));
    EXPECT_THAT(std::string(status.message()), HasSubstr("newer"));
  }
}

TEST_F(MigrationsTest, AnotherProgramsDatabaseIsRefusedAndLeftAlone) {
  for (const char* sql : {"CREATE TABLE theirs (a)", "PRAGMA application_id = 7; PRAGMA user_version = 1"}) {
    database_ = OpenRaw(directory_.path() + "/theirs" + std::to_string(sql[0]) + ".db");
    SEEDBED_ASSERT_OK(database_->Execute(sql));
    const absl::Status status = Migrate(database_.get(), Migrations());
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << sql;
    EXPECT_THAT(std::string(status.message()), HasSubstr("another program"));
    EXPECT_EQ(One(database_.get(), "SELECT count(*) FROM sqlite_schema WHERE name = 'sweeps'"), "0");
  }
}

}  // namespace
}  // namespace seedbed
