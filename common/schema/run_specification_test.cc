#include "common/schema/run_specification.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

using ::testing::HasSubstr;

Json Valid() {
  return Json::parse(R"({
    "trainer": "modular",
    "budget": {"steps": 60000, "seconds": null},
    "stop": [{"metric": "test_accuracy", "at_least": 0.99, "held_for": 3},
             {"metric": "train_accuracy", "not_at_least": 0.99, "by_step": 60000},
             {"metric": "train_loss", "at_most": 1e-9, "held_for": 1},
             {"metric": "train_loss", "not_at_most": 2, "by_step": 10},
             {"not_finite": true}],
    "metrics": {"log_every": 10, "evaluate_every": 100},
    "parameters": {"model.width": 256, "optimizer.learning_rate": 0.01},
    "seed": 4})");
}

TEST(RunSpecification, SurvivesJson) {
  const absl::StatusOr<RunSpecification> read = RunSpecificationFromJson(Valid());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->shared.budget.steps, 60000);
  EXPECT_FALSE(read->shared.budget.seconds.has_value());
  ASSERT_EQ(read->shared.stop.size(), 5u);
  EXPECT_EQ(read->shared.stop[0].held_for, 3);
  EXPECT_EQ(read->shared.stop[1].kind, StopRule::Kind::kNotReached);
  EXPECT_EQ(read->shared.stop[1].by_step, 60000);
  EXPECT_EQ(read->shared.stop[2].direction, StopRule::Direction::kAtMost);
  EXPECT_EQ(read->shared.stop[4].kind, StopRule::Kind::kNotFinite);
  EXPECT_EQ(read->shared.metrics.log_every, 10);
  EXPECT_EQ(read->seed, 4);
  Json expected = Valid();
  expected["stop"][3]["not_at_most"] = 2.0;
  EXPECT_EQ(CanonicalJson(ToJson(*read)), CanonicalJson(expected));
}

TEST(RunSpecification, KeepsABudgetOfSeconds) {
  Json json = Valid();
  json["budget"]["seconds"] = 90;
  const absl::StatusOr<RunSpecification> read = RunSpecificationFromJson(json);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->shared.budget.seconds, 90.0);
  EXPECT_EQ(ToJson(*read)["budget"]["seconds"], Json(90.0));
}

TEST(RunSpecification, NamesTheIntervalOfAnalysisOnlyWhereThereIsOne) {
  Json json = Valid();
  json["metrics"]["analyze_every"] = 500;
  EXPECT_EQ(RunSpecificationFromJson(json)->shared.metrics.analyze_every, 500);
  EXPECT_EQ(ToJson(*RunSpecificationFromJson(json))["metrics"], json["metrics"]);
  json["metrics"]["analyze_every"] = 0;
  EXPECT_EQ(ToJson(*RunSpecificationFromJson(json))["metrics"], Valid()["metrics"]);
}

TEST(RunSpecification, TakesAbsentStopAndMetricsAsDefaults) {
  const absl::StatusOr<RunTemplate> read =
      RunTemplateFromJson(Json{{"trainer", "modular"}, {"budget", {{"steps", 5}}}});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->stop.empty());
  EXPECT_EQ(read->metrics.evaluate_every, 100);
}

TEST(RunSpecification, RefusesWhatIsWrong) {
  const struct {
    const char* pointer;
    Json value;
    const char* message;
  } rows[] = {
      {"/trainer", 3, "trainer: expected a name"},
      {"/budget/steps", 0, "budget.steps: expected an integer of at least 1"},
      {"/budget/steps", 1.5, "budget.steps: expected an integer"},
      {"/budget/steps", uint64_t{1} << 63, "budget.steps: expected an integer"},
      {"/budget/steps", (int64_t{1} << 53) + 1, "budget.steps: expected at most 9007199254740992"},
      {"/metrics/log_every", int64_t{1} << 62, "metrics.log_every: expected at most 9007199254740992"},
      {"/budget/seconds", -1, "budget.seconds: expected a number above 0"},
      {"/budget/stepz", 1, "unknown key 'stepz'; did you mean 'steps'?"},
      {"/stop", 1, "stop: expected an array"},
      {"/stop/0/held_for", 0, "stop rule.held_for: expected an integer of at least 1"},
      {"/stop/0/by_step", 5, "'by_step' goes with not_at_least"},
      {"/stop/0/at_most", 5, "exactly one of at_least"},
      {"/stop/0/at_least", "NaN", "expected a finite number at 'at_least'"},
      {"/stop/0/metric", 1, "expected the name of a metric"},
      {"/stop/1/held_for", 5, "'held_for' goes with at_least"},
      {"/stop/4/not_finite", false, "expected 'not_finite' alone and true"},
      {"/metrics/log_every", 0, "metrics.log_every: expected an integer of at least 1"},
      {"/metrics/analyze_every", -1, "metrics.analyze_every: expected an integer of at least 0"},
      {"/metrics", Json::object(), "metrics: 'log_every' is missing"},
      {"/parameters", Json::array(), "expected an object at 'parameters'"},
      {"/seed", -1, "specification.seed: expected an integer of at least 0"},
      {"/sed", 1, "unknown key 'sed'; did you mean 'seed'?"},
  };
  for (const auto& row : rows) {
    Json json = Valid();
    json[Json::json_pointer(row.pointer)] = row.value;
    const absl::StatusOr<RunSpecification> read = RunSpecificationFromJson(json);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << row.pointer;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(row.message)) << row.pointer;
  }
  EXPECT_FALSE(RunSpecificationFromJson(Json::array()).ok());
}

}  // namespace
}  // namespace seedbed
