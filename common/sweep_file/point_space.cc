#include "common/sweep_file/point_space.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/schema/shown_text.h"

namespace seedbed::sweep_file {
namespace {

class Builder {
 public:
  Builder(const TrainerSchema& schema, Mistakes* mistakes) : mistakes_(mistakes) {
    space_.schema = &schema;
    for (const ParameterDefinition& definition : schema.parameters) AddSlot(definition);
    for (const ParameterRule& rule : schema.rules) AddRule(rule);
  }

  PointSpace Build(const SweepDraft& draft) {
    for (const ParameterDraft& parameter : draft.parameters) AddParameter(parameter, draft.is_random);
    for (const PointEntry& group : draft.zip) AddZip(group);
    for (const ParameterDraft& parameter : draft.parameters) AddWhen(parameter);
    for (const PointEntry& entry : draft.include) AddIncluded(entry);
    for (const PointEntry& entry : draft.exclude) AddExcluded(entry);
    for (const NamedMetric& metric : draft.stop_metrics) AddStopMetric(metric);
    FindEvaluationOrder(draft);
    space_.name_order.resize(space_.slots.size());
    std::iota(space_.name_order.begin(), space_.name_order.end(), 0);
    std::sort(space_.name_order.begin(), space_.name_order.end(),
              [&](int a, int b) { return space_.slots[a].definition->name < space_.slots[b].definition->name; });
    return std::move(space_);
  }

 private:
  SlotRule& AddRule(const ParameterRule& rule) {
    SlotRule bound;
    bound.rule = &rule;
    for (const std::string& name : rule.parameters) bound.slots.push_back(FindSlot(name));
    space_.rules.push_back(std::move(bound));
    return space_.rules.back();
  }

  // It must be measured at every point: a rule on it would never end a run, or always.
  void AddStopMetric(const NamedMetric& metric) {
    const MetricDefinition* definition = space_.schema->FindMetric(metric.name);
    if (definition == nullptr || !definition->absent_where) return;
    SlotRule& rule = AddRule(*definition->absent_where);
    rule.subject = absl::StrCat("stop.metric: ", metric.name, " is ");
    rule.location = metric.location;
  }

  void AddSlot(const ParameterDefinition& definition) {
    Slot slot;
    slot.definition = &definition;
    if (const auto value = CheckParameter(definition, definition.default_value); value.ok()) {
      slot.default_value = slot.values.Intern(*value);
    }
    if (definition.applies_when) {
      SlotCondition condition{FindSlot(definition.applies_when->parameter), {}};
      Slot& on = space_.slots[condition.slot];  // the schema defines it earlier
      for (const std::string& text : definition.applies_when->values) {
        if (const auto value = CheckParameter(*on.definition, text); value.ok()) {
          condition.values.push_back(on.values.Intern(*value));
        }
      }
      std::sort(condition.values.begin(), condition.values.end());
      slot.applies_when = std::move(condition);
    }
    space_.slots.push_back(std::move(slot));
  }

  int FindSlot(const std::string& name) const {
    for (size_t i = 0; i < space_.slots.size(); ++i) {
      if (space_.slots[i].definition->name == name) return static_cast<int>(i);
    }
    return -1;
  }

  // -1 after a mistake. `what` goes before the message: "zip: ".
  int KnownSlot(const std::string& name, Location location, const std::string& what) {
    const int slot = FindSlot(name);
    if (slot >= 0) return slot;
    std::optional<std::string> nearest;
    if (!mistakes_->is_full()) nearest = NearestParameter(*space_.schema, name);
    mistakes_->Add(location, absl::StrCat(what, "trainer ", space_.schema->name, " has no parameter ", ShownText(name),
                                          nearest ? absl::StrCat("; did you mean '", *nearest, "'?") : ""));
    return -1;
  }

