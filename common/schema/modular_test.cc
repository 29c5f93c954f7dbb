#include "common/schema/modular.h"

#include <set>
#include <string>
#include <utility>

#include "common/schema/modular_operations.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

using ::testing::HasSubstr;

std::string Refusal(const Json& given) {
  const absl::StatusOr<Json> resolved = ResolveParameters(ModularTrainerSchema(), given);
  return std::string(resolved.status().message());
}

TEST(ModularRules, SayWhatDoesNotGoTogether) {
  const struct {
    Json given;
    const char* message;
  } rows[] = {
      {{{"task.operation", "divide"}, {"task.modulus", 91}}, "divide needs a prime task.modulus, and 91 is none"},
      {{{"task.operation", "divide_or_subtract"}, {"task.modulus", 4}}, "needs a prime task.modulus"},
      {{{"task.operation", "subtract"}, {"task.pairs", "unordered"}}, "task.operation subtract does not commute"},
      {{{"task.operation", "s5_xy"}, {"task.pairs", "unordered"}}, "does not commute"},
      {{{"task.operation", "multiply"}, {"task.modulus", 2}}, "puts 0 of the 1 pairs of modulus 2 into training"},
      {{{"task.train_fraction", 0.00005}}, "puts 0 of the 9409 pairs of modulus 97"},
      {{{"task.train_fraction", 0.9999}, {"task.modulus", 97}, {"task.pairs", "unordered"}}, "puts 4753 of the 4753"},
      {{{"task.operation", "s5_xyx"}, {"task.train_fraction", 0.00003}}, "0 of the 14400 pairs of permutations"},
      {{{"model.kind", "transformer"}, {"model.heads", 3}}, "model.heads 3 does not divide model.width 256"},
      {{{"model.kind", "transformer"}, {"model.norm", "post"}, {"model.layer_norm", false}},
       "model.layer_norm is false"},
      {{{"optimizer.nesterov", true}, {"optimizer.momentum", 0}}, "needs an optimizer.momentum above 0"},
      {{{"optimizer.schedule", "warmup"}}, "needs optimizer.warmup_steps of at least 1"},
      {{{"optimizer.schedule", "cosine"}}, "needs optimizer.schedule_steps of at least 1"},
      {{{"matmul_precision", "tf32"}, {"precision", "float64"}}, "matmul_precision tf32 rounds float32 products"},
  };
  for (const auto& row : rows) EXPECT_THAT(Refusal(row.given), HasSubstr(row.message)) << row.given;
}

TEST(ModularRules, LetEverythingElsePass) {
  const Json rows[] = {
      {{"task.operation", "divide"}, {"task.modulus", 89}},
      {{"task.operation", "x2+xy+y2"}, {"task.pairs", "unordered"}},
      {{"task.operation", "multiply"}, {"task.pairs", "unordered"}, {"task.modulus", 12}},
      {{"task.operation", "s5_xyx-1"}},
      {{"model.kind", "transformer"}, {"model.heads", 8}, {"model.norm", "post"}},
      {{"model.kind", "transformer"}, {"model.layer_norm", false}},
      {{"model.kind", "residual_mlp"}, {"model.inner_width", 7}, {"model.final_norm", true}},
      {{"optimizer.schedule", "cosine"}, {"optimizer.schedule_steps", 10}},
      {{"optimizer.schedule", "warmup"}, {"optimizer.warmup_steps", 1}},
      {{"optimizer.kind", "muon"}, {"optimizer.nesterov", true}, {"optimizer.beta2", 0.98}},
      {{"matmul_precision", "bf16"}},
  };
  for (const Json& row : rows) EXPECT_EQ(Refusal(row), "") << row;
}

