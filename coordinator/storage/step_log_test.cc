#include "coordinator/storage/step_log.h"

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/inspection.h"
#include "coordinator/storage/storage_test_support.h"
#include "gmock/gmock.h"

// Where the rows of `steps` lie, and that nobody sees it.
namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

class StepLogTest : public ::testing::Test {
 protected:
  StepLogTest() : store_(OpenStore(FastOptions(directory_.path() + "/data"))) {
    std::vector<core::Event> events = SweepEvents("sweep", 2, 2);
    events.push_back(WorkerEvent("w1"));
    for (int run = 1; run <= 4; ++run) events.push_back(Grant(RunId(run), 1, 1));
    SEEDBED_EXPECT_OK(store_->Write(Events(events)));
  }

  std::string One(const std::string& sql) { return storage_test::One(*store_, sql); }
  // Every row of the query, its columns joined.
  std::vector<std::string> All(const std::string& sql) {
    const std::unique_ptr<Database> raw = OpenRaw(store_->database_path(), /*writable=*/false);
    absl::StatusOr<Statement> rows = raw->Prepare(sql);
    if (!rows.ok()) return {rows.status().ToString()};
    std::vector<std::string> texts;
    while (*rows->Step()) {
      std::string text;
      for (int i = 0; i < rows->ColumnCount(); ++i) {
        absl::StrAppend(&text, i > 0 ? " " : "", rows->IsNull(i) ? "-" : rows->Text(i));
      }
      texts.push_back(text);
    }
    return texts;
  }
  std::vector<std::string> Chunks() { return All("SELECT * FROM step_chunks ORDER BY run_id, first_step"); }
  void Report(int64_t run, const std::vector<int64_t>& steps, double value = 1) {
    SEEDBED_ASSERT_OK(store_->Write(Metrics({RowsOf(run, steps, value)})));
  }
  static MetricRows RowsOf(int64_t run, const std::vector<int64_t>& steps, double value = 1) {
    return {RunId(run), steps, {{"train_loss", std::vector<double>(steps.size(), value)}}, {}};
  }
  // What doctor finds of the chunks.
  std::vector<std::string> BrokenLaws() {
    const absl::StatusOr<Inspection> inspection = InspectDatabase(store_->database_path(), /*quick=*/true);
    if (!inspection.ok()) return {inspection.status().ToString()};
    std::vector<std::string> broken;
    for (const Finding& finding : inspection->findings) {
      if (finding.check != "rows_beyond_last_step") broken.push_back(finding.check + ": " + finding.what);
    }
    return broken;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Store> store_;
};

TEST_F(StepLogTest, AReportIsAChunkAndRowsLieInTheOrderOfTheirArrival) {
  SEEDBED_ASSERT_OK(store_->Write(Metrics({RowsOf(2, {0, 10}), RowsOf(1, {0, 10, 20})})));
  SEEDBED_ASSERT_OK(store_->Write(Metrics({RowsOf(1, {30}), RowsOf(2, {20, 30})})));
  EXPECT_THAT(Chunks(), ElementsAre("1 0 20 1 3", "1 30 30 6 6", "2 0 10 4 5", "2 20 30 7 8"));
  EXPECT_THAT(All("SELECT row_id, run_id, step FROM step_rows ORDER BY row_id"),
              ElementsAre("1 1 0", "2 1 10", "3 1 20", "4 2 0", "5 2 10", "6 1 30", "7 2 20", "8 2 30"));
  EXPECT_THAT(All("SELECT run_id, step FROM steps ORDER BY run_id, step"),
              ElementsAre("1 0", "1 10", "1 20", "1 30", "2 0", "2 10", "2 20", "2 30"));
}

TEST_F(StepLogTest, ARunThatReportsAloneHasOneChunk) {
  for (int64_t step = 0; step < 100; ++step) Report(1, {step});
  // Two reports of a run in one batch follow each other too.
  SEEDBED_ASSERT_OK(store_->Write(Metrics({RowsOf(1, {100, 101}), RowsOf(2, {0}), RowsOf(1, {102})})));
  EXPECT_THAT(Chunks(), ElementsAre("1 0 102 1 103", "2 0 0 104 104"));
}

TEST_F(StepLogTest, ALaterReportChangesRowsThatAreThereAndComesBetweenThem) {
  Report(1, {0, 10, 20, 30}, 1);
  Report(2, {0}, 1);
  Report(1, {10, 20}, 2);
  EXPECT_THAT(Chunks(), ElementsAre("1 0 30 1 4", "2 0 0 5 5")) << "in their places";
  // Before the first, in a gap, on a row, in a gap again twice, and beyond the last.
  Report(3, {5}, 1);
  Report(3, {0, 5, 6}, 2);
  Report(1, {5, 10, 12, 15, 40}, 3);
  EXPECT_THAT(All("SELECT run_id, step, train_loss FROM steps ORDER BY run_id, step"),
              ElementsAre("1 0 1.0", "1 5 3.0", "1 10 3.0", "1 12 3.0", "1 15 3.0", "1 20 2.0", "1 30 1.0", "1 40 3.0",
                          "2 0 1.0", "3 0 2.0", "3 5 2.0", "3 6 2.0"));
  EXPECT_THAT(BrokenLaws(), IsEmpty());
  EXPECT_THAT(All("SELECT first_step, last_step FROM step_chunks WHERE run_id = 1 ORDER BY first_step"),
              ElementsAre("0 0", "5 5", "10 10", "12 15", "20 30", "40 40"));
}

TEST_F(StepLogTest, ALaterReportKeepsTheValuesThatItDoesNotName) {
  Report(1, {0, 10}, 1);
  SEEDBED_ASSERT_OK(store_->Write(Metrics({{RunId(1), {0, 10}, {{"test_loss", {5, kNone}}}, {}}})));
  SEEDBED_ASSERT_OK(store_->Write(Metrics({{RunId(1), {0, 20}, {}, {}}})));
  SEEDBED_ASSERT_OK(store_->Write(Metrics({{RunId(1), {10}, {{"train_loss", {kNone}}}, {}}})));
  EXPECT_THAT(All("SELECT step, train_loss, test_loss FROM steps ORDER BY step"),
              ElementsAre("0 1.0 5.0", "10 - -", "20 - -"));
}

TEST_F(StepLogTest, DeletingBeyondAStepCutsAChunk) {
  for (const int64_t last : {-1, 0, 9, 10, 19, 40, 45, 50, 70, 99}) {
    SEEDBED_ASSERT_OK(store_->Write(Metrics({RowsOf(1, {0, 10, 20}), RowsOf(2, {0, 10})})));
    SEEDBED_ASSERT_OK(store_->Write(Metrics({RowsOf(1, {30, 40, 50, 60, 70}), RowsOf(2, {20})})));
    const std::unique_ptr<Database> raw = OpenRaw(store_->database_path());
    SEEDBED_ASSERT_OK(StepLog(raw.get()).DeleteBeyond(RunId(1), last));
    EXPECT_EQ(One("SELECT count(*) FROM steps WHERE run_id = 1"),
              absl::StrCat(last < 0 ? 0 : std::min<int64_t>(last, 70) / 10 + 1));
    EXPECT_EQ(One("SELECT ifnull(max(step), -1) FROM steps WHERE run_id = 1"),
              absl::StrCat(last < 0 ? -1 : std::min<int64_t>(last, 70) / 10 * 10));
    EXPECT_EQ(One("SELECT count(*) FROM steps WHERE run_id = 2"), "3");
    EXPECT_THAT(BrokenLaws(), IsEmpty()) << last;
  }
}

// A store that does by hand what any reader may expect of `steps`.
class Model {
 public:
  void Write(const MetricRows& rows) {
    for (size_t i = 0; i < rows.steps.size(); ++i) {
      auto& row = rows_[{rows.run.value(), rows.steps[i]}];
      for (const MetricSeries& series : rows.series) row[series.metric] = series.values[i];
    }
  }
  void DeleteBeyond(int64_t run, int64_t step) {
    rows_.erase(rows_.upper_bound({run, step}), rows_.lower_bound({run + 1, -1}));
  }
  std::vector<std::string> Rows() const {
    std::vector<std::string> all;
    for (const auto& [key, row] : rows_) {
      std::string text = absl::StrCat(key.first, " ", key.second);
      for (const char* metric : {"train_loss", "test_loss"}) {
        const auto value = row.find(metric);
        const bool none = value == row.end() || value->second != value->second;
        absl::StrAppend(&text, " ", none ? "-" : absl::StrCat(value->second, ".0"));
      }
      all.push_back(text);
    }
    return all;
  }
  std::vector<int64_t> StepsOf(int64_t run) const {
    std::vector<int64_t> steps;
    for (auto at = rows_.lower_bound({run, -1}); at != rows_.end() && at->first.first == run; ++at) {
      steps.push_back(at->first.second);
    }
    return steps;
  }

