// What people get wrong, and what they are told: place, expectation, nearest known key.
#include <algorithm>
#include <string>
#include <vector>

#include "common/sweep_file/sweep.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

using ::testing::HasSubstr;

std::string MistakesOf(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const absl::StatusOr<Sweep> sweep = ParseSweep(text, "s.yaml", overrides);
  return sweep.ok() ? "no mistake" : std::string(sweep.status().message());
}

// Four lines of a valid sweep; what is tried starts on line 5.
const char kStart[] =
    "name: s\n"
    "budget: {steps: 10}\n"
    "seeds: 1\n"
    "# a comment\n";

TEST(SweepMistakes, AreNamedWithTheirPlace) {
  const struct {
    const char* text;
    const char* expected;
  } rows[] = {
      // keys
      {"parametrs: {}", "s.yaml:5:1: unknown key 'parametrs'; did you mean 'parameters'?"},
      {"priority: 1\npriority: 2", "s.yaml:6:1: key 'priority' stands here twice; the first is on line 5"},
      {"program: train.py", "s.yaml:5:1: unknown key 'program'; Seedbed trains its built-in trainer 'modular' and starts no"},
      {"project: p", "s.yaml:5:1: unknown key 'project'; it belongs to W&B and has no meaning here"},
      {"early_terminate: {type: hyperband}", "conditions that end a run stand under 'stop'"},
      {"metrics.log_every: 5", "s.yaml:5:1: unknown key 'metrics.log_every'; write metrics: {log_every: …} (expected"},
      {"metrics.log_evry: 5", "s.yaml:5:1: unknown key 'metrics.log_evry'; did you mean metrics: {log_every: …}?"},
      {"model.width: {value: 8}", "s.yaml:5:1: unknown key 'model.width'; parameters stand under 'parameters:'"},
      {"optimizer: {value: 8}", "s.yaml:5:1: unknown key 'optimizer'; parameters stand under 'parameters:'"},
      // scalars of the wrong kind
      {"priority: high", "s.yaml:5:11: priority: expected an integer, got 'high'"},
      {"max_concurrent: 0", "s.yaml:5:17: max_concurrent: expected an integer of at least 1, got '0'"},
      {"description: [a]", "s.yaml:5:14: description: expected a text, got a list"},
      {"trainer: modula", "s.yaml:5:10: trainer: there is no trainer 'modula'; did you mean 'modular'?"},
      // method
      {"method: bayes", "s.yaml:5:9: method: expected grid or random, got 'bayes'"},
      {"method: random", "s.yaml:5:9: method: random needs 'run_cap'"},
      {"random_seed: 3", "s.yaml:5:1: random_seed: only method: random draws points"},
      {"run_cap: 0", "s.yaml:5:10: run_cap: expected an integer of at least 1"},
      // parameters
      {"parameters:", "s.yaml:5:1: parameters: expected a map of parameters, got nothing"},
      {"parameters:\n  model.widht: {value: 1}",
       "s.yaml:6:3: trainer modular has no parameter 'model.widht'; did you mean 'model.width'?"},
      {"parameters:\n  learning_rate: {value: 1}", "did you mean 'optimizer.learning_rate'?"},
      {"parameters:\n  model.width: 256",
       "s.yaml:6:16: model.width: expected a map such as {value: 1} or {values: [1, 2]}, got '256'"},
      {"parameters:\n  model.width: {valeu: 256}",
       "s.yaml:6:17: model.width: unknown key 'valeu'; did you mean 'value'?"},
      {"parameters:\n  model.width: {}", "s.yaml:6:3: model.width: expected 'value', 'values', or 'min' and 'max'"},
      {"parameters:\n  model.width: {value: 1, values: [1]}", "s.yaml:6:3: model.width: expected only one of"},
      {"parameters:\n  model.width: {value: [1]}",
       "s.yaml:6:24: model.width.value: expected a single value, got a list"},
      {"parameters:\n  model.width: {values: 1}", "s.yaml:6:25: model.width.values: expected a list with at least one"},
      {"parameters:\n  model.width: {values: []}",
       "s.yaml:6:25: model.width.values: expected a list with at least one "
       "element, got an empty list"},
      {"parameters:\n  model.width: {values: [1, wide]}",
       "s.yaml:6:29: expected an integer in [1, 16384] for model.width, "
       "got 'wide'"},
      {"parameters:\n  model.width: {value: 1.5}", "s.yaml:6:24: expected an integer"},
      {"parameters:\n  model.width: {value: 0}", "s.yaml:6:24: expected an integer in [1, 16384]"},
      {"parameters:\n  model.width: {value: }",
       "s.yaml:6:17: expected an integer in [1, 16384] for model.width, got 'null'"},
      {"parameters:\n  optimizer.learning_rate: {value: NaN}",
       "s.yaml:6:36: expected a finite number for optimizer.learning_rate, got 'NaN'"},
      {"parameters:\n  optimizer.learning_rate: {values: [.inf]}", "s.yaml:6:38: expected a finite number"},
      {"parameters:\n  optimizer.learning_rate: {value: -1}", "s.yaml:6:36: expected a number of at least 0"},
      {"parameters:\n  model.activation: {value: rleu}", "s.yaml:6:29: expected one of relu, gelu, tanh"},
      {"parameters:\n  model: {width: {value: 1}}",
       "s.yaml:6:11: model: unknown key 'width' (expected value, values, distribution, min, max, q, mu, sigma, "
       "probabilities, when; groups of parameters stand under a further 'parameters:')"},
      {"parameters:\n  model: {parameters: {width: {value: 1}}, value: 3}",
       "s.yaml:6:44: model: unknown key 'value' beside 'parameters'"},
      {"parameters:\n  model: {parameters: [1]}",
       "s.yaml:6:11: model.parameters: expected a map of parameters, got a list"},
      {"parameters:\n  model.width: {value: 1}\n  model: {parameters: {width: {value: 2}}}",
       "s.yaml:7:24: model.width is given twice; the first is on line 6"},
      // distributions
      {"parameters:\n  model.width: {distribution: unifrom, min: 1, max: 2}",
       "s.yaml:6:31: model.width: unknown distribution 'unifrom'; did you mean 'uniform'?"},
      {"parameters:\n  model.width: {min: 1}", "model.width: distribution uniform needs 'min' and 'max'"},
      {"parameters:\n  model.width: {min: 5, max: 4}", "s.yaml:6:30: model.width: expected min below max"},
      {"parameters:\n  optimizer.learning_rate: {distribution: uniform, min: 0, max: 1}",
       "s.yaml:6:3: optimizer.learning_rate: distribution uniform needs method: random"},
      {"parameters:\n  optimizer.learning_rate: {distribution: log_uniform_values, min: 0, max: 1}",
       "s.yaml:6:68: optimizer.learning_rate: distribution log_uniform_values needs min above 0"},
      {"parameters:\n  optimizer.learning_rate: {distribution: normal, min: 0, mu: 1}",
       "s.yaml:6:51: optimizer.learning_rate: distribution normal has no 'min' (expected mu, sigma)"},
      {"parameters:\n  optimizer.learning_rate: {distribution: normal, sigma: 0}",
       "s.yaml:6:58: optimizer.learning_rate.sigma: expected a number above 0"},
      {"parameters:\n  model.activation: {min: 1, max: 3}",
       "model.activation is no number: expected 'value' or 'values'"},
      {"parameters:\n  model.width: {min: 0, max: 3}",
       "expected an integer in [1, 16384] for model.width, got '0', which "
       "distribution int_uniform can give"},
      {"parameters:\n  model.width: {values: [1, 2], probabilities: [0.5, 0.5]}",
       "s.yaml:6:3: model.width: 'probabilities' goes with method: random"},
      {"method: random\nrun_cap: 3\nparameters:\n  model.width: {values: [1, 2], probabilities: [0.5]}",
       "s.yaml:8:48: model.width.probabilities: expected one for each of the 2 values, got 1"},
      {"method: random\nrun_cap: 3\nparameters:\n  model.width: {values: [1, 2], probabilities: [0.5, 0.6]}",
       "s.yaml:8:48: model.width.probabilities: expected a sum of 1, got 1.1"},
      {"method: random\nrun_cap: 3\nparameters:\n  model.width: {distribution: uniform, min: 1, max: 9}",
       "s.yaml:8:3: model.width takes integers: expected int_uniform, or a distribution with 'q'; got uniform"},
      {"method: random\nrun_cap: 3\nparameters:\n  optimizer.momentum: {distribution: uniform, min: 5, max: 9}",
       "s.yaml:8:3: expected a number in [0, 1) for optimizer.momentum, got"},
      // when
      {"parameters:\n  optimizer.momentum: {value: 0.9, when: {optimizer.kid: sgd}}",
       "s.yaml:6:43: optimizer.momentum.when: trainer modular has no parameter 'optimizer.kid'; did you mean "
       "'optimizer.kind'?"},
      {"parameters:\n  optimizer.momentum: {value: 0.9, when: {optimizer.kind: sdg}}",
       "s.yaml:6:59: expected one of sgd, adam, adamw, muon"},
      {"parameters:\n  optimizer.momentum: {value: 0.9, when: {}}",
       "s.yaml:6:42: optimizer.momentum.when: expected a map"},
      {"parameters:\n  optimizer.momentum: {value: 0.9, when: sgd}",
       "s.yaml:6:42: optimizer.momentum.when: expected a map "},
      {"parameters:\n  model.width: {value: 9, when: {model.depth: 1}}\n  model.depth: {value: 1, when: {model.width: "
       "9}}",
       "s.yaml:6:34: model.width.when: depends on itself, by way of 'model.depth'"},
      {"parameters:\n  optimizer.beta1: {value: 0.9}",
       "s.yaml:6:3: optimizer.beta1 applies only when optimizer.kind is adam or adamw or muon, which it is at no "
       "point; "
       "remove it, or say when: {optimizer.kind: adam}"},
      // zip, include, exclude
      {"zip: {model.width: [1]}", "s.yaml:5:6: zip: expected a list with at least one element, got a map"},
      {"zip:\n  - {model.width: [1, 2], model.depth: [1]}",
       "s.yaml:6:27: zip: expected lists of equal length, but 'model.width' has 2 and 'model.depth' has 1"},
      {"zip:\n  - {model.width: []}", "s.yaml:6:19: zip: 'model.width': expected a list with at least one element"},
      {"zip:\n  - {model.widht: [1]}", "s.yaml:6:6: zip: trainer modular has no parameter 'model.widht'; did you mean"},
      {"parameters:\n  model.width: {value: 1}\nzip:\n  - {model.width: [1, 2]}",
       "s.yaml:8:6: model.width is given twice; the first is on line 6"},
      {"zip: []", "s.yaml:5:6: zip: expected a list with at least one element, got an empty list"},
      {"include:\n  - {}", "s.yaml:6:5: include: expected a map with at least one parameter"},
      {"include:\n  - {model.width: [1, 2]}",
       "s.yaml:6:19: include: 'model.width': expected a single value, got a list"},
      {"include:\n  - {optimizer.beta1: 0.5}",
       "s.yaml:6:6: include: optimizer.beta1 does not exist at this point (see its condition)"},
      {"exclude:\n  - {model.width: wide}", "s.yaml:6:19: expected an integer in [1, 16384]"},
      {"exclude:\n  - {model.widht: 1}", "s.yaml:6:6: exclude: trainer modular has no parameter 'model.widht'"},
      {"exclude:\n  - {model.width: 256}", "s.yaml:5:1: exclude: no point is left; expected at least one"},
      // stop
      {"stop: {}", "s.yaml:5:7: stop: expected a list with at least one element, got a map"},
      {"stop: [{metric: test_acuracy, at_least: 1}]",
       "s.yaml:5:17: trainer modular has no metric 'test_acuracy'; did you mean 'test_accuracy'?"},
      {"stop: [{metric: test_loss}]",
       "s.yaml:5:8: stop: expected exactly one of at_least, at_most, not_at_least, not_at_most"},
      {"stop: [{metric: test_loss, at_least: 1, at_most: 2}]", "s.yaml:5:8: stop: expected exactly one of at_least"},
      {"stop: [{at_least: 1}]", "s.yaml:5:8: stop: expected 'metric', the name of a metric"},
      {"stop: [{metric: test_loss, at_least: .nan}]",
       "s.yaml:5:38: stop.at_least: expected a finite number, got '.nan'"},
      {"stop: [{metric: test_loss, at_leest: 1}]",
       "s.yaml:5:28: stop: unknown key 'at_leest'; did you mean 'at_least'?"},
      {"stop: [{metric: test_loss, not_at_most: 1}]", "s.yaml:5:8: stop: expected 'by_step'"},
      {"stop: [{metric: test_loss, at_most: 1, by_step: 2}]", "s.yaml:5:40: stop: 'by_step' goes with not_at_least"},
      {"stop: [{metric: test_loss, not_at_most: 1, held_for: 2}]", "s.yaml:5:44: stop: 'held_for' goes with at_least"},
      {"stop: [{metric: test_loss, at_most: 1, held_for: 0}]",
       "s.yaml:5:50: stop.held_for: expected an integer from 1 to 9007199254740992"},
      {"stop: [{not_finite: maybe}]", "s.yaml:5:21: stop.not_finite: expected true or false, got 'maybe'"},
      {"stop: [{not_finite: false}]",
       "s.yaml:5:21: stop.not_finite: expected true; a run whose training loss is not finite always ends"},
      {"stop: [{not_finite: true, metric: test_loss}]", "s.yaml:5:9: stop: expected 'not_finite' alone in its rule"},
      // metrics
      {"metrics: {log_evry: 1}", "s.yaml:5:11: metrics: unknown key 'log_evry'; did you mean 'log_every'?"},
      {"metrics: {log_every: 0}",
       "s.yaml:5:22: metrics.log_every: expected an integer from 1 to 9007199254740992, got '0'"},
      {"metrics: {analyze_every: -1}",
       "s.yaml:5:26: metrics.analyze_every: expected an integer from 0 to 9007199254740992, got '-1'"},
      {"metrics: 5", "s.yaml:5:10: metrics: expected a map with log_every, evaluate_every, analyze_every; got '5'"},
      {"metric: {name: accuracy}", "s.yaml:5:16: trainer modular has no metric 'accuracy'"},
      {"metric: {goal: maximize}", "s.yaml:5:1: metric: expected 'name'"},
      {"metric: {name: test_loss, goal: minimise}",
       "s.yaml:5:33: metric.goal: expected minimize or maximize, got 'minimise'; "
       "did you mean 'minimize'?"},
  };
  for (const auto& row : rows) {
    const std::string text = std::string(kStart) + row.text + "\n";
    const absl::StatusOr<Sweep> sweep = ParseSweep(text, "s.yaml");
    EXPECT_EQ(sweep.status().code(), absl::StatusCode::kInvalidArgument) << row.text;
    EXPECT_THAT(std::string(sweep.status().message()), HasSubstr(row.expected)) << row.text;
  }
}

