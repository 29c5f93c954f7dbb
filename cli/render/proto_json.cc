#include "cli/render/proto_json.h"

#include <cmath>
#include <utility>

#include "absl/strings/escaping.h"
#include "cli/render/format.h"

namespace seedbed::cli {
namespace {

// "RUN_STATE_QUEUED" without "RUN_STATE_", in lower case; "" for the unspecified one.
std::string LowerTail(const std::string& name, const std::string& prefix) {
  if (name.rfind(prefix, 0) != 0) return "unknown";
  std::string tail = name.substr(prefix.size());
  if (tail == "UNSPECIFIED") return "";
  for (char& c : tail) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return tail;
}

OrderedJson TimeOrNull(int64_t microseconds) {
  if (microseconds == 0) return nullptr;
  return FormatTimeUtc(microseconds);
}

OrderedJson TextOrNull(const std::string& text) {
  if (text.empty()) return nullptr;
  return text;
}

// Messages have -1 where no step was reported.
OrderedJson StepOrNull(int64_t step) {
  if (step < 0) return nullptr;
  return step;
}

OrderedJson Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

// Medians of step counts are whole more often than not, and then print without ".0".
OrderedJson StepsNumber(double value) {
  if (std::isfinite(value) && std::abs(value) < 9e15 && value == std::floor(value)) return static_cast<int64_t>(value);
  return Number(value);
}

}  // namespace

std::string StateName(v1::SweepState state) {
  return LowerTail(v1::SweepState_Name(state), "SWEEP_STATE_");
}
std::string StateName(v1::RunState state) {
  return LowerTail(v1::RunState_Name(state), "RUN_STATE_");
}
std::string StateName(v1::WorkerState state) {
  return LowerTail(v1::WorkerState_Name(state), "WORKER_STATE_");
}
std::string EndName(v1::AttemptEnd end) {
  return LowerTail(v1::AttemptEnd_Name(end), "ATTEMPT_END_");
}

std::string StateName(const v1::SweepSummary& sweep) {
  const bool done = sweep.state() == v1::SWEEP_STATE_ACTIVE && EndedRuns(sweep.runs()) == TotalRuns(sweep.runs());
  return done ? "done" : StateName(sweep.state());
}

bool RunStateFromName(const std::string& name, v1::RunState* state) {
  for (int value = v1::RunState_MIN; value <= v1::RunState_MAX; ++value) {
    if (value == v1::RUN_STATE_UNSPECIFIED || !v1::RunState_IsValid(value)) continue;
    if (StateName(static_cast<v1::RunState>(value)) == name) {
      *state = static_cast<v1::RunState>(value);
      return true;
    }
  }
  return false;
}

OrderedJson ParsedOrText(const std::string& json) {
  if (json.empty()) return nullptr;
  OrderedJson parsed = OrderedJson::parse(json, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) return json;
  return parsed;
}

std::string Dump(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

int64_t TotalRuns(const v1::RunCounts& counts) {
  return counts.queued() + counts.running() + counts.finished() + counts.failed() + counts.cancelled();
}

int64_t EndedRuns(const v1::RunCounts& counts) {
  return counts.finished() + counts.failed() + counts.cancelled();
}

OrderedJson ToJson(const v1::RunCounts& counts) {
  return {{"total", TotalRuns(counts)},    {"queued", counts.queued()}, {"running", counts.running()},
          {"finished", counts.finished()}, {"failed", counts.failed()}, {"cancelled", counts.cancelled()}};
}

OrderedJson ToJson(const v1::GetServerInfoResponse& info) {
  return {{"version", info.version()},
          {"database_id", info.database_id()},
          {"epoch", info.epoch()},
          {"data_directory", info.data_directory()},
          {"database", info.database_path()},
          {"started_at", TimeOrNull(info.started_at())},
          {"degraded", info.degraded()},
          {"degraded_reason", TextOrNull(info.degraded_reason())},
          {"metrics_held", info.metrics_held()}};
}

OrderedJson ToJson(const v1::SubmitSweepResponse& submitted) {
  return {{"sweep_id", submitted.sweep_id()},     {"name", submitted.name()},
          {"created", submitted.created()},       {"configurations_added", submitted.configurations_added()},
          {"runs_added", submitted.runs_added()}, {"configurations", submitted.configurations_total()},
          {"runs", submitted.runs_total()}};
}

OrderedJson ToJson(const v1::SweepSummary& sweep) {
  return {{"sweep_id", sweep.sweep_id()},
          {"name", sweep.name()},
          {"description", sweep.description()},
          {"state", StateName(sweep)},
          {"priority", sweep.priority()},
          {"configurations", sweep.configurations()},
          {"runs", ToJson(sweep.runs())},
          {"budget_steps", sweep.budget_steps()},
          {"created_at", TimeOrNull(sweep.created_at())}};
}

OrderedJson ToJson(const v1::ConfigurationSummary& configuration) {
  OrderedJson outcomes = OrderedJson::object();
  // A protobuf map has no order; a document of ours has one.
  const std::map<std::string, int64_t> sorted(configuration.outcomes().begin(), configuration.outcomes().end());
  for (const auto& [outcome, count] : sorted) outcomes[outcome] = count;
  OrderedJson json = {{"sweep_id", configuration.sweep_id()},
                      {"configuration_id", configuration.configuration_id()},
                      {"varied", ParsedOrText(configuration.varied_json())},
                      {"parameters", ParsedOrText(configuration.parameters_json())},
                      {"seeds", configuration.seeds()},
                      {"runs", ToJson(configuration.runs())},
                      {"reached_train", configuration.reached_train()},
                      {"reached_test", configuration.reached_test()},
                      {"median_t_train", nullptr},
                      {"median_t_test", nullptr},
                      {"median_delay", nullptr},
                      {"outcomes", std::move(outcomes)}};
  if (configuration.has_median_t_train()) json["median_t_train"] = StepsNumber(configuration.median_t_train());
  if (configuration.has_median_t_test()) json["median_t_test"] = StepsNumber(configuration.median_t_test());
  if (configuration.has_median_delay()) json["median_delay"] = StepsNumber(configuration.median_delay());
  return json;
}

OrderedJson ToJson(const v1::RunSummary& run) {
  return {{"run_id", run.run_id()},
          {"sweep_id", run.sweep_id()},
          {"sweep", run.sweep()},
          {"configuration_id", run.configuration_id()},
          {"seed", run.seed()},
          {"state", StateName(run.state())},
          {"outcome", TextOrNull(run.outcome())},
          {"attempts", run.attempts()},
          {"last_step", StepOrNull(run.last_step())},
          {"worker", TextOrNull(run.worker())},
          {"prefetched", run.prefetched()},
          {"varied", ParsedOrText(run.varied_json())},
          {"parameters", ParsedOrText(run.parameters_json())},
          {"summary", ParsedOrText(run.summary_json())},
          {"reason", TextOrNull(run.reason())},
          {"started_at", TimeOrNull(run.started_at())},
          {"ended_at", TimeOrNull(run.ended_at())}};
}

OrderedJson ToJson(const v1::AttemptSummary& attempt) {
  return {{"attempt", attempt.attempt()},
          {"worker", TextOrNull(attempt.worker())},
          {"end", TextOrNull(EndName(attempt.end()))},
          {"reason", TextOrNull(attempt.reason())},
          {"last_step", StepOrNull(attempt.last_step())},
          {"started_at", TimeOrNull(attempt.started_at())},
          {"ended_at", TimeOrNull(attempt.ended_at())}};
}

OrderedJson ToJson(const v1::WorkerSummary& worker) {
  OrderedJson leases = OrderedJson::array();
  for (const int64_t run : worker.leased_run_ids()) leases.push_back(run);
  OrderedJson trainers = OrderedJson::array();
  for (const v1::TrainerOffer& offer : worker.trainers()) {
    trainers.push_back({{"trainer", offer.trainer()}, {"numerics", ParsedOrText(offer.numerics_json())}});
  }
  OrderedJson json = {{"worker_id", worker.worker_id()},
                      {"name", worker.name()},
                      {"host", worker.host()},
                      {"device", worker.device()},
                      {"version", worker.version()},
                      {"state", StateName(worker.state())},
                      {"slots", worker.slots()},
                      {"leased_runs", std::move(leases)},
                      {"first_seen_at", TimeOrNull(worker.first_seen_at())},
                      {"seconds_since_seen", nullptr},
                      {"state_changed_at", TimeOrNull(worker.state_changed_at())},
                      {"trainers", std::move(trainers)}};
  if (worker.has_seconds_since_seen()) json["seconds_since_seen"] = worker.seconds_since_seen();
  return json;
}

OrderedJson ToJson(const v1::ProgressResponse& progress) {
  OrderedJson sweeps = OrderedJson::array();
  for (const v1::SweepSummary& sweep : progress.sweeps()) sweeps.push_back(ToJson(sweep));
  OrderedJson ended = OrderedJson::array();
  for (const v1::FinishedRun& run : progress.ended()) {
    ended.push_back({{"run_id", run.run_id()},
                     {"sweep", run.sweep()},
                     {"seed", run.seed()},
                     {"varied", ParsedOrText(run.varied_json())},
                     {"state", StateName(run.state())},
                     {"outcome", TextOrNull(run.outcome())},
                     {"reason", TextOrNull(run.reason())},
                     {"last_step", StepOrNull(run.last_step())}});
  }
  OrderedJson json = {{"sweeps", std::move(sweeps)}, {"steps_per_second", Number(progress.steps_per_second())},
                      {"seconds_left", nullptr},     {"active_workers", progress.active_workers()},
                      {"ended", std::move(ended)},   {"done", progress.done()}};
  if (progress.has_seconds_left()) json["seconds_left"] = Number(progress.seconds_left());
  return json;
}

OrderedJson ToJson(const v1::Value& value) {
  switch (value.kind_case()) {
    case v1::Value::kInteger:
      return value.integer();
    case v1::Value::kReal:
      return Number(value.real());
    case v1::Value::kText:
      return value.text();
    case v1::Value::kBlob:
      return absl::BytesToHexString(value.blob());
    case v1::Value::kIsNull:
    case v1::Value::KIND_NOT_SET:
      return nullptr;
  }
  return nullptr;
}

}  // namespace seedbed::cli
