#include "worker/engine/run_monitor.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"

namespace seedbed::engine {
namespace {

constexpr size_t kNinetyNine = kAccuracyPercents.size() - 1;
constexpr double kCollapsedBelow = 0.5;

bool Meets(const StopRule& rule, double value) {
  return rule.direction == StopRule::Direction::kAtLeast ? value >= rule.value : value <= rule.value;
}

std::string TextOf(const StopRule& rule) {
  if (rule.kind == StopRule::Kind::kNotFinite) return "not finite";
  const std::string bound = absl::StrCat(rule.direction == StopRule::Direction::kAtLeast ? ">=" : "<=", " ",
                                         CanonicalJson(JsonNumber(rule.value)));
  if (rule.kind == StopRule::Kind::kNotReached)
    return absl::StrCat(rule.metric, " not ", bound, " by step ", rule.by_step);
  return absl::StrCat(rule.metric, " ", bound,
                      rule.held_for > 1 ? absl::StrCat(" held for ", rule.held_for, " rows") : "");
}

bool IsOfFamily(const std::string& metric) {
  return metric.rfind(absl::StrCat(kWeightNormFamily, "."), 0) == 0;
}

absl::Status UnknownMetric(const std::string& metric) {
  std::vector<std::string> known;
  for (size_t i = 0; i < kMetricCount; ++i) known.emplace_back(MetricName(static_cast<Metric>(i)));
  const std::optional<std::string> nearest = NearestWord(metric, known);
  return absl::InvalidArgumentError(absl::StrCat("stop rule: the engine measures no '", metric, "'",
                                                 nearest ? absl::StrCat("; did you mean '", *nearest, "'?") : ""));
}

Json StepOrNull(const std::optional<int64_t>& step) {
  return step ? Json(*step) : Json(nullptr);
}
Json ValueOrNull(const std::optional<double>& value) {
  return value ? JsonNumber(*value) : Json(nullptr);
}

}  // namespace

absl::StatusOr<RunMonitor> RunMonitor::Create(const RunTemplate& shared) {
  RunMonitor monitor(shared.budget);
  for (const StopRule& rule : shared.stop) {
    if (rule.kind == StopRule::Kind::kNotFinite) continue;  // always in force
    RuleState state;
    state.rule = rule;
    state.text = TextOf(rule);
    state.metric = MetricNamed(rule.metric.c_str());
    if (!state.metric && !IsOfFamily(rule.metric)) return UnknownMetric(rule.metric);
    monitor.rules_.push_back(std::move(state));
  }
  return monitor;
}

void RunMonitor::NoteCrossings(int64_t step, double accuracy, Crossings* crossings) {
  for (size_t i = 0; i < kAccuracyPercents.size(); ++i) {
    if (!(*crossings)[i] && accuracy >= kAccuracyPercents[i] / 100.0) (*crossings)[i] = step;
  }
}

void RunMonitor::NoteReached(Metric metric, double value) {
  for (RuleState& state : rules_) {
    if (state.metric == metric && Meets(state.rule, value)) state.was_reached = true;
  }
}

void RunMonitor::ObserveTraining(int64_t step, double loss, double accuracy) {
  last_train_loss_ = loss;
  last_train_accuracy_ = accuracy;
  if (!std::isfinite(loss) && !first_nonfinite_step_) first_nonfinite_step_ = step;
  NoteCrossings(step, accuracy, &train_crossings_);
  NoteReached(Metric::kTrainLoss, loss);
  NoteReached(Metric::kTrainAccuracy, accuracy);
}

void RunMonitor::ObserveBatch(int64_t step, double loss) {
  if (!std::isfinite(loss) && !first_nonfinite_step_) first_nonfinite_step_ = step;
  NoteReached(Metric::kBatchLoss, loss);
}

void RunMonitor::ObserveEvaluation(int64_t step, double loss, double accuracy) {
  last_test_loss_ = loss;
  last_test_accuracy_ = accuracy;
  NoteCrossings(step, accuracy, &test_crossings_);
  if (train_crossings_[kNinetyNine] && !evaluation_after_memorising_) evaluation_after_memorising_ = step;
}

void RunMonitor::ObserveRow(const MetricRow& row) {
  for (RuleState& state : rules_) {
    const std::optional<double> value = state.metric ? row[*state.metric] : row.Find(state.rule.metric);
    if (!value) continue;
    if (!Meets(state.rule, *value)) {
      state.held = 0;
      continue;
    }
    state.was_reached = true;
    if (state.held++ == 0) state.held_since = row.step;
  }
}

std::optional<Ending> RunMonitor::EndingAt(int64_t step, double seconds) const {
  if (first_nonfinite_step_) return Ending{"stop rule not finite", std::nullopt};
  for (const RuleState& state : rules_) {
    if (state.rule.kind == StopRule::Kind::kThreshold && state.held >= state.rule.held_for) {
      return Ending{absl::StrCat("stop rule ", state.text), state.held_since};
    }
  }
  for (const RuleState& state : rules_) {
    if (state.rule.kind == StopRule::Kind::kNotReached && step >= state.rule.by_step && !state.was_reached) {
      return Ending{absl::StrCat("stop rule ", state.text), std::nullopt};
    }
  }
  if (step >= budget_.steps) return Ending{"budget", std::nullopt};
  if (budget_.seconds && seconds >= *budget_.seconds) return Ending{"time", std::nullopt};
  return std::nullopt;
}

std::string RunMonitor::Outcome() const {
  if (first_nonfinite_step_) return "diverged";
  const std::optional<int64_t>& memorised = train_crossings_[kNinetyNine];
  const std::optional<int64_t>& generalised = test_crossings_[kNinetyNine];
  if (generalised && (!memorised || *generalised <= evaluation_after_memorising_.value_or(*generalised))) {
    return "generalised";
  }
  if (generalised) return "grokked";
  return memorised ? "memorised" : "not_memorised";
}

Json RunMonitor::Summary(const std::optional<Ending>& ending) const {
  Json summary = Json::object();
  for (size_t i = 0; i < kAccuracyPercents.size(); ++i) {
    summary[absl::StrCat("t_train_", kAccuracyPercents[i])] = StepOrNull(train_crossings_[i]);
    summary[absl::StrCat("t_test_", kAccuracyPercents[i])] = StepOrNull(test_crossings_[i]);
  }
  const std::optional<int64_t>& memorised = train_crossings_[kNinetyNine];
  const std::optional<int64_t>& generalised = test_crossings_[kNinetyNine];
  summary["delay"] = memorised && generalised ? Json(*generalised - *memorised) : Json(nullptr);
  summary["final_train_accuracy"] = ValueOrNull(last_train_accuracy_);
  summary["final_test_accuracy"] = ValueOrNull(last_test_accuracy_);
  summary["final_train_loss"] = ValueOrNull(last_train_loss_);
  summary["final_test_loss"] = ValueOrNull(last_test_loss_);
  summary["first_nonfinite_step"] = StepOrNull(first_nonfinite_step_);
  summary["collapsed"] = memorised.has_value() && last_train_accuracy_ && *last_train_accuracy_ < kCollapsedBelow;
  summary["held_since"] = ending ? StepOrNull(ending->held_since) : Json(nullptr);
  return summary;
}

}  // namespace seedbed::engine
