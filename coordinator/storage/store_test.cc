#include "coordinator/storage/store.h"

#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>

#include "absl/strings/str_cat.h"
#include "common/base/testing/until_it_waits.h"
#include "coordinator/storage/backup_file.h"
#include "coordinator/storage/checkpointer.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/storage/store_fixture.h"
#include "gmock/gmock.h"

namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file
using ::testing::HasSubstr;

TEST_F(StoreTest, FilesAreForThisUserOnly) {
  WriteSweep();
  struct stat found;
  ASSERT_EQ(::stat(data_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700u);
  for (const char* name : {"/results.db", "/results.db-wal", "/results.db-shm", "/lock"}) {
    ASSERT_EQ(::stat((data_ + name).c_str(), &found), 0) << name;
    EXPECT_EQ(found.st_mode & 0777, 0600u) << name;
  }
}

TEST_F(StoreTest, IsMadeForALongLife) {
  EXPECT_EQ(One("PRAGMA journal_mode"), "wal");
  EXPECT_EQ(One("PRAGMA auto_vacuum"), "2") << "incremental";
  EXPECT_EQ(One("PRAGMA page_size"), "8192");
  EXPECT_EQ(store_->Pragma("wal_autocheckpoint"), "0") << "no commit moves the log";
  EXPECT_EQ(One("PRAGMA integrity_check"), "ok");
  for (const char* metric : {"train_loss", "test_accuracy", "parameter_rms"}) {
    EXPECT_EQ(One(absl::StrCat("SELECT type FROM pragma_table_info('steps') WHERE name = '", metric, "'")), "REAL");
  }
}

TEST(StoreOptionsTest, ACommitWaitsFiveSecondsForAnotherProgramsLock) {
  TemporaryDirectory directory;
  StoreOptions options;
  options.directory = directory.path() + "/data";
  EXPECT_EQ(OpenStore(options)->Pragma("busy_timeout"), "5000");
}

// What the tests open is faster; see power_cut_test.cc for what this is worth.
TEST(StoreOptionsTest, CommitsAreSyncedUnlessSomebodyAsksForLess) {
  TemporaryDirectory directory;
  StoreOptions options;
  options.directory = directory.path() + "/data";
  for (const auto& [journal, mode, synchronous] :
       {std::tuple(options.journal, "wal", "2"), {StoreOptions::Journal::kDelete, "delete", "3"}}) {
    options.journal = journal;
    const std::unique_ptr<Store> store = OpenStore(options);
    EXPECT_EQ(store->Pragma("journal_mode"), mode);
    EXPECT_EQ(store->Pragma("synchronous"), synchronous) << "full, or extra: the journal's removal is the commit";
  }
}

TEST_F(StoreTest, EveryOpenRaisesTheEpochAndKeepsTheName) {
  EXPECT_EQ(store_->epoch(), 1);
  store_.reset();
  StoreOptions options = FastOptions(data_);
  options.database_id_if_created = "another";
  store_ = OpenStore(options);
  EXPECT_EQ(store_->epoch(), 2);
  EXPECT_EQ(store_->database_id(), "database-of-the-test");
}

TEST_F(StoreTest, ASecondWriterIsRefused) {
  const absl::Status second = Store::Open(FastOptions(data_), FakeClock().Now()).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.message()), HasSubstr("is in use by process"));
}

