#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"
#include "common/schema/largest_step.h"
#include "common/schema/offer_limits.h"
#include "coordinator/rpc/convert.h"

// What workers say.
namespace seedbed {
namespace {

constexpr int kMostSlots = 100'000;
constexpr int kMostLeases = 200'000;
constexpr int kMostTrainers = 64;
constexpr int kMostPackParameters = 1024;
constexpr int kMostSeries = 10'000;
constexpr size_t kMostText = 4096;  // of a host's name, a device, a reason
constexpr size_t kMostJson = 1 << 20;

absl::Status Wrong(const std::string& field, const std::string& expected) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": expected ", expected));
}

std::string PossibleSteps() {
  return absl::StrCat("0 to ", kLargestStep);
}

absl::Status CheckName(const std::string& field, const std::string& value) {
  if (IsPlainName(value)) return absl::OkStatus();
  return Wrong(field, "1 to 128 of A-Z a-z 0-9 _ . -, starting with a letter or digit");
}

absl::Status CheckText(const std::string& field, const std::string& value) {
  if (value.size() <= kMostText) return absl::OkStatus();
  return Wrong(field, absl::StrCat("at most ", kMostText, " bytes"));
}

// Its beginning, cut between two characters: no message to people carries a part of one.
std::string Beginning(const std::string& text) {
  size_t kept = std::min(text.size(), kMostText);
  while (kept < text.size() && kept > 0 && (static_cast<unsigned char>(text[kept]) & 0xC0) == 0x80) --kept;
  return text.substr(0, kept);
}

absl::StatusOr<std::string> CanonicalObject(const std::string& field, const std::string& text) {
  if (text.size() > kMostJson) return Wrong(field, absl::StrCat("at most ", kMostJson, " bytes"));
  const absl::StatusOr<Json> json = ParseJson(text, field);
  if (!json.ok()) return absl::InvalidArgumentError(std::string(json.status().message()));
  if (!json->is_object()) return Wrong(field, "a JSON object");
  return CanonicalJson(*json);
}

absl::StatusOr<core::TrainerOffer> OfferFromProto(const v1::TrainerOffer& offer) {
  core::TrainerOffer result;
  SEEDBED_RETURN_IF_ERROR(CheckName("trainers.trainer", offer.trainer()));
  result.trainer = offer.trainer();
  SEEDBED_ASSIGN_OR_RETURN(
      result.numerics_json,
      CanonicalObject("trainers.numerics_json", offer.numerics_json().empty() ? "{}" : offer.numerics_json()));
  if (offer.pack_parameters_size() > kMostPackParameters) {
    return Wrong("trainers.pack_parameters", absl::StrCat("at most ", kMostPackParameters));
  }
  for (const std::string& parameter : offer.pack_parameters()) {
    SEEDBED_RETURN_IF_ERROR(CheckName("trainers.pack_parameters", parameter));
    result.pack_parameters.push_back(parameter);
  }
  return result;
}

absl::StatusOr<core::AttemptEnd> EndFromProto(v1::AttemptEnd end) {
  switch (end) {
    case v1::ATTEMPT_END_FINISHED:
      return core::AttemptEnd::kFinished;
    case v1::ATTEMPT_END_FAILED:
      return core::AttemptEnd::kFailed;
    case v1::ATTEMPT_END_CRASHED:
      return core::AttemptEnd::kCrashed;
    case v1::ATTEMPT_END_OUT_OF_MEMORY:
      return core::AttemptEnd::kOutOfMemory;
    case v1::ATTEMPT_END_TIMED_OUT:
      return core::AttemptEnd::kTimedOut;
    case v1::ATTEMPT_END_STALLED:
      return core::AttemptEnd::kStalled;
    case v1::ATTEMPT_END_LOST:
      return core::AttemptEnd::kLost;
    case v1::ATTEMPT_END_PREEMPTED:
      return core::AttemptEnd::kPreempted;
    default:
      return Wrong("ended.end",
                   "how the attempt ended (finished, failed, crashed, …; cancelled is not a worker's word)");
  }
}

absl::StatusOr<core::Report::End> EndedFromProto(const v1::AttemptEnded& ended) {
  core::Report::End end;
  SEEDBED_ASSIGN_OR_RETURN(end.end, EndFromProto(ended.end()));
  end.reason = Beginning(ended.reason());
  end.pack = std::max(1, ended.pack());
  if (ended.has_result() != (end.end == core::AttemptEnd::kFinished)) {
    return Wrong("ended.result", "a result where the end is finished, and only there");
  }
  if (ended.has_unusable_checkpoint()) end.unusable_checkpoint = ended.unusable_checkpoint();
  if (!ended.has_result()) return end;
  core::RunResult result;
  SEEDBED_RETURN_IF_ERROR(CheckName("ended.result.outcome", ended.result().outcome()));
  result.outcome = ended.result().outcome();
  result.reason = Beginning(ended.result().reason());
  result.last_step = ended.result().last_step();
  if (!IsStep(result.last_step)) return Wrong("ended.result.last_step", PossibleSteps());
  const std::string& summary = ended.result().summary_json();
  SEEDBED_ASSIGN_OR_RETURN(result.summary_json,
                           CanonicalObject("ended.result.summary_json", summary.empty() ? "{}" : summary));
  end.result = std::move(result);
  return end;
}

