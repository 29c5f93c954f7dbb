// What a valid file means.
#include "common/sweep_file/sweep.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const char kGoldilocks[] = R"(
name: goldilocks
trainer: modular
method: grid
seeds: 3
parameters:
  model:
    parameters:
      width: {value: 256}
      activation: {values: [relu, gelu]}
  optimizer.kind: {value: sgd}
  optimizer.momentum: {value: 0.9, when: {optimizer.kind: sgd}}
zip:
  - {optimizer.learning_rate: [1e-2, 3e-2], optimizer.weight_decay: [2e-3, 5e-4]}
exclude:
  - {model.activation: relu, optimizer.weight_decay: 5e-4}
include:
  - {model.activation: tanh, optimizer.learning_rate: 1e-2, optimizer.weight_decay: 2e-3}
budget: {steps: 50000}
)";

Sweep Parsed(const std::string& text, const std::vector<std::string>& overrides = {}) {
  absl::StatusOr<Sweep> sweep = ParseSweep(text, "s.yaml", overrides);
  EXPECT_TRUE(sweep.ok()) << sweep.status();
  return sweep.ok() ? *std::move(sweep) : Sweep();
}

// A sweep with these lines beside a name and a budget.
Sweep With(const std::string& lines, const std::vector<std::string>& overrides = {}) {
  return Parsed("name: s\nbudget: {steps: 10}\n" + lines, overrides);
}

std::vector<std::string> Varied(const Sweep& sweep) {
  std::vector<std::string> varied;
  for (const Configuration& configuration : sweep.configurations) varied.push_back(configuration.varied_json);
  return varied;
}

std::vector<Digest> Digests(const Sweep& sweep) {
  std::vector<Digest> digests;
  for (const Configuration& configuration : sweep.configurations) digests.push_back(configuration.digest);
  return digests;
}

Json Parameters(const Sweep& sweep, size_t index) {
  return Json::parse(sweep.configurations[index].parameters_json);
}

TEST(Sweep, OfTheDocumentation) {
  const Sweep sweep = Parsed(kGoldilocks);
  EXPECT_EQ(sweep.name, "goldilocks");
  EXPECT_THAT(sweep.seeds, ElementsAre(0, 1, 2));
  EXPECT_EQ(sweep.run_count(), 12);
  EXPECT_EQ(sweep.shared.budget.steps, 50000);
  EXPECT_THAT(
      Varied(sweep),
      ElementsAre(R"({"model.activation":"relu","optimizer.learning_rate":0.01,"optimizer.weight_decay":0.002})",
                  R"({"model.activation":"gelu","optimizer.learning_rate":0.01,"optimizer.weight_decay":0.002})",
                  R"({"model.activation":"gelu","optimizer.learning_rate":0.03,"optimizer.weight_decay":0.0005})",
                  R"({"model.activation":"tanh","optimizer.learning_rate":0.01,"optimizer.weight_decay":0.002})"));
  EXPECT_EQ(sweep.configurations[0].parameters_json,
            R"({"implementation":"auto","model.activation":"relu","model.depth":2,"model.init_scale":1.0,)"
            R"("model.kind":"mlp","model.width":256,"optimizer.kind":"sgd","optimizer.learning_rate":0.01,)"
            R"("optimizer.momentum":0.9,"optimizer.weight_decay":0.002,"precision":"float32","task.modulus":97,)"
            R"("task.operation":"add","task.pairs":"ordered","task.split_seed":0,"task.train_fraction":0.2})");
  EXPECT_EQ(sweep.configurations[0].digest, DigestOf(sweep.configurations[0].parameters_json));
}

TEST(Sweep, NeedsLittle) {
  const Sweep sweep = With("");
  EXPECT_EQ(sweep.shared.trainer, "modular");
  EXPECT_THAT(sweep.seeds, ElementsAre(0));
  EXPECT_THAT(Varied(sweep), ElementsAre("{}"));
  EXPECT_FALSE(sweep.shared.budget.seconds.has_value());
  EXPECT_FALSE(sweep.max_concurrent.has_value());
  EXPECT_TRUE(sweep.metric.is_null());
  ASSERT_EQ(sweep.shared.stop.size(), 1u);
  EXPECT_EQ(sweep.shared.stop[0].kind, StopRule::Kind::kNotFinite);
}