 private:
  std::map<std::pair<int64_t, int64_t>, std::map<std::string, double>> rows_;
};

class StepLogAtRandomTest : public StepLogTest, public ::testing::WithParamInterface<unsigned> {
 protected:
  int64_t Below(int64_t end) { return std::uniform_int_distribution<int64_t>(0, end - 1)(random_); }

  // Mostly beyond what the run has; sometimes from anywhere, over rows and between them.
  MetricRows RandomRows() {
    MetricRows rows;
    rows.run = RunId(1 + Below(4));
    const std::vector<int64_t> stored = model_.StepsOf(rows.run.value());
    int64_t step = stored.empty() ? 0 : stored.back() + 1;
    if (Below(3) == 0) step = Below(step + 1);
    for (int64_t count = Below(20); count > 0; --count) {
      rows.steps.push_back(step);
      step += 1 + Below(3);
    }
    for (const char* metric : {"train_loss", "test_loss"}) {
      if (Below(3) == 0) continue;
      rows.series.push_back({metric, {}});
      for (size_t i = 0; i < rows.steps.size(); ++i) {
        rows.series.back().values.push_back(Below(5) == 0 ? kNone : static_cast<double>(Below(1000)));
      }
    }
    return rows;
  }

  void ExpectTheReaderPages(int64_t run) {
    const std::unique_ptr<Reader> reader = OpenReader(*store_);
    std::vector<int64_t> steps;
    while (true) {
      const MetricTable page = *reader->StepsOf(RunId(run), steps.empty() ? -1 : steps.back(), 7);
      ASSERT_TRUE(steps.empty() || page.steps.empty() || page.steps.front() > steps.back()) << "a page begins anew";
      steps.insert(steps.end(), page.steps.begin(), page.steps.end());
      if (!page.more) break;
    }
    EXPECT_EQ(steps, model_.StepsOf(run));
  }