// What no single value shows is said at the place of the parameter to blame, or of the included point.
TEST(SweepMistakes, OfParametersThatDoNotGoTogether) {
  const struct {
    const char* text;
    const char* expected;
  } rows[] = {
      {"parameters: {task.operation: {values: [add, divide]}, task.modulus: {values: [89, 91]}}",
       "s.yaml:5:55: task.operation divide needs a prime task.modulus, and 91 is none"},
      {"parameters:\n  model.kind: {value: transformer}\n  model.heads: {values: [4, 3]}",
       "s.yaml:7:3: model.heads 3 does not divide model.width 256"},
      {"include:\n  - {model.kind: transformer, model.heads: 5}", "s.yaml:6:5: model.heads 5 does not divide"},
      {"parameters: {optimizer.schedule: {value: cosine}}",
       "s.yaml:5:14: optimizer.schedule cosine needs optimizer.schedule_steps"},
      {"parameters: {optimizer.grokfast_alpha: {value: 0.9}}", "s.yaml:5:14: optimizer.grokfast_alpha is of no effect"},
      {"parameters:\n  task.train_fraction: {values: [0.5, 1e-9]}", "s.yaml:6:3: task.train_fraction 1e-09 puts 0 of"},
  };
  for (const auto& row : rows) {
    const std::string mistakes = MistakesOf(std::string(kStart) + row.text + "\n");
    EXPECT_THAT(mistakes, HasSubstr(row.expected)) << row.text;
    EXPECT_EQ(mistakes.find('\n'), std::string::npos) << mistakes;  // told once
  }
  // Excluded points may break rules, and others may have what the rule is about.
  EXPECT_EQ(MistakesOf(std::string(kStart) +
                       "parameters: {task.operation: {values: [add, divide]}, task.modulus: {values: [89, 91]}}\n"
                       "exclude: [{task.operation: divide, task.modulus: 91}]\n"),
            "no mistake");
  EXPECT_THAT(MistakesOf(kStart, {"task.operation=subtract", "task.pairs=unordered"}),
              HasSubstr("argument 'task.pairs=unordered':1: task.pairs unordered takes"));
}

