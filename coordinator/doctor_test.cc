#include "coordinator/doctor.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/sha256.h"
#include "coordinator/backup.h"
#include "coordinator/coordinator.h"
#include "coordinator/coordinator_test_support.h"
#include "gmock/gmock.h"

// Backups of a coordinator that runs, and the examination of what lies in a data directory.
namespace seedbed {
namespace {

using coordinator_test::CallOf;
using coordinator_test::Pending;
using coordinator_test::ReportOf;
using coordinator_test::RowsOf;
using coordinator_test::Submit;
using coordinator_test::SweepText;
using coordinator_test::TemporaryDirectory;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace fs = std::filesystem;

void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class DoctorTest : public ::testing::Test {
 protected:
  DoctorTest() : data_(directory_.path() + "/data") { Start(); }

  void Start() {
    CoordinatorOptions options;
    options.directory = data_;
    options.synchronous = StoreOptions::Synchronous::kOff;
    options.loop.metric_delay = absl::Milliseconds(1);
    options.free_bytes = [this] { return absl::StatusOr<int64_t>(free_bytes_); };
    auto opened = Coordinator::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    coordinator_ = *std::move(opened);
  }

  // A run that is being trained, with a row of step 0.
  core::LeaseKey Train() {
    EXPECT_TRUE(Submit(coordinator_.get(), "id", SweepText("s", 1, 1)).ok());
    Pending<SynchronizeReply> reply;
    coordinator_->Synchronize(CallOf("w", 1, 1), reply.Callback());
    const core::LeaseKey lease = reply.Get()->start.at(0).lease.lease;
    Pending<core::ReportAnswer> answer;
    coordinator_->Report(ReportOf("w", lease, 1, 0), RowsOf(lease.run, 0, 1), 100, answer.Callback());
    EXPECT_TRUE(answer.Get().ok());
    return lease;
  }

  // Stores a checkpoint of that step and returns its path below the data directory.
  std::string Save(const core::LeaseKey& lease, int64_t step, const std::string& content) {
    auto writer = coordinator_->BeginCheckpoint(WorkerId("w"), lease, step, static_cast<int64_t>(content.size()),
                                                Sha256Hex(content));
    EXPECT_TRUE(writer.ok()) << writer.status();
    EXPECT_TRUE((*writer)->Append(content).ok());
    EXPECT_TRUE((*writer)->Finish().ok());
    core::StoreCheckpoint command;
    command.worker = WorkerId("w");
    command.lease = lease;
    command.numerics_json = "{}";
    command.checkpoint.step = step;
    command.checkpoint.sequence = 1;
    command.checkpoint.path = (*writer)->path();
    command.checkpoint.sha256 = Sha256Hex(content);
    command.checkpoint.bytes = static_cast<int64_t>(content.size());
    const auto answer = coordinator_->ExecuteAndWait(command);
    EXPECT_TRUE(answer.ok()) << answer.status();
    (*writer)->Keep();
    return (*writer)->path();
  }

  Diagnosis Look(bool repair = false) {
    DoctorOptions options;
    options.directory = data_;
    options.repair = repair;
    const absl::StatusOr<Diagnosis> diagnosis = Diagnose(options);
    EXPECT_TRUE(diagnosis.ok()) << diagnosis.status();
    return diagnosis.value_or(Diagnosis());
  }
  std::vector<std::string> Names(const Diagnosis& diagnosis) {
    std::vector<std::string> names;
    for (const Finding& finding : diagnosis.findings) names.push_back(finding.check);
    return names;
  }

  int64_t free_bytes_ = int64_t{1} << 40;
  TemporaryDirectory directory_;
  const std::string data_;
  std::unique_ptr<Coordinator> coordinator_;
};

TEST_F(DoctorTest, ACoordinatorMayBeWorkingMeanwhile) {
  const core::LeaseKey lease = Train();
  Save(lease, 0, "weights");
  const Diagnosis diagnosis = Look();
  EXPECT_THAT(Names(diagnosis), IsEmpty());
  EXPECT_EQ(diagnosis.used_by, getpid());
  EXPECT_EQ(diagnosis.runs, 1);
  EXPECT_EQ(diagnosis.rows, 1);
  EXPECT_EQ(diagnosis.checkpoints, 1);
  DoctorOptions repair;
  repair.directory = data_;
  repair.repair = true;
  EXPECT_EQ(Diagnose(repair).status().code(), absl::StatusCode::kFailedPrecondition) << "somebody has the lock";
}

TEST_F(DoctorTest, CheckpointFilesAreThereWholeAndUnchanged) {
  const std::string path = data_ + "/" + Save(Train(), 0, "weights");
  coordinator_.reset();
  EXPECT_THAT(Names(Look()), IsEmpty());
  WriteFile(path, "wEights");
  Diagnosis diagnosis = Look();
  ASSERT_THAT(Names(diagnosis), ElementsAre("checkpoint_files"));
  EXPECT_THAT(diagnosis.findings[0].what, HasSubstr("is damaged"));
  WriteFile(path, "weight");
  EXPECT_THAT(Look().findings.at(0).what, HasSubstr("has 6 bytes instead of 7"));
  fs::remove(path);
  EXPECT_THAT(Look().findings.at(0).what, HasSubstr("is missing"));
  WriteFile(path, "weights");
  EXPECT_THAT(Names(Look()), IsEmpty());
}

TEST_F(DoctorTest, RepairRemovesWhatBelongsToNothingAndNothingElse) {
  const std::string kept = data_ + "/" + Save(Train(), 0, "weights");
  coordinator_.reset();
  const std::string orphan = data_ + "/checkpoints/9-1-10-ab.checkpoint";
  const std::string part = data_ + "/checkpoints/1-1-10-cd.checkpoint.part";
  // Of a process that cannot exist: ids end below.
  const std::string pins = data_ + "/pinned-2000000000-1";
  const std::string living = data_ + "/pinned-" + std::to_string(getpid()) + "-7";
  for (const std::string& path : {pins, living}) fs::create_directory(path);
  for (const std::string& path : {orphan, part, pins + "/9-1-10-ab.checkpoint"}) WriteFile(path, "x");
  fs::create_directory(data_ + "/logs");
  const std::string log = data_ + "/logs/1-1.log";
  const std::string next = data_ + "/logs/1-2.log";
  const std::string deleted = data_ + "/logs/9-1.log";
  for (const std::string& path : {log, next, deleted}) WriteFile(path, "text");
  WriteFile(data_ + "/notes.txt", "mine");
  EXPECT_THAT(Names(Look()), ElementsAre("orphan_files"));
  const Diagnosis repaired = Look(/*repair=*/true);
  EXPECT_THAT(Names(repaired), IsEmpty());
  EXPECT_THAT(repaired.removed, ::testing::UnorderedElementsAre(orphan, part, pins, next, deleted));
  EXPECT_TRUE(fs::exists(kept));
  EXPECT_TRUE(fs::exists(log));
  EXPECT_TRUE(fs::exists(data_ + "/notes.txt"));
  EXPECT_TRUE(fs::exists(living)) << "a backup is being taken";
  EXPECT_THAT(Names(Look()), IsEmpty());
}

// A table that cannot be read must not make every file an orphan.
TEST_F(DoctorTest, RepairRemovesNothingFromADamagedDatabase) {
  const std::string kept = data_ + "/" + Save(Train(), 0, "weights");
  coordinator_.reset();
  WriteFile(data_ + "/results.db", std::string(100000, 'x'));
  EXPECT_THAT(Names(Look(/*repair=*/true)), ElementsAre("integrity"));
  EXPECT_TRUE(fs::exists(kept));
}

TEST_F(DoctorTest, ABackupHasTheDatabaseAndEveryFileItNames) {
  const core::LeaseKey lease = Train();
  const std::string first = Save(lease, 0, "weights");
  const std::string target = directory_.path() + "/backup";
  const absl::StatusOr<BackupSize> size = BackUpDirectory(data_, target + "/");
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(size->checkpoints, 1);
  EXPECT_GT(size->bytes, 7);
  EXPECT_EQ(ReadFile(target + "/" + first), "weights");
  // A copy, and no link to the same bytes.
  EXPECT_EQ(fs::hard_link_count(target + "/" + first), 1u);
  EXPECT_EQ(fs::hard_link_count(data_ + "/" + first), 1u) << "nothing stays pinned";
  const auto reader = Reader::Open(target + "/results.db");
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->GetRun(lease.run)->run.state, "running");
  EXPECT_EQ(BackUpDirectory(data_, target).status().code(), absl::StatusCode::kFailedPrecondition) << "it exists";
  DoctorOptions options;
  options.directory = target;
  EXPECT_THAT(Names(*Diagnose(options)), IsEmpty());
}

TEST_F(DoctorTest, ABackupThatCannotBeWholeIsNotThere) {
  const std::string path = data_ + "/" + Save(Train(), 0, "weights");
  const std::string target = directory_.path() + "/backup";
  WriteFile(path, "wEights");
  EXPECT_EQ(BackUpDirectory(data_, target).status().code(), absl::StatusCode::kDataLoss);
  fs::remove(path);
  EXPECT_EQ(BackUpDirectory(data_, target).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(BackUpDirectory(directory_.path() + "/nothing", target).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(BackUpDirectory(data_, directory_.path() + "/no/such/place").status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), fs::directory_iterator()), 1) << "only data";
  EXPECT_TRUE(BackUpDatabase(data_, target + ".db").ok()) << "the database alone can be had";
}

TEST_F(DoctorTest, ALogOfAHistoryThatARestoreLostIsNotGoneOnWith) {
  ASSERT_TRUE(Submit(coordinator_.get(), "id", SweepText("s", 1, 1)).ok());
  const std::string backup = directory_.path() + "/backup.db";
  ASSERT_TRUE(BackUpDatabase(data_, backup).ok());
  const core::LeaseKey lost = Train();
  coordinator_->AppendLog(WorkerId("w"), lost, "of the lost history\n");
  ASSERT_TRUE(coordinator_->Inspect([](LiveView) {}).ok());  // it was taken by then
  coordinator_.reset();
  const std::string log = absl::StrCat(data_, "/logs/", lost.run.value(), "-1.log");
  ASSERT_EQ(ReadFile(log), "of the lost history\n");
  for (const char* end : {"", "-wal", "-shm"}) fs::remove(absl::StrCat(data_, "/results.db", end));
  fs::copy_file(backup, data_ + "/results.db");
  Start();
  const core::LeaseKey again = Train();
  ASSERT_EQ(again.run, lost.run);
  ASSERT_EQ(again.attempt, 1);
  coordinator_->AppendLog(WorkerId("w"), again, "of this one\n");
  ASSERT_TRUE(coordinator_->Inspect([](LiveView) {}).ok());  // it was taken by then
  coordinator_.reset();
  EXPECT_EQ(ReadFile(log), "of this one\n");
}

TEST_F(DoctorTest, WhatARestoredDatabaseHadLeasedIsQueuedAtOnce) {
  const core::LeaseKey lease = Train();
  const std::string restored = directory_.path() + "/restored";
  ASSERT_TRUE(BackUpDirectory(data_, restored).ok());
  CoordinatorOptions options;
  options.directory = restored;
  options.synchronous = StoreOptions::Synchronous::kOff;
  const auto other = Coordinator::Open(options);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_NE((*other)->Info().database_id, coordinator_->Info().database_id);
  EXPECT_GT((*other)->Info().epoch, coordinator_->Info().epoch);
  EXPECT_EQ((*other)->reader().GetRun(lease.run)->run.state, "queued");
  EXPECT_EQ(coordinator_->reader().GetRun(lease.run)->run.state, "running");
}

TEST_F(DoctorTest, WhatARestoredDatabaseHadLeasedIsQueuedAlsoIfItsFirstStartWasCutShort) {
  const core::LeaseKey lease = Train();
  CoordinatorOptions options;
  options.directory = directory_.path() + "/restored";
  options.synchronous = StoreOptions::Synchronous::kOff;
  ASSERT_TRUE(BackUpDirectory(data_, options.directory).ok());
  {
    StoreOptions first;
    first.directory = options.directory;
    first.synchronous = StoreOptions::Synchronous::kOff;
    first.database_id_if_created = "drawn";
    const auto store = Store::Open(first, SystemClock().Now());
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_TRUE((*store)->restored());
  }
  {
    const auto other = Coordinator::Open(options);
    ASSERT_TRUE(other.ok()) << other.status();
    EXPECT_EQ((*other)->Info().database_id, "drawn");
    const absl::StatusOr<RunDetail> run = (*other)->reader().GetRun(lease.run);
    EXPECT_EQ(run->run.state, "queued") << "no worker of this database can hold it";
  }
  StoreOptions later;
  later.directory = options.directory;
  later.synchronous = StoreOptions::Synchronous::kOff;
  const auto store = Store::Open(later, SystemClock().Now());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_FALSE((*store)->restored());
}

}  // namespace
}  // namespace seedbed