TEST(Sweep, HasItsOwnKeys) {
  const Sweep sweep = Parsed(
      "name: a.b-c_1\ndescription: what for\npriority: -3\nmax_concurrent: 7\nseeds: [5, 3, 9]\n"
      "budget: {steps: 1e3, time: 1h30m}\nmetrics: {log_every: 7, evaluate_every: \"11\"}\n"
      "metric: {name: test_accuracy, goal: maximize}\n"
      "stop:\n"
      "  - {metric: test_accuracy, at_least: 0.99, held_for: 3}\n"
      "  - {metric: train_accuracy, not_at_least: 0.99, by_step: 60000}\n"
      "  - {metric: train_loss, at_most: 1e-6}\n"
      "  - {not_finite: true}\nretries: 2\n");
  EXPECT_EQ(sweep.name, "a.b-c_1");
  EXPECT_EQ(sweep.description, "what for");
  EXPECT_EQ(sweep.priority, -3);
  EXPECT_EQ(sweep.max_concurrent, 7);
  EXPECT_EQ(sweep.retries, 2);
  EXPECT_THAT(sweep.seeds, ElementsAre(5, 3, 9));
  EXPECT_EQ(CanonicalJson(ToJson(sweep.shared)),
            R"({"budget":{"seconds":5400.0,"steps":1000},"metrics":{"evaluate_every":11,"log_every":7},"stop":[)"
            R"({"at_least":0.99,"held_for":3,"metric":"test_accuracy"},)"
            R"({"by_step":60000,"metric":"train_accuracy","not_at_least":0.99},)"
            R"({"at_most":1e-06,"held_for":1,"metric":"train_loss"},{"not_finite":true}],"trainer":"modular"})");
  EXPECT_EQ(CanonicalJson(sweep.metric), R"({"goal":"maximize","name":"test_accuracy"})");
}

TEST(Sweep, SaysWhichCheckpointsStayAndWhetherNumericsMayMix) {
  EXPECT_EQ(With("").keep_checkpoints, "last");
  EXPECT_EQ(With("").numerics, "any");
  for (const std::string keep : {"last", "none", "all"}) {
    EXPECT_EQ(With("checkpoints: {keep: " + keep + "}").keep_checkpoints, keep);
  }
  for (const std::string numerics : {"any", "strict"}) EXPECT_EQ(With("numerics: " + numerics).numerics, numerics);
}

TEST(Sweep, StopsAtLossesThatAreNotFinite) {
  const char* rule = R"({"not_finite":true})";
  EXPECT_EQ(CanonicalJson(ToJson(With("stop: [not_finite]").shared)["stop"]), "[" + std::string(rule) + "]");
  EXPECT_EQ(CanonicalJson(ToJson(With("stop: [{not_finite: true}]").shared)["stop"]), "[" + std::string(rule) + "]");
  EXPECT_EQ(With("stop: [{metric: test_loss, at_most: 1}]").shared.stop.size(), 2u);
}

TEST(Sweep, GridOrderIsTheFilesWithTheLastParameterFastest) {
  const Sweep sweep = With(
      "parameters:\n  model.width: {values: [9, 8]}\n  model.depth: {values: [1, 2]}\n"
      "zip: [{task.modulus: [5, 3], task.split_seed: [1, 0]}]");
  std::vector<std::string> shown;
  for (size_t i = 0; i < sweep.configurations.size(); ++i) {
    const Json p = Parameters(sweep, i);
    shown.push_back(p["model.width"].dump() + p["model.depth"].dump() + p["task.modulus"].dump() +
                    p["task.split_seed"].dump());
  }
  EXPECT_THAT(shown, ElementsAre("9151", "9130", "9251", "9230", "8151", "8130", "8251", "8230"));
}

