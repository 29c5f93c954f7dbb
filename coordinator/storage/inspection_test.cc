#include "coordinator/storage/inspection.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/backup_file.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/storage/schema.h"
#include "coordinator/storage/storage_test_support.h"
#include "gmock/gmock.h"

// Every law that a database keeps is broken once here, and found.
namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class InspectionTest : public ::testing::Test {
 protected:
  InspectionTest() : data_(directory_.path() + "/data"), path_(DatabasePath(data_)) {
    const std::unique_ptr<Store> store = OpenStore(FastOptions(data_));
    std::vector<core::Event> events = SweepEvents("sweep", 2, 2);
    events.push_back(WorkerEvent("w1"));
    for (int run = 1; run <= 3; ++run) events.push_back(Grant(RunId(run), 1, 1));
    SEEDBED_EXPECT_OK(store->Write(Events(events)));
    // Run 1 finished, with the rows that intervals of 10 and 20 ask for; run 2 was lost and runs again from step 10.
    std::vector<int64_t> steps;
    for (int64_t step = 0; step <= 100; step += 10) steps.push_back(step);
    MetricRows rows{RunId(1), steps, {{"train_loss", std::vector<double>(steps.size(), 1)}}, {}};
    rows.series.push_back({"layer.norm", std::vector<double>(steps.size(), 2)});  // in step_values
    Batch batch = Metrics({rows, {RunId(2), {0, 10}, {{"train_loss", {1, 1}}}, {}}});
    core::CheckpointStored stored;
    stored.run = RunId(2);
    stored.checkpoint = {10, 1, 1, "checkpoints/2-1-10-ab.checkpoint", std::string(64, 'a'), 5, {}};
    stored.numerics_json = "{}";
    batch.events = {
        core::ReportAcknowledged{RunId(1), 1, 1, 100},
        core::ReportAcknowledged{RunId(2), 1, 1, 10},
        stored,
        Finish(RunId(1), 1, 2, "grokked", "{}"),
        core::AttemptEnded{RunId(2), 1, Fence(2), core::AttemptEnd::kLost, "gone", core::RunState::kQueued, {}, 1, 0},
        Grant(RunId(2), 2, 3, 10)};
    SEEDBED_EXPECT_OK(store->Write(batch));
  }

  // The names of what is found, in order.
  std::vector<std::string> Look() {
    const absl::StatusOr<Inspection> inspection = InspectDatabase(path_, /*quick=*/false);
    if (!inspection.ok()) return {inspection.status().ToString()};
    found_ = *inspection;
    std::vector<std::string> names;
    for (const Finding& finding : found_.findings) {
      EXPECT_FALSE(finding.what.empty());
      EXPECT_FALSE(finding.advice.empty());
      names.push_back(finding.check);
    }
    return names;
  }
  std::vector<std::string> LookAfter(const std::string& sql) {
    const std::unique_ptr<Database> raw = OpenRaw(path_);
    SEEDBED_EXPECT_OK(raw->Execute("PRAGMA foreign_keys = OFF"));
    SEEDBED_EXPECT_OK(raw->Execute(sql));
    return Look();
  }

  TemporaryDirectory directory_;
  const std::string data_;
  const std::string path_;
  Inspection found_;
};

TEST_F(InspectionTest, ASoundDatabaseHasNothingToFind) {
  EXPECT_THAT(Look(), IsEmpty());
  EXPECT_EQ(found_.runs, 4);
  EXPECT_EQ(found_.rows, 13);
  ASSERT_EQ(found_.checkpoints.size(), 1u);
  EXPECT_EQ(found_.checkpoints[0].path, "checkpoints/2-1-10-ab.checkpoint");
  EXPECT_TRUE(found_.knows_files);
  const absl::StatusOr<Inspection> quick = InspectDatabase(path_, /*quick=*/true);
  ASSERT_TRUE(quick.ok()) << quick.status();
  EXPECT_THAT(quick->findings, IsEmpty());
}

TEST_F(InspectionTest, AStoreMayBeWritingMeanwhile) {
  const std::unique_ptr<Store> store = OpenStore(FastOptions(data_));
  SEEDBED_ASSERT_OK(store->Write(Events({core::ReportAcknowledged{RunId(2), 2, 1, -1}})));
  EXPECT_THAT(Look(), IsEmpty());
  SEEDBED_ASSERT_OK(store->Write(Events({core::ReportAcknowledged{RunId(2), 2, 2, -1}})));
}

