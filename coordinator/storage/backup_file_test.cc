#include "coordinator/storage/backup_file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "coordinator/storage/inspection.h"
#include "coordinator/storage/reader.h"
#include "coordinator/storage/rollback_journal.h"
#include "coordinator/storage/storage_test_support.h"
#include "gmock/gmock.h"

namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace fs = std::filesystem;

void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class BackupFileTest : public ::testing::Test {
 protected:
  BackupFileTest() : store_(OpenStore(FastOptions(directory_.path() + "/data"))) {
    fs::create_directory(target_);
    SEEDBED_EXPECT_OK(store_->Write(Events(SweepEvents("sweep", 20, 20))));
  }

  std::set<std::string> Targets() const {
    std::set<std::string> names;
    for (const auto& each : fs::directory_iterator(target_)) names.insert(each.path().filename().string());
    return names;
  }
  absl::Status BackUp() { return BackupDatabase(store_->database_path(), path_); }
  // Under which name the next call will write.
  std::string NextPart() const {
    const std::string last = PartOfBackup(path_);
    int number = 0;
    EXPECT_TRUE(absl::SimpleAtoi(last.substr(last.rfind('-') + 1), &number));
    return absl::StrCat(last.substr(0, last.rfind('-') + 1), number + 1);
  }

  TemporaryDirectory directory_;
  const std::string target_ = directory_.path() + "/target";
  const std::string path_ = target_ + "/backup.db";
  std::unique_ptr<Store> store_;
};