TEST(SweepMistakes, StopRulesOnMetricsThatNeverCome) {
  const struct {
    const char* metric;
    const char* more;
    const char* expected;
  } rows[] = {
      {"restricted_loss", "", "restricted_loss is measured at analyses, and there are none; set metrics.analyze_every"},
      {"weight_norm.output.weight", "", "weight_norm.output.weight is measured at analyses"},
      {"batch_loss", "", "batch_loss is there only with minibatches, and batch_size is 0"},
      {"test_accuracy_unseen", "parameters: {task.operation: {values: [add, subtract]}}",
       "test_accuracy_unseen is there only where task.operation commutes, and subtract does not"},
      {"test_accuracy_mirrored", "parameters: {task.pairs: {value: unordered}}",
       "test_accuracy_mirrored is of no pair where"},
      {"excluded_loss", "metrics: {analyze_every: 9}\nparameters: {task.operation: {value: multiply}}",
       "excluded_loss is there only where task.operation is add"},
      {"embedding_gini",
       "metrics: {analyze_every: 9}\nparameters: {task.operation: {value: multiply}, task.modulus: {value: 91}}",
       "for task.operation multiply task.modulus must be prime"},
      {"key_frequency_1", "metrics: {analyze_every: 9}\nparameters: {task.operation: {value: s5_xy}}",
       "for task.operation s5_xy they have none"},
  };
  for (const auto& row : rows) {
    const std::string stop = absl::StrCat("stop: [{metric: ", row.metric, ", at_most: 1}]\n");
    const std::string mistakes = MistakesOf(absl::StrCat(kStart, stop, row.more, "\n"));
    EXPECT_THAT(mistakes, HasSubstr(absl::StrCat("s.yaml:5:17: stop.metric: ", row.metric))) << row.more;
    EXPECT_THAT(mistakes, HasSubstr(row.expected));
    EXPECT_EQ(mistakes.find('\n'), std::string::npos) << mistakes;
  }
  for (const char* fine :
       {"stop: [{metric: batch_loss, at_most: 1}]\nparameters: {batch_size: {value: 7}}",
        "stop: [{metric: key_frequency_1, at_most: 1}]\nmetrics: {analyze_every: 9}",
        "stop: [{metric: test_accuracy_unseen, at_least: 0.99}]\nparameters: {task.pairs: {value: unordered}}",
        "stop: [{metric: embedding_gini, at_most: 1}]\nmetrics: {analyze_every: 9}\n"
        "parameters: {task.operation: {value: divide}}"}) {
    EXPECT_EQ(MistakesOf(absl::StrCat(kStart, fine, "\n")), "no mistake") << fine;
  }
}