// Rows 1 to 11 are run 1's, 12 and 13 run 2's.
TEST_F(InspectionTest, FinishedRunsHaveAllTheirRows) {
  EXPECT_THAT(LookAfter("DELETE FROM step_values; UPDATE step_chunks SET last_step = 40, last_row = 5 WHERE run_id = 1;"
                        "INSERT INTO step_chunks VALUES (1, 60, 100, 7, 11); DELETE FROM step_rows WHERE row_id = 6"),
              ElementsAre("finished_rows"));
  EXPECT_THAT(found_.findings[0].what, HasSubstr("run 1 (10 rows, 11 are due)"));
  EXPECT_THAT(LookAfter("INSERT INTO step_rows (row_id, run_id, step) VALUES (99, 1, 55);"
                        "INSERT INTO step_chunks VALUES (1, 55, 55, 99, 99)"),
              ElementsAre("finished_rows"))
      << "as many rows as are due, but not the right ones";
  EXPECT_THAT(LookAfter("DELETE FROM step_rows WHERE run_id = 1; DELETE FROM step_chunks WHERE run_id = 1"),
              ElementsAre("finished_rows"));
}

// The last row stands where the run ended, on the grid of intervals or not.
TEST_F(InspectionTest, TheLastRowNeedNotLieOnAnInterval) {
  const std::string move_last =
      "UPDATE step_rows SET step = 97 WHERE run_id = 1 AND step = 100;"
      "UPDATE step_chunks SET last_step = 97 WHERE run_id = 1;"
      "UPDATE step_values SET step = 97 WHERE run_id = 1 AND step = 100;"
      "UPDATE runs SET last_step = 97 WHERE run_id = 1";
  EXPECT_THAT(LookAfter(move_last), IsEmpty());
  EXPECT_THAT(LookAfter("UPDATE sweeps SET template = json_set(template, '$.metrics.log_every', 15, "
                        "'$.metrics.analyze_every', 6)"),
              ElementsAre("finished_rows"));
  // Multiples of 15, 20 and 6 up to 97, counted one by one, and 97 itself.
  int due = 1;
  for (int step = 0; step <= 97; ++step) due += step % 15 == 0 || step % 20 == 0 || step % 6 == 0 ? 1 : 0;
  EXPECT_THAT(found_.findings[0].what, HasSubstr(absl::StrCat(due, " are due")));
}

TEST_F(InspectionTest, RowsBelongToRunsAndEndWhereTheyWereAcknowledged) {
  EXPECT_THAT(LookAfter("INSERT INTO step_rows (row_id, run_id, step) VALUES (50, 77, 0), (51, 77, 10);"
                        "INSERT INTO step_chunks VALUES (77, 0, 10, 50, 51)"),
              ElementsAre("steps_of_no_run"));
  EXPECT_THAT(found_.findings[0].what, HasSubstr("run 77 (2 rows)"));
  EXPECT_THAT(LookAfter("UPDATE step_rows SET run_id = 2, step = 20 + row_id WHERE run_id = 77;"
                        "UPDATE step_chunks SET run_id = 2, first_step = 70, last_step = 71 WHERE run_id = 77"),
              ElementsAre("rows_beyond_last_step"));
  EXPECT_THAT(LookAfter("UPDATE step_rows SET run_id = 4 WHERE row_id >= 50;"
                        "UPDATE step_chunks SET run_id = 4 WHERE first_row = 50"),
              ElementsAre("rows_beyond_last_step"))
      << "a run that was never started";
}

TEST_F(InspectionTest, EveryRowLiesInOneChunkOfItsRun) {
  const struct {
    const char* sql;
    const char* law;
    const char* what;
  } broken[] = {
      {"DELETE FROM step_rows WHERE row_id = 13", "chunk_rows", "run 2 step 0"},
      {"DELETE FROM step_rows WHERE run_id = 2", "chunk_rows", "run 2 step 0"},
      {"UPDATE step_rows SET run_id = 1 WHERE row_id = 12", "chunk_rows", "run 2 step 0"},
      {"UPDATE step_rows SET step = 0 WHERE row_id = 13; UPDATE step_chunks SET last_step = 0 WHERE run_id = 2",
       "chunk_rows", "run 2 step 0"},
      {"UPDATE step_chunks SET last_step = 9 WHERE run_id = 2", "chunk_rows", "run 2 step 0"},
      {"UPDATE step_chunks SET first_step = 1 WHERE run_id = 2", "chunk_rows", "run 2 step 1"},
      {"UPDATE step_chunks SET last_row = 14 WHERE run_id = 2", "chunk_rows", "run 2 step 0"},
      {"UPDATE step_chunks SET first_row = 11 WHERE run_id = 2", "chunk_bounds", "run 2 step 0"},
      {"INSERT INTO step_chunks VALUES (1, 50, 50, 6, 6)", "chunk_bounds", "run 1 step 50"},
      {"INSERT INTO step_rows (row_id, run_id, step) VALUES (14, 1, 95);"
       "INSERT INTO step_chunks VALUES (1, 95, 95, 14, 14)",
       "chunk_bounds", "run 1 step 95"},
      {"DELETE FROM step_chunks WHERE run_id = 2", "rows_of_no_chunk", "run 2 (2 rows)"},
      {"UPDATE step_chunks SET last_row = 12, last_step = 0 WHERE run_id = 2", "rows_of_no_chunk", "run 2 (1 rows)"},
      {"INSERT INTO step_rows (row_id, run_id, step) VALUES (-3, 1, 200), (99, 1, 210)", "rows_of_no_chunk",
       "run 1 (2 rows)"},
      {"DELETE FROM step_chunks", "rows_of_no_chunk", "run 1 (11 rows), run 2 (2 rows)"},
  };
  const std::string sound = directory_.path() + "/sound.db";
  std::filesystem::copy_file(path_, sound);
  for (const auto& each : broken) {
    std::filesystem::copy_file(sound, path_, std::filesystem::copy_options::overwrite_existing);
    EXPECT_THAT(LookAfter(each.sql), Contains(each.law)) << each.sql;
    EXPECT_THAT(found_.findings,
                Contains(AllOf(Field(&Finding::check, each.law), Field(&Finding::what, HasSubstr(each.what)))))
        << each.sql;
  }
}

