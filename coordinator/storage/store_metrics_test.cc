// What the store makes of the rows that workers report.
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/schema/trainer_schema.h"
#include "coordinator/storage/store_fixture.h"
#include "gmock/gmock.h"

namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file
using ::testing::HasSubstr;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

TEST_F(StoreTest, MetricRowsAreWrittenOnceHoweverOftenTheyCome) {
  WriteSweep();
  const MetricRows rows{
      RunId(1), {0, 10, 20}, {{"train_loss", {4.5, 3.25, 2.125}}, {"test_accuracy", {0.01, kNone, 0.5}}}, {}};
  for (int i = 0; i < 3; ++i) SEEDBED_ASSERT_OK(store_->Write(Metrics({rows})));
  EXPECT_EQ(One("SELECT count(*) FROM steps"), "3");
  EXPECT_EQ(One("SELECT group_concat(step || ':' || train_loss || ':' || ifnull(test_accuracy, '-'), ' ') FROM steps"),
            "0:4.5:0.01 10:3.25:- 20:2.125:0.5");
  EXPECT_EQ(One("SELECT typeof(parameter_rms) FROM steps WHERE step = 0"), "null");
}

// What only analysed runs have takes no room in the rows of others.
TEST_F(StoreTest, MetricsOfAnalysesComeWhenTheyAreFirstSeen) {
  WriteSweep();
  const auto columns = [&](const char* name) {
    return One(absl::StrCat("SELECT count(*) FROM pragma_table_info('steps') WHERE name = '", name, "'"));
  };
  EXPECT_EQ(columns("restricted_loss"), "0");
  SEEDBED_ASSERT_OK(store_->Write(Metrics(
      {{RunId(1), {0, 10}, {{"restricted_loss", {kNone, 0.5}}, {"weight_norm.output.bias", {kNone, 7}}}, {}}})));
  EXPECT_EQ(columns("restricted_loss"), "1");
  EXPECT_EQ(One("SELECT restricted_loss FROM steps WHERE step = 10"), "0.5");
  EXPECT_EQ(One("SELECT group_concat(step || ':' || value) FROM step_values"), "10:7.0");
  for (const char* name : {"restricted_loss", "weight_norm.output.bias"}) {
    EXPECT_EQ(One(absl::StrCat("SELECT description FROM metric_names WHERE name = '", name, "'")),
              FindTrainer("modular")->FindMetric(name)->description);
  }
}

TEST_F(StoreTest, ValuesKeepTheirBitsAndInfinity) {
  WriteSweep();
  const double third = 1.0 / 3;
  SEEDBED_ASSERT_OK(store_->Write(
      Metrics({{RunId(1), {0, 1}, {{"train_loss", {third, std::numeric_limits<double>::infinity()}}}, {}}})));
  const std::unique_ptr<Database> raw = OpenRaw(store_->database_path(), false);
  Statement read = *raw->Prepare("SELECT train_loss FROM steps ORDER BY step");
  ASSERT_TRUE(*read.Step());
  EXPECT_EQ(read.Real(0), third);
  ASSERT_TRUE(*read.Step());
  EXPECT_EQ(read.Real(0), std::numeric_limits<double>::infinity());
}

TEST_F(StoreTest, TheEarliestNonFiniteStepIsKept) {
  WriteSweep();
  const auto rows = [](int64_t step) { return Metrics({{RunId(1), {step}, {{"train_loss", {kNone}}}, step}}); };
  SEEDBED_ASSERT_OK(store_->Write(rows(30)));
  SEEDBED_ASSERT_OK(store_->Write(rows(20)));
  SEEDBED_ASSERT_OK(store_->Write(rows(40)));
  EXPECT_EQ(One("SELECT first_nonfinite_step FROM run_results WHERE run_id = 1"), "20");
  EXPECT_EQ(One("SELECT first_nonfinite_step FROM run_results WHERE run_id = 2"), "NULL");
  const Batch ends = Events({
      Finish(RunId(1), 1, 2, "diverged", R"({"first_nonfinite_step":50})"),
      Finish(RunId(2), 1, 2, "diverged", R"({"first_nonfinite_step":7})"),
  });
  SEEDBED_ASSERT_OK(store_->Write(ends));
  EXPECT_EQ(One("SELECT first_nonfinite_step FROM run_results WHERE run_id = 1"), "20") << "its summary knows less";
  EXPECT_EQ(One("SELECT first_nonfinite_step FROM run_results WHERE run_id = 2"), "7");
}

TEST_F(StoreTest, ANewMetricAddsAColumnAndTheViewsFollow) {
  WriteSweep();
  SEEDBED_ASSERT_OK(store_->Write(Metrics({{RunId(1), {0, 1}, {{"Sharpness", {7, 8}}}, {}}})));
  // The same name in another case is the same metric.
  SEEDBED_ASSERT_OK(store_->Write(Metrics({{RunId(1), {2}, {{"SHARPNESS", {9}}}, {}}})));
  EXPECT_EQ(One("SELECT group_concat(sharpness) FROM steps"), "7.0,8.0,9.0");
  EXPECT_EQ(One("SELECT group_concat(Sharpness) FROM curves WHERE sweep = 'sweep' AND seed = 0"), "7.0,8.0,9.0");
  EXPECT_EQ(One("SELECT sum(value) FROM metrics WHERE metric = 'Sharpness'"), "24.0");
  store_.reset();
  store_ = OpenStore(FastOptions(data_));
  SEEDBED_ASSERT_OK(store_->Write(Metrics({{RunId(1), {3}, {{"sharpness", {1}}}, {}}})));
  EXPECT_EQ(One("SELECT sum(value) FROM metrics WHERE metric = 'Sharpness'"), "25.0");
}

