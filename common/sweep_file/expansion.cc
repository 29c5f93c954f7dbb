#include "common/sweep_file/expansion.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/digest.h"
#include "common/sweep_file/point_texts.h"
#include "common/sweep_file/rule_check.h"

namespace seedbed::sweep_file {
namespace {

constexpr uint64_t kSaturated = std::numeric_limits<uint64_t>::max();

uint64_t MultiplySaturating(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kSaturated : product;
}

std::string ShownCount(uint64_t count) {
  return count == kSaturated ? "more than 10^19" : absl::StrCat(count);
}

uint64_t AxisLength(const Axis& axis) {
  if (!axis.distribution) return axis.rows.size();
  return static_cast<uint64_t>(GridLength(*axis.distribution).value_or(1));
}

// The kept points. A point is its resolved value numbers; which of them vary is known when all points are.
class Collector {
 public:
  Collector(const SweepDraft& draft, const SweepLimits& limits, const std::shared_ptr<const PointSpace>& space,
            Mistakes* mistakes)
      : draft_(draft),
        limits_(limits),
        space_(*space),
        mistakes_(mistakes),
        rules_(*space, mistakes),
        exclusion_matched_(space->excluded.size(), false),
        texts_(std::make_shared<PointTexts>(space)) {}

  // False once no further point is wanted: run_cap is reached, or the limit on what is looked at.
  bool AddFromAxes(const std::vector<ValueNumber>& given) {
    if (++seen_ > limits_.most_runs) {
      mistakes_->AddExcess(
          draft_.points_location,
          absl::StrCat("looked at ", limits_.most_runs, " points without finding the ", draft_.run_cap.value_or(0),
                       " that run_cap asks for; expected fewer duplicates "
                       "and exclusions"));
      return false;
    }
    space_.Resolve(given, &resolved_);
    return IsExcluded() || Keep(draft_.points_location);
  }

  void AddIncluded(const std::vector<ValueNumber>& given, Location location) {
    space_.Resolve(given, &resolved_);
    Keep(location);
  }

  const std::vector<ValueNumber>& resolved() const { return resolved_; }

  // To be called when every point of the grid was seen.
  void WarnOfIdleExclusions() {
    for (size_t i = 0; i < exclusion_matched_.size(); ++i) {
      if (!exclusion_matched_[i])
        mistakes_->Warn(draft_.exclude[i].location, "warning: exclude: this matches no point");
    }
  }

  ConfigurationList Finish() {
    std::vector<bool> varied = FindVaried();
    points_.shrink_to_fit();
    return {std::move(texts_), std::move(list_), std::move(points_), std::move(varied)};
  }

 private:
  bool IsExcluded() {
    const auto matches = [&](const SlotCondition& condition) { return condition.Holds(resolved_); };
    bool excluded = false;
    for (size_t i = 0; i < space_.excluded.size(); ++i) {
      if (excluded && exclusion_matched_[i]) continue;
      const auto& pattern = space_.excluded[i];
      if (!std::all_of(pattern.begin(), pattern.end(), matches)) continue;
      excluded = exclusion_matched_[i] = true;
    }
    return excluded;
  }

  bool Keep(Location location) {
    if (IsFull()) return false;
    rules_.Check(resolved_, location);
    text_.clear();
    texts_->AppendParameters(resolved_.data(), &text_);
    const Digest digest = DigestOf(text_);
    if (!digests_.insert(digest).second) return true;
    list_.push_back(digest);
    points_.insert(points_.end(), resolved_.begin(), resolved_.end());
    return !IsFull();
  }

  bool IsFull() const { return draft_.run_cap && static_cast<int64_t>(list_.size()) >= *draft_.run_cap; }

  std::vector<bool> FindVaried() const {
    const size_t width = space_.slots.size();
    std::vector<ValueNumber> first(width, kAbsent);
    std::vector<bool> varied(width, false);
    for (size_t at = 0; at < points_.size(); ++at) {
      const size_t slot = at % width;
      if (points_[at] == kAbsent) continue;
      if (first[slot] == kAbsent) first[slot] = points_[at];
      varied[slot] = varied[slot] || points_[at] != first[slot];
    }
    return varied;
  }