TEST_F(InspectionTest, ValuesBelongToRowsRunsAndMetrics) {
  EXPECT_THAT(LookAfter("INSERT INTO step_values SELECT 1, metric_id, 5, 0.5 FROM metric_names WHERE NOT in_steps"),
              ElementsAre("values_of_no_step"));
  EXPECT_THAT(LookAfter("UPDATE step_values SET step = 0, metric_id = 9999 WHERE step = 5"),
              ElementsAre("values_of_no_metric"));
  EXPECT_THAT(LookAfter("UPDATE step_values SET run_id = 78 WHERE metric_id = 9999"),
              ElementsAre("values_of_no_run", "values_of_no_step", "values_of_no_metric"));
}

TEST_F(InspectionTest, AttemptsFitTheirRuns) {
  EXPECT_THAT(LookAfter("UPDATE attempts SET ended_as = 'crashed', ended_at = 1 WHERE run_id = 3"),
              Contains("attempt_ends"));
  EXPECT_THAT(LookAfter("UPDATE attempts SET ended_as = NULL, ended_at = NULL WHERE run_id = 3;"
                        "UPDATE attempts SET fence = 9 WHERE run_id = 2 AND attempt = 1"),
              ElementsAre("fences"));
  EXPECT_THAT(LookAfter("UPDATE attempts SET fence = 1 WHERE run_id = 2 AND attempt = 1;"
                        "UPDATE attempts SET attempt = 7 WHERE run_id = 2 AND attempt = 1"),
              Contains("attempt_numbers"));
}

TEST_F(InspectionTest, ARunFinishesOnce) {
  EXPECT_THAT(LookAfter("UPDATE attempts SET ended_as = 'finished' WHERE run_id = 2 AND attempt = 1"),
              ElementsAre("finished_once"));
  EXPECT_THAT(LookAfter("UPDATE attempts SET ended_as = 'lost' WHERE run_id = 2 AND attempt = 1;"
                        "UPDATE runs SET outcome = NULL WHERE run_id = 1"),
              ElementsAre("finished_result"));
  EXPECT_THAT(LookAfter("UPDATE runs SET outcome = 'grokked' WHERE run_id IN (1, 4)"), ElementsAre("finished_result"));
}

TEST_F(InspectionTest, ACheckpointsReportIsDurable) {
  EXPECT_THAT(LookAfter("UPDATE checkpoints SET sequence = 2"), ElementsAre("checkpoint_reports"));
}

TEST_F(InspectionTest, TheStateLoads) {
  EXPECT_THAT(LookAfter("UPDATE runs SET round = 1 WHERE run_id = 4; UPDATE runs SET round = 1 WHERE run_id = 3"),
              ElementsAre("state"));
  EXPECT_THAT(LookAfter("UPDATE runs SET round = 0 WHERE run_id = 3; DELETE FROM sweeps"),
              ElementsAre("foreign_keys", "state"));
}

