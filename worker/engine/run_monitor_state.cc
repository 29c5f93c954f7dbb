// RunMonitor to JSON and back.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/engine/run_monitor.h"

namespace seedbed::engine {
namespace {

Json OptionalStep(const std::optional<int64_t>& step) {
  return step ? Json(*step) : Json(nullptr);
}

Json OptionalValue(const std::optional<double>& value) {
  return value ? JsonNumber(*value) : Json(nullptr);
}

bool IsCount(const Json& json) {
  return json.is_number_integer() && (!json.is_number_unsigned() || json.get<uint64_t>() <= uint64_t{1} << 62) &&
         json.get<int64_t>() >= 0;
}

// Reads the keys of one object; the first that is not as expected is the status.
class Reader {
 public:
  Reader(const Json& object, const char* what) : object_(object), what_(what) {
    if (!object.is_object()) status_ = absl::InvalidArgumentError(absl::StrCat(what, ": expected an object"));
  }

  void Read(const char* key, int64_t* count) {
    const Json* json = Find(key);
    if (json != nullptr && !IsCount(*json)) Fail(key, "a count");
    if (status_.ok()) *count = json->get<int64_t>();
  }
  void Read(const char* key, bool* flag) {
    const Json* json = Find(key);
    if (json != nullptr && !json->is_boolean()) Fail(key, "a boolean");
    if (status_.ok()) *flag = json->get<bool>();
  }
  void Read(const char* key, std::optional<int64_t>* step) {
    const Json* json = Find(key);
    if (json != nullptr && !json->is_null() && !IsCount(*json)) Fail(key, "a step or null");
    if (!status_.ok()) return;
    step->reset();
    if (!json->is_null()) *step = json->get<int64_t>();
  }
  void Read(const char* key, std::optional<double>* value) {
    const Json* json = Find(key);
    if (json == nullptr) return;
    value->reset();
    if (json->is_null()) return;
    const absl::StatusOr<double> number = NumberFromJson(*json);
    if (!number.ok()) return Fail(key, "a number or null");
    *value = *number;
  }
  // An array of as many elements as `size`.
  const Json* Array(const char* key, size_t size) {
    const Json* json = Find(key);
    if (json == nullptr || (json->is_array() && json->size() == size)) return json;
    Fail(key, "another number of elements");
    return nullptr;
  }
  void Fail(const char* key, const char* expected) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(what_, ".", key, ": expected ", expected));
  }
  const absl::Status& status() const { return status_; }

 private:
  const Json* Find(const char* key) {
    if (!status_.ok()) return nullptr;
    const auto found = object_.find(key);
    if (found != object_.end()) return &*found;
    Fail(key, "it to be there");
    return nullptr;
  }

  const Json& object_;
  const char* const what_;
  absl::Status status_;
};

template <typename Crossings>
Json CrossingsToJson(const Crossings& crossings) {
  Json json = Json::object();
  for (size_t i = 0; i < crossings.size(); ++i) {
    json[std::to_string(kAccuracyPercents[i])] = OptionalStep(crossings[i]);
  }
  return json;
}

template <typename Crossings>
absl::Status CrossingsFromJson(const Json& state, const char* key, Crossings* crossings) {
  const auto found = state.find(key);
  const Json missing;
  Reader reader(found == state.end() ? missing : *found, key);
  for (size_t i = 0; i < crossings->size(); ++i) {
    reader.Read(std::to_string(kAccuracyPercents[i]).c_str(), &(*crossings)[i]);
  }
  return reader.status();
}

}  // namespace

Json RunMonitor::State() const {
  Json rules = Json::array();
  for (const RuleState& rule : rules_) {
    rules.push_back({{"held", rule.held}, {"held_since", rule.held_since}, {"was_reached", rule.was_reached}});
  }
  return {{"rules", std::move(rules)},
          {"t_train", CrossingsToJson(train_crossings_)},
          {"t_test", CrossingsToJson(test_crossings_)},
          {"first_nonfinite_step", OptionalStep(first_nonfinite_step_)},
          {"evaluation_after_memorising", OptionalStep(evaluation_after_memorising_)},
          {"last_train_loss", OptionalValue(last_train_loss_)},
          {"last_train_accuracy", OptionalValue(last_train_accuracy_)},
          {"last_test_loss", OptionalValue(last_test_loss_)},
          {"last_test_accuracy", OptionalValue(last_test_accuracy_)}};
}

absl::Status RunMonitor::Restore(const Json& state) {
  Reader reader(state, "monitor");
  reader.Read("first_nonfinite_step", &first_nonfinite_step_);
  reader.Read("evaluation_after_memorising", &evaluation_after_memorising_);
  reader.Read("last_train_loss", &last_train_loss_);
  reader.Read("last_train_accuracy", &last_train_accuracy_);
  reader.Read("last_test_loss", &last_test_loss_);
  reader.Read("last_test_accuracy", &last_test_accuracy_);
  const Json* rules = reader.Array("rules", rules_.size());
  SEEDBED_RETURN_IF_ERROR(reader.status());
  for (size_t i = 0; i < rules_.size(); ++i) {
    Reader rule((*rules)[i], "monitor.rules");
    rule.Read("held", &rules_[i].held);
    rule.Read("held_since", &rules_[i].held_since);
    rule.Read("was_reached", &rules_[i].was_reached);
    SEEDBED_RETURN_IF_ERROR(rule.status());
  }
  SEEDBED_RETURN_IF_ERROR(CrossingsFromJson(state, "t_train", &train_crossings_));
  return CrossingsFromJson(state, "t_test", &test_crossings_);
}

}  // namespace seedbed::engine
