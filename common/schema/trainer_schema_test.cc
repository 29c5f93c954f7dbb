#include "common/schema/trainer_schema.h"

#include <cmath>
#include <limits>

#include "common/schema/number_text.h"
#include "common/schema/shown_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

using ::testing::HasSubstr;

const TrainerSchema& Modular() {
  return *FindTrainer("modular");
}

std::string Checked(const std::string& parameter, const Json& value) {
  const absl::StatusOr<Json> checked = CheckParameter(*Modular().FindParameter(parameter), value);
  return checked.ok() ? CanonicalJson(*checked) : "error: " + std::string(checked.status().message());
}

TEST(NumberText, ReadsWhatPeopleWrite) {
  const struct {
    const char* text;
    double value;
    std::optional<int64_t> integer;
  } rows[] = {
      {"0", 0, 0},
      {"-7", -7, -7},
      {"+3", 3, 3},
      {"1e3", 1000, 1000},
      {"1E+3", 1000, 1000},
      {"2.0", 2, 2},
      {"2.5", 2.5, std::nullopt},
      {".5", 0.5, std::nullopt},
      {"5.", 5, 5},
      {"1e-3", 0.001, std::nullopt},
      {"0.001", 0.001, std::nullopt},
      {"9223372036854775807", 9223372036854775807.0, 9223372036854775807},
      {"9223372036854775808", 9223372036854775808.0, std::nullopt},
      {"1e400", std::numeric_limits<double>::infinity(), std::nullopt},
      {"-1e400", -std::numeric_limits<double>::infinity(), std::nullopt},
      {"1e-400", 0, 0},
      {".inf", std::numeric_limits<double>::infinity(), std::nullopt},
      {"-Infinity", -std::numeric_limits<double>::infinity(), std::nullopt},
  };
  for (const auto& row : rows) {
    const std::optional<NumberText> read = ReadNumberText(row.text);
    ASSERT_TRUE(read.has_value()) << row.text;
    EXPECT_EQ(read->value, row.value) << row.text;
    EXPECT_EQ(read->integer, row.integer) << row.text;
  }
  EXPECT_TRUE(std::isnan(ReadNumberText(".nan")->value));
  for (const char* text : {"", "-", "+", ".", "e3", "1e", "1e+", "0x10", "1_000", " 1", "1 ", "1.2.3", "--1", "one"}) {
    EXPECT_FALSE(ReadNumberText(text).has_value()) << text;
  }
}

TEST(CheckParameter, BringsAValueToItsOneForm) {
  EXPECT_EQ(Checked("optimizer.learning_rate", 1), "1.0");
  EXPECT_EQ(Checked("optimizer.learning_rate", 1.0), "1.0");
  EXPECT_EQ(Checked("optimizer.learning_rate", "1e0"), "1.0");
  EXPECT_EQ(Checked("optimizer.learning_rate", "1e-3"), "0.001");
  EXPECT_EQ(Checked("optimizer.weight_decay", -0.0), "0.0");
  EXPECT_EQ(Checked("optimizer.weight_decay", "-0"), "0.0");
  EXPECT_EQ(Checked("model.width", 128), "128");
  EXPECT_EQ(Checked("model.width", 128.0), "128");
  EXPECT_EQ(Checked("model.width", "1e3"), "1000");
  EXPECT_EQ(Checked("model.activation", "relu"), "\"relu\"");
}

TEST(CheckParameter, SaysWhatWasExpected) {
  EXPECT_THAT(Checked("model.width", 1.5), HasSubstr("expected an integer in [1, 16384] for model.width, got '1.5'"));
  EXPECT_THAT(Checked("task.modulus", 1), HasSubstr("expected an integer in [2, 4096]"));
  EXPECT_THAT(Checked("task.train_fraction", 0), HasSubstr("expected a number in (0, 1)"));
  EXPECT_THAT(Checked("task.train_fraction", 1), HasSubstr("expected a number in (0, 1)"));
  EXPECT_THAT(Checked("optimizer.learning_rate", "NaN"), HasSubstr("expected a finite number for"));
  EXPECT_THAT(Checked("optimizer.learning_rate", "1e999"), HasSubstr("expected a finite number for"));
  EXPECT_THAT(Checked("optimizer.learning_rate", nullptr), HasSubstr("got 'null'"));
  EXPECT_THAT(Checked("optimizer.learning_rate", true), HasSubstr("expected a number"));
  EXPECT_THAT(Checked("optimizer.learning_rate", Json::array({1})), HasSubstr("expected a number"));
  EXPECT_THAT(Checked("optimizer.epsilon", 0), HasSubstr("expected a number above 0"));
  EXPECT_THAT(Checked("model.activation", "swish"), HasSubstr("expected one of relu, gelu, tanh, quadratic"));
  EXPECT_THAT(Checked("task.split_seed", uint64_t{1} << 63), HasSubstr("expected an integer"));
}