TEST(Sweep, SpellingDoesNotMatter) {
  const Sweep one = With(
      "parameters:\n"
      "  optimizer.learning_rate: {values: [1e-3, 0.5]}\n"
      "  model.width: {value: 64}\n"
      "  model.activation: {value: relu}\n"
      "seeds: 2\n");
  const char* others[] = {
      "seeds: [0, 1]\nparameters:\n  model:\n    parameters:\n      activation: {value: 'relu'}\n"
      "      width: {value: \"64\"}\n  optimizer:\n    parameters: {learning_rate: {values: [0.001, .5]}}\n",
      "parameters: {model.activation: {values: [relu]}, model.width: {value: 6.4e1}, optimizer.learning_rate: {values: "
      "[\"1e-3\", 5e-1]}}\nseeds: \"2\"",
      "parameters: {model.width: {value: 64.0}, model.activation: {distribution: constant, value: relu}}\nseeds: 2\n"
      "zip: [{optimizer.learning_rate: [+1E-3, 0.50]}]",
      "method: grid\nseeds: 2\nparameters: {model.width: {value: 64, when: {model.kind: mlp}}, model.activation: "
      "{value: relu},"
      " optimizer.learning_rate: {distribution: categorical, values: [0.001, 0.5, 1e-3]}}",
  };
  ASSERT_EQ(one.configurations.size(), 2u);
  for (const char* other : others) {
    const Sweep same = With(other);
    EXPECT_EQ(Digests(same), Digests(one)) << other;
    EXPECT_EQ(Varied(same), Varied(one)) << other;
    EXPECT_EQ(same.seeds, one.seeds) << other;
    EXPECT_EQ(same.fixed_json, one.fixed_json) << other;
  }
}

TEST(Sweep, IntegersAndNumbersHaveOneForm) {
  EXPECT_EQ(Digests(With("parameters: {model.init_scale: {value: 1}}")),
            Digests(With("parameters: {model.init_scale: {value: 1.0}}")));
  EXPECT_EQ(Digests(With("parameters: {optimizer.weight_decay: {value: -0.0}}")),
            Digests(With("parameters: {optimizer.weight_decay: {value: 0}}")));
  // A default that is written out is the default.
  EXPECT_EQ(Digests(With("parameters: {optimizer.momentum: {value: 0.9}}")), Digests(With("")));
}

TEST(Sweep, NoPointTwice) {
  EXPECT_EQ(With("parameters: {model.width: {values: [8, 8.0, '8', 16]}}").configurations.size(), 2u);
  EXPECT_EQ(With("zip: [{model.width: [8, 8, 8], model.depth: [1, 2, 1]}]").configurations.size(), 2u);
  EXPECT_EQ(With("parameters: {model.width: {values: [8, 16]}}\ninclude: [{model.width: 8}, {model.width: 16}]")
                .configurations.size(),
            2u);
}

TEST(Sweep, ParametersExistOnlyWhereTheTrainerTakesThem) {
  // Momentum belongs to sgd: the adamw points do not have it, and so there is one of them, not two.
  const Sweep sweep =
      With("parameters:\n  optimizer.kind: {values: [sgd, adamw]}\n  optimizer.momentum: {values: [0.8, 0.9]}\n");
  EXPECT_THAT(Varied(sweep),
              ElementsAre(R"({"optimizer.kind":"sgd","optimizer.momentum":0.8})",
                          R"({"optimizer.kind":"sgd","optimizer.momentum":0.9})", R"({"optimizer.kind":"adamw"})"));
  EXPECT_FALSE(Parameters(sweep, 2).contains("optimizer.momentum"));
  EXPECT_EQ(Parameters(sweep, 2)["optimizer.beta2"], 0.999);
  EXPECT_FALSE(Parameters(sweep, 0).contains("optimizer.beta2"));
}

TEST(Sweep, WhenLimitsAParameterToSomePoints) {
  const Sweep sweep = With(
      "parameters:\n"
      "  optimizer.weight_decay: {values: [0, 1], when: {model.activation: [relu, tanh], model.depth: 2}}\n"
      "  model.activation: {values: [relu, gelu]}\n"
      "  model.depth: {values: [1, 2]}\n");
  std::vector<std::string> shown;
  for (size_t i = 0; i < sweep.configurations.size(); ++i) {
    const Json p = Parameters(sweep, i);
    shown.push_back(p["model.activation"].get<std::string>() + p["model.depth"].dump() + " " +
                    p["optimizer.weight_decay"].dump());
  }
  // Elsewhere the trainer's default, 0.002, holds.
  EXPECT_THAT(shown, ElementsAre("relu1 0.002", "relu2 0.0", "gelu1 0.002", "gelu2 0.002", "relu2 1.0"));
}

TEST(Sweep, WhenLooksAtDefaultsAndAtChainsOfConditions) {
  const Sweep by_default = With("parameters: {model.width: {value: 8, when: {optimizer.kind: sgd}}}");
  EXPECT_EQ(Parameters(by_default, 0)["model.width"], 8);
  const Sweep absent =
      With("parameters: {optimizer.kind: {value: adamw}, model.width: {value: 8, when: {optimizer.momentum: 0.9}}}");
  EXPECT_EQ(Parameters(absent, 0)["model.width"], 256);
  const Sweep chain = With(
      "parameters:\n  model.width: {value: 8, when: {model.depth: 3}}\n"
      "  model.depth: {value: 3, when: {task.modulus: 7}}\n  task.modulus: {values: [7, 11]}\n");
  EXPECT_EQ(Parameters(chain, 0)["model.width"], 8);
  EXPECT_EQ(Parameters(chain, 1)["model.width"], 256);
}

