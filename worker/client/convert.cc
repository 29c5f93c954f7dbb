#include "worker/client/convert.h"

#include <algorithm>

namespace seedbed::client {
namespace {

void Fill(const agent::LeaseKey& key, v1::LeaseKey* out) {
  out->set_run_id(key.run.value());
  out->set_attempt(key.attempt);
  out->set_fence(key.fence.value());
}

agent::LeaseKey FromProto(const v1::LeaseKey& key) {
  return {RunId(key.run_id()), key.attempt(), Fence(key.fence())};
}

v1::AttemptEnd ToProto(agent::ReportedEnd end) {
  switch (end) {
    case agent::ReportedEnd::kFinished:
      return v1::ATTEMPT_END_FINISHED;
    case agent::ReportedEnd::kFailed:
      return v1::ATTEMPT_END_FAILED;
    case agent::ReportedEnd::kCrashed:
      return v1::ATTEMPT_END_CRASHED;
    case agent::ReportedEnd::kOutOfMemory:
      return v1::ATTEMPT_END_OUT_OF_MEMORY;
    case agent::ReportedEnd::kTimedOut:
      return v1::ATTEMPT_END_TIMED_OUT;
    case agent::ReportedEnd::kStalled:
      return v1::ATTEMPT_END_STALLED;
    case agent::ReportedEnd::kPreempted:
      return v1::ATTEMPT_END_PREEMPTED;
  }
  return v1::ATTEMPT_END_UNSPECIFIED;
}

agent::WorkerState FromProto(v1::WorkerState state) {
  switch (state) {
    case v1::WORKER_STATE_DRAINING:
      return agent::WorkerState::kDraining;
    case v1::WORKER_STATE_QUARANTINED:
      return agent::WorkerState::kQuarantined;
    case v1::WORKER_STATE_GONE:
      return agent::WorkerState::kGone;
    default:
      return agent::WorkerState::kActive;
  }
}

void Fill(const agent::MetricRows& rows, v1::MetricRows* out) {
  out->mutable_steps()->Add(rows.steps.begin(), rows.steps.end());
  for (const agent::MetricSeries& series : rows.series) {
    v1::MetricSeries* made = out->add_series();
    made->set_metric(series.metric);
    made->mutable_values()->Add(series.values.begin(), series.values.end());
    if (std::find(series.absent.begin(), series.absent.end(), true) != series.absent.end()) {
      made->mutable_absent()->Add(series.absent.begin(), series.absent.end());
    }
  }
  if (rows.first_nonfinite_step) out->set_first_nonfinite_step(*rows.first_nonfinite_step);
}

void Fill(const agent::EndOfAttempt& end, v1::AttemptEnded* out) {
  out->set_end(ToProto(end.end));
  out->set_reason(end.reason);
  out->set_pack(end.pack);
  if (end.unusable_checkpoint) out->set_unusable_checkpoint(*end.unusable_checkpoint);
  if (!end.result) return;
  v1::RunResult* result = out->mutable_result();
  result->set_outcome(end.result->outcome);
  result->set_reason(end.result->reason);
  result->set_last_step(end.result->last_step);
  result->set_summary_json(end.result->summary_json);
}

}  // namespace

v1::CheckpointHeader ToProto(const agent::CheckpointUpload& upload, int64_t size) {
  v1::CheckpointHeader out;
  out.set_worker_id(upload.worker.value());
  Fill(upload.lease, out.mutable_lease());
  out.set_step(upload.step);
  out.set_sequence(upload.sequence);
  out.set_size(size);
  out.set_sha256(upload.sha256);
  out.set_numerics_json(upload.numerics_json);
  return out;
}

v1::GetCheckpointRequest ToProto(const agent::CheckpointDownload& download) {
  v1::GetCheckpointRequest out;
  out.set_worker_id(download.worker.value());
  Fill(download.lease, out.mutable_lease());
  out.set_step(download.step);
  return out;
}

v1::SynchronizeRequest ToProto(const agent::SynchronizeRequest& request) {
  v1::SynchronizeRequest out;
  out.set_worker_id(request.worker.value());
  out.set_name(request.name);
  out.set_host(request.host);
  out.set_device(request.device);
  out.set_version(request.version);
  out.set_slots(request.slots);
  out.set_free_slots(request.free_slots);
  out.set_number(request.number);
  for (const agent::TrainerOffer& offer : request.trainers) {
    v1::TrainerOffer* made = out.add_trainers();
    made->set_trainer(offer.trainer);
    made->set_numerics_json(offer.numerics_json);
    for (const std::string& name : offer.pack_parameters) made->add_pack_parameters(name);
  }
  for (const agent::HeldLease& held : request.leases) {
    v1::HeldLease* made = out.add_leases();
    Fill(held.lease, made->mutable_lease());
    made->set_step(held.step);
    made->set_training(held.training);
  }
  out.set_goodbye(request.goodbye);
  out.set_database_id(request.database_id);
  for (const agent::EngineRoom& room : request.engines) {
    v1::EngineRoom* made = out.add_engines();
    made->set_free_slots(room.free_slots);
    made->set_occupied(room.occupied);
    made->set_pack_key(room.pack_key);
  }
  return out;
}

v1::ReportRequest ToProto(const agent::Report& report) {
  v1::ReportRequest out;
  out.set_worker_id(report.worker.value());
  Fill(report.lease, out.mutable_lease());
  out.set_sequence(report.body->sequence);
  if (!report.body->rows.steps.empty()) Fill(report.body->rows, out.mutable_rows());
  if (report.body->end) Fill(*report.body->end, out.mutable_ended());
  out.set_log(report.body->log);
  return out;
}

agent::SynchronizeAnswer FromProto(const v1::SynchronizeResponse& response) {
  agent::SynchronizeAnswer out;
  out.ignored = response.ignored();
  out.state = FromProto(response.state());
  for (const v1::LeaseToStart& start : response.start()) {
    agent::LeaseToStart& made = out.start.emplace_back();
    made.lease = FromProto(start.lease());
    made.sweep = start.sweep();
    made.specification_json = start.specification_json();
    if (start.has_resume_step()) made.resume_step = start.resume_step();
    made.pack_key = start.pack_key();
    made.pack_limit = start.pack_limit();
    made.final_checkpoint = start.final_checkpoint();
  }
  for (const v1::LeaseToStop& stop : response.stop()) {
    out.stop.push_back({FromProto(stop.lease()), stop.reason(), stop.hand_back()});
  }
  for (const v1::LeaseKey& key : response.restored()) out.restored.push_back(FromProto(key));
  for (const v1::LeaseKey& key : response.checkpoint()) out.checkpoint.push_back(FromProto(key));
  out.next_call_after = absl::Milliseconds(response.next_call_milliseconds());
  out.lease_duration = absl::Milliseconds(response.lease_milliseconds());
  out.database_id = response.database_id();
  out.epoch = response.epoch();
  return out;
}

agent::ReportAnswer FromProto(const v1::ReportResponse& response) {
  agent::ReportAnswer out;
  out.lease = FromProto(response.lease());
  out.sequence = response.sequence();
  out.reason = response.reason();
  switch (response.verdict()) {
    case v1::ReportResponse::VERDICT_ACKNOWLEDGED:
      out.verdict = agent::ReportVerdict::kAcknowledged;
      break;
    case v1::ReportResponse::VERDICT_REFUSED:
      out.verdict = agent::ReportVerdict::kRefused;
      break;
    default:
      out.verdict = agent::ReportVerdict::kGap;
  }
  return out;
}

}  // namespace seedbed::client
