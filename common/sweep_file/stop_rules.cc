#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/schema/largest_step.h"
#include "common/schema/trainer_schema.h"
#include "common/sweep_file/draft.h"

namespace seedbed::sweep_file {
namespace {

const std::vector<std::string>& RuleKeys() {
  static const auto* const keys = new std::vector<std::string>{"metric",       "at_least",    "at_most", "held_for",
                                                               "not_at_least", "not_at_most", "by_step", "not_finite"};
  return *keys;
}

struct ConditionKey {
  const char* key;
  StopRule::Kind kind;
  StopRule::Direction direction;
};

constexpr ConditionKey kConditionKeys[] = {
    {"at_least", StopRule::Kind::kThreshold, StopRule::Direction::kAtLeast},
    {"at_most", StopRule::Kind::kThreshold, StopRule::Direction::kAtMost},
    {"not_at_least", StopRule::Kind::kNotReached, StopRule::Direction::kAtLeast},
    {"not_at_most", StopRule::Kind::kNotReached, StopRule::Direction::kAtMost},
};

// The threshold of a rule and how it is meant; false after a mistake.
bool ReadCondition(const YamlNode& node, StopRule* rule, Mistakes* mistakes) {
  int conditions = 0;
  bool valid = true;
  for (const ConditionKey& condition : kConditionKeys) {
    const YamlEntry* entry = node.Find(condition.key);
    if (entry == nullptr) continue;
    ++conditions;
    rule->kind = condition.kind;
    rule->direction = condition.direction;
    const std::optional<double> value = ReadNumber(*entry->value, absl::StrCat("stop.", condition.key), mistakes);
    valid = valid && value.has_value();
    rule->value = value.value_or(0);
  }
  if (conditions == 1) return valid;
  mistakes->Add(node.location, "stop: expected exactly one of at_least, at_most, not_at_least, not_at_most in a rule");
  return false;
}

// How long, or until when.
bool ReadExtent(const YamlNode& node, StopRule* rule, Mistakes* mistakes) {
  const YamlEntry* held_for = node.Find("held_for");
  const YamlEntry* by_step = node.Find("by_step");
  if (rule->kind == StopRule::Kind::kThreshold) {
    if (by_step != nullptr) {
      mistakes->Add(by_step->key_location, "stop: 'by_step' goes with not_at_least and not_at_most");
      return false;
    }
    if (held_for == nullptr) return true;
    const std::optional<int64_t> count = ReadInteger(*held_for->value, "stop.held_for", 1, kLargestStep, mistakes);
    rule->held_for = count.value_or(1);
    return count.has_value();
  }
  if (held_for != nullptr) {
    mistakes->Add(held_for->key_location, "stop: 'held_for' goes with at_least and at_most");
    return false;
  }
  if (by_step == nullptr) {
    mistakes->Add(node.location, "stop: expected 'by_step', the step by which the metric must have got there");
    return false;
  }
  const std::optional<int64_t> step = ReadInteger(*by_step->value, "stop.by_step", 1, kLargestStep, mistakes);
  rule->by_step = step.value_or(1);
  return step.has_value();
}

// False (with a mistake) if no run of the sweep takes the analyses at which it is measured.
bool CheckThatItIsAnalysed(const std::string& metric, const SweepDraft& draft, Location location, Mistakes* mistakes) {
  const TrainerSchema* schema = FindTrainer(draft.shared.trainer);
  if (schema == nullptr || draft.shared.metrics.analyze_every > 0 || !schema->FindMetric(metric)->at_analyses_only) {
    return true;
  }
  mistakes->Add(location, absl::StrCat("stop.metric: ", metric,
                                       " is measured at analyses, and there are none; set metrics.analyze_every"));
  return false;
}

std::optional<StopRule> ReadMetricRule(const YamlNode& node, SweepDraft* draft, Mistakes* mistakes) {
  StopRule rule;
  const YamlEntry* metric = node.Find("metric");
  if (metric == nullptr) {
    mistakes->Add(node.location, "stop: expected 'metric', the name of a metric, in a rule");
    return std::nullopt;
  }
  const std::optional<std::string> name = ReadText(*metric->value, "stop.metric", mistakes);
  const Location location = metric->value->location;
  const bool named = name && CheckMetricName(*name, draft->shared.trainer, location, mistakes) &&
                     CheckThatItIsAnalysed(*name, *draft, location, mistakes);
  if (!ReadCondition(node, &rule, mistakes) || !ReadExtent(node, &rule, mistakes) || !named) return std::nullopt;
  rule.metric = *name;
  draft->stop_metrics.push_back({*name, location});
  return rule;
}

void ReadRulesOnMetrics(const YamlNode& list, SweepDraft* draft, Mistakes* mistakes) {
  for (const YamlNodePtr& element : list.elements) {
    if (element->is_scalar() && element->text == "not_finite") continue;
    if (!CheckMap(*element, "stop", RuleKeys(), mistakes)) continue;
    if (const YamlEntry* switched = element->Find("not_finite")) {
      if (element->entries.size() != 1) {
        mistakes->Add(switched->key_location, "stop: expected 'not_finite' alone in its rule");
      }
      if (!ReadBoolean(*switched->value, "stop.not_finite", mistakes).value_or(true)) {
        mistakes->Add(switched->value->location,
                      "stop.not_finite: expected true; a run whose training loss is not finite always ends");
      }
      continue;
    }
    if (std::optional<StopRule> rule = ReadMetricRule(*element, draft, mistakes)) {
      draft->shared.stop.push_back(std::move(*rule));
    }
  }
}

}  // namespace

void ReadStopRules(const YamlNode* node, SweepDraft* draft, Mistakes* mistakes) {
  if (node != nullptr) {
    if (!CheckList(*node, "stop", mistakes)) return;
    ReadRulesOnMetrics(*node, draft, mistakes);
  }
  // Last, wherever it was written: the order of the other rules only decides which is named as the reason.
  StopRule not_finite;
  not_finite.kind = StopRule::Kind::kNotFinite;
  draft->shared.stop.push_back(not_finite);
}

}  // namespace seedbed::sweep_file