TEST(Sweep, AWhenThatNeverHoldsIsNoMistake) {
  const Sweep sweep = With("parameters: {optimizer.beta1: {value: 0.5, when: {optimizer.kind: adamw}}}");
  EXPECT_FALSE(Parameters(sweep, 0).contains("optimizer.beta1"));
}

TEST(Sweep, ExcludeMatchesResolvedValuesAndLists) {
  const std::string grid = "parameters: {model.width: {values: [8, 16, 32]}, model.depth: {values: [1, 2]}}\n";
  EXPECT_EQ(With(grid + "exclude: [{model.width: 8}]").configurations.size(), 4u);
  EXPECT_EQ(With(grid + "exclude: [{model.width: 8.0, model.depth: '1'}]").configurations.size(), 5u);
  EXPECT_EQ(With(grid + "exclude: [{model.width: [8, 16], model.depth: 1}]").configurations.size(), 4u);
  EXPECT_EQ(With(grid + "exclude: [{model.width: 8}, {model.depth: 1}]").configurations.size(), 2u);
  EXPECT_EQ(With(grid + "exclude: [{model.width: 64}]").configurations.size(), 6u);
  // A default counts as well; what does not exist matches nothing.
  EXPECT_EQ(With(grid + "exclude: [{model.width: 8, optimizer.momentum: 0.9}]").configurations.size(), 4u);
  EXPECT_EQ(With(grid + "exclude: [{model.width: 8, optimizer.beta1: 0.9}]").configurations.size(), 6u);
}

TEST(Sweep, IncludeTakesTheSingleValuesAndComesAfterExclude) {
  const Sweep sweep = With(
      "parameters:\n  model.width: {value: 8}\n  model.depth: {values: [1, 2]}\n"
      "exclude: [{model.depth: 2}]\n"
      "include: [{model.activation: tanh}, {model.width: 16, model.depth: 2}, {model.depth: 2}]\n");
  ASSERT_EQ(sweep.configurations.size(), 4u);
  EXPECT_EQ(Parameters(sweep, 0)["model.depth"], 1);
  EXPECT_EQ(Parameters(sweep, 1)["model.activation"], "tanh");
  EXPECT_EQ(Parameters(sweep, 1)["model.width"], 8);
  EXPECT_EQ(Parameters(sweep, 1)["model.depth"], 2);  // the default: depth has several values and is not named
  EXPECT_EQ(Parameters(sweep, 2)["model.width"], 16);
  EXPECT_EQ(Parameters(sweep, 3)["model.width"], 8);
  EXPECT_EQ(Parameters(sweep, 3)["model.depth"], 2);
}

TEST(Sweep, GridOfDistributions) {
  EXPECT_THAT(Varied(With("parameters: {model.width: {min: 3, max: 5}}")),
              ElementsAre(R"({"model.width":3})", R"({"model.width":4})", R"({"model.width":5})"));
  EXPECT_THAT(Varied(With("parameters: {optimizer.weight_decay: {distribution: q_uniform, min: 0, max: 0.4, q: 0.1}}")),
              ElementsAre(R"({"optimizer.weight_decay":0.0})", R"({"optimizer.weight_decay":0.1})",
                          R"({"optimizer.weight_decay":0.2})", R"({"optimizer.weight_decay":0.3})"));
}

TEST(Sweep, RunCapTakesTheFirstConfigurations) {
  const std::string grid = "parameters: {model.width: {values: [8, 8.0, 16, 32]}}\ninclude: [{model.width: 64}]\n";
  const Sweep all = With(grid);
  ASSERT_EQ(all.configurations.size(), 4u);
  for (size_t cap = 1; cap <= 6; ++cap) {
    const Sweep some = With(grid + "run_cap: " + std::to_string(cap));
    const size_t expected = std::min<size_t>(cap, 4);
    ASSERT_EQ(some.configurations.size(), expected);
    for (size_t i = 0; i < expected; ++i) EXPECT_EQ(some.configurations[i].digest, all.configurations[i].digest);
  }
}