  std::optional<ValueNumber> Check(int slot, const Scalar& scalar) {
    const absl::StatusOr<Json> value = CheckParameter(*space_.slots[slot].definition, scalar.value);
    if (value.ok()) return space_.slots[slot].values.Intern(*value);
    const absl::string_view message = value.status().message();
    mistakes_->Add(scalar.location, std::string_view(message.data(), message.size()));
    return std::nullopt;
  }

  std::vector<ValueNumber> CheckAll(int slot, const std::vector<Scalar>& scalars) {
    std::vector<ValueNumber> numbers;
    for (const Scalar& scalar : scalars) {
      if (const std::optional<ValueNumber> number = Check(slot, scalar)) numbers.push_back(*number);
    }
    return numbers;
  }

  // False if another section gave it already.
  bool Claim(int slot, Location location) {
    Slot& claimed = space_.slots[slot];
    if (claimed.given) {
      mistakes_->Add(location, absl::StrCat(claimed.definition->name, " is given twice; the first is on line ",
                                            claimed.given->line));
      return false;
    }
    claimed.given = location;
    return true;
  }

  void AddParameter(const ParameterDraft& parameter, bool is_random) {
    const int slot = KnownSlot(parameter.name, parameter.location, "");
    if (slot < 0 || !Claim(slot, parameter.location)) return;
    Axis axis;
    axis.slots = {slot};
    axis.location = parameter.location;
    axis.stream_name = parameter.name;
    axis.probabilities = parameter.probabilities;
    if (!is_random && !parameter.probabilities.empty()) {
      mistakes_->Add(parameter.location, absl::StrCat(parameter.name, ": 'probabilities' goes with method: random"));
    }
    if (parameter.distribution) {
      axis.distribution = parameter.distribution;
      CheckDistribution(parameter, slot, is_random);
    }
    for (const ValueNumber number : CheckAll(slot, parameter.values)) axis.rows.push_back({number});
    space_.axes.push_back(std::move(axis));
  }

  void CheckDistribution(const ParameterDraft& parameter, int slot, bool is_random) {
    const Distribution& distribution = *parameter.distribution;
    const ParameterDefinition& definition = *space_.slots[slot].definition;
    if (definition.type != ParameterType::kInteger && definition.type != ParameterType::kNumber) {
      mistakes_->Add(parameter.location, absl::StrCat(parameter.name, " is no number: expected 'value' or 'values'"));
      return;
    }
    if (!is_random && !GridLength(distribution)) {
      mistakes_->Add(parameter.location,
                     absl::StrCat(parameter.name, ": distribution ", distribution.name,
                                  " needs method: random; a grid takes ", "value, values, int_uniform or q_uniform"));
    }
    if (definition.type == ParameterType::kInteger && distribution.kind != Distribution::Kind::kIntegerUniform &&
        !distribution.quantum) {
      mistakes_->Add(parameter.location, absl::StrCat(parameter.name,
                                                      " takes integers: expected int_uniform, or a "
                                                      "distribution with 'q'; got ",
                                                      distribution.name));
    }
  }

  void AddZip(const PointEntry& group) {
    Axis axis;
    axis.location = group.location;
    std::vector<std::string> names;
    for (const NamedValues& column : group.items) {
      const int slot = KnownSlot(column.name, column.location, "zip: ");
      if (slot < 0 || !Claim(slot, column.location)) continue;
      const std::vector<ValueNumber> numbers = CheckAll(slot, column.values);
      if (axis.slots.empty()) axis.rows.resize(numbers.size());
      axis.slots.push_back(slot);
      names.push_back(column.name);
      // Lists of unequal length are a mistake already.
      for (size_t i = 0; i < std::min(numbers.size(), axis.rows.size()); ++i) axis.rows[i].push_back(numbers[i]);
    }
    std::sort(names.begin(), names.end());
    for (const std::string& name : names)
      absl::StrAppend(&axis.stream_name, axis.stream_name.empty() ? "" : "\n", name);
    if (!axis.slots.empty()) space_.axes.push_back(std::move(axis));
  }