TEST_F(StoreTest, MetricsBeyondTheColumnsOverflow) {
  WriteSweep();
  MetricRows rows{RunId(1), {5, 6}, {}, {}};
  for (int i = 0; i < 100; ++i)
    rows.series.push_back({absl::StrCat("extra_", i), {double(i), i == 99 ? kNone : i + 0.5}});
  rows.series.push_back({"layer.0-norm", {1, 2}});  // no identifier of SQL
  rows.series.push_back({"seed", {3, 4}});          // a column of the view curves
  for (int i = 0; i < 2; ++i) SEEDBED_ASSERT_OK(store_->Write(Metrics({rows})));
  EXPECT_EQ(One("SELECT count(*) FROM pragma_table_info('steps')"), "66");
  EXPECT_EQ(One("SELECT count(*) FROM steps"), "2");
  EXPECT_EQ(One("SELECT count(*) FROM metrics"), "203");
  EXPECT_EQ(One("SELECT sum(value) FROM metrics WHERE metric LIKE 'extra%'"),
            absl::StrCat(2 * 4950 - 99 + 49.5, ".0").substr(0, 6));
  EXPECT_EQ(One("SELECT group_concat(value) FROM metrics WHERE metric = 'layer.0-norm'"), "1.0,2.0");
  EXPECT_EQ(One("SELECT count(*) FROM curves WHERE seed = 0"), "2");
}

TEST_F(StoreTest, BadMetricRowsAreRefusedWhole) {
  WriteSweep();
  const MetricRows good{RunId(1), {0}, {{"train_loss", {1}}}, {}};
  const std::vector<MetricRows> bad = {
      {RunId(2), {0}, {{"step", {1}}}, {}},
      {RunId(2), {0}, {{"RUN_ID", {1}}}, {}},
      {RunId(2), {0}, {{"a\" REAL); --", {1}}}, {}},
      {RunId(2), {0}, {{"", {1}}}, {}},
      {RunId(2), {0}, {{std::string(200, 'a'), {1}}}, {}},
      {RunId(2), {0, 1}, {{"train_loss", {1}}}, {}},
      {RunId(2), {1, 1}, {{"train_loss", {1, 2}}}, {}},
      {RunId(2), {-1}, {{"train_loss", {1}}}, {}},
  };
  for (const MetricRows& rows : bad) {
    EXPECT_EQ(store_->Write(Metrics({good, rows})).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(One("SELECT count(*) FROM steps"), "0");
}

// --- events

TEST_F(StoreTest, AnAcknowledgementCommitsWithItsRows) {
  WriteSweep();
  Batch batch = Metrics({{RunId(1), {0, 10}, {{"train_loss", {1, 2}}}, {}}});
  batch.events = {core::ReportAcknowledged{RunId(1), 1, 3, 10}};
  SEEDBED_ASSERT_OK(store_->Write(batch));
  SEEDBED_ASSERT_OK(store_->Write(Events({core::ReportAcknowledged{RunId(1), 1, 4, -1}})));
  EXPECT_EQ(One("SELECT acknowledged_sequence || ' ' || last_step FROM attempts WHERE run_id = 1"), "4 10");
  EXPECT_EQ(One("SELECT last_step FROM run_results WHERE run_id = 1"), "10");
  EXPECT_EQ(One("SELECT last_step FROM run_results WHERE run_id = 2"), "NULL");
}

TEST_F(StoreTest, SeveralAcknowledgementsOfABatchAreOne) {
  WriteSweep();
  // The largest step counts, wherever it came; those of another attempt are its own.
  SEEDBED_ASSERT_OK(store_->Write(
      Events({core::ReportAcknowledged{RunId(1), 1, 1, 40}, core::ReportAcknowledged{RunId(2), 1, 1, 7},
              core::ReportAcknowledged{RunId(1), 1, 2, 20}, core::ReportAcknowledged{RunId(1), 1, 3, -1}})));
  EXPECT_EQ(One("SELECT group_concat(run_id || ':' || acknowledged_sequence || ':' || last_step, ' ') FROM attempts "
                "WHERE run_id < 3"),
            "1:3:40 2:1:7");
  // With the end of the attempt, too.
  SEEDBED_ASSERT_OK(store_->Write(Events(
      {core::ReportAcknowledged{RunId(1), 1, 4, 60}, Finish(RunId(1), 1, 2, "grokked", "{}", 50),
       core::ReportAcknowledged{RunId(2), 1, 2, 9},
       core::AttemptEnded{RunId(2), 1, Fence(2), core::AttemptEnd::kLost, "gone", core::RunState::kQueued, {}, 1, 0},
       Grant(RunId(2), 2, 3), core::ReportAcknowledged{RunId(2), 2, 1, 3}})));
  EXPECT_EQ(One("SELECT group_concat(run_id || ':' || attempt || ':' || acknowledged_sequence || ':' || last_step || "
                "':' || ifnull(ended_as, '-'), ' ') FROM attempts WHERE run_id < 3"),
            "1:1:4:60:finished 2:1:2:9:lost 2:2:1:3:-");
  EXPECT_EQ(One("SELECT last_step FROM runs WHERE run_id = 1"), "50");
}

}  // namespace
}  // namespace seedbed