TEST(SweepMistakes, OfTheFirstLines) {
  const struct {
    const char* text;
    const char* expected;
  } rows[] = {
      {"budget: {steps: 1}", "s.yaml:1:1: the sweep has no 'name'"},
      {"name: [a]\nbudget: {steps: 1}", "s.yaml:1:7: name: expected a text, got a list"},
      {"name:\nbudget: {steps: 1}", "s.yaml:1:1: name: expected a text, got nothing"},
      {"name: a b\nbudget: {steps: 1}", "s.yaml:1:7: name: expected 1 to 128 letters"},
      {"name: ../etc\nbudget: {steps: 1}", "s.yaml:1:7: name: expected 1 to 128 letters"},
      {"name: all\nbudget: {steps: 1}", "s.yaml:1:7: name: 'all' selects sweeps on a command line"},
      {"name: last\nbudget: {steps: 1}", "s.yaml:1:7: name: 'last' selects sweeps"},
      {"name: 3-7\nbudget: {steps: 1}", "s.yaml:1:7: name: '3-7' selects sweeps"},
      {"name: a", "s.yaml:1:1: the sweep has no 'budget'"},
      {"name: a\nbudget: 100", "s.yaml:2:9: budget: expected a map with steps, time; got '100'"},
      {"name: a\nbudget: {time: 1h}", "s.yaml:2:1: budget: expected 'steps'"},
      {"name: a\nbudget: {steps: 9007199254740993}",
       "s.yaml:2:17: budget.steps: expected an integer from 1 to 9007199254740992, got '9007199254740993'"},
      {"name: a\nbudget: {steps: 0}",
       "s.yaml:2:17: budget.steps: expected an integer from 1 to 9007199254740992, got '0'"},
      {"name: a\nbudget: {steps: 1.5}", "s.yaml:2:17: budget.steps: expected an integer"},
      {"name: a\nbudget: {steps: 1, time: 90}", "s.yaml:2:26: budget.time: expected a duration above 0 such as 90s"},
      {"name: a\nbudget: {steps: 1, time: -5m}", "s.yaml:2:26: budget.time: expected a duration above 0"},
      {"name: a\nbudget: {steps: 1, time: inf}", "s.yaml:2:26: budget.time: expected a duration above 0"},
      {"name: a\nbudget: {steps: 1}\nseeds: 0",
       "s.yaml:3:8: seeds: a list of seeds, or their number: expected an integer from 1 to 1000000, got '0'"},
      {"name: a\nbudget: {steps: 1}\nseeds: many",
       "s.yaml:3:8: seeds: a list of seeds, or their number: expected an integer"},
      {"name: a\nbudget: {steps: 1}\nseeds: []", "s.yaml:3:8: seeds: expected a list with at least one element"},
      {"name: a\nbudget: {steps: 1}\nseeds: [0, 3, -1]",
       "s.yaml:3:15: seeds: expected an integer from 0 to 9007199254740992, got '-1'"},
      {"name: a\nbudget: {steps: 1}\nseeds: [9007199254740993]",
       "s.yaml:3:9: seeds: expected an integer from 0 to 9007199254740992"},
      {"name: a\nbudget: {steps: 1}\nseeds: 1000000000",
       "s.yaml:3:8: seeds: a list of seeds, or their number: expected an integer from 1 to 1000000, got '1000000000'"},
      {"name: a\nbudget: {steps: 1}\nseeds: [4, 3, 4]", "s.yaml:3:15: seeds: 4 stands here twice"},
      {"name: a\nbudget: {steps: 1}\nseeds: {a: 1}", "s.yaml:3:8: seeds: a list of seeds, or their number"},
  };
  for (const auto& row : rows) EXPECT_THAT(MistakesOf(row.text), HasSubstr(row.expected)) << row.text;
}