TEST_F(BackupFileTest, IsAWholeDatabaseForThisUserOnly) {
  SEEDBED_ASSERT_OK(BackUp());
  EXPECT_THAT(Targets(), ElementsAre("backup.db"));
  const std::unique_ptr<Database> backup = OpenRaw(path_, /*writable=*/false);
  EXPECT_EQ(One(backup.get(), "SELECT count(*) FROM run_results"), "400");
  EXPECT_EQ(One(backup.get(), "PRAGMA integrity_check"), "ok");
  struct stat found;
  ASSERT_EQ(::stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
}

TEST_F(BackupFileTest, WhatStandsThereStays) {
  WriteFile(path_, "theirs");
  EXPECT_EQ(BackUp().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadFile(path_), "theirs");
  fs::remove(path_);
  fs::create_symlink("nowhere", path_);
  EXPECT_EQ(BackUp().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Targets(), ElementsAre("backup.db"));
}

TEST_F(BackupFileTest, AFileThatIsCalledAPartStays) {
  WriteFile(path_ + ".part", "theirs");
  SEEDBED_EXPECT_OK(BackUp());
  EXPECT_EQ(ReadFile(path_ + ".part"), "theirs");
  fs::remove(path_);

  const std::string part = NextPart();
  WriteFile(part, "theirs");
  const absl::Status refused = BackUp();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(part + " is in the way"));
  EXPECT_EQ(ReadFile(part), "theirs");

  const std::string link = NextPart();
  fs::create_symlink(target_ + "/led_to", link);
  EXPECT_EQ(BackUp().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(fs::exists(target_ + "/led_to"));
  EXPECT_TRUE(fs::is_symlink(link));
}

TEST_F(BackupFileTest, ANewNameReplacesNothing) {
  for (const auto give : {&GiveNewName, &GiveNewNameByLink}) {
    WriteFile(target_ + "/from", "ours");
    WriteFile(target_ + "/to", "theirs");
    EXPECT_EQ(give(target_ + "/from", target_ + "/to"), EEXIST);
    EXPECT_EQ(ReadFile(target_ + "/to"), "theirs");
    fs::remove(target_ + "/to");
    EXPECT_EQ(give(target_ + "/from", target_ + "/to"), 0);
    EXPECT_THAT(Targets(), ElementsAre("to"));
    EXPECT_EQ(ReadFile(target_ + "/to"), "ours");
  }
  fs::create_directory(target_ + "/from");
  EXPECT_EQ(GiveNewName(target_ + "/from", target_ + "/to"), EEXIST);
  fs::remove(target_ + "/to");
  fs::create_directory(target_ + "/to");
  EXPECT_EQ(GiveNewName(target_ + "/from", target_ + "/to"), EEXIST) << "an empty directory is somebody's too";
}

TEST_F(BackupFileTest, OfTwoAtOnceOneIsMadeAndTheOtherSaysSo) {
  std::vector<absl::Status> statuses(4);
  std::vector<std::thread> threads;
  for (absl::Status& status : statuses) threads.emplace_back([this, &status] { status = BackUp(); });
  for (std::thread& thread : threads) thread.join();
  int made = 0;
  for (const absl::Status& status : statuses) {
    made += status.ok() ? 1 : 0;
    if (status.ok()) continue;
    EXPECT_THAT(std::string(status.message()), HasSubstr("it exists"));
  }
  EXPECT_EQ(made, 1);
  EXPECT_THAT(Targets(), ElementsAre("backup.db"));
  EXPECT_EQ(One(OpenRaw(path_, /*writable=*/false).get(), "SELECT count(*) FROM runs"), "400");
}

TEST_F(BackupFileTest, OnlyWhatThisProgramKnowsIsCopied) {
  const std::string theirs = directory_.path() + "/theirs.db";
  SEEDBED_ASSERT_OK(OpenRaw(theirs)->Execute("CREATE TABLE meta (key PRIMARY KEY, value)"));
  const absl::Status foreign = BackupDatabase(theirs, path_);
  EXPECT_EQ(foreign.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(foreign.message()), HasSubstr("another program"));
  WriteFile(directory_.path() + "/empty.db", "");
  const absl::Status empty = BackupDatabase(directory_.path() + "/empty.db", path_);
  EXPECT_THAT(std::string(empty.message()), HasSubstr("is empty"));
  SEEDBED_ASSERT_OK(OpenRaw(store_->database_path())->Execute("PRAGMA user_version = 99"));
  const absl::Status newer = BackUp();
  EXPECT_EQ(newer.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(newer.message()), HasSubstr("written by a newer Seedbed"));
  EXPECT_THAT(Targets(), IsEmpty());
}

// A limit of the process stands in for a full disk.
TEST_F(BackupFileTest, ACopyThatDoesNotFitIsNamedAndGoes) {
  void (*const before)(int) = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  rlimit small = limit;
  small.rlim_cur = 64 << 10;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = BackUp();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::signal(SIGXFSZ, before);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot write the backup " + path_ + ": "));
  EXPECT_THAT(Targets(), IsEmpty());
}

TEST_F(BackupFileTest, APlaceThatCannotBeWrittenIsNamed) {
  WriteFile(target_ + "/file", "");
  std::vector<std::string> places = {target_ + "/file/backup.db", target_ + "/none/backup.db"};
  if (::geteuid() != 0) {  // whom no permission stops
    fs::create_directory(target_ + "/closed");
    fs::permissions(target_ + "/closed", fs::perms::owner_read | fs::perms::owner_exec);
    places.push_back(target_ + "/closed/backup.db");
  }
  for (const std::string& place : places) {
    const absl::Status status = BackupDatabase(store_->database_path(), place);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << place;
    EXPECT_THAT(std::string(status.message()), HasSubstr("cannot write the backup " + place + ": "));
    EXPECT_THAT(std::string(status.message()), HasSubstr("choose another place"));
  }
}

TEST_F(BackupFileTest, OneBesideTheLogOfACrashedDatabaseIsNotOpenedWithIt) {
  SEEDBED_ASSERT_OK(BackUp());
  SEEDBED_ASSERT_OK(store_->Write(Events(SweepEvents("later", 3, 1, SweepId(2), 1000, 1000))));
  const std::string crashed = directory_.path() + "/crashed";
  fs::create_directory(crashed);
  fs::permissions(crashed, fs::perms::owner_all);
  const std::string restored = crashed + "/results.db";
  fs::copy_file(path_, restored);
  for (const char* suffix : {"-wal", "-shm"}) fs::copy_file(store_->database_path() + suffix, restored + suffix);
  const std::string before = ReadFile(restored);
  const absl::Status refused = Store::Open(FastOptions(crashed), FakeClock().Now()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("results.db-wal belongs to another database"));
  EXPECT_EQ(Reader::Open(restored).status().code(), absl::StatusCode::kFailedPrecondition);
  const absl::StatusOr<Inspection> inspection = InspectDatabase(restored, /*quick=*/true);
  ASSERT_TRUE(inspection.ok()) << inspection.status();
  ASSERT_EQ(inspection->findings.size(), 1u);
  EXPECT_EQ(inspection->findings[0].check, "log");
  EXPECT_THAT(inspection->findings[0].advice, HasSubstr("results.db back"));
  EXPECT_EQ(ReadFile(restored), before);
  for (const char* suffix : {"-wal", "-shm"}) fs::remove(restored + suffix);
  const absl::StatusOr<std::unique_ptr<Store>> store = Store::Open(FastOptions(crashed), FakeClock().Now());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(One(**store, "SELECT group_concat(name) FROM sweeps"), "sweep");
}

class RollbackJournalTest : public BackupFileTest, public ::testing::WithParamInterface<bool> {
 protected:
  // What a process that is killed in mid-commit leaves of a database without a log. With `first_page` the commit had
  // changed that page too; there may be others in the journal only.
  std::string LeaveJournal(bool first_page) {
    StoreOptions options = FastOptions(directory_.path() + "/data");
    options.journal = StoreOptions::Journal::kDelete;
    store_.reset();
    store_ = OpenStore(options);
    const std::unique_ptr<Database> database = OpenRaw(store_->database_path());
    // So that pages and journal are written before the commit.
    SEEDBED_EXPECT_OK(database->Execute("PRAGMA synchronous = FULL; PRAGMA cache_size = 5; BEGIN IMMEDIATE"));
    if (first_page) SEEDBED_EXPECT_OK(database->Execute("CREATE TABLE filler (x)"));
    // 0 and 1 take the same room, so no page is needed for it.
    SEEDBED_EXPECT_OK(database->Execute("UPDATE runs SET counted_ends = 1"));
    const std::string crashed = directory_.path() + "/crashed";
    fs::create_directory(crashed);
    fs::permissions(crashed, fs::perms::owner_all);
    fs::copy_file(store_->database_path(), crashed + "/results.db");
    fs::copy_file(store_->database_path() + "-journal", crashed + "/results.db-journal");
    SEEDBED_EXPECT_OK(database->Execute("ROLLBACK"));
    return crashed;
  }
};

TEST_P(RollbackJournalTest, IsPlayedBackIntoItsOwnDatabaseOnly) {
  SEEDBED_ASSERT_OK(store_->Write(Events(SweepEvents("later", 40, 60, SweepId(2), 1000, 1000))));
  SEEDBED_ASSERT_OK(BackUp());
  const std::string crashed = LeaveJournal(GetParam());
  const std::string path = crashed + "/results.db";
  const std::optional<RollbackJournal> journal = ReadRollbackJournal(path + "-journal");
  ASSERT_TRUE(journal.has_value());
  EXPECT_EQ(journal->change_counter.has_value(), GetParam());
  const std::string left = ReadFile(path);
  const std::string left_journal = ReadFile(path + "-journal");

  fs::copy_file(path_, path, fs::copy_options::overwrite_existing);
  const std::string backup = ReadFile(path);
  const absl::Status refused = Store::Open(FastOptions(crashed), FakeClock().Now()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("results.db-journal belongs to another database"));
  EXPECT_EQ(Reader::Open(path).status().code(), absl::StatusCode::kFailedPrecondition);
  const absl::StatusOr<Inspection> inspection = InspectDatabase(path, /*quick=*/true);
  ASSERT_TRUE(inspection.ok()) << inspection.status();
  ASSERT_EQ(inspection->findings.size(), 1u);
  EXPECT_EQ(inspection->findings[0].check, "log");
  EXPECT_EQ(ReadFile(path), backup);
  EXPECT_EQ(ReadFile(path + "-journal"), left_journal);

  std::ofstream(path, std::ios::binary | std::ios::trunc) << left;
  const absl::StatusOr<std::unique_ptr<Store>> store = Store::Open(FastOptions(crashed), FakeClock().Now());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(One(**store, "SELECT count(*) FROM runs WHERE counted_ends = 1"), "0");
  EXPECT_EQ(One(**store, "PRAGMA integrity_check"), "ok");
}

// It says that there was nothing before: played back, nothing is what is left.
TEST_P(RollbackJournalTest, OfANewDatabasesFirstCommitIsNotPlayedBackIntoABackup) {
  SEEDBED_ASSERT_OK(store_->Write(Events(SweepEvents("later", 40, 60, SweepId(2), 1000, 1000))));
  SEEDBED_ASSERT_OK(BackUp());
  const std::string path = LeaveJournal(GetParam()) + "/results.db";
  std::string journal = ReadFile(path + "-journal").substr(0, 512);
  for (const size_t at : {8, 16}) journal.replace(at, 4, 4, '\0');  // records; pages of the database before
  std::ofstream(path + "-journal", std::ios::binary | std::ios::trunc) << journal;
  fs::copy_file(path_, path, fs::copy_options::overwrite_existing);
  EXPECT_EQ(Reader::Open(path).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadFile(path), ReadFile(path_));
}

INSTANTIATE_TEST_SUITE_P(WithAndWithoutTheFirstPage, RollbackJournalTest, ::testing::Bool());

TEST_F(BackupFileTest, DatabasesWithoutALogAreOpenedWhereOneOfTheirsWas) {
  StoreOptions options = FastOptions(directory_.path() + "/data");
  for (const auto journal : {StoreOptions::Journal::kDelete, StoreOptions::Journal::kDelete,
                             StoreOptions::Journal::kWriteAheadLog, StoreOptions::Journal::kDelete}) {
    store_.reset();
    options.journal = journal;
    store_ = OpenStore(options);
    SEEDBED_EXPECT_OK(Reader::Open(store_->database_path()).status());
    SEEDBED_EXPECT_OK(store_->Write(Events({WorkerEvent("w1")})));
  }
  // As a crash of the coordinator leaves it, with a log that is empty.
  WriteFile(store_->database_path() + "-wal", "");
  SEEDBED_EXPECT_OK(Reader::Open(store_->database_path()).status());
}

}  // namespace
}  // namespace seedbed
