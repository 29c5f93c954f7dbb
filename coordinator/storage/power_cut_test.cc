#include "coordinator/storage/power_cut.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/storage/backup_file.h"
#include "coordinator/storage/checkpointer.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/storage/inspection.h"
#include "coordinator/storage/storage_test_support.h"
#include "gtest/gtest.h"

// The power is cut before every sync and after every commit of a store's life. All other tests of the storage
// run without syncing and end processes at most, so that nothing else here would notice a commit that is not on the
// disk.
namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file

namespace fs = std::filesystem;
using Journal = StoreOptions::Journal;
using Synchronous = StoreOptions::Synchronous;

constexpr int kRuns = 4;
constexpr int kTrained = 2;

// A sweep's life: submission in two parts, grants, reports with rows (one with a new metric), checkpoints, an attempt
// that is lost and goes on, ends.
std::vector<Batch> Life() {
  std::vector<core::Event> events = SweepEvents("sweep", 2, kRuns / 2);
  const auto half = events.begin() + static_cast<std::ptrdiff_t>(events.size() / 2);
  std::vector<Batch> life = {Events({events.begin(), half}), Events({half, events.end()}), Events({WorkerEvent("w1")})};
  const auto train = [&life](int run, int attempt, int64_t from) {
    int64_t sequence = 0;
    for (int64_t step = from; step <= 100; step += 20) {
      MetricRows rows{RunId(run), {step}, {{"train_loss", {1.0 / run}}}, {}};
      if (step + 10 <= 100) rows.steps.push_back(step + 10);
      if (step + 10 <= 100) rows.series[0].values.push_back(0.5);
      if (run == 1) rows.series.push_back({"test_of_" + absl::StrCat(step), rows.series[0].values});
      Batch batch = Metrics({rows});
      batch.events.push_back(core::ReportAcknowledged{RunId(run), attempt, ++sequence, rows.steps.back()});
      life.push_back(batch);
      if (step != 40) continue;
      core::CheckpointStored stored;
      stored.run = RunId(run);
      stored.checkpoint = {
          50, attempt, sequence, absl::StrCat("checkpoints/", run, ".checkpoint"), std::string(64, 'a'), 5, {}};
      stored.numerics_json = "{}";
      life.push_back(Events({stored}));
    }
  };
  for (int run = 1; run <= kTrained; ++run) {
    life.push_back(Events({Grant(RunId(run), 1, 1)}));
    train(run, 1, 0);
    if (run == 2) {
      life.push_back(Events({core::AttemptEnded{
          RunId(run), 1, Fence(2), core::AttemptEnd::kLost, "gone", core::RunState::kQueued, {}, 1, 0}}));
      life.push_back(Events({Grant(RunId(run), 2, 3, 50)}));
      train(run, 2, 60);
    }
    const int attempts = run == 2 ? 2 : 1;
    life.push_back(Events({Finish(RunId(run), attempts, 2 * attempts, "grokked", "{}")}));
  }
  return life;
}

// All rows but those of `meta`, whose epoch rises at every opening.
std::string RowsOf(const std::string& database_path) {
  const std::unique_ptr<Database> raw = OpenRaw(database_path, /*writable=*/false);
  std::string all;
  for (const char* table : {"sweeps", "configurations", "runs", "workers", "attempts", "checkpoints", "events",
                            "metric_names", "step_rows", "step_chunks", "steps", "step_values"}) {
    absl::StatusOr<Statement> statement = raw->Prepare(absl::StrCat("SELECT * FROM ", table));
    if (!statement.ok()) return statement.status().ToString();
    while (true) {
      const absl::StatusOr<bool> row = statement->Step();
      if (!row.ok()) return row.status().ToString();
      if (!*row) break;
      for (int i = 0; i < statement->ColumnCount(); ++i) absl::StrAppend(&all, statement->Text(i), "|");
      all += "\n";
    }
  }
  return all;
}

class PowerCutTest : public ::testing::TestWithParam<Journal> {
 protected:
  PowerCutTest() : parent_(directory_.path() + "/disk") { fs::create_directory(parent_); }

  StoreOptions Options(Synchronous synchronous) const {
    StoreOptions options = FastOptions(parent_ + "/data");
    options.synchronous = synchronous;
    options.journal = GetParam();
    return options;
  }

  // What the rows are after each batch of the life, the first without any.
  void Rehearse() {
    const std::string path = directory_.path() + "/rehearsal";
    const std::unique_ptr<Store> store = OpenStore(FastOptions(path));
    expected_.push_back(RowsOf(store->database_path()));
    for (const Batch& batch : Life()) {
      SEEDBED_ASSERT_OK(store->Write(batch));
      expected_.push_back(RowsOf(store->database_path()));
    }
  }

  // How many batches a data directory has that a power cut left. -1: it could not be opened, or is broken.
  int BatchesIn(const std::string& data) {
    StoreOptions options = Options(Synchronous::kOff);
    options.directory = data;
    absl::StatusOr<std::unique_ptr<Store>> store = Store::Open(options, FakeClock().Now());
    if (!store.ok()) {
      problem_ = store.status().ToString();
      return -1;
    }
    const std::string rows = RowsOf((*store)->database_path());
    const absl::StatusOr<Inspection> inspection = InspectDatabase((*store)->database_path(), /*quick=*/false);
    if (!inspection.ok() || !inspection->findings.empty()) {
      problem_ = inspection.ok() ? inspection->findings[0].what : inspection.status().ToString();
      return -1;
    }
    const auto found = std::find(expected_.begin(), expected_.end(), rows);
    problem_ = found == expected_.end() ? "its rows are those of no commit" : "";
    return found == expected_.end() ? -1 : static_cast<int>(found - expected_.begin());
  }