TEST(SweepMistakes, OfArgumentsAreNamedByArgumentAndColumn) {
  const struct {
    const char* argument;
    const char* expected;
  } rows[] = {
      {"seeds", "argument 'seeds':1: expected KEY=VALUE"},
      {"=3", "argument '=3':1: expected KEY=VALUE"},
      {"seeds=0",
       "argument 'seeds=0':7: seeds: a list of seeds, or their number: expected an integer from 1 to 1000000"},
      {"seeds=1,x", "argument 'seeds=1,x':9: seeds: expected an integer from 0 to 9007199254740992, got 'x'"},
      {"seeds=1,1", "argument 'seeds=1,1':9: seeds: 1 stands here twice"},
      {"seeds=", "argument 'seeds=':7: expected a value after '='"},
      {"seeds=1,", "argument 'seeds=1,':9: expected a value after the comma"},
      {"seeds=1,,2", "argument 'seeds=1,,2':9: expected a value between the commas"},
      {"seds=3",
       "argument 'seds=3':1: 'seds' is neither a parameter of trainer modular nor a key of a sweep; did you mean "
       "'seeds'?"},
      {"model.widht=3", "did you mean 'model.width'?"},
      {"learning_rate=3", "did you mean 'optimizer.learning_rate'?"},
      {"model.width=wide",
       "argument 'model.width=wide':13: expected an integer in [1, 16384] for model.width, got 'wide'"},
      {"model.width=8,wide", "argument 'model.width=8,wide':15: expected an integer in [1, 16384]"},
      {"model.width=[8,16]",
       "argument 'model.width=[8,16]':13: several values stand here without brackets: model.width=8,16"},
      {"seeds=[3]", "argument 'seeds=[3]':7: several values stand here without brackets: seeds=3"},
      {"model.width=[]", "argument 'model.width=[]':13: expected an integer in [1, 16384] for model.width, got '[]'"},
      {"budget=100", "argument 'budget=100':1: 'budget' cannot be given here; expected budget.steps or budget.time"},
      {"stop=none", "argument 'stop=none':1: 'stop' cannot be given here; change it in the file"},
      {"budget.steps=0",
       "argument 'budget.steps=0':14: budget.steps: expected an integer from 1 to 9007199254740992, got '0'"},
      {"name=a b", "argument 'name=a b':6: name: expected 1 to 128 letters"},
      {"\xff=1", "argument number 1:1: a byte that is not UTF-8"},
  };
  for (const auto& row : rows) EXPECT_THAT(MistakesOf(kStart, {row.argument}), HasSubstr(row.expected)) << row.argument;
  EXPECT_THAT(MistakesOf(kStart, {"seeds=1", "seeds=2"}), HasSubstr("argument 'seeds=2':1: 'seeds' is given twice"));
}