TEST(ModularSchema, ConditionsFollowTheKind) {
  EXPECT_THAT(Refusal({{"model.heads", 2}}), HasSubstr("model.heads applies only when model.kind is transformer"));
  EXPECT_THAT(Refusal({{"model.layer_norm", false}}), HasSubstr("model.kind is residual_mlp or transformer"));
  EXPECT_THAT(Refusal({{"task.operation", "s5_xy"}, {"task.modulus", 97}}), HasSubstr("applies only when"));
  EXPECT_THAT(Refusal({{"optimizer.warmup_steps", 5}}), HasSubstr("optimizer.schedule is warmup or cosine"));
  EXPECT_THAT(Refusal({{"optimizer.kind", "adamw"}, {"optimizer.nesterov", true}}), HasSubstr("sgd or muon"));
}

// What a configuration says of parameters that came later: nothing, as long as it does not use them.
TEST(ModularSchema, LaterParametersLeaveEarlierIdentitiesAlone) {
  const Json later = {{"task.label_noise", 0},
                      {"loss", "cross_entropy"},
                      {"batch_size", 0},
                      {"optimizer.nesterov", false},
                      {"optimizer.clip_norm", 0.0},
                      {"optimizer.schedule", "constant"},
                      {"matmul_precision", "full"},
                      {"optimizer.grokfast_lambda", 0},
                      {"optimizer.grokfast_alpha", 0.98},
                      {"optimizer.perpendicular_gradient", false}};
  const TrainerSchema& schema = ModularTrainerSchema();
  EXPECT_EQ(*ResolveParameters(schema, later), *ResolveParameters(schema, Json::object()));
  const Json used = *ResolveParameters(schema, {{"task.label_noise", 0.1}, {"loss", "mse"}});
  EXPECT_EQ(used["task.label_noise"], 0.1);
  EXPECT_EQ(used["loss"], "mse");
  EXPECT_FALSE(used.contains("batch_size"));
  const Json complete = *CompleteParameters(schema, used);
  for (const auto& [name, value] : later.items()) EXPECT_TRUE(complete.contains(name)) << name;
  EXPECT_EQ(*ResolveParameters(schema, complete), used);
}

// Brute force: which pairs there are, and how many without order.
TEST(ModularOperations, CountTheirPairs) {
  for (const int64_t modulus : {2, 3, 12, 97}) {
    for (const ModularOperation& operation : ModularOperations()) {
      const int64_t symbols = operation.on_permutations ? kPermutationsOfFive : modulus;
      int64_t ordered = 0;
      std::set<std::pair<int64_t, int64_t>> unordered;
      for (int64_t a = 0; a < symbols; ++a) {
        for (int64_t b = 0; b < symbols; ++b) {
          if (operation.name == "multiply" && (a == 0 || b == 0)) continue;
          if (operation.name == "divide" && b == 0) continue;
          ++ordered;
          unordered.insert(std::minmax(a, b));
        }
      }
      EXPECT_EQ(SplitUnitCount(operation, symbols, false), ordered) << operation.name;
      if (operation.commutes) {
        EXPECT_EQ(SplitUnitCount(operation, symbols, true), static_cast<int64_t>(unordered.size())) << operation.name;
      }
    }
  }
  EXPECT_EQ(SplitUnitCount(*FindModularOperation("add"), 97, false), 9409);
  EXPECT_EQ(SplitUnitCount(*FindModularOperation("multiply"), 97, false), 9216);
  EXPECT_EQ(SplitUnitCount(*FindModularOperation("s5_xy"), kPermutationsOfFive, false), 14400);
  EXPECT_EQ(TrainUnitCount(0.2, 9409), 1882);
  EXPECT_EQ(FindModularOperation("power"), nullptr);
}

TEST(IsPrime, KnowsTheFirstHundred) {
  int count = 0;
  for (int64_t n = 0; n < 542; ++n) count += IsPrime(n);
  EXPECT_EQ(count, 100);  // 541 is the hundredth prime
  EXPECT_TRUE(IsPrime(541));
  EXPECT_TRUE(IsPrime(4093));
  EXPECT_FALSE(IsPrime(61 * 67));
}

}  // namespace
}  // namespace seedbed