  // Cuts the power now, in two ways, and looks what is there: every commit that was acknowledged, and none in part.
  void Cut(WatchedDisk* disk) {
    const Kept other = cuts_ % 3 == 0 ? Kept::kNames : Kept::kTorn;
    for (const Kept kept : {Kept::kNothing, other}) {
      const std::string left = absl::StrCat(directory_.path(), "/left");
      disk->CutInto(left, kept, static_cast<uint64_t>(cuts_));
      const int batches = BatchesIn(left + "/data");
      const std::string where = absl::StrCat("cut ", cuts_, " (kept ", static_cast<int>(kept), ")");
      if (batches < 0) {
        broken_.push_back(absl::StrCat(where, ": ", problem_));
      } else if (batches < acknowledged_ || batches > acknowledged_ + 1) {
        lost_.push_back(absl::StrCat(where, " has ", batches, " of ", acknowledged_, " acknowledged commits"));
      }
      fs::remove_all(left);
    }
    ++cuts_;
  }
  bool Seen() const { return lost_.size() + broken_.size() >= enough_; }

  // Runs the life, with the log emptied now and then and the store closed and opened again in its midst.
  void Live(Synchronous synchronous) {
    Rehearse();
    const std::vector<Batch> life = Life();
    WatchedDisk disk(parent_);
    disk.OnSync([&] { Cut(&disk); });
    std::unique_ptr<Store> store = OpenStore(Options(synchronous));
    std::optional<Checkpointer> checkpointer;
    const auto open_checkpointer = [&] {
      absl::StatusOr<Checkpointer> opened = Checkpointer::Open(store->database_path());
      SEEDBED_ASSERT_OK(opened.status());
      checkpointer.emplace(*std::move(opened));
    };
    open_checkpointer();
    for (size_t i = 0; i < life.size() && !Seen(); ++i) {
      SEEDBED_ASSERT_OK(store->Write(life[i]));
      ++acknowledged_;
      Cut(&disk);
      if (i % 5 == 4) SEEDBED_ASSERT_OK(checkpointer->Run().status());
      if (i != life.size() / 2) continue;
      checkpointer.reset();
      store.reset();
      store = OpenStore(Options(synchronous));
      open_checkpointer();
    }
    checkpointer.reset();
    store.reset();
    Cut(&disk);
    syncs_ = disk.syncs();
  }

  TemporaryDirectory directory_;
  const std::string parent_;
  std::vector<std::string> expected_;
  std::vector<std::string> lost_, broken_;
  std::string problem_;
  size_t enough_ = 1000;  // problems, to look no further
  int acknowledged_ = 0, cuts_ = 0, syncs_ = 0;
};

TEST_P(PowerCutTest, LosesNothingThatWasAcknowledged) {
  Live(StoreOptions().synchronous);
  EXPECT_EQ(absl::StrJoin(lost_, "\n"), "");
  EXPECT_EQ(absl::StrJoin(broken_, "\n"), "");
  EXPECT_EQ(acknowledged_, static_cast<int>(expected_.size()) - 1);
  EXPECT_GE(syncs_, acknowledged_) << "a sync for every commit at least";
}

// As docs/guarantees.md says of it.
TEST_P(PowerCutTest, MayUndoTheLastCommitsWhereTheyAreNotSyncedAndNothingElse) {
  if (GetParam() == Journal::kDelete) GTEST_SKIP() << "SQLite promises this for its log only";
  Live(Synchronous::kNormal);
  EXPECT_EQ(absl::StrJoin(broken_, "\n"), "");
  EXPECT_FALSE(lost_.empty());
}

// That this test sees what it is for.
TEST_P(PowerCutTest, IsNoticedWithoutSyncing) {
  enough_ = 20;
  Live(Synchronous::kOff);
  EXPECT_TRUE(Seen()) << lost_.size() << " lost, " << broken_.size() << " broken";
}

TEST_P(PowerCutTest, ABackupIsWholeOnceItHasItsName) {
  Rehearse();
  {
    const std::unique_ptr<Store> store = OpenStore(Options(Synchronous::kOff));
    for (const Batch& batch : Life()) SEEDBED_ASSERT_OK(store->Write(batch));
  }
  fs::create_directory(parent_ + "/copy");
  WatchedDisk disk(parent_);
  int there = 0;
  const auto look = [&] {
    for (const Kept kept : {Kept::kNothing, Kept::kNames, Kept::kTorn}) {
      const std::string left = directory_.path() + "/left";
      disk.CutInto(left, kept, static_cast<uint64_t>(disk.syncs()));
      if (fs::exists(DatabasePath(left + "/copy"))) {
        ++there;
        EXPECT_EQ(RowsOf(DatabasePath(left + "/copy")), expected_.back());
        EXPECT_EQ(One(OpenRaw(DatabasePath(left + "/copy"), /*writable=*/false).get(), "PRAGMA integrity_check"), "ok");
      }
      fs::remove_all(left);
    }
  };
  disk.OnSync(look);
  SEEDBED_ASSERT_OK(BackupDatabase(DatabasePath(parent_ + "/data"), DatabasePath(parent_ + "/copy")));
  there = 0;
  look();
  EXPECT_EQ(there, 3) << "it is there once the call is over";
}

INSTANTIATE_TEST_SUITE_P(Journals, PowerCutTest, ::testing::Values(Journal::kWriteAheadLog, Journal::kDelete),
                         [](const ::testing::TestParamInfo<Journal>& info) {
                           return info.param == Journal::kDelete ? "Delete" : "WriteAheadLog";
                         });

}  // namespace
}  // namespace seedbed
