#include "coordinator/web/json_views.h"

#include <optional>
#include <string>

namespace seedbed {
namespace {

Json ViewOf(const std::optional<int64_t>& value) {
  return value ? Json(*value) : Json();
}
Json ViewOf(const std::optional<double>& value) {
  return value ? JsonNumber(*value) : Json();
}
Json ViewOf(const std::optional<bool>& value) {
  return value ? Json(*value) : Json();
}
Json OrNull(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}
// A text of the database that holds JSON; null if it does not.
Json Parsed(const std::string& text) {
  const absl::StatusOr<Json> json = ParseJson(text, "a text of the database");
  return json.ok() ? *json : Json();
}

}  // namespace

Json ViewOf(const core::RunCounts& counts) {
  Json json = Json::object();
  json["queued"] = counts.queued;
  json["running"] = counts.running;
  json["finished"] = counts.finished;
  json["failed"] = counts.failed;
  json["cancelled"] = counts.cancelled;
  json["total"] = counts.total();
  return json;
}

Json ViewOf(const SweepRow& row, int64_t budget_steps) {
  Json json = Json::object();
  json["sweep_id"] = row.id.value();
  json["name"] = row.name;
  json["description"] = row.description;
  json["trainer"] = row.trainer;
  // The word of the command line's tables.
  const bool done = row.state == core::Name(core::SweepState::kActive) && row.runs.queued + row.runs.running == 0;
  json["state"] = done ? "done" : row.state;
  json["priority"] = row.priority;
  json["max_concurrent"] = ViewOf(row.max_concurrent);
  json["created_at"] = row.created_at;
  json["configurations"] = row.configurations;
  json["runs"] = ViewOf(row.runs);
  json["budget_steps"] = budget_steps > 0 ? Json(budget_steps) : Json();
  return json;
}

Json ViewOf(const ConfigurationRow& row, const ConfigurationCounts& counts) {
  Json json = Json::object();
  json["configuration_id"] = row.id.value();
  json["ordinal"] = row.ordinal;
  json["varied"] = Parsed(row.varied_json);
  json["parameters"] = Parsed(row.parameters_json);
  json["seeds"] = row.seeds;
  json["runs"] = ViewOf(counts.runs);
  json["outcomes"] = counts.outcomes;
  json["reached_train_99"] = row.reached_train_99;
  json["reached_test_99"] = row.reached_test_99;
  json["median_t_train"] = ViewOf(row.median_t_train);
  json["median_t_grok"] = ViewOf(row.median_t_grok);
  json["median_delay"] = ViewOf(row.median_delay);
  json["minimum_delay"] = ViewOf(row.minimum_delay);
  json["maximum_delay"] = ViewOf(row.maximum_delay);
  json["mean_final_test_accuracy"] = ViewOf(row.mean_final_test_accuracy);
  return json;
}

Json ViewOf(const RunRow& row) {
  Json json = Json::object();
  json["run_id"] = row.id.value();
  json["sweep_id"] = row.sweep.value();
  json["sweep"] = row.sweep_name;
  json["configuration_id"] = row.configuration.value();
  json["seed"] = row.seed;
  json["varied"] = Parsed(row.varied_json);
  json["state"] = row.state;
  json["outcome"] = OrNull(row.outcome);
  json["reason"] = OrNull(row.reason);
  json["attempts"] = row.attempts;
  json["worker"] = OrNull(row.worker);
  json["last_step"] = ViewOf(row.last_step);
  json["t_train_99"] = ViewOf(row.t_train_99);
  json["t_test_99"] = ViewOf(row.t_test_99);
  json["delay"] = ViewOf(row.delay);
  json["final_train_accuracy"] = ViewOf(row.final_train_accuracy);
  json["final_test_accuracy"] = ViewOf(row.final_test_accuracy);
  json["final_train_loss"] = ViewOf(row.final_train_loss);
  json["final_test_loss"] = ViewOf(row.final_test_loss);
  json["first_nonfinite_step"] = ViewOf(row.first_nonfinite_step);
  json["collapsed"] = ViewOf(row.collapsed);
  json["wall_seconds"] = ViewOf(row.wall_seconds);
  json["started_at"] = ViewOf(row.started_at);
  json["ended_at"] = ViewOf(row.ended_at);
  return json;
}

Json ViewOf(const AttemptRow& row) {
  Json json = Json::object();
  json["attempt"] = row.attempt;
  json["worker"] = row.worker;
  json["host"] = row.host;
  json["ended_as"] = OrNull(row.end);
  json["reason"] = OrNull(row.reason);
  json["resume_step"] = ViewOf(row.resume_step);
  json["last_step"] = ViewOf(row.last_step);
  json["started_at"] = row.started_at;
  json["ended_at"] = ViewOf(row.ended_at);
  return json;
}

Json ViewOf(const WorkerRow& row) {
  Json json = Json::object();
  json["worker_id"] = row.id;
  json["name"] = row.name;
  json["host"] = row.host;
  json["device"] = row.device;
  json["version"] = row.version;
  json["slots"] = row.slots;
  json["state"] = row.state;
  json["reason"] = OrNull(row.reason);
  json["registered_at"] = row.registered_at;
  return json;
}

Json ViewOf(const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return *integer;
  if (const auto* real = std::get_if<double>(&value)) return JsonNumber(*real);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return Json();
}

std::string JsonText(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace seedbed