TEST_F(InspectionTest, TheSchemaIsWhole) {
  const struct {
    const char* sql;
    const char* what;
  } broken[] = {
      {"DROP TABLE events", "missing: table events"},
      {"DROP VIEW run_results", "missing: view run_results"},
      {"DROP INDEX runs_by_end", "missing: index runs_by_end"},
      {"DROP TABLE metric_names", "missing: table metric_names"},
      {"DROP VIEW metrics; DROP VIEW curves; DROP VIEW steps; ALTER TABLE step_rows DROP COLUMN train_loss",
       "missing: column step_rows.train_loss"},
      {"DROP VIEW steps", "missing: view steps"},
      {"DROP TABLE step_chunks", "missing: table step_chunks"},
      {"DROP TABLE step_rows", "missing: table step_rows"},
      {"DROP VIEW configuration_results; DROP VIEW run_results; ALTER TABLE runs DROP COLUMN mixed_numerics",
       "missing: column runs.mixed_numerics"},
      {"DROP INDEX sweeps_by_name; CREATE UNIQUE INDEX sweeps_by_name ON sweeps (name)",
       "not as they were made: index sweeps_by_name"},
      {"DROP VIEW curves; CREATE VIEW curves AS SELECT 1", "not as they were made: view curves"},
      {"CREATE TRIGGER theirs AFTER INSERT ON step_rows BEGIN DELETE FROM events; END",
       "do not belong to it: trigger theirs"},
      {"CREATE TABLE theirs (a)", "do not belong to it: table theirs"},
      {"ALTER TABLE step_rows ADD COLUMN theirs REAL", "do not belong to it: column step_rows.theirs"},
  };
  const std::string sound = directory_.path() + "/sound.db";
  std::filesystem::copy_file(path_, sound);
  for (const auto& each : broken) {
    std::filesystem::copy_file(sound, path_, std::filesystem::copy_options::overwrite_existing);
    EXPECT_THAT(LookAfter(each.sql), Contains("schema")) << each.sql;
    EXPECT_THAT(found_.findings, Contains(Field(&Finding::what, HasSubstr(each.what)))) << each.sql;
    for (const Finding& finding : found_.findings) EXPECT_THAT(finding.what, Not(HasSubstr("cannot prepare")));
  }
}

// What people may do to it, and what time does.
TEST_F(InspectionTest, ASchemaOfAnyAgeIsWhole) {
  EXPECT_THAT(LookAfter("ANALYZE"), IsEmpty());
  const std::string copy = directory_.path() + "/copy.db";
  SEEDBED_ASSERT_OK(BackupDatabase(path_, copy));
  const absl::StatusOr<Inspection> inspection = InspectDatabase(copy, /*quick=*/true);
  ASSERT_TRUE(inspection.ok()) << inspection.status();
  EXPECT_THAT(inspection->findings, IsEmpty());
}

TEST_F(InspectionTest, DamagedFilesAreFoundAndLeftAlone) {
  std::string bytes;
  {
    std::ifstream file(path_, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  ASSERT_GT(bytes.size(), 40u << 10);
  std::string overwritten = bytes;
  for (size_t at = bytes.size() / 2; at < bytes.size(); ++at) overwritten[at] = static_cast<char>(at * 31);
  const std::vector<std::string> damaged = {
      overwritten,
      "no database at all, but long enough to be taken for one" + std::string(8192, 'x'),
      std::string(100, '\xff') + bytes.substr(100),
      bytes.substr(0, bytes.size() / 2),
      bytes.substr(0, 3000),
      "",
  };
  for (const std::string& each : damaged) {
    const std::string copy = directory_.path() + "/damaged.db";
    std::ofstream(copy, std::ios::binary | std::ios::trunc) << each;
    const absl::StatusOr<Inspection> inspection = InspectDatabase(copy, /*quick=*/false);
    ASSERT_TRUE(inspection.ok()) << inspection.status();
    EXPECT_THAT(inspection->findings, Contains(Field(&Finding::check, "integrity"))) << each.substr(0, 16);
    EXPECT_THAT(inspection->findings, Contains(Field(&Finding::advice, HasSubstr("restore a backup"))));
    std::ifstream file(copy, std::ios::binary);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), each);
  }
}

TEST_F(InspectionTest, WhatItCannotJudgeIsAnError) {
  EXPECT_EQ(InspectDatabase(directory_.path() + "/nothing.db", false).status().code(), absl::StatusCode::kNotFound);
  const std::string theirs = directory_.path() + "/theirs.db";
  SEEDBED_ASSERT_OK(OpenRaw(theirs)->Execute("CREATE TABLE theirs (a)"));
  EXPECT_EQ(InspectDatabase(theirs, false).status().code(), absl::StatusCode::kFailedPrecondition);
  SEEDBED_ASSERT_OK(OpenRaw(path_)->Execute("PRAGMA user_version = 99"));
  const absl::Status newer = InspectDatabase(path_, false).status();
  EXPECT_EQ(newer.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(newer.message()), HasSubstr("written by a newer Seedbed"));
  SEEDBED_ASSERT_OK(OpenRaw(path_)->Execute("PRAGMA user_version = 1"));
  EXPECT_THAT(std::string(InspectDatabase(path_, false).status().message()), HasSubstr("start a coordinator"));
}

}  // namespace
}  // namespace seedbed
