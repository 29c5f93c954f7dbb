#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/schema/trainer_schema.h"
#include "common/sweep_file/draft.h"
#include "common/sweep_file/mistakes.h"

// The checked form of what spans a sweep's points. Parameters are numbered as in the trainer's schema (slots), their
// values by small numbers, so that a million points are a matter of integers and of joining texts made once.
namespace seedbed::sweep_file {

using ValueNumber = int32_t;
constexpr ValueNumber kAbsent = -1;

// The distinct values of one parameter and their canonical JSON texts, by number. Not thread-safe.
class ValueTable {
 public:
  ValueNumber Intern(const Json& value);
  const std::string& text(ValueNumber number) const { return texts_[number]; }
  const Json& value(ValueNumber number) const { return values_[number]; }

 private:
  std::vector<std::string> texts_;
  std::vector<Json> values_;
  std::unordered_map<std::string, ValueNumber> numbers_;
};

// Holds at a point where the slot has one of the values.
struct SlotCondition {
  int slot = 0;
  std::vector<ValueNumber> values;  // sorted

  bool Takes(ValueNumber value) const;
  bool Holds(const std::vector<ValueNumber>& point) const { return Takes(point[slot]); }
};

struct Slot {
  const ParameterDefinition* definition = nullptr;
  ValueTable values;
  ValueNumber default_value = kAbsent;
  std::optional<SlotCondition> applies_when;  // the trainer's
  std::vector<SlotCondition> when;            // the file's; all must hold for the file's value to be taken
  std::optional<Location> given;              // where the file gives it under parameters or zip
};

// One direction of the grid: some slots and the rows that they take together.
struct Axis {
  std::vector<int> slots;
  std::vector<std::vector<ValueNumber>> rows;  // empty while `distribution` says what they are
  std::optional<Distribution> distribution;    // of slots[0]
  std::vector<double> probabilities;           // of the rows, in a random sweep; empty means equal
  std::string stream_name;                     // tells its random numbers from those of other axes
  Location location;
};

struct Assignment {
  int slot = 0;
  ValueNumber value = kAbsent;
  Location location;
};

// One point, beside those of the axes.
struct IncludedPoint {
  std::vector<Assignment> assignments;
  Location location;
};

// A rule of the trainer's, on slots.
struct SlotRule {
  const ParameterRule* rule = nullptr;
  std::vector<int> slots;
  std::string subject;               // before what the rule says, where that is about something that the file asks for
  std::optional<Location> location;  // of it; else the mistake is with one of the slots
};

struct PointSpace {
  const TrainerSchema* schema = nullptr;
  std::vector<Slot> slots;
  std::vector<int> evaluation_order;  // slots, each after those that its conditions look at
  std::vector<int> name_order;        // slots by name, as canonical JSON has them
  std::vector<Axis> axes;             // in the file's order
  std::vector<IncludedPoint> included;
  std::vector<SlotRule> rules;
  std::vector<std::vector<SlotCondition>> excluded;  // a point that meets all of one is dropped

  // The values that hold at a point. `given` has a value or kAbsent for each slot; so has `resolved`, where kAbsent
  // means that the parameter does not exist there.
  void Resolve(const std::vector<ValueNumber>& given, std::vector<ValueNumber>* resolved) const;
};

// Checks names and values against the trainer's schema. Meaningful only if no mistake was added.
PointSpace BuildPointSpace(const SweepDraft& draft, const TrainerSchema& schema, Mistakes* mistakes);

}  // namespace seedbed::sweep_file
