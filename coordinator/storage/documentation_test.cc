#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/migrations.h"
#include "coordinator/storage/schema.h"
#include "coordinator/storage/storage_test_support.h"
#include "gtest/gtest.h"

// docs/results-database.md says what is true: its queries run, and it names every table, view and column.
namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file

class DocumentationTest : public ::testing::Test {
 protected:
  DocumentationTest() : store_(OpenStore(FastOptions(directory_.path()))) {
    std::ifstream file(std::string(SEEDBED_SOURCE_DIRECTORY) + "/docs/results-database.md");
    std::stringstream text;
    text << file.rdbuf();
    text_ = text.str();
  }

  std::vector<std::string> Queries() const {
    std::vector<std::string> queries;
    const std::string open = "```sql\n";
    for (size_t at = text_.find(open); at != std::string::npos; at = text_.find(open, at)) {
      at += open.size();
      queries.push_back(text_.substr(at, text_.find("```", at) - at));
    }
    return queries;
  }

  bool Says(const std::string& words) const { return text_.find(words) != std::string::npos; }

  TemporaryDirectory directory_;
  std::unique_ptr<Store> store_;
  std::string text_;
};

TEST_F(DocumentationTest, TheQueriesRunAndFindSomethingWhileASweepRuns) {
  std::vector<core::Event> events = SweepEvents("quickstart", 2, 2);
  events.push_back(WorkerEvent("w1"));
  for (int run = 1; run <= 3; ++run) events.push_back(Grant(RunId(run), 1, 1));
  events.push_back(Finish(RunId(1), 1, 2, "grokked", R"({"final_test_accuracy":1,"t_test_99":40,"t_train_99":10})"));
  Batch batch = Events(events);
  SEEDBED_ASSERT_OK(store_->Write(batch));
  const MetricRows rows{
      RunId(1), {0, 20}, {{"train_loss", {4, 3}}, {"test_accuracy", {0, 1}}, {"parameter_rms", {0.4, 0.3}}}, {}};
  SEEDBED_ASSERT_OK(store_->Write(Metrics({rows})));
  const std::unique_ptr<Reader> reader = OpenReader(*store_);
  const std::vector<std::string> queries = Queries();
  ASSERT_GE(queries.size(), 3u);
  for (const std::string& query : queries) {
    const absl::StatusOr<QueryResult> result = reader->Query(query);
    ASSERT_TRUE(result.ok()) << query << result.status();
    EXPECT_FALSE(result->rows.empty()) << query;
  }
}

TEST_F(DocumentationTest, WhoWasCancelledOrEndedEarlyIsCensoredAtItsLastStep) {
  std::vector<core::Event> events = SweepEvents("quickstart", 4, 1);
  events.push_back(WorkerEvent("w1"));
  std::vector<MetricRows> rows;
  for (int run = 1; run <= 4; ++run) {
    events.push_back(Grant(RunId(run), 1, 1));
    events.push_back(core::ReportAcknowledged{RunId(run), 1, 1, 30});
    rows.push_back({RunId(run), {0, 20, 30}, {{"test_accuracy", {0, run == 4 ? 1.0 : 0.5, 0.9}}}, {}});
  }
  SEEDBED_ASSERT_OK(store_->Write(Events(events)));
  SEEDBED_ASSERT_OK(store_->Write(Metrics(rows)));
  core::AttemptEnded cancelled;
  cancelled.attempt = 1;
  cancelled.next_fence = Fence(2);
  cancelled.end = core::AttemptEnd::kCancelled;
  cancelled.next_state = core::RunState::kCancelled;
  std::vector<core::Event> ends = {
      Finish(RunId(1), 1, 2, "grokked", R"({"t_test_99":25,"t_train_99":10})", 30),
      Finish(RunId(2), 1, 2, "memorised", R"({"reason":"stop rule","t_train_99":10})", 30)};
  for (const int run : {3, 4}) {
    cancelled.run = RunId(run);
    ends.push_back(cancelled);
  }
  SEEDBED_ASSERT_OK(store_->Write(Events(ends)));
  const std::vector<std::string> queries = Queries();
  const auto query = std::find_if(queries.begin(), queries.end(),
                                  [](const std::string& each) { return each.find("AS reached") != std::string::npos; });
  ASSERT_NE(query, queries.end());
  std::string sql = *query;
  sql.resize(sql.rfind(';'));
  EXPECT_EQ(
      One(*store_,
          absl::StrCat("SELECT group_concat(configuration_id || ':' || time || ':' || reached, ' ') FROM (", sql, ")")),
      "1:25:1 2:30:0 3:30:0 4:20:1");
}

TEST_F(DocumentationTest, EveryTableViewAndColumnIsNamed) {
  const std::unique_ptr<Database> database = OpenRaw(store_->database_path(), /*writable=*/false);
  Statement columns = *database->Prepare(
      "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type IN ('table', 'view') "
      "AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.cid");
  int seen = 0;
  while (*columns.Step()) {
    EXPECT_TRUE(Says(absl::StrCat("### ", columns.Text(0)))) << columns.Text(0) << " has no section";
    EXPECT_TRUE(Says(absl::StrCat("`", columns.Text(1), "`"))) << columns.Text(0) << "." << columns.Text(1);
    ++seen;
  }
  EXPECT_GT(seen, 100);
}

TEST_F(DocumentationTest, TheNumbersInTheFileAreTheOnesStated) {
  EXPECT_TRUE(Says(absl::StrCat("`PRAGMA application_id` is ", kApplicationId)));
  EXPECT_TRUE(Says(absl::StrCat("the schema's version, ", SchemaVersion(), ".")));
}

}  // namespace
}  // namespace seedbed