TEST_F(StoreTest, AnotherProgramsDatabaseIsNotTouched) {
  const TemporaryDirectory other;
  SEEDBED_ASSERT_OK(OpenRaw(DatabasePath(other.path()))->Execute("CREATE TABLE theirs (a)"));
  const absl::Status status = Store::Open(FastOptions(other.path()), FakeClock().Now()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(storage_test::One(OpenRaw(DatabasePath(other.path())).get(), "PRAGMA journal_mode"), "delete");
}

TEST_F(StoreTest, TheRollbackJournalWorksToo) {
  const TemporaryDirectory other;
  StoreOptions options = FastOptions(other.path());
  options.journal = StoreOptions::Journal::kDelete;
  const std::unique_ptr<Store> store = OpenStore(options);
  SEEDBED_ASSERT_OK(store->Write(Events(SweepEvents("sweep", 1, 1))));
  EXPECT_EQ(storage_test::One(*store, "PRAGMA journal_mode"), "delete");
  Checkpointer checkpointer = *Checkpointer::Open(store->database_path());
  EXPECT_FALSE(checkpointer.Run()->truncated);
}

// --- metric rows

TEST_F(StoreTest, ASummarysMembersBecomeColumns) {
  WriteSweep();
  const std::string summary =
      R"({"t_train_99":50,"t_test_99":2.5,"t_test_50":18446744073709551615,"final_test_accuracy":1,)"
      R"("final_test_loss":"NaN","collapsed":true,"wall_seconds":1.5,"t_train_50":null,"other":{"t_test_95":3}})";
  SEEDBED_ASSERT_OK(store_->Write(Events({Grant(RunId(3), 1, 1), Finish(RunId(1), 1, 2, "grokked", summary),
                                          Finish(RunId(2), 1, 2, "grokked", "no JSON"),
                                          Finish(RunId(3), 1, 2, "grokked", R"([{"t_train_99":1}])")})));
  EXPECT_EQ(One("SELECT t_train_99 || ' ' || typeof(t_train_99) || ' ' || final_test_accuracy || ' ' || "
                "typeof(final_test_accuracy) || ' ' || collapsed || ' ' || wall_seconds FROM runs WHERE run_id = 1"),
            "50 integer 1.0 real 1 1.5");
  EXPECT_EQ(One("SELECT coalesce(t_test_99, t_test_50, final_test_loss, t_train_50, t_test_95, 'none') FROM runs "
                "WHERE run_id = 1"),
            "none")
      << "not what their columns hold";
  EXPECT_EQ(One("SELECT summary FROM runs WHERE run_id = 1"), summary);
  EXPECT_EQ(One("SELECT summary || state FROM runs WHERE run_id = 2"), "{}finished");
  EXPECT_EQ(One("SELECT coalesce(t_train_99, 'none') FROM runs WHERE run_id = 3"), "none");
}

TEST_F(StoreTest, AGrantDeletesWhatLiesBeyondItsCheckpoint) {
  WriteSweep();
  const MetricRows one{RunId(1), {0, 10, 20, 30}, {{"train_loss", {1, 2, 3, 4}}, {"layer.norm", {1, 2, 3, 4}}}, 20};
  const MetricRows two{RunId(2), {0, 10}, {{"train_loss", {1, 2}}}, {}};
  SEEDBED_ASSERT_OK(store_->Write(Metrics({one, two})));
  core::AttemptEnded lost{RunId(1), 1, Fence(2), core::AttemptEnd::kLost, "gone", core::RunState::kQueued, {}, 1, 0};
  // Rows and grant in one batch: the rows came under the old attempt, so they go too.
  Batch batch = Metrics({{RunId(1), {40}, {{"train_loss", {5}}}, {}}});
  batch.events = {lost, Grant(RunId(1), 2, 3, 10)};
  SEEDBED_ASSERT_OK(store_->Write(batch));
  EXPECT_EQ(One("SELECT group_concat(step) FROM steps WHERE run_id = 1"), "0,10");
  EXPECT_EQ(One("SELECT group_concat(step) FROM step_values WHERE run_id = 1"), "0,10");
  EXPECT_EQ(One("SELECT first_nonfinite_step FROM runs WHERE run_id = 1"), "NULL");
  EXPECT_EQ(One("SELECT last_step FROM run_results WHERE run_id = 1"), "10") << "where it resumes";
  lost.attempt = 2;
  lost.next_fence = Fence(4);
  SEEDBED_ASSERT_OK(store_->Write(Events({lost, Grant(RunId(1), 3, 5)})));
  EXPECT_EQ(One("SELECT count(*) FROM steps WHERE run_id = 1"), "0");
  EXPECT_EQ(One("SELECT count(*) FROM steps WHERE run_id = 2"), "2") << "another run's";
  EXPECT_EQ(One("SELECT group_concat(attempt || ifnull(ended_as, '-') || ifnull(resume_step, '-'), ' ') FROM attempts "
                "WHERE run_id = 1"),
            "1lost- 2lost10 3--");
}

TEST_F(StoreTest, AttemptsRememberTheNumericsOfTheirWorker) {
  WriteSweep();
  EXPECT_EQ(One("SELECT numerics FROM attempts WHERE run_id = 1"), R"({"blas":"openblas"})");
  // Those that the worker had when the attempt was granted, even within one batch.
  core::WorkerRegistered changed = WorkerEvent("w1");
  changed.trainers[0].numerics_json = R"({"blas":"other"})";
  core::AttemptEnded lost{RunId(1), 1, Fence(2), core::AttemptEnd::kLost, "gone", core::RunState::kQueued, {}, 1, 0};
  core::AttemptEnded lost_again = lost;
  lost_again.attempt = 2;
  lost_again.next_fence = Fence(4);
  SEEDBED_ASSERT_OK(store_->Write(Events({lost, Grant(RunId(1), 2, 3), lost_again, changed, Grant(RunId(1), 3, 5)})));
  EXPECT_EQ(One("SELECT group_concat(numerics, ' ') FROM attempts WHERE run_id = 1"),
            R"({"blas":"openblas"} {"blas":"openblas"} {"blas":"other"})");
}

TEST_F(StoreTest, ARetryForgetsTheResult) {
  WriteSweep();
  SEEDBED_ASSERT_OK(store_->Write(Metrics({{RunId(1), {0}, {{"train_loss", {1}}}, 0}})));
  SEEDBED_ASSERT_OK(store_->Write(Events({Finish(RunId(1), 1, 2, "diverged", R"({"t_train_99":null})")})));
  EXPECT_EQ(One("SELECT state || outcome || reason || last_step FROM run_results WHERE run_id = 1"),
            "finisheddivergedbudget100");
  core::RunStateChanged retried{RunId(1), core::RunState::kFinished, core::RunState::kQueued, Fence(3), true};
  SEEDBED_ASSERT_OK(store_->Write(Events({retried})));
  EXPECT_EQ(One("SELECT count(*) FROM steps WHERE run_id = 1"), "0");
  EXPECT_EQ(
      One("SELECT state || coalesce(outcome, reason, summary, first_nonfinite_step, ended_at, '') FROM runs WHERE "
          "run_id = 1"),
      "queued");
}

TEST_F(StoreTest, PeopleFindInEventsWhatHappened) {
  WriteSweep();
  Batch batch =
      Events({Finish(RunId(1), 1, 2, "grokked", "{}"),
              core::AttemptEnded{
                  RunId(2), 1, Fence(2), core::AttemptEnd::kCrashed, "signal 11", core::RunState::kFailed, {}, 3, 0}});
  batch.notes = {{"write_ahead_log_too_large", "1.5 GiB", {}, {}, {}}};
  SEEDBED_ASSERT_OK(store_->Write(batch));
  EXPECT_EQ(One("SELECT group_concat(kind, ' ') FROM events"),
            "sweep_created sweep_state worker_registered runs_added run_finished run_failed write_ahead_log_too_large");
  EXPECT_EQ(One("SELECT sweep_id || ' ' || run_id || ' ' || detail FROM events WHERE kind = 'run_failed'"),
            "1 2 attempt 1 crashed: signal 11");
  EXPECT_EQ(One("SELECT detail FROM events WHERE kind = 'runs_added'"), "2 configurations, 4 runs");
}

TEST_F(StoreTest, AWorkerThatComesBackAsItWasHasNotChanged) {
  const core::WorkerRegistered worker = WorkerEvent("w");
  SEEDBED_ASSERT_OK(store_->Write(Events({worker})));
  SEEDBED_ASSERT_OK(store_->Write(Events({worker})));
  EXPECT_EQ(One("SELECT group_concat(kind, ' ') FROM events"), "worker_registered");
  core::WorkerRegistered changed = worker;
  changed.trainers[0].pack_parameters.clear();
  SEEDBED_ASSERT_OK(store_->Write(Events({changed})));
  EXPECT_EQ(One("SELECT group_concat(kind, ' ') FROM events"), "worker_registered worker_changed");
}

TEST_F(StoreTest, NothingIsLeftOfADeletedSweepButItsEvents) {
  WriteSweep();
  SEEDBED_ASSERT_OK(store_->Write(Metrics({{RunId(1), {0}, {{"train_loss", {1}}, {"a.b", {1}}}, {}}})));
  const core::SweepStateChanged deleting{SweepId(1), core::SweepState::kActive, core::SweepState::kDeleting};
  SEEDBED_ASSERT_OK(store_->Write(Events({deleting})));
  EXPECT_EQ(One("SELECT count(*) FROM run_results"), "0");
  EXPECT_EQ(One("SELECT count(*) FROM configuration_results"), "0");
  SEEDBED_ASSERT_OK(store_->Write(Events({core::RunsDeleted{SweepId(1), {RunId(4), RunId(3)}, {ConfigurationId(2)}}})));
  EXPECT_EQ(One("SELECT count(*) FROM runs"), "2");
  SEEDBED_ASSERT_OK(store_->Write(Events(
      {core::RunsDeleted{SweepId(1), {RunId(2), RunId(1)}, {ConfigurationId(1)}}, core::SweepDeleted{SweepId(1)}})));
  for (const char* table : {"sweeps", "configurations", "runs", "attempts", "steps", "step_values"}) {
    EXPECT_EQ(One(absl::StrCat("SELECT count(*) FROM ", table)), "0") << table;
  }
  EXPECT_EQ(One("SELECT kind FROM events ORDER BY event_id DESC LIMIT 1"), "sweep_deleted");
  EXPECT_EQ(One("SELECT value FROM meta WHERE key = 'next_run_id'"), "5") << "ids are not used again";
}

// --- faults

TEST_F(StoreTest, AFailedCommitLeavesNothingAndTheStoreGoesOn) {
  WriteSweep();
  store_.reset();
  StoreOptions options = FastOptions(data_);
  options.most_pages = 60;
  store_ = OpenStore(options);
  MetricRows many{RunId(1), {}, {{"brand_new", {}}}, {}};
  for (int i = 0; i < 100'000; ++i) {
    many.steps.push_back(i);
    many.series[0].values.push_back(i);
  }
  Batch batch = Metrics({many});
  batch.events = {core::ReportAcknowledged{RunId(1), 1, 7, 99'999}};
  EXPECT_EQ(store_->Write(batch).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(One("SELECT count(*) FROM steps"), "0");
  EXPECT_EQ(One("SELECT acknowledged_sequence FROM attempts WHERE run_id = 1"), "0");
  EXPECT_EQ(One("SELECT count(*) FROM pragma_table_info('steps') WHERE name = 'brand_new'"), "0");
  // The column that was rolled back is added again.
  SEEDBED_ASSERT_OK(store_->Write(Metrics({{RunId(1), {0}, {{"brand_new", {1}}}, {}}})));
  EXPECT_EQ(One("SELECT brand_new FROM steps"), "1.0");
  EXPECT_EQ(One("PRAGMA integrity_check"), "ok");
}

TEST_F(StoreTest, TheProbeSaysWhetherCommitsWork) {
  SEEDBED_EXPECT_OK(store_->ProbeWrite());
  EXPECT_EQ(One("SELECT count(*) FROM meta WHERE key = 'probe'"), "0");
  const int64_t pages = std::stoll(One("PRAGMA page_count")) - std::stoll(One("PRAGMA freelist_count"));
  SEEDBED_EXPECT_OK(store_->ReclaimSpace(1000).status());
  store_.reset();
  StoreOptions options = FastOptions(data_);
  options.most_pages = pages + 10;
  store_ = OpenStore(options);
  EXPECT_EQ(store_->ProbeWrite().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(StoreTest, AnotherProgramsTransactionIsUnavailableUntilItEnds) {
  const std::unique_ptr<Database> other = OpenRaw(store_->database_path());
  {
    const Transaction held = *Transaction::Begin(other.get());
    EXPECT_EQ(store_->Write(Events(SweepEvents("sweep", 1, 1))).code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(store_->ProbeWrite().code(), absl::StatusCode::kUnavailable);
  }
  SEEDBED_EXPECT_OK(store_->Write(Events(SweepEvents("sweep", 1, 1))));
}

TEST_F(StoreTest, AnotherProgramsTransactionIsWaitedFor) {
  store_.reset();
  StoreOptions patient = FastOptions(data_);
  patient.busy_timeout = absl::Seconds(60);
  store_ = OpenStore(patient);
  const std::unique_ptr<Database> other = OpenRaw(store_->database_path());
  SEEDBED_ASSERT_OK(other->Execute("BEGIN IMMEDIATE"));
  std::future<absl::Status> writing =
      UntilItWaits<absl::Status>([this] { return store_->Write(Events({WorkerEvent("w1")})); });
  EXPECT_EQ(writing.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  SEEDBED_ASSERT_OK(other->Execute("COMMIT"));
  SEEDBED_EXPECT_OK(writing.get());
}

TEST_F(StoreTest, AnEventThatDoesNotFitIsABugAndChangesNothing) {
  WriteSweep();
  const absl::Status status = store_->Write(Events({WorkerEvent("w2"), core::ReportAcknowledged{RunId(77), 1, 1, 1}}));
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ReportAcknowledged: run 77"));
  EXPECT_EQ(One("SELECT count(*) FROM workers"), "1");
}

TEST_F(StoreTest, EventsOfMemoryNeedNoCommit) {
  const std::unique_ptr<Database> other = OpenRaw(store_->database_path());
  const Transaction held = *Transaction::Begin(other.get());
  SEEDBED_EXPECT_OK(store_->Write(Events({core::ClockTicked{absl::Seconds(1)}})));
}

// --- space

TEST_F(StoreTest, TheCheckpointerEmptiesTheLogUnlessSomebodyReads) {
  WriteSweep();
  Checkpointer checkpointer = *Checkpointer::Open(store_->database_path());
  const std::unique_ptr<Database> reader = OpenRaw(store_->database_path(), /*writable=*/false);
  {
    Statement read = *reader->Prepare("SELECT run_id FROM runs");
    ASSERT_TRUE(*read.Step());
    SEEDBED_ASSERT_OK(store_->Write(Metrics({{RunId(1), {0}, {{"train_loss", {1}}}, {}}})));
    EXPECT_FALSE(checkpointer.Run()->truncated);
    EXPECT_GT(WriteAheadLogBytes(store_->database_path()), 0);
  }
  const Checkpointer::Result result = *checkpointer.Run();
  EXPECT_TRUE(result.truncated);
  EXPECT_GT(result.log_bytes, 0);
  EXPECT_EQ(WriteAheadLogBytes(store_->database_path()), 0);
  EXPECT_EQ(One("SELECT train_loss FROM steps"), "1.0");
}

// Beside a writer that never pauses the Checkpointer cannot empty it.
TEST_F(StoreTest, ALargeLogIsEmptiedBetweenTwoCommits) {
  StoreOptions options = FastOptions(data_);
  options.large_log_bytes = 1 << 20;
  store_.reset();
  store_ = OpenStore(options);
  WriteSweep();
  FakeClock clock;
  int64_t step = 0;
  int64_t largest = 0;
  int emptied = 0;
  const auto write = [&](int batches) {
    largest = 0;
    for (int i = 0; i < batches; ++i) {
      MetricRows rows{RunId(1), {}, {{"train_loss", {}}}, {}};
      for (int row = 0; row < 2000; ++row) {
        rows.steps.push_back(step++);
        rows.series[0].values.push_back(1.0 / static_cast<double>(step));
      }
      Batch batch = Metrics({rows});
      clock.Advance(absl::Milliseconds(400));
      batch.now = clock.Now();
      const int64_t before = WriteAheadLogBytes(store_->database_path());
      SEEDBED_ASSERT_OK(store_->Write(batch));
      const int64_t after = WriteAheadLogBytes(store_->database_path());
      largest = std::max(largest, after);
      if (after < before) ++emptied;
    }
  };
  write(100);
  EXPECT_GT(emptied, 2);
  EXPECT_LT(largest, 2 * options.large_log_bytes);
  {
    const std::unique_ptr<Database> reader = OpenRaw(store_->database_path(), /*writable=*/false);
    SEEDBED_ASSERT_OK(reader->Execute("BEGIN; SELECT count(*) FROM runs"));
    write(100);
    EXPECT_GT(largest, 4 * options.large_log_bytes) << "a reader keeps nobody waiting";
    EXPECT_EQ(storage_test::One(reader.get(), "SELECT max(step) FROM steps"), "199999");
  }
  write(5);
  EXPECT_LT(WriteAheadLogBytes(store_->database_path()), options.large_log_bytes);
  EXPECT_EQ(One("SELECT count(*) FROM steps"), std::to_string(step));
}

TEST_F(StoreTest, DeletedSpaceIsGivenBack) {
  WriteSweep();
  MetricRows many{RunId(1), {}, {{"train_loss", {}}}, {}};
  for (int i = 0; i < 50'000; ++i) {
    many.steps.push_back(i);
    many.series[0].values.push_back(i);
  }
  SEEDBED_ASSERT_OK(store_->Write(Metrics({many})));
  const int64_t before = std::stoll(One("PRAGMA page_count"));
  core::AttemptEnded lost{RunId(1), 1, Fence(2), core::AttemptEnd::kLost, "gone", core::RunState::kQueued, {}, 1, 0};
  SEEDBED_ASSERT_OK(store_->Write(Events({lost, Grant(RunId(1), 2, 3)})));
  int64_t free_pages = 1;
  int rounds = 0;
  while (free_pages > 0 && rounds < 1000) {
    free_pages = *store_->ReclaimSpace(50);
    ++rounds;
  }
  EXPECT_EQ(free_pages, 0);
  EXPECT_GT(rounds, 1);
  EXPECT_LT(std::stoll(One("PRAGMA page_count")), before / 2);
}

// A worker that holds leases of the original must not find them again in the copy.
TEST_F(StoreTest, ARestoredBackupIsAnotherDatabase) {
  WriteSweep();
  const std::string other = directory_.path() + "/other";
  SEEDBED_ASSERT_OK(EnsureDataDirectory(other));
  SEEDBED_ASSERT_OK(BackupDatabase(store_->database_path(), DatabasePath(other)));
  StoreOptions options = FastOptions(other);
  options.database_id_if_created = "drawn anew";
  std::unique_ptr<Store> restored = OpenStore(options);
  EXPECT_EQ(restored->database_id(), "drawn anew");
  EXPECT_EQ(restored->epoch(), 2);
  EXPECT_THAT(storage_test::One(*restored, "SELECT detail FROM events WHERE kind = 'database_restored'"),
              HasSubstr("from a backup of database database-of-the-test taken at "));
  // No fence of the original can become one of the copy.
  const int64_t raised = FakeClock().Now().utc_microseconds();
  ASSERT_GT(raised, 1'000'000);
  EXPECT_EQ(storage_test::One(*restored, "SELECT min(fence) FROM runs"), absl::StrCat(raised));
  EXPECT_EQ(storage_test::One(*restored, "SELECT group_concat(fence) FROM attempts"),
            absl::StrCat(raised + 1, ",", raised + 1));
  SEEDBED_EXPECT_OK(restored->Load(core::Settings(), absl::ZeroDuration()).status());
  options.database_id_if_created = "not drawn again";
  restored.reset();
  restored = OpenStore(options);
  EXPECT_EQ(restored->database_id(), "drawn anew");
  EXPECT_EQ(restored->epoch(), 3);
  EXPECT_EQ(store_->database_id(), "database-of-the-test") << "the original stays itself";
}

// After a crash both are there, after a clean end neither: the log alone is missing only where somebody took it away.
TEST_F(StoreTest, AFileThatOthersMayReadIsNarrowed) {
  const std::string path = store_->database_path();
  store_.reset();
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  store_ = OpenStore(FastOptions(data_));
  struct stat found;
  ASSERT_EQ(::stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
}

TEST_F(StoreTest, AMissingLogIsNotPassedOver) {
  WriteSweep();
  const std::string other = directory_.path() + "/crashed";
  SEEDBED_ASSERT_OK(EnsureDataDirectory(other));
  for (const char* suffix : {"", "-shm"}) {
    std::filesystem::copy_file(store_->database_path() + suffix, DatabasePath(other) + suffix);
  }
  const absl::Status refused = Store::Open(FastOptions(other), FakeClock().Now()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("results.db-wal"));
  EXPECT_EQ(Reader::Open(DatabasePath(other)).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(std::filesystem::exists(DatabasePath(other) + "-wal")) << "nothing was made in its place";
  std::filesystem::copy_file(store_->database_path() + "-wal", DatabasePath(other) + "-wal");
  SEEDBED_EXPECT_OK(Store::Open(FastOptions(other), FakeClock().Now()).status());
}

}  // namespace
}  // namespace seedbed
