#include "coordinator/storage/reader.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/reader_fixture.h"
#include "coordinator/storage/store.h"
#include "gmock/gmock.h"

namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: the support of this very file
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

TEST_F(ReaderTest, WhatALeaseNeeds) {
  EXPECT_THAT(*reader_->TemplateJson(SweepId(1)), HasSubstr(R"("trainer":"modular")"));
  EXPECT_EQ(*reader_->ParametersJson(ConfigurationId(3)), R"({"model.activation":"gelu","optimizer.weight_decay":2})");
  const auto several = *reader_->ParametersJson(ConfigurationId(2), ConfigurationId(4));
  ASSERT_EQ(several.size(), 2u);
  EXPECT_EQ(several[0].first, ConfigurationId(2));
  EXPECT_EQ(several[1].second, *reader_->ParametersJson(ConfigurationId(3)));
  EXPECT_TRUE(reader_->ParametersJson(ConfigurationId(4000), ConfigurationId(4004))->empty());
  EXPECT_EQ(reader_->TemplateJson(SweepId(9)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(reader_->ParametersJson(ConfigurationId(9)).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ReaderTest, AMissingOrForeignDatabaseIsSaid) {
  EXPECT_EQ(Reader::Open(directory_.path() + "/none.db").status().code(), absl::StatusCode::kNotFound);
  const std::string other = directory_.path() + "/other.db";
  SEEDBED_ASSERT_OK(OpenRaw(other)->Execute("CREATE TABLE theirs (a)"));
  EXPECT_EQ(Reader::Open(other).status().code(), absl::StatusCode::kFailedPrecondition);
  std::ofstream(directory_.path() + "/empty.db");
  EXPECT_EQ(Reader::Open(directory_.path() + "/empty.db").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ReaderTest, ASweepWithItsCounts) {
  FinishRuns();
  const std::vector<SweepRow> sweeps = *reader_->ListSweeps();
  ASSERT_EQ(sweeps.size(), 1u);
  EXPECT_EQ(sweeps[0].name, "sweep");
  EXPECT_EQ(sweeps[0].trainer, "modular");
  EXPECT_EQ(sweeps[0].configurations, 3);
  EXPECT_EQ(sweeps[0].runs.queued, 2);
  EXPECT_EQ(sweeps[0].runs.running, 1);
  EXPECT_EQ(sweeps[0].runs.finished, 2);
  EXPECT_EQ(sweeps[0].runs.failed, 1);
  EXPECT_THAT(sweeps[0].outcomes, ElementsAre(std::make_pair("grokked", 1), std::make_pair("memorised", 1)));
  EXPECT_EQ(*reader_->SweepSource(SweepId(1)), "name: sweep\n");
}

TEST_F(ReaderTest, ARunWithItsAttempts) {
  FinishRuns();
  const RunDetail detail = *reader_->GetRun(RunId(1));
  EXPECT_EQ(detail.run.sweep_name, "sweep");
  EXPECT_EQ(detail.run.state, "finished");
  EXPECT_EQ(detail.run.outcome, "grokked");
  EXPECT_EQ(detail.run.worker, "name of w1");
  EXPECT_EQ(detail.run.t_train_50, 5);
  EXPECT_EQ(detail.run.t_train_90, std::nullopt);
  EXPECT_EQ(detail.run.t_train_99, 100);
  EXPECT_EQ(detail.run.t_test_99, 500);
  EXPECT_EQ(detail.run.delay, 400);
  EXPECT_EQ(detail.run.final_train_accuracy, 1.0);
  EXPECT_EQ(detail.run.final_test_loss, std::nullopt) << "NaN is absent";
  EXPECT_EQ(detail.run.collapsed, false);
  EXPECT_EQ(detail.run.wall_seconds, 2.5);
  EXPECT_EQ(detail.run.cpu_seconds, 1.5);
  EXPECT_EQ(detail.run.last_step, 100);
  ASSERT_EQ(detail.attempts.size(), 1u);
  EXPECT_EQ(detail.attempts[0].end, "finished");
  EXPECT_EQ(detail.attempts[0].host, "node1");
  EXPECT_EQ(reader_->GetRun(RunId(2))->run.delay, std::nullopt);
  EXPECT_EQ(reader_->GetRun(RunId(3))->attempts[0].reason, "signal 9");
  EXPECT_EQ(reader_->GetRun(RunId(99)).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ReaderTest, RunsByEachFilter) {
  FinishRuns();
  const auto ids = [this](const RunFilter& filter) {
    std::vector<int64_t> found;
    const absl::StatusOr<std::vector<RunRow>> runs = reader_->ListRuns(filter);
    EXPECT_TRUE(runs.ok()) << runs.status();
    for (const RunRow& run : *runs) found.push_back(run.id.value());
    EXPECT_GE(*reader_->CountRuns(filter), static_cast<int64_t>(found.size()));
    return found;
  };
  RunFilter filter;
  EXPECT_THAT(ids(filter), ElementsAre(1, 2, 3, 4, 5, 6));
  filter.limit = 2;
  filter.offset = 3;
  EXPECT_THAT(ids(filter), ElementsAre(4, 5));
  EXPECT_EQ(*reader_->CountRuns(filter), 6);
  filter = {};
  filter.states = {core::RunState::kQueued, core::RunState::kFailed};
  EXPECT_THAT(ids(filter), ElementsAre(3, 5, 6));
  filter = {};
  filter.outcomes = {"grokked", "diverged"};
  EXPECT_THAT(ids(filter), ElementsAre(1));
  filter = {};
  filter.parameters = {{"optimizer.weight_decay", "1.0"}, {"model.activation", "\"gelu\""}};
  EXPECT_THAT(ids(filter), ElementsAre(3, 4)) << "1.0 equals 1";
  filter.parameters = {{"model.activation", "\"relu\""}};
  EXPECT_THAT(ids(filter), IsEmpty());
  filter = {};
  filter.sweep = SweepId(2);
  EXPECT_THAT(ids(filter), IsEmpty());
  filter = {};
  filter.configuration = ConfigurationId(2);
  EXPECT_THAT(ids(filter), ElementsAre(3, 4));
  filter = {};
  filter.runs = {RunId(6), RunId(2)};
  EXPECT_THAT(ids(filter), ElementsAre(2, 6));
  filter = {};
  filter.order = RunFilter::Order::kLastEnded;
  filter.limit = 1;
  EXPECT_THAT(ids(filter), ElementsAre(3)) << "the latest of equal times is the highest id";
  filter = {};
  filter.parameters = {{"x\" OR 1", "1"}};
  EXPECT_EQ(reader_->ListRuns(filter).status().code(), absl::StatusCode::kInvalidArgument);
  filter.parameters = {{"x", "not JSON"}};
  EXPECT_EQ(reader_->ListRuns(filter).status().code(), absl::StatusCode::kInvalidArgument);
}

// The view against the textbook: sort with "not reached" as infinity, take the middle; mean and sample deviation of the
// rest.
TEST_F(ReaderTest, StatisticsOfAConfigurationAgreeWithBruteForce) {
  std::mt19937_64 random(11);
  const int kConfigurations = 40;
  const int kSeeds = 5;
  Write(Events(SweepEvents("many", kConfigurations, kSeeds, SweepId(2), 100, 1000)));
  std::vector<std::vector<double>> delays(kConfigurations), groks(kConfigurations);
  std::vector<core::Event> events;
  for (int i = 0; i < kConfigurations; ++i) {
    const int finished = static_cast<int>(random() % (kSeeds + 1));
    for (int seed = 0; seed < finished; ++seed) {
      const RunId run(1000 + i * kSeeds + seed);
      const int64_t train = 10 + static_cast<int64_t>(random() % 1000);
      const bool reached = random() % 3 != 0;
      const int64_t test = train + static_cast<int64_t>(random() % 100'000);
      events.push_back(Grant(run, 1, 1));
      events.push_back(Finish(run, 1, 2, reached ? "grokked" : "memorised",
                              Summary(train, reached ? std::optional(test) : std::nullopt)));
      delays[i].push_back(reached ? static_cast<double>(test - train) : HUGE_VAL);
      groks[i].push_back(reached ? static_cast<double>(test) : HUGE_VAL);
    }
  }
  Write(Events(events));
  const auto median = [](std::vector<double> values) -> std::optional<double> {
    if (values.empty()) return std::nullopt;
    std::sort(values.begin(), values.end());
    const size_t n = values.size();
    const double middle = n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    return std::isinf(middle) ? std::nullopt : std::optional<double>(middle);
  };
  const std::vector<ConfigurationRow> rows = *reader_->ListConfigurations(SweepId(2));
  ASSERT_EQ(rows.size(), static_cast<size_t>(kConfigurations));
  for (int i = 0; i < kConfigurations; ++i) {
    SCOPED_TRACE(i);
    std::vector<double> survivors;
    std::copy_if(delays[i].begin(), delays[i].end(), std::back_inserter(survivors),
                 [](double d) { return !std::isinf(d); });
    double sum = 0, squares = 0;
    for (const double d : survivors) sum += d;
    const double mean = sum / static_cast<double>(survivors.size());
    for (const double d : survivors) squares += (d - mean) * (d - mean);
    EXPECT_EQ(rows[i].ordinal, i);
    EXPECT_EQ(rows[i].seeds, kSeeds);
    EXPECT_EQ(rows[i].finished, static_cast<int64_t>(delays[i].size()));
    EXPECT_EQ(rows[i].reached_test_99, static_cast<int64_t>(survivors.size()));
    EXPECT_EQ(rows[i].median_delay, median(delays[i]));
    EXPECT_EQ(rows[i].median_t_grok, median(groks[i]));
    ASSERT_EQ(rows[i].survivors_mean_delay.has_value(), !survivors.empty());
    if (!survivors.empty()) {
      EXPECT_NEAR(*rows[i].survivors_mean_delay, mean, 1e-6);
    }
    ASSERT_EQ(rows[i].survivors_sd_delay.has_value(), survivors.size() > 1);
    if (survivors.size() > 1) {
      EXPECT_NEAR(*rows[i].survivors_sd_delay, std::sqrt(squares / static_cast<double>(survivors.size() - 1)), 1e-6);
    }
  }
}

TEST_F(ReaderTest, WorkersWithWhatTheyHold) {
  FinishRuns();
  Write(Events({WorkerEvent("w0"), core::WorkerStateChanged{WorkerId("w0"), core::WorkerState::kActive,
                                                            core::WorkerState::kGone, "left"}}));
  std::vector<WorkerRow> workers = *reader_->ListWorkers();
  ASSERT_EQ(workers.size(), 1u);
  EXPECT_EQ(workers[0].id, "w1");
  EXPECT_EQ(workers[0].running, 1);
  EXPECT_THAT(workers[0].trainers_json, HasSubstr("modular"));
  workers = *reader_->ListWorkers(/*include_gone=*/true);
  ASSERT_EQ(workers.size(), 2u);
  EXPECT_EQ(workers[0].reason, "left");
}

TEST_F(ReaderTest, EventsFromAPlaceOn) {
  FinishRuns();
  const std::vector<EventRow> all = *reader_->ListEvents(0);
  ASSERT_GT(all.size(), 3u);
  const std::vector<EventRow> later = *reader_->ListEvents(all[1].id, std::nullopt, 2);
  ASSERT_EQ(later.size(), 2u);
  EXPECT_EQ(later[0].id, all[2].id);
  EXPECT_EQ(reader_->LatestEvents(1)->front().id, all.back().id);
  const std::vector<EventRow> of_sweep = *reader_->ListEvents(0, SweepId(1));
  for (const EventRow& event : of_sweep) EXPECT_EQ(event.sweep, SweepId(1)) << event.kind;
}

TEST_F(ReaderTest, StepsAsColumns) {
  MetricRows rows{RunId(1), {0, 10, 20}, {{"train_loss", {3, 2, 1}}, {"test_accuracy", {0.5, kNone, 0.75}}}, {}};
  rows.series.push_back({"layer.0", {7, kNone, 9}});
  Write(Metrics({rows}));
  const MetricTable table = *reader_->StepsOf(RunId(1));
  EXPECT_THAT(table.steps, ElementsAre(0, 10, 20));
  ASSERT_EQ(table.series.size(), 3u);
  for (const auto& [name, values] : table.series) {
    if (name == "train_loss") {
      EXPECT_THAT(values, ElementsAre(3, 2, 1));
    } else {
      EXPECT_TRUE(std::isnan(values[1])) << name;
    }
    if (name == "layer.0") {
      EXPECT_EQ(values[2], 9);
    }
  }
  EXPECT_FALSE(table.more);
  const MetricTable part = *reader_->StepsOf(RunId(1), 0, 1);
  EXPECT_THAT(part.steps, ElementsAre(10));
  EXPECT_TRUE(part.more);
  EXPECT_THAT(reader_->StepsOf(RunId(2))->steps, IsEmpty());
}

TEST_F(ReaderTest, AReaderFollowsNewColumns) {
  Write(Metrics({{RunId(1), {0}, {{"train_loss", {3}}}, {}}}));
  ASSERT_EQ(reader_->StepsOf(RunId(1))->series.size(), 1u);
  ASSERT_EQ(reader_->Query("SELECT * FROM curves")->rows.size(), 1u);
  Write(Metrics({{RunId(1), {1}, {{"sharpness", {4}}}, {}}}));
  EXPECT_EQ(reader_->StepsOf(RunId(1))->series.size(), 2u);
  EXPECT_EQ(std::get<double>(reader_->Query("SELECT sharpness FROM curves WHERE step = 1")->rows[0][0]), 4);
}

// --- queries of people

}  // namespace
}  // namespace seedbed