TEST(Sweep, TooManyPointsAreRefusedWithTheirCount) {
  const struct {
    const char* lines;
    const char* expected;
  } rows[] = {
      {"parameters: {model.width: {min: 1, max: 1000}, task.modulus: {min: 2, max: 1001}, task.split_seed: {min: 1, "
       "max: 1000}}",
       "s.yaml:3:1: a grid of 1000 x 1000 x 1000 = 1000000000 points; expected at most 2000000 configurations"},
      {"parameters: {task.split_seed: {min: 0, max: 9000000000000000}, model.width: {min: 1, max: 16000}, "
       "task.modulus: {min: 2, "
       "max: 4000}}",
       "= more than 10^19 points"},
      {"parameters: {task.split_seed: {min: 0, max: 9000000000000000}}\nrun_cap: 5",
       "a grid of 9000000000000001 points"},
      {"parameters: {task.split_seed: {min: 1, max: 1000000}}\nseeds: 11",
       "s.yaml:3:1: a grid of 1000000 points x 11 seeds = 11000000 runs; expected at most 10000000"},
      {"parameters: {model.width: {min: 1, max: 11}}\nseeds: 1000000",
       "s.yaml:4:8: a grid of 11 points x 1000000 seeds = 11000000 runs; expected at most 10000000"},
      {"method: random\nrun_cap: 3000000", "a run_cap of 3000000 points; expected at most 2000000 configurations"},
  };
  for (const auto& row : rows) {
    const absl::StatusOr<Sweep> sweep = ParseSweep("name: s\nbudget: {steps: 1}\n" + std::string(row.lines), "s.yaml");
    EXPECT_EQ(sweep.status().code(), absl::StatusCode::kResourceExhausted) << row.lines;
    EXPECT_THAT(std::string(sweep.status().message()), HasSubstr(row.expected)) << row.lines;
  }
}

TEST(Overrides, ReplaceExtendAndAdd) {
  EXPECT_THAT(Parsed(kGoldilocks, {"seeds=2"}).seeds, ElementsAre(0, 1));
  EXPECT_THAT(Parsed(kGoldilocks, {"seeds=0,3,7"}).seeds, ElementsAre(0, 3, 7));
  const Sweep changed =
      Parsed(kGoldilocks, {"name=other", "budget.steps=1e2", "budget.time=10m", "metrics.evaluate_every=5",
                           "metric.name=test_loss", "priority=4", "max_concurrent=2"});
  EXPECT_EQ(changed.name, "other");
  EXPECT_EQ(changed.shared.budget.steps, 100);
  EXPECT_EQ(changed.shared.budget.seconds, 600);
  EXPECT_EQ(changed.shared.metrics.evaluate_every, 5);
  EXPECT_EQ(changed.metric["name"], "test_loss");
  EXPECT_EQ(changed.priority, 4);
  EXPECT_EQ(changed.max_concurrent, 2);
  EXPECT_EQ(Digests(changed), Digests(Parsed(kGoldilocks)));

  EXPECT_EQ(Digests(With("", {"model.width=8,16"})), Digests(With("parameters: {model.width: {values: [8, 16]}}")));
  EXPECT_EQ(Digests(With("parameters: {model.width: {values: [1, 2]}}", {"model.width=8"})),
            Digests(With("parameters: {model.width: {value: 8}}")));
  EXPECT_EQ(Digests(With("parameters: {model: {parameters: {width: {values: [1, 2]}}}}", {"model.width=8"})),
            Digests(With("parameters: {model.width: {value: 8}}")));
  EXPECT_EQ(With("", {"method=random", "run_cap=3", "random_seed=1", "model.width=1,2,3,4,5,6"}).configurations.size(),
            3u);
}

TEST(Overrides, OfAZippedParameterLeaveTheOthers) {
  const Sweep sweep = Parsed(kGoldilocks, {"optimizer.weight_decay=0"});
  // relu and gelu with both learning rates (nothing matches the exclusion now), and tanh with the value given here.
  EXPECT_THAT(Varied(sweep), ElementsAre(R"({"model.activation":"relu","optimizer.learning_rate":0.01})",
                                         R"({"model.activation":"relu","optimizer.learning_rate":0.03})",
                                         R"({"model.activation":"gelu","optimizer.learning_rate":0.01})",
                                         R"({"model.activation":"gelu","optimizer.learning_rate":0.03})",
                                         R"({"model.activation":"tanh","optimizer.learning_rate":0.01})"));
  EXPECT_EQ(Parameters(sweep, 4)["optimizer.weight_decay"], 0.0);
}