TEST(SweepMistakes, AreAllReportedInTheFilesOrder) {
  const std::string text =
      "name: s\n"
      "budgt: {steps: 1}\n"
      "seeds: 0\n"
      "parameters:\n"
      "  model.widht: {value: 1}\n"
      "  model.depth: {values: []}\n"
      "  optimizer.learning_rate: {value: fast}\n";
  EXPECT_EQ(
      MistakesOf(text, {"model.activation=swish"}),
      "s.yaml:1:1: the sweep has no 'budget'; expected one, such as budget: {steps: 10000}\n"
      "s.yaml:2:1: unknown key 'budgt'; did you mean 'budget'? (expected name, description, trainer, method, run_cap, "
      "random_seed, metric, seeds, parameters, zip, include, exclude, budget, stop, metrics, priority, "
      "max_concurrent, checkpoints, numerics, retries)\n"
      "s.yaml:3:8: seeds: a list of seeds, or their number: expected an integer from 1 to 1000000, got '0'\n"
      "s.yaml:5:3: trainer modular has no parameter 'model.widht'; did you mean 'model.width'?\n"
      "s.yaml:6:25: model.depth.values: expected a list with at least one element, got an empty list\n"
      "s.yaml:7:36: expected a number of at least 0 for optimizer.learning_rate, got 'fast'\n"
      "argument 'model.activation=swish':18: expected one of relu, gelu, tanh, quadratic for model.activation, got "
      "'swish'");
}