TEST(ResolveParameters, FillsInDefaults) {
  const absl::StatusOr<Json> resolved = ResolveParameters(Modular(), Json::object());
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(CanonicalJson(*resolved),
            R"({"implementation":"auto","model.activation":"gelu","model.depth":2,"model.init_scale":1.0,)"
            R"("model.kind":"mlp","model.width":256,"optimizer.kind":"sgd","optimizer.learning_rate":0.01,)"
            R"("optimizer.momentum":0.9,"optimizer.weight_decay":0.002,"precision":"float32","task.modulus":97,)"
            R"("task.operation":"add","task.pairs":"ordered","task.split_seed":0,"task.train_fraction":0.2})");
}

TEST(ResolveParameters, KeepsOnlyWhatApplies) {
  const absl::StatusOr<Json> resolved = ResolveParameters(Modular(), Json{{"optimizer.kind", "adamw"}});
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_FALSE(resolved->contains("optimizer.momentum"));
  EXPECT_EQ((*resolved)["optimizer.beta2"], Json(0.999));
  const absl::StatusOr<Json> refused =
      ResolveParameters(Modular(), Json{{"optimizer.kind", "adamw"}, {"optimizer.momentum", 0.9}});
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("optimizer.momentum applies only when optimizer.kind is sgd or muon"));
}

TEST(ResolveParameters, NamesTheNearestKnownParameter) {
  const absl::StatusOr<Json> refused = ResolveParameters(Modular(), Json{{"optimizer.learning_rat", 0.1}});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("did you mean 'optimizer.learning_rate'?"));
}

TEST(NearestParameter, ComparesTheWholeAndThenTheLastPart) {
  EXPECT_EQ(NearestParameter(Modular(), "optimizer.learning_rat"), "optimizer.learning_rate");
  EXPECT_EQ(NearestParameter(Modular(), "learning_rate"), "optimizer.learning_rate");
  EXPECT_EQ(NearestParameter(Modular(), "optim.modulus"), "task.modulus");
  EXPECT_EQ(NearestParameter(Modular(), "optimizer.lr"), "optimizer.learning_rate");
  EXPECT_EQ(NearestParameter(Modular(), "wd"), "optimizer.weight_decay");
  EXPECT_EQ(NearestParameter(Modular(), "dropout"), std::nullopt);
}

TEST(ShownText, FitsOneLine) {
  EXPECT_EQ(ShownText("a'b"), "'a'b'");
  EXPECT_EQ(ShownText(std::string_view("a\n\0b", 4)), "'a\\n\\x00b'");
  const std::string long_text = std::string(59, 'x') + "éé";  // the border of 60 bytes falls inside the first é
  EXPECT_EQ(ShownText(long_text), "'" + std::string(59, 'x') + "…'");
}

TEST(TrainerSchema, IsConsistent) {
  for (const std::string& trainer : TrainerNames()) {
    const TrainerSchema* schema = FindTrainer(trainer);
    ASSERT_NE(schema, nullptr);
    for (const ParameterRule& rule : schema->rules) {
      EXPECT_NE(rule.mistake, nullptr);
      for (const std::string& name : rule.parameters) EXPECT_NE(schema->FindParameter(name), nullptr) << name;
    }
    std::vector<std::string> earlier;
    for (const ParameterDefinition& definition : schema->parameters) {
      EXPECT_TRUE(CheckParameter(definition, definition.default_value).ok()) << definition.name;
      EXPECT_FALSE(definition.description.empty()) << definition.name;
      EXPECT_THAT(earlier, ::testing::Not(::testing::Contains(definition.name)));
      if (definition.applies_when) {
        EXPECT_THAT(earlier, ::testing::Contains(definition.applies_when->parameter));
        const ParameterDefinition* on = schema->FindParameter(definition.applies_when->parameter);
        for (const std::string& value : definition.applies_when->values) {
          EXPECT_THAT(on->choices, ::testing::Contains(value));
        }
      }
      earlier.push_back(definition.name);
    }
  }
  EXPECT_EQ(FindTrainer("no_such_trainer"), nullptr);
  EXPECT_TRUE(Modular().FindMetric("test_accuracy")->at_evaluations_only);
  EXPECT_FALSE(Modular().FindMetric("train_accuracy")->at_evaluations_only);
  EXPECT_TRUE(Modular().FindMetric("restricted_loss")->at_analyses_only);
  EXPECT_EQ(Modular().FindMetric("weight_norm.layers.0.weight")->name, "weight_norm");
  EXPECT_EQ(Modular().FindMetric("weight_norm"), nullptr) << "a family is no metric";
  EXPECT_EQ(Modular().FindMetric("weight_norm."), nullptr);
  EXPECT_EQ(Modular().FindMetric("weight_normal"), nullptr);
  EXPECT_EQ(Modular().FindMetric("accuracy"), nullptr);
}

}  // namespace
}  // namespace seedbed