absl::StatusOr<MetricRows> RowsFromProto(const v1::MetricRows& message, RunId run) {
  MetricRows rows;
  rows.run = run;
  rows.steps.assign(message.steps().begin(), message.steps().end());
  for (size_t i = 0; i < rows.steps.size(); ++i) {
    if (!IsStep(rows.steps[i]) || (i > 0 && rows.steps[i] <= rows.steps[i - 1])) {
      return Wrong("rows.steps", absl::StrCat("steps, strictly rising, from ", PossibleSteps()));
    }
  }
  if (message.series_size() > kMostSeries) return Wrong("rows.series", absl::StrCat("at most ", kMostSeries));
  for (const v1::MetricSeries& series : message.series()) {
    SEEDBED_RETURN_IF_ERROR(CheckMetricName(series.metric()));
    if (series.values_size() != message.steps_size() ||
        (series.absent_size() != 0 && series.absent_size() != series.values_size())) {
      return Wrong(absl::StrCat("rows.series (", series.metric(), ")"),
                   absl::StrCat("as many values as steps (", message.steps_size(), "), and `absent` as long or empty"));
    }
    MetricSeries& out = rows.series.emplace_back();
    out.metric = series.metric();
    out.values.assign(series.values().begin(), series.values().end());
    for (int i = 0; i < series.absent_size(); ++i) {
      if (series.absent(i)) out.values[static_cast<size_t>(i)] = std::numeric_limits<double>::quiet_NaN();
    }
  }
  if (message.has_first_nonfinite_step()) {
    if (!IsStep(message.first_nonfinite_step())) return Wrong("rows.first_nonfinite_step", PossibleSteps());
    rows.first_nonfinite_step = message.first_nonfinite_step();
  }
  return rows;
}

