#include "common/sweep_file/draft.h"

#include <algorithm>
#include <limits>
#include <unordered_set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/base/text.h"
#include "common/schema/largest_step.h"
#include "common/schema/shown_text.h"
#include "common/schema/trainer_schema.h"

namespace seedbed::sweep_file {
namespace {

constexpr int64_t kAnyInteger = std::numeric_limits<int64_t>::min();
constexpr int64_t kMostRetries = 1'000'000;
constexpr int64_t kMostSeeds = 1'000'000;            // as many as `extend` can ask for
constexpr int64_t kGreatestSeed = int64_t{1} << 53;  // every reader of JSON takes it as it is

// Selectors that mean something else: `all`, `last`, and ids and their ranges.
bool IsSelectorWord(const std::string& name) {
  return name == "all" || name == "last" || name.find_first_not_of("0123456789-") == std::string::npos;
}

// Sections with keys of their own. Only below `parameters` can a key be written with a dot.
const std::vector<std::pair<std::string, std::vector<std::string>>>& Sections() {
  static const auto* const sections = new std::vector<std::pair<std::string, std::vector<std::string>>>{
      {"budget", {"steps", "time"}},
      {"metrics", {"log_every", "evaluate_every", "analyze_every"}},
      {"metric", {"name", "goal"}},
      {"checkpoints", {"keep"}}};
  return *sections;
}

std::string HintForDottedKey(const std::string& key) {
  const size_t dot = key.find('.');
  if (dot == std::string::npos) return "";
  std::vector<std::string> known;
  for (const auto& [section, keys] : Sections()) {
    for (const std::string& inner : keys) known.push_back(absl::StrCat(section, ".", inner));
  }
  const auto shown = [](const std::string& dotted) {
    const size_t at = dotted.find('.');
    return absl::StrCat(dotted.substr(0, at), ": {", dotted.substr(at + 1), ": …}");
  };
  if (std::find(known.begin(), known.end(), key) != known.end()) return absl::StrCat("; write ", shown(key));
  const std::optional<std::string> nearest = NearestWord(key, known);
  return nearest ? absl::StrCat("; did you mean ", shown(*nearest), "?") : "";
}

// Whether it is a parameter of some trainer, or a group of such.
bool IsParameterOrGroup(const std::string& key) {
  for (const std::string& trainer : TrainerNames()) {
    for (const ParameterDefinition& parameter : FindTrainer(trainer)->parameters) {
      if (parameter.name == key || absl::StartsWith(parameter.name, key + ".")) return true;
    }
  }
  return false;
}

std::string HintForUnknownKey(const std::string& key) {
  if (key == "early_terminate") return "; it belongs to W&B, here conditions that end a run stand under 'stop'";
  // Keys of W&B's sweeps that say what to start or spend its service, which is decided elsewhere here.
  for (const char* program : {"program", "command"}) {
    if (key == program) {
      return "; Seedbed trains its built-in trainer 'modular' and starts no program of yours: remove it";
    }
  }
  for (const char* foreign : {"project", "entity", "controller", "job", "image_uri"}) {
    if (key == foreign) return "; it belongs to W&B and has no meaning here: remove it";
  }
  if (IsParameterOrGroup(key)) return "; parameters stand under 'parameters:'";
  if (std::string hint = HintForDottedKey(key); !hint.empty()) return hint;
  return DidYouMean(key, SweepKeys());
}

void CheckTopKeys(const YamlNode& root, Mistakes* mistakes) {
  const std::vector<std::string>& known = SweepKeys();
  for (const YamlEntry& entry : root.entries) {
    if (mistakes->is_full()) break;
    if (std::find(known.begin(), known.end(), entry.key) != known.end()) continue;
    mistakes->Add(entry.key_location, absl::StrCat("unknown key ", ShownText(entry.key), HintForUnknownKey(entry.key),
                                                   " (expected ", absl::StrJoin(known, ", "), ")"));
  }
}

void ReadLabels(const YamlNode& root, SweepDraft* draft, Mistakes* mistakes) {
  const YamlEntry* name = root.Find("name");
  if (name == nullptr) {
    mistakes->Add(root.location, "the sweep has no 'name'; expected a name for it, such as name: first-try");
  } else if (const auto text = ReadText(*name->value, "name", mistakes)) {
    if (!IsPlainName(*text)) {
      mistakes->Add(
          name->value->location,
          absl::StrCat("name: expected 1 to 128 letters, digits, '_', '.' or '-', the first a letter or digit; "
                       "got ",
                       ShownText(*text)));
    } else if (IsSelectorWord(*text)) {
      mistakes->Add(name->value->location,
                    absl::StrCat("name: ", ShownText(*text),
                                 " selects sweeps on a command line (all, last, ids and ranges of ids do); choose "
                                 "another name"));
    }
    draft->name = *text;
  }
  const YamlEntry* description = root.Find("description");
  if (description != nullptr && !description->value->is_null()) {
    draft->description = ReadText(*description->value, "description", mistakes).value_or("");
  }
  if (const YamlEntry* priority = root.Find("priority")) {
    draft->priority = ReadInteger(*priority->value, "priority", kAnyInteger, mistakes).value_or(0);
  }
  if (const YamlEntry* retries = root.Find("retries")) {
    draft->retries = ReadInteger(*retries->value, "retries", 0, mistakes).value_or(0);
    if (draft->retries > kMostRetries) {
      mistakes->Add(retries->value->location, absl::StrCat("retries: expected at most ", kMostRetries));
    }
  }
  if (const YamlEntry* most = root.Find("max_concurrent")) {
    draft->max_concurrent = ReadInteger(*most->value, "max_concurrent", 1, mistakes);
  }
}

// One of `words`; the first after a mistake.
std::string ReadWord(const YamlNode& node, const std::string& what, const std::vector<std::string>& words,
                     Mistakes* mistakes) {
  const std::optional<std::string> text = ReadText(node, what, mistakes);
  if (!text) return words.front();
  if (std::find(words.begin(), words.end(), *text) != words.end()) return *text;
  mistakes->Add(node.location, absl::StrCat(what, ": expected ", absl::StrJoin(words, ", "), ", got ", ShownText(*text),
                                            DidYouMean(*text, words)));
  return words.front();
}

void ReadCheckpoints(const YamlNode& root, SweepDraft* draft, Mistakes* mistakes) {
  if (const YamlEntry* numerics = root.Find("numerics")) {
    draft->numerics = ReadWord(*numerics->value, "numerics", {"any", "strict"}, mistakes);
  }
  const YamlEntry* checkpoints = root.Find("checkpoints");
  if (checkpoints == nullptr || !CheckMap(*checkpoints->value, "checkpoints", {"keep"}, mistakes)) return;
  if (const YamlEntry* keep = checkpoints->value->Find("keep")) {
    draft->keep_checkpoints = ReadWord(*keep->value, "checkpoints.keep", {"last", "none", "all"}, mistakes);
  }
}

void ReadTrainer(const YamlNode& root, SweepDraft* draft, Mistakes* mistakes) {
  draft->shared.trainer = "modular";
  const YamlEntry* trainer = root.Find("trainer");
  if (trainer == nullptr) return;
  const std::optional<std::string> name = ReadText(*trainer->value, "trainer", mistakes);
  if (!name) return;
  draft->shared.trainer = *name;
  if (FindTrainer(*name) != nullptr) return;
  mistakes->Add(trainer->value->location,
                absl::StrCat("trainer: there is no trainer ", ShownText(*name), DidYouMean(*name, TrainerNames()),
                             " (expected ", absl::StrJoin(TrainerNames(), ", "), ")"));
}

void ReadMethod(const YamlNode& root, SweepDraft* draft, Mistakes* mistakes) {
  if (const YamlEntry* method = root.Find("method")) {
    const std::optional<std::string> text = ReadText(*method->value, "method", mistakes);
    if (text && *text != "grid" && *text != "random") {
      mistakes->Add(method->value->location, absl::StrCat("method: expected grid or random, got ", ShownText(*text),
                                                          DidYouMean(*text, {"grid", "random"})));
    }
    draft->is_random = text && *text == "random";
  }
  if (const YamlEntry* cap = root.Find("run_cap")) {
    draft->run_cap = ReadInteger(*cap->value, "run_cap", 1, mistakes);
  } else if (draft->is_random) {
    mistakes->Add(root.Find("method")->value->location, "method: random needs 'run_cap', the number of points");
  }
  if (const YamlEntry* seed = root.Find("random_seed")) {
    draft->random_seed = static_cast<uint64_t>(ReadInteger(*seed->value, "random_seed", 0, mistakes).value_or(0));
    if (!draft->is_random) {
      mistakes->Add(seed->key_location, "random_seed: only method: random draws points; remove it");
    }
  }
}

void ReadSeeds(const YamlNode& root, SweepDraft* draft, Mistakes* mistakes) {
  draft->seed_count = 1;
  const YamlEntry* seeds = root.Find("seeds");
  if (seeds == nullptr) return;
  draft->seeds_location = seeds->value->location;
  if (!seeds->value->is_sequence()) {
    const std::optional<int64_t> count =
        ReadInteger(*seeds->value, "seeds: a list of seeds, or their number", 1, kMostSeeds, mistakes);
    draft->seed_count = count.value_or(1);
    return;
  }
  if (!CheckList(*seeds->value, "seeds", mistakes)) return;
  std::unordered_set<int64_t> distinct;
  for (const YamlNodePtr& element : seeds->value->elements) {
    const std::optional<int64_t> seed = ReadInteger(*element, "seeds", 0, kGreatestSeed, mistakes);
    if (!seed) continue;
    if (distinct.insert(*seed).second) {
      draft->seeds.push_back(*seed);
    } else {
      mistakes->Add(element->location, absl::StrCat("seeds: ", *seed, " stands here twice"));
    }
  }
  draft->seed_count = static_cast<int64_t>(draft->seeds.size());
}

std::optional<double> ReadTime(const YamlNode& node, Mistakes* mistakes) {
  absl::Duration duration;
  if (node.is_scalar() && absl::ParseDuration(node.text, &duration) && duration > absl::ZeroDuration() &&
      duration < absl::InfiniteDuration()) {
    return absl::ToDoubleSeconds(duration);
  }
  mistakes->Add(
      node.location,
      absl::StrCat("budget.time: expected a duration above 0 such as 90s, 10m, 2h or 1h30m, got ", KindOf(node)));
  return std::nullopt;
}

void ReadBudget(const YamlNode& root, SweepDraft* draft, Mistakes* mistakes) {
  const YamlEntry* budget = root.Find("budget");
  if (budget == nullptr) {
    mistakes->Add(root.location, "the sweep has no 'budget'; expected one, such as budget: {steps: 10000}");
    return;
  }
  if (!CheckMap(*budget->value, "budget", {"steps", "time"}, mistakes)) return;
  if (const YamlEntry* steps = budget->value->Find("steps")) {
    draft->shared.budget.steps = ReadInteger(*steps->value, "budget.steps", 1, kLargestStep, mistakes).value_or(1);
  } else {
    mistakes->Add(budget->key_location, "budget: expected 'steps', the number of updates after which a run ends");
  }
  if (const YamlEntry* time = budget->value->Find("time")) {
    draft->shared.budget.seconds = ReadTime(*time->value, mistakes);
  }
}

void ReadMetricIntervals(const YamlNode& root, SweepDraft* draft, Mistakes* mistakes) {
  const YamlEntry* metrics = root.Find("metrics");
  const std::vector<std::string> keys = {"log_every", "evaluate_every", "analyze_every"};
  if (metrics == nullptr || !CheckMap(*metrics->value, "metrics", keys, mistakes)) return;
  MetricIntervals& intervals = draft->shared.metrics;
  if (const YamlEntry* entry = metrics->value->Find("log_every")) {
    intervals.log_every = ReadInteger(*entry->value, "metrics.log_every", 1, kLargestStep, mistakes).value_or(1);
  }
  if (const YamlEntry* entry = metrics->value->Find("evaluate_every")) {
    intervals.evaluate_every =
        ReadInteger(*entry->value, "metrics.evaluate_every", 1, kLargestStep, mistakes).value_or(1);
  }
  if (const YamlEntry* entry = metrics->value->Find("analyze_every")) {
    intervals.analyze_every =
        ReadInteger(*entry->value, "metrics.analyze_every", 0, kLargestStep, mistakes).value_or(0);
  }
}

void ReadMetric(const YamlNode& root, SweepDraft* draft, Mistakes* mistakes) {
  const YamlEntry* metric = root.Find("metric");
  if (metric == nullptr || !CheckMap(*metric->value, "metric", {"name", "goal"}, mistakes)) return;
  std::string goal = "minimize";
  if (const YamlEntry* entry = metric->value->Find("goal")) {
    goal = ReadText(*entry->value, "metric.goal", mistakes).value_or(goal);
    if (goal != "minimize" && goal != "maximize") {
      mistakes->Add(entry->value->location, absl::StrCat("metric.goal: expected minimize or maximize, got ",
                                                         ShownText(goal), DidYouMean(goal, {"minimize", "maximize"})));
    }
  }
  const YamlEntry* name = metric->value->Find("name");
  if (name == nullptr) {
    mistakes->Add(metric->key_location, "metric: expected 'name', the name of a metric");
    return;
  }
  const std::optional<std::string> text = ReadText(*name->value, "metric.name", mistakes);
  if (!text || !CheckMetricName(*text, draft->shared.trainer, name->value->location, mistakes)) return;
  draft->metric = Json{{"name", *text}, {"goal", goal}};
}

}  // namespace

const std::vector<std::string>& SweepKeys() {
  static const auto* const keys = new std::vector<std::string>{
      "name",           "description", "trainer",  "method",  "run_cap", "random_seed", "metric",  "seeds",
      "parameters",     "zip",         "include",  "exclude", "budget",  "stop",        "metrics", "priority",
      "max_concurrent", "checkpoints", "numerics", "retries"};
  return *keys;
}

bool CheckMetricName(const std::string& metric, const std::string& trainer, Location location, Mistakes* mistakes) {
  const TrainerSchema* schema = FindTrainer(trainer);
  if (schema == nullptr || schema->FindMetric(metric) != nullptr) return true;
  std::vector<std::string> names;
  for (const MetricDefinition& definition : schema->metrics) {
    names.push_back(definition.is_family ? definition.name + ".*" : definition.name);
  }
  mistakes->Add(location, absl::StrCat("trainer ", trainer, " has no metric ", ShownText(metric),
                                       DidYouMean(metric, names), " (expected ", absl::StrJoin(names, ", "), ")"));
  return false;
}

SweepDraft ReadDraft(const YamlNode& root, Mistakes* mistakes) {
  SweepDraft draft;
  CheckTopKeys(root, mistakes);
  ReadLabels(root, &draft, mistakes);
  ReadTrainer(root, &draft, mistakes);
  ReadMethod(root, &draft, mistakes);
  ReadSeeds(root, &draft, mistakes);
  ReadBudget(root, &draft, mistakes);
  ReadMetricIntervals(root, &draft, mistakes);
  ReadMetric(root, &draft, mistakes);
  ReadCheckpoints(root, &draft, mistakes);
  const YamlEntry* stop = root.Find("stop");
  ReadStopRules(stop == nullptr ? nullptr : stop->value.get(), &draft, mistakes);
  draft.points_location = root.location;
  if (const YamlEntry* parameters = root.Find("parameters")) {
    draft.points_location = parameters->key_location;
    ReadParameters(*parameters->value, &draft.parameters, mistakes);
  }
  ReadPointEntries(root, &draft, mistakes);
  return draft;
}

}  // namespace seedbed::sweep_file