  std::mt19937_64 random_{GetParam()};
  Model model_;
  int attempts_[5] = {1, 1, 1, 1, 1};
};

TEST_P(StepLogAtRandomTest, WhateverComesLooksLikeATableByRunAndStep) {
  for (int round = 0; round < 150; ++round) {
    Batch batch = Metrics({});
    for (int64_t count = Below(5); count > 0; --count) {
      batch.metrics.push_back(RandomRows());
      model_.Write(batch.metrics.back());
    }
    if (Below(4) == 0) {
      const int64_t run = 1 + Below(4);
      const std::vector<int64_t> stored = model_.StepsOf(run);
      const int64_t resume = Below(3) == 0 || stored.empty() ? -1 : Below(stored.back() + 2);
      const int attempt = ++attempts_[run];
      batch.events = {Grant(RunId(run), attempt, attempt, resume < 0 ? std::nullopt : std::optional<int64_t>(resume))};
      model_.DeleteBeyond(run, resume);
    }
    SEEDBED_ASSERT_OK(store_->Write(batch));
    ASSERT_EQ(All("SELECT run_id, step, train_loss, test_loss FROM steps ORDER BY run_id, step"), model_.Rows());
    if (round % 10 != 0) continue;
    for (int64_t run = 1; run <= 4; ++run) ExpectTheReaderPages(run);
    std::vector<std::string> broken = BrokenLaws();
    // Attempts here do not end before the next is granted.
    broken.erase(std::remove_if(broken.begin(), broken.end(),
                                [](const std::string& law) { return law.rfind("attempt_ends", 0) == 0; }),
                 broken.end());
    ASSERT_THAT(broken, IsEmpty()) << "round " << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, StepLogAtRandomTest, ::testing::Range(1u, 9u));

// --- how the view is read

class StepsPlanTest : public StepLogTest {
 protected:
  std::vector<std::string> PlanOf(const std::string& sql) {
    const std::unique_ptr<Database> raw = OpenRaw(store_->database_path(), /*writable=*/false);
    absl::StatusOr<Statement> rows = raw->Prepare("EXPLAIN QUERY PLAN " + sql);
    if (!rows.ok()) return {rows.status().ToString()};
    std::vector<std::string> plan;
    while (*rows->Step()) plan.push_back(rows->Text(3));
    return plan;
  }
};

constexpr char kRowsOfAChunk[] = "SEARCH r USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
constexpr char kChunksOfARun[] = "SEARCH c USING PRIMARY KEY (run_id=?)";

TEST_F(StepsPlanTest, ARunsRowsAreFoundByItsChunks) {
  for (const char* sql :
       {"SELECT max(step) FROM steps WHERE run_id = 1", "SELECT train_loss FROM steps WHERE run_id = 1 AND step > 5",
        "SELECT count(*) FROM steps WHERE run_id = 1"}) {
    EXPECT_THAT(PlanOf(sql), ElementsAre(kChunksOfARun, kRowsOfAChunk)) << sql;
  }
  // Sorted within the run: what is read is its own rows.
  EXPECT_THAT(PlanOf("SELECT * FROM steps WHERE run_id = 1 ORDER BY step"),
              ElementsAre(kChunksOfARun, kRowsOfAChunk, "USE TEMP B-TREE FOR ORDER BY"));
}

TEST_F(StepsPlanTest, TheWholeTableIsReadByRunWithoutSortingIt) {
  EXPECT_THAT(PlanOf("SELECT count(*) FROM steps"), ElementsAre("SCAN c", kRowsOfAChunk));
  EXPECT_THAT(PlanOf("SELECT run_id, max(step) FROM steps GROUP BY run_id"), ElementsAre("SCAN c", kRowsOfAChunk));
  EXPECT_THAT(PlanOf("SELECT * FROM steps ORDER BY run_id, step"),
              ElementsAre("SCAN c", kRowsOfAChunk, "USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"))
      << "one run's rows at a time";
  EXPECT_THAT(
      PlanOf("SELECT * FROM steps WHERE (run_id, step) > (3, 5) ORDER BY run_id, step LIMIT 100"),
      ElementsAre("SEARCH c USING PRIMARY KEY (run_id>?)", kRowsOfAChunk, "USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"))
      << "a page of an export";
}

TEST_F(StepsPlanTest, JoinsAndTheViewsAboveItSearchToo) {
  for (const char* sql :
       {"SELECT step FROM curves WHERE run_id = 1", "SELECT step FROM curves WHERE configuration_id = 1",
        "SELECT max(s.train_loss) FROM run_results AS r JOIN steps AS s ON s.run_id = r.run_id WHERE r.run_id = 1",
        "SELECT value FROM metrics WHERE run_id = 1",
        "SELECT (SELECT max(step) FROM steps AS s WHERE s.run_id = runs.run_id) FROM runs"}) {
    const std::vector<std::string> plan = PlanOf(sql);
    EXPECT_THAT(plan, Contains(kChunksOfARun)) << sql;
    EXPECT_THAT(plan, Contains(kRowsOfAChunk)) << sql;
    EXPECT_THAT(plan, Not(Contains("SCAN c"))) << sql;
    EXPECT_THAT(plan, Not(Contains("SCAN r"))) << sql;
    EXPECT_THAT(plan, Not(Contains(HasSubstr("MATERIALIZE")))) << sql;
  }
}

}  // namespace
}  // namespace seedbed