TEST(Overrides, KeepTheFilesCondition) {
  const Sweep sweep =
      Parsed(kGoldilocks, {"optimizer.momentum=0.5", "optimizer.kind=sgd,adamw", "model.activation=gelu",
                           "optimizer.learning_rate=1e-3", "optimizer.weight_decay=1"});
  // The included point is the first one again: optimizer.kind has several values now, so that it takes the default,
  // sgd.
  EXPECT_THAT(Varied(sweep), ElementsAre(R"({"optimizer.kind":"sgd"})", R"({"optimizer.kind":"adamw"})"));
  EXPECT_EQ(Parameters(sweep, 0)["optimizer.momentum"], 0.5);
  EXPECT_FALSE(Parameters(sweep, 1).contains("optimizer.momentum"));
}

// A parameter that came later stands in a configuration only where it differs from its default, but in a table wherever
// it varies.
TEST(Configurations, KeepTheIdentityThatTheyHadBefore) {
  const Sweep before = Parsed(kGoldilocks);
  EXPECT_EQ(Parsed(kGoldilocks, {"batch_size=0", "task.label_noise=0"}).configurations[0].digest,
            before.configurations[0].digest);
  const Sweep noisy = Parsed(kGoldilocks, {"task.label_noise=0,0.1"});
  EXPECT_FALSE(Parameters(noisy, 0).contains("task.label_noise"));
  EXPECT_EQ(Json::parse(noisy.configurations[0].varied_json)["task.label_noise"], 0.0);
  EXPECT_EQ(Parameters(noisy, 1)["task.label_noise"], 0.1);
}

TEST(FixedParts, ChangeWithEverythingButPointsAndSeeds) {
  const Sweep sweep = Parsed(kGoldilocks);
  for (const char* same : {"seeds=9", "model.width=7", "optimizer.kind=adamw", "priority=3", "max_concurrent=1",
                           "description=x", "name=other", "checkpoints.keep=all", "numerics=strict"}) {
    EXPECT_EQ(Parsed(kGoldilocks, {same}).fixed_json, sweep.fixed_json) << same;
  }
  for (const char* other : {"budget.steps=7", "budget.time=1h", "metrics.log_every=3", "metrics.evaluate_every=3",
                            "metrics.analyze_every=3", "metric.name=test_loss", "retries=1"}) {
    EXPECT_NE(Parsed(kGoldilocks, {other}).fixed_json, sweep.fixed_json) << other;
  }
  EXPECT_EQ(Parsed(kGoldilocks, {"metrics.analyze_every=0"}).fixed_json, sweep.fixed_json);
  const std::string random = Parsed(kGoldilocks, {"method=random", "run_cap=1"}).fixed_json;
  EXPECT_NE(random, sweep.fixed_json);
  EXPECT_EQ(Parsed(kGoldilocks, {"method=random", "run_cap=2", "random_seed=0"}).fixed_json, random);
  EXPECT_NE(Parsed(kGoldilocks, {"method=random", "run_cap=1", "random_seed=1"}).fixed_json, random);
  const absl::StatusOr<Json> fixed = ParseJson(sweep.fixed_json, "it");
  ASSERT_TRUE(fixed.ok());
  EXPECT_EQ(CanonicalJson(*fixed), sweep.fixed_json);
}

TEST(FixedParts, DifferencesAreShownByPath) {
  const std::string before = With("stop: [{metric: test_accuracy, at_least: 0.99, held_for: 3}]").fixed_json;
  const std::string after =
      With("stop: [{metric: test_accuracy, at_least: 0.95, held_for: 3}]", {"budget.steps=20", "budget.time=1m"})
          .fixed_json;
  EXPECT_EQ(DiffFixedParts(before, before), "");
  EXPECT_EQ(DiffFixedParts(before, after),
            "- budget.seconds: null\n+ budget.seconds: 60.0\n- budget.steps: 10\n+ budget.steps: 20\n"
            "- stop[0].at_least: 0.99\n+ stop[0].at_least: 0.95\n");
  EXPECT_EQ(DiffFixedParts(With("").fixed_json, With("retries: 3").fixed_json), "+ retries: 3\n");
  EXPECT_EQ(With("").fixed_json, With("retries: 0").fixed_json);
  EXPECT_NE(DiffFixedParts(before, "no JSON"), "");
}

}  // namespace
}  // namespace seedbed
