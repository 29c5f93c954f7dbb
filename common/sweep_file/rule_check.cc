#include "common/sweep_file/rule_check.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace seedbed::sweep_file {

RuleCheck::RuleCheck(const PointSpace& space, Mistakes* mistakes)
    : space_(space), mistakes_(mistakes), checked_(space.rules.size()) {}

void RuleCheck::Check(const std::vector<ValueNumber>& point, Location fallback) {
  for (size_t i = 0; i < space_.rules.size(); ++i) {
    const SlotRule& rule = space_.rules[i];
    combination_.clear();
    for (const int slot : rule.slots) combination_.push_back(point[slot]);
    if (!checked_[i].insert(combination_).second) continue;
    std::vector<const Json*> values;
    for (const int slot : rule.slots) {
      values.push_back(point[slot] == kAbsent ? nullptr : &space_.slots[slot].values.value(point[slot]));
    }
    const std::string mistake = rule.rule->mistake(values);
    if (!mistake.empty()) mistakes_->Add(PlaceOf(rule, fallback), absl::StrCat(rule.subject, mistake));
  }
}

Location RuleCheck::PlaceOf(const SlotRule& rule, Location fallback) const {
  if (rule.location) return *rule.location;
  for (const int slot : rule.slots) {
    if (space_.slots[slot].given) return *space_.slots[slot].given;
  }
  return fallback;
}

}  // namespace seedbed::sweep_file