  const SweepDraft& draft_;
  const SweepLimits& limits_;
  const PointSpace& space_;
  Mistakes* const mistakes_;
  RuleCheck rules_;
  std::vector<bool> exclusion_matched_;  // by a point that was seen
  std::shared_ptr<const PointTexts> texts_;
  std::vector<ValueNumber> resolved_;
  std::string text_;
  int64_t seen_ = 0;
  absl::flat_hash_set<Digest> digests_;  // of list_
  std::vector<Digest> list_;             // of the kept points, in order
  std::vector<ValueNumber> points_;      // of the kept ones, one row each
};

// Refuses by multiplication what would be too much to build.
bool CheckCount(const SweepDraft& draft, const SweepLimits& limits, const PointSpace& space, Mistakes* mistakes) {
  uint64_t points = 1;
  uint64_t longest = 1;
  std::vector<std::string> factors;
  for (const Axis& axis : space.axes) {
    const uint64_t length = AxisLength(axis);
    points = MultiplySaturating(points, length);
    longest = std::max(longest, length);
    if (length > 1) factors.push_back(absl::StrCat(length));
  }
  std::string shown = absl::StrCat("a grid of ", factors.size() < 2 ? "" : absl::StrJoin(factors, " x ") + " = ",
                                   ShownCount(points), points == 1 ? " point" : " points");
  const auto most = static_cast<uint64_t>(limits.most_configurations);
  // An axis is listed whole, even where run_cap takes only some of the points.
  const bool axes_fit = draft.is_random || longest <= most;
  if (draft.run_cap && axes_fit && (draft.is_random || static_cast<uint64_t>(*draft.run_cap) < points)) {
    points = static_cast<uint64_t>(*draft.run_cap);
    shown = absl::StrCat("a run_cap of ", points, " points");
  }
  constexpr uint64_t kMostComparisons = 4'000'000'000;  // some ten seconds
  if (MultiplySaturating(points, space.excluded.size()) > kMostComparisons) {
    mistakes->AddExcess(draft.exclude_location,
                        absl::StrCat(space.excluded.size(), " exclusions x ", shown, "; expected fewer of either"));
    return false;
  }
  const auto seeds = static_cast<uint64_t>(draft.seed_count);
  const uint64_t runs = MultiplySaturating(points, seeds);
  if (points > most) {
    mistakes->AddExcess(draft.points_location,
                        absl::StrCat(shown, "; expected at most ", limits.most_configurations, " configurations"));
    return false;
  }
  if (runs > static_cast<uint64_t>(limits.most_runs)) {
    mistakes->AddExcess(
        seeds > points ? draft.seeds_location : draft.points_location,
        absl::StrCat(shown, " x ", seeds, " seeds = ", ShownCount(runs), " runs; expected at most ", limits.most_runs));
    return false;
  }
  return true;
}

// The number of a value that a distribution gave; nullopt after a mistake.
std::optional<ValueNumber> CheckDrawn(const Json& value, const Axis& axis, Slot* slot, Mistakes* mistakes) {
  const absl::StatusOr<Json> checked = CheckParameter(*slot->definition, value);
  if (checked.ok()) return slot->values.Intern(*checked);
  mistakes->Add(axis.location, absl::StrCat(checked.status().message(), ", which distribution ",
                                            axis.distribution->name, " can give"));
  return std::nullopt;
}

// Lists the values of the grid's int_uniform and q_uniform axes.
bool ListGridValues(PointSpace* space, Mistakes* mistakes) {
  for (Axis& axis : space->axes) {
    if (!axis.distribution) continue;
    const int64_t length = GridLength(*axis.distribution).value_or(0);
    Slot& slot = space->slots[axis.slots[0]];
    for (int64_t i = 0; i < length; ++i) {
      const auto number = CheckDrawn(GridValue(*axis.distribution, i), axis, &slot, mistakes);
      if (!number) return false;
      axis.rows.push_back({*number});
    }
  }
  return true;
}

void TakeRow(const Axis& axis, size_t row, std::vector<ValueNumber>* given) {
  for (size_t i = 0; i < axis.slots.size(); ++i) (*given)[axis.slots[i]] = axis.rows[row][i];
}

// False if it ended before the last point.
bool AddGrid(const PointSpace& space, Collector* collector) {
  std::vector<ValueNumber> given(space.slots.size(), kAbsent);
  for (const Axis& axis : space.axes) TakeRow(axis, 0, &given);
  std::vector<size_t> at(space.axes.size(), 0);
  while (collector->AddFromAxes(given)) {
    size_t axis = space.axes.size();
    while (axis > 0) {
      --axis;
      at[axis] = (at[axis] + 1) % space.axes[axis].rows.size();
      TakeRow(space.axes[axis], at[axis], &given);
      if (at[axis] != 0) break;
      if (axis == 0) return true;
    }
    if (space.axes.empty()) return true;
  }
  return false;
}

void AddRandom(const SweepDraft& draft, PointSpace* space, Collector* collector, Mistakes* mistakes) {
  std::vector<ValueNumber> given(space->slots.size(), kAbsent);
  for (int64_t point = 0; point < *draft.run_cap; ++point) {
    for (const Axis& axis : space->axes) {
      if (axis.distribution) {
        Slot& slot = space->slots[axis.slots[0]];
        const Json value = DrawValue(*axis.distribution, draft.random_seed, axis.stream_name, point);
        const auto number = CheckDrawn(value, axis, &slot, mistakes);
        if (!number) return;
        given[axis.slots[0]] = *number;
        continue;
      }
      const size_t row = axis.probabilities.empty()
                             ? DrawIndex(axis.rows.size(), draft.random_seed, axis.stream_name, point)
                             : DrawIndex(axis.probabilities, draft.random_seed, axis.stream_name, point);
      TakeRow(axis, row, &given);
    }
    if (!collector->AddFromAxes(given)) return;
  }
}

// An included point has the values of the axes with only one, and its own.
void AddIncluded(const PointSpace& space, Collector* collector, Mistakes* mistakes) {
  std::vector<ValueNumber> single(space.slots.size(), kAbsent);
  for (const Axis& axis : space.axes) {
    if (axis.rows.size() == 1) TakeRow(axis, 0, &single);
  }
  for (const IncludedPoint& point : space.included) {
    std::vector<ValueNumber> given = single;
    for (const Assignment& assignment : point.assignments) given[assignment.slot] = assignment.value;
    collector->AddIncluded(given, point.location);
    for (const Assignment& assignment : point.assignments) {
      if (collector->resolved()[assignment.slot] == assignment.value) continue;
      mistakes->Add(assignment.location, absl::StrCat("include: ", space.slots[assignment.slot].definition->name,
                                                      " does not exist at this point (see its condition)"));
    }
  }
}

// Whether some point may have one of the condition's values.
bool MayHold(const PointSpace& space, const SlotCondition& condition) {
  const Slot& on = space.slots[condition.slot];
  if ((!on.given || !on.when.empty()) && condition.Takes(on.default_value)) return true;
  for (const Axis& axis : space.axes) {
    const auto column = std::find(axis.slots.begin(), axis.slots.end(), condition.slot);
    if (column == axis.slots.end()) continue;
    if (axis.distribution) return true;
    const size_t index = column - axis.slots.begin();
    for (const auto& row : axis.rows) {
      if (condition.Takes(row[index])) return true;
    }
  }
  for (const IncludedPoint& point : space.included) {
    for (const Assignment& assignment : point.assignments) {
      if (assignment.slot == condition.slot && condition.Takes(assignment.value)) return true;
    }
  }
  return false;
}

// A parameter that the trainer takes at no point is a slip; one that it takes at some exists at those.
void CheckThatAllApply(const PointSpace& space, Mistakes* mistakes) {
  for (const Slot& slot : space.slots) {
    if (!slot.given || !slot.when.empty() || !slot.applies_when || MayHold(space, *slot.applies_when)) continue;
    const AppliesWhen& condition = *slot.definition->applies_when;
    mistakes->Add(*slot.given, absl::StrCat(slot.definition->name, " applies only when ", condition.parameter, " is ",
                                            absl::StrJoin(condition.values, " or "),
                                            ", which it is at no point; remove it, "
                                            "or say when: {",
                                            condition.parameter, ": ", condition.values[0], "}"));
  }
}

}  // namespace

ConfigurationList ExpandPoints(const SweepDraft& draft, const SweepLimits& limits,
                               const std::shared_ptr<PointSpace>& space, Mistakes* mistakes) {
  if (!CheckCount(draft, limits, *space, mistakes)) return {};
  const int before = mistakes->count();
  CheckThatAllApply(*space, mistakes);
  if (!draft.is_random && !ListGridValues(space.get(), mistakes)) return {};
  Collector collector(draft, limits, space, mistakes);
  if (draft.is_random) {
    AddRandom(draft, space.get(), &collector, mistakes);
  } else if (AddGrid(*space, &collector)) {
    collector.WarnOfIdleExclusions();
  }
  AddIncluded(*space, &collector, mistakes);
  if (mistakes->count() > before) return {};
  ConfigurationList configurations = collector.Finish();
  if (configurations.empty()) mistakes->Add(draft.exclude_location, "exclude: no point is left; expected at least one");
  return configurations;
}

}  // namespace seedbed::sweep_file