  void AddWhen(const ParameterDraft& parameter) {
    const int slot = FindSlot(parameter.name);
    for (const NamedValues& condition : parameter.when) {
      const int on = KnownSlot(condition.name, condition.location, absl::StrCat(parameter.name, ".when: "));
      if (on < 0) continue;
      std::vector<ValueNumber> values = CheckAll(on, condition.values);
      std::sort(values.begin(), values.end());
      if (slot >= 0) space_.slots[slot].when.push_back({on, std::move(values)});
    }
  }

  void AddIncluded(const PointEntry& entry) {
    IncludedPoint point;
    point.location = entry.location;
    for (const NamedValues& item : entry.items) {
      const int slot = KnownSlot(item.name, item.location, "include: ");
      if (slot < 0) continue;
      if (const auto number = Check(slot, item.values[0])) point.assignments.push_back({slot, *number, item.location});
    }
    space_.included.push_back(std::move(point));
  }

  void AddExcluded(const PointEntry& entry) {
    std::vector<SlotCondition> pattern;
    for (const NamedValues& item : entry.items) {
      const int slot = KnownSlot(item.name, item.location, "exclude: ");
      if (slot < 0) continue;
      pattern.push_back({slot, CheckAll(slot, item.values)});
      std::sort(pattern.back().values.begin(), pattern.back().values.end());
    }
    space_.excluded.push_back(std::move(pattern));
  }

  // Orders the slots so that each comes after those that its conditions look at; the schema's own order where it can.
  void FindEvaluationOrder(const SweepDraft& draft) {
    const size_t count = space_.slots.size();
    std::vector<bool> placed(count, false);
    const auto is_ready = [&](const Slot& slot) {
      if (slot.applies_when && !placed[slot.applies_when->slot]) return false;
      return std::all_of(slot.when.begin(), slot.when.end(), [&](const SlotCondition& c) { return placed[c.slot]; });
    };
    for (bool progress = true; progress;) {
      progress = false;
      for (size_t i = 0; i < count; ++i) {
        if (placed[i] || !is_ready(space_.slots[i])) continue;
        placed[i] = progress = true;
        space_.evaluation_order.push_back(static_cast<int>(i));
      }
    }
    for (const ParameterDraft& parameter : draft.parameters) {
      const int slot = FindSlot(parameter.name);
      if (slot < 0 || placed[slot] || parameter.when.empty()) continue;
      mistakes_->Add(parameter.when[0].location, absl::StrCat(parameter.name, ".when: depends on itself, by way of ",
                                                              ShownText(parameter.when[0].name)));
    }
  }

  PointSpace space_;
  Mistakes* const mistakes_;
};

}  // namespace

bool SlotCondition::Takes(ValueNumber value) const {
  return std::binary_search(values.begin(), values.end(), value);
}

ValueNumber ValueTable::Intern(const Json& value) {
  std::string text = CanonicalJson(value);
  const auto [found, inserted] = numbers_.emplace(std::move(text), static_cast<ValueNumber>(texts_.size()));
  if (inserted) {
    texts_.push_back(found->first);
    values_.push_back(value);
  }
  return found->second;
}

void PointSpace::Resolve(const std::vector<ValueNumber>& given, std::vector<ValueNumber>* resolved) const {
  resolved->assign(slots.size(), kAbsent);
  for (const int index : evaluation_order) {
    const Slot& slot = slots[index];
    if (slot.applies_when && !slot.applies_when->Holds(*resolved)) continue;
    bool take_given = given[index] != kAbsent;
    for (const SlotCondition& condition : slot.when) take_given = take_given && condition.Holds(*resolved);
    (*resolved)[index] = take_given ? given[index] : slot.default_value;
  }
}

PointSpace BuildPointSpace(const SweepDraft& draft, const TrainerSchema& schema, Mistakes* mistakes) {
  return Builder(schema, mistakes).Build(draft);
}

}  // namespace seedbed::sweep_file