TEST(SweepWarnings, AreOfExclusionsThatMatchNoPointOfTheWholeGrid) {
  const struct {
    const char* text;
    std::vector<std::string> warnings;
  } rows[] = {
      {"exclude: [{model.width: 8}]", {}},
      // The second drops nothing that the first has left, and yet it matches.
      {"exclude: [{model.width: 8}, {model.width: 8, model.depth: 1}, {model.depth: 1}]", {}},
      {"exclude: [{model.width: 9}, {model.width: 8}, {model.width: 8, model.depth: 3}]",
       {"s.yaml:6:11: warning: exclude: this matches no point",
        "s.yaml:6:47: warning: exclude: this matches no point"}},
      {"include: [{model.width: 9}]\nexclude: [{model.width: 9}]",
       {"s.yaml:7:11: warning: exclude: this matches no point"}},
      {"run_cap: 1\nexclude: [{model.width: 9}]", {}},  // it may match what comes later
  };
  for (const auto& row : rows) {
    const absl::StatusOr<Sweep> sweep =
        ParseSweep(std::string(kStart) +
                       "parameters: {model.width: {values: [8, 16]}, model.depth: {values: [1, 2]}}\n" + row.text,
                   "s.yaml");
    ASSERT_TRUE(sweep.ok()) << sweep.status();
    EXPECT_EQ(sweep->warnings, row.warnings) << row.text;
  }
}

TEST(SweepMistakes, AreBoundedInNumber) {
  std::string text = std::string(kStart) + "parameters:\n";
  for (int i = 0; i < 1000; ++i) text += "  no.such" + std::to_string(i) + ": {value: 1}\n";
  const std::string message = MistakesOf(text);
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 50);
  EXPECT_THAT(message, ::testing::EndsWith("s.yaml: and further mistakes"));
}

}  // namespace
}  // namespace seedbed
