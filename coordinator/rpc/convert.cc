#include "coordinator/rpc/convert.h"

#include <algorithm>
#include <utility>

#include "common/base/json.h"
#include "common/schema/number_text.h"

// What people see.
namespace seedbed {

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // The codes are the same numbers.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

v1::SweepState ToProto(core::SweepState state) {
  switch (state) {
    case core::SweepState::kSubmitting:
      return v1::SWEEP_STATE_SUBMITTING;
    case core::SweepState::kActive:
      return v1::SWEEP_STATE_ACTIVE;
    case core::SweepState::kPaused:
    case core::SweepState::kHalted:
      return v1::SWEEP_STATE_PAUSED;
    case core::SweepState::kDeleting:
      return v1::SWEEP_STATE_DELETING;
  }
  return v1::SWEEP_STATE_UNSPECIFIED;
}

v1::RunState ToProto(core::RunState state) {
  switch (state) {
    case core::RunState::kQueued:
      return v1::RUN_STATE_QUEUED;
    case core::RunState::kRunning:
      return v1::RUN_STATE_RUNNING;
    case core::RunState::kFinished:
      return v1::RUN_STATE_FINISHED;
    case core::RunState::kFailed:
      return v1::RUN_STATE_FAILED;
    case core::RunState::kCancelled:
      return v1::RUN_STATE_CANCELLED;
  }
  return v1::RUN_STATE_UNSPECIFIED;
}

v1::WorkerState ToProto(core::WorkerState state) {
  switch (state) {
    case core::WorkerState::kActive:
      return v1::WORKER_STATE_ACTIVE;
    case core::WorkerState::kDraining:
      return v1::WORKER_STATE_DRAINING;
    case core::WorkerState::kQuarantined:
      return v1::WORKER_STATE_QUARANTINED;
    case core::WorkerState::kGone:
      return v1::WORKER_STATE_GONE;
  }
  return v1::WORKER_STATE_UNSPECIFIED;
}

v1::AttemptEnd ToProto(core::AttemptEnd end) {
  switch (end) {
    case core::AttemptEnd::kFinished:
      return v1::ATTEMPT_END_FINISHED;
    case core::AttemptEnd::kFailed:
      return v1::ATTEMPT_END_FAILED;
    case core::AttemptEnd::kCrashed:
      return v1::ATTEMPT_END_CRASHED;
    case core::AttemptEnd::kOutOfMemory:
      return v1::ATTEMPT_END_OUT_OF_MEMORY;
    case core::AttemptEnd::kTimedOut:
      return v1::ATTEMPT_END_TIMED_OUT;
    case core::AttemptEnd::kStalled:
      return v1::ATTEMPT_END_STALLED;
    case core::AttemptEnd::kLost:
      return v1::ATTEMPT_END_LOST;
    case core::AttemptEnd::kPreempted:
      return v1::ATTEMPT_END_PREEMPTED;
    case core::AttemptEnd::kCancelled:
      return v1::ATTEMPT_END_CANCELLED;
  }
  return v1::ATTEMPT_END_UNSPECIFIED;
}

absl::StatusOr<core::RunState> FromProto(v1::RunState state) {
  switch (state) {
    case v1::RUN_STATE_QUEUED:
      return core::RunState::kQueued;
    case v1::RUN_STATE_RUNNING:
      return core::RunState::kRunning;
    case v1::RUN_STATE_FINISHED:
      return core::RunState::kFinished;
    case v1::RUN_STATE_FAILED:
      return core::RunState::kFailed;
    case v1::RUN_STATE_CANCELLED:
      return core::RunState::kCancelled;
    default:
      return absl::InvalidArgumentError("states: expected queued, running, finished, failed or cancelled");
  }
}

void ToProto(const core::RunCounts& counts, v1::RunCounts* out) {
  out->set_queued(counts.queued);
  out->set_running(counts.running);
  out->set_finished(counts.finished);
  out->set_failed(counts.failed);
  out->set_cancelled(counts.cancelled);
}

void ToProto(const SweepRow& row, v1::SweepSummary* out) {
  out->set_sweep_id(row.id.value());
  out->set_name(row.name);
  out->set_description(row.description);
  const std::optional<core::SweepState> state = core::SweepStateFromName(row.state);
  if (state) out->set_state(ToProto(*state));
  out->set_priority(row.priority);
  out->set_configurations(row.configurations);
  ToProto(row.runs, out->mutable_runs());
  out->set_created_at(row.created_at);
}

void ToProto(const RunRow& row, v1::RunSummary* out) {
  out->set_run_id(row.id.value());
  out->set_sweep(row.sweep_name);
  out->set_sweep_id(row.sweep.value());
  out->set_configuration_id(row.configuration.value());
  out->set_seed(row.seed);
  const std::optional<core::RunState> state = core::RunStateFromName(row.state);
  if (state) out->set_state(ToProto(*state));
  out->set_outcome(row.outcome);
  out->set_attempts(static_cast<int32_t>(row.attempts));
  out->set_last_step(row.last_step.value_or(-1));
  out->set_worker(row.worker);
  out->set_varied_json(row.varied_json);
  out->set_parameters_json(row.parameters_json);
  out->set_summary_json(row.summary_json);
  out->set_reason(row.reason);
  out->set_started_at(row.started_at.value_or(0));
  out->set_ended_at(row.ended_at.value_or(0));
}

void ToProto(const AttemptRow& row, v1::AttemptSummary* out) {
  out->set_attempt(static_cast<int32_t>(row.attempt));
  out->set_worker(row.worker);
  const std::optional<core::AttemptEnd> end = core::AttemptEndFromName(row.end);
  if (end) out->set_end(ToProto(*end));
  out->set_reason(row.reason);
  out->set_started_at(row.started_at);
  out->set_ended_at(row.ended_at.value_or(0));
  out->set_last_step(row.last_step.value_or(-1));
}

void ToProto(const ConfigurationRow& row, v1::ConfigurationSummary* out) {
  out->set_sweep_id(row.sweep.value());
  out->set_configuration_id(row.id.value());
  out->set_varied_json(row.varied_json);
  out->set_parameters_json(row.parameters_json);
  out->set_seeds(row.seeds);
  out->set_finished(row.finished);
  out->set_reached_train(row.reached_train_99);
  out->set_reached_test(row.reached_test_99);
  if (row.median_t_train) out->set_median_t_train(*row.median_t_train);
  if (row.median_t_grok) out->set_median_t_test(*row.median_t_grok);
  if (row.median_delay) out->set_median_delay(*row.median_delay);
}

void ToProto(const WorkerRow& row, v1::WorkerSummary* out) {
  out->set_worker_id(row.id);
  out->set_name(row.name);
  out->set_host(row.host);
  out->set_device(row.device);
  out->set_version(row.version);
  out->set_slots(static_cast<int32_t>(row.slots));
  const std::optional<core::WorkerState> state = core::WorkerStateFromName(row.state);
  if (state) out->set_state(ToProto(*state));
  out->set_first_seen_at(row.registered_at);
  out->set_state_changed_at(row.changed_at);
  const absl::StatusOr<Json> trainers = ParseJson(row.trainers_json, "trainers");
  if (!trainers.ok() || !trainers->is_array()) return;
  for (const Json& each : *trainers) {
    if (!each.is_object()) continue;
    v1::TrainerOffer* offer = out->add_trainers();
    offer->set_trainer(each.value("trainer", std::string()));
    const auto numerics = each.find("numerics");
    if (numerics != each.end()) {
      offer->set_numerics_json(numerics->is_string() ? numerics->get<std::string>() : CanonicalJson(*numerics));
    }
    const auto parameters = each.find("pack_parameters");
    if (parameters == each.end() || !parameters->is_array()) continue;
    for (const Json& parameter : *parameters) {
      if (parameter.is_string()) offer->add_pack_parameters(parameter.get<std::string>());
    }
  }
}

void ToProto(const Value& value, v1::Value* out) {
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    out->set_integer(*integer);
  } else if (const auto* real = std::get_if<double>(&value)) {
    out->set_real(*real);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    out->set_text(*text);
  } else {
    out->set_is_null(true);
  }
}

std::string ParameterValueJson(const std::string& text) {
  if (text == "true" || text == "false" || text == "null") return text;
  const std::optional<NumberText> number = ReadNumberText(text);
  if (!number) return CanonicalJson(Json(text));
  if (number->integer) return CanonicalJson(Json(*number->integer));
  return CanonicalJson(JsonNumber(number->value));
}

}  // namespace seedbed