absl::Status LeasesFromProto(const v1::SynchronizeRequest& request, core::Synchronize* command) {
  if (request.leases_size() > kMostLeases) return Wrong("leases", absl::StrCat("at most ", kMostLeases));
  for (const v1::HeldLease& held : request.leases()) {
    core::HeldLease lease;
    SEEDBED_ASSIGN_OR_RETURN(lease.lease, FromProto(held.lease()));
    // Only shown, and the other leases of this call are not to expire for it.
    lease.step = std::clamp<int64_t>(held.step(), -1, kLargestStep);
    lease.training = held.training();
    command->leases.push_back(lease);
  }
  if (request.engines_size() > kMostSlots) return Wrong("engines", absl::StrCat("at most ", kMostSlots));
  for (const v1::EngineRoom& engine : request.engines()) {
    core::EngineRoom room;
    room.free_slots = std::clamp(engine.free_slots(), 0, kMostSlots);
    room.occupied = std::clamp(engine.occupied(), 0, kMostSlots);
    Digest key;
    if (!engine.pack_key().empty()) {
      if (!DigestFromHex(engine.pack_key(), &key)) return Wrong("engines.pack_key", "32 hexadecimal digits");
      room.pack_key = key;
    }
    command->engines.push_back(room);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<core::LeaseKey> FromProto(const v1::LeaseKey& lease) {
  if (lease.run_id() <= 0 || lease.attempt() <= 0 || lease.fence() <= 0) {
    return Wrong("lease", "a run_id, an attempt and a fence, each above 0, as granted");
  }
  core::LeaseKey key;
  key.run = RunId(lease.run_id());
  key.attempt = lease.attempt();
  key.fence = Fence(lease.fence());
  return key;
}

void ToProto(const core::LeaseKey& lease, v1::LeaseKey* out) {
  out->set_run_id(lease.run.value());
  out->set_attempt(lease.attempt);
  out->set_fence(lease.fence.value());
}

absl::StatusOr<core::Synchronize> FromProto(const v1::SynchronizeRequest& request) {
  core::Synchronize command;
  SEEDBED_RETURN_IF_ERROR(CheckName("worker_id", request.worker_id()));
  SEEDBED_RETURN_IF_ERROR(CheckName("name", request.name()));
  SEEDBED_RETURN_IF_ERROR(CheckText("host", request.host()));
  SEEDBED_RETURN_IF_ERROR(CheckText("device", request.device()));
  SEEDBED_RETURN_IF_ERROR(CheckText("version", request.version()));
  if (request.slots() < 0 || request.slots() > kMostSlots) return Wrong("slots", absl::StrCat("0 to ", kMostSlots));
  if (request.free_slots() < 0 || request.free_slots() > kMostSlots) {
    return Wrong("free_slots", absl::StrCat("0 to ", kMostSlots));
  }
  if (request.number() < 1) return Wrong("number", "at least 1, rising with every call");
  command.worker = WorkerId(request.worker_id());
  command.name = request.name();
  command.host = request.host();
  command.device = request.device();
  command.version = request.version();
  command.slots = request.slots();
  command.free_slots = request.free_slots();
  command.number = request.number();
  command.goodbye = request.goodbye();
  if (request.trainers_size() > kMostTrainers) return Wrong("trainers", absl::StrCat("at most ", kMostTrainers));
  size_t offered = 0;
  for (const v1::TrainerOffer& offer : request.trainers()) {
    SEEDBED_ASSIGN_OR_RETURN(core::TrainerOffer checked, OfferFromProto(offer));
    offered += OfferBytes(checked.trainer, checked.numerics_json, checked.pack_parameters);
    command.trainers.push_back(std::move(checked));
  }
  if (offered > kMostOfferBytes) {
    return Wrong("trainers", absl::StrCat("names, numerics_json and pack_parameters of at most ", kMostOfferBytes,
                                          " bytes together, not ", offered));
  }
  SEEDBED_RETURN_IF_ERROR(LeasesFromProto(request, &command));
  return command;
}

void ToProto(const SynchronizeReply& reply, v1::SynchronizeResponse* response) {
  const core::SynchronizeAnswer& answer = reply.answer;
  response->set_ignored(answer.ignored);
  response->set_state(ToProto(answer.state));
  for (const GrantedLease& granted : reply.start) {
    v1::LeaseToStart* start = response->add_start();
    ToProto(granted.lease.lease, start->mutable_lease());
    start->set_sweep(granted.sweep_name);
    start->set_specification_json(granted.specification_json);
    if (granted.lease.resume_step) start->set_resume_step(*granted.lease.resume_step);
    start->set_final_checkpoint(granted.lease.final_checkpoint);
    start->set_pack_key(granted.lease.pack_key.Hex());
    start->set_pack_limit(granted.lease.pack_limit);
  }
  for (const core::LeaseToStop& each : answer.stop) {
    v1::LeaseToStop* stop = response->add_stop();
    ToProto(each.lease, stop->mutable_lease());
    stop->set_reason(each.reason);
    stop->set_hand_back(each.hand_back);
  }
  for (const core::LeaseKey& lease : answer.restored) ToProto(lease, response->add_restored());
  for (const core::LeaseKey& lease : answer.checkpoint) ToProto(lease, response->add_checkpoint());
  response->set_next_call_milliseconds(absl::ToInt64Milliseconds(answer.next_call_after));
}

absl::StatusOr<CheckedReport> FromProto(const v1::ReportRequest& request, const core::LeaseKey& lease) {
  CheckedReport checked;
  SEEDBED_RETURN_IF_ERROR(CheckName("worker_id", request.worker_id()));
  if (request.sequence() < 1) return Wrong("sequence", "at least 1, counting up for each attempt");
  checked.report.worker = WorkerId(request.worker_id());
  checked.report.lease = lease;
  checked.report.sequence = request.sequence();
  if (request.has_rows()) {
    SEEDBED_ASSIGN_OR_RETURN(MetricRows rows, RowsFromProto(request.rows(), lease.run));
    if (!rows.steps.empty()) checked.report.last_step = rows.steps.back();
    checked.rows = std::move(rows);
  }
  if (request.has_ended()) {
    SEEDBED_ASSIGN_OR_RETURN(checked.report.end, EndedFromProto(request.ended()));
  }
  checked.bytes = static_cast<int64_t>(request.ByteSizeLong()) + 256;
  return checked;
}

absl::StatusOr<core::StoreCheckpoint> FromProto(const v1::CheckpointHeader& header) {
  if (!IsPlainName(header.worker_id())) return Wrong("header.worker_id", "the worker's id");
  if (!IsStep(header.step())) return Wrong("header.step", PossibleSteps());
  if (header.sequence() < 0) return Wrong("header.sequence", "at least 0");
  if (header.size() < 0 || header.size() > core::kMostCheckpointBytes) {
    return Wrong("header.size", "bytes, at most 1 TiB");
  }
  core::StoreCheckpoint command;
  command.worker = WorkerId(header.worker_id());
  SEEDBED_ASSIGN_OR_RETURN(command.lease, FromProto(header.lease()));
  SEEDBED_ASSIGN_OR_RETURN(
      command.numerics_json,
      CanonicalObject("header.numerics_json", header.numerics_json().empty() ? "{}" : header.numerics_json()));
  command.checkpoint.step = header.step();
  command.checkpoint.sequence = header.sequence();
  command.checkpoint.sha256 = header.sha256();
  command.checkpoint.bytes = header.size();
  return command;
}

}  // namespace seedbed
