#include "coordinator/storage/event_writer.h"

#include <algorithm>
#include <limits>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "coordinator/storage/schema.h"
#include "coordinator/storage/step_log.h"

namespace seedbed {
namespace {

std::string TrainersJson(const std::vector<core::TrainerOffer>& trainers) {
  Json list = Json::array();
  for (const core::TrainerOffer& offer : trainers) {
    // The fingerprint stays the text that it is: equality of fingerprints is equality of texts.
    list.push_back(
        {{"trainer", offer.trainer}, {"numerics", offer.numerics_json}, {"pack_parameters", offer.pack_parameters}});
  }
  return CanonicalJson(list);
}

// ", t_train_50 = ?, …": each column of SummaryColumns().
std::string SummaryAssignments() {
  std::string sql;
  for (const SummaryColumn& column : SummaryColumns()) absl::StrAppend(&sql, ", ", column.name, " = ?");
  return sql;
}

// nullopt for what is no integer, or none that a column can hold.
std::optional<int64_t> IntegerAt(const Json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end()) return std::nullopt;
  if (found->is_boolean()) return found->get<bool>() ? 1 : 0;
  if (!found->is_number_integer()) return std::nullopt;
  const bool too_large = found->is_number_unsigned() &&
                         found->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  return too_large ? std::nullopt : std::optional<int64_t>(found->get<int64_t>());
}

std::optional<double> RealAt(const Json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? std::optional<double>(found->get<double>()) : std::nullopt;
}

absl::Status DoesNotFit(const core::Event& event, const absl::Status& why) {
  return absl::InternalError(
      absl::StrCat("the event {", core::Describe(event), "} does not fit the database: ", why.message()));
}

std::string SummaryErasure() {
  std::string sql;
  for (const SummaryColumn& column : SummaryColumns()) absl::StrAppend(&sql, ", ", column.name, " = NULL");
  return sql;
}

}  // namespace

absl::Status EventWriter::Write(const core::Event& event) {
  const bool adds =
      std::holds_alternative<core::ConfigurationAdded>(event) || std::holds_alternative<core::RunAdded>(event);
  if (!adds) SEEDBED_RETURN_IF_ERROR(InsertNew());
  const absl::Status written = std::visit(*this, event);
  return written.ok() || !absl::IsInternal(written) ? written : DoesNotFit(event, written);
}

template <typename... Values>
absl::Status EventWriter::ChangeOne(const std::string& sql, const Values&... values) {
  SEEDBED_ASSIGN_OR_RETURN(const int64_t changed, database_->Change(sql, values...));
  if (changed == 1) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(changed, " rows instead of one were changed by \"", sql, "\""));
}

absl::Status EventWriter::operator()(const core::VariedChanged& event) {
  return ChangeOne("UPDATE configurations SET varied = ? WHERE configuration_id = ?", event.varied_json,
                   event.configuration);
}

absl::Status EventWriter::WriteAcknowledged(const AttemptKey& attempt, const Acknowledged& acknowledged) {
  return ChangeOne(
      "UPDATE attempts SET acknowledged_sequence = ?1, last_step = nullif(max(coalesce(last_step, -1), ?2), -1) "
      "WHERE run_id = ?3 AND attempt = ?4",
      acknowledged.sequence, acknowledged.last_step, attempt.first, attempt.second);
}

absl::Status EventWriter::Audit(const char* kind, SweepId sweep, RunId run, const std::string& worker,
                                const std::string& detail) {
  return database_
      ->Change(
          "INSERT INTO events (at, kind, sweep_id, run_id, worker_id, detail) "
          "VALUES (?1, ?2, nullif(?3, 0), nullif(?4, 0), nullif(?5, ''), ?6)",
          now_, kind, sweep, run, worker, detail)
      .status();
}

absl::Status EventWriter::AuditRun(const char* kind, RunId run, const std::string& worker, const std::string& detail) {
  return database_
      ->Change(
          "INSERT INTO events (at, kind, sweep_id, run_id, worker_id, detail) "
          "VALUES (?1, ?2, (SELECT sweep_id FROM runs WHERE run_id = ?3), ?3, nullif(?4, ''), ?5)",
          now_, kind, run, worker, detail)
      .status();
}

absl::Status EventWriter::Note(const AuditNote& note) {
  return Audit(note.kind.c_str(), note.sweep, note.run, note.worker.value(), note.detail);
}

absl::Status EventWriter::Finish() {
  SEEDBED_RETURN_IF_ERROR(InsertNew());
  for (const auto& [attempt, acknowledged] : acknowledged_) {
    const absl::Status written = WriteAcknowledged(attempt, acknowledged);
    if (absl::IsInternal(written)) {
      return DoesNotFit(
          core::ReportAcknowledged{attempt.first, attempt.second, acknowledged.sequence, acknowledged.last_step},
          written);
    }
    SEEDBED_RETURN_IF_ERROR(written);
  }
  acknowledged_.clear();
  for (const auto& [key, next] : next_ids_) {
    SEEDBED_RETURN_IF_ERROR(
        database_->Change("UPDATE meta SET value = max(value, ?) WHERE key = ?", next, std::string(key)).status());
  }
  next_ids_.clear();
  for (const auto& [sweep, added] : added_) {
    SEEDBED_RETURN_IF_ERROR(Audit("runs_added", sweep, RunId(), "",
                                  absl::StrCat(added.configurations, " configurations, ", added.runs, " runs")));
  }
  added_.clear();
  return absl::OkStatus();
}

// --- sweeps

absl::Status EventWriter::operator()(const core::SweepCreated& event) {
  RaiseNextId("next_sweep_id", event.sweep);
  SEEDBED_RETURN_IF_ERROR(ChangeOne(
      "INSERT INTO sweeps (sweep_id, name, description, state, trainer, evaluate_every, template, fixed, "
      "metric, source, "
      "submission_id, priority, max_concurrent, retries, created_at, updated_at, keep_checkpoints, numerics) "
      "VALUES (?1, ?2, ?3, ?4, coalesce(json_extract(?5, '$.trainer'), ''), "
      "json_extract(?5, '$.metrics.evaluate_every'), ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, "
      "?13, ?13, ?14, ?15)",
      event.sweep, event.name, event.description, core::Name(core::SweepState::kSubmitting), event.template_json,
      event.fixed_json, event.metric_json, event.source, event.submission_id, event.priority, event.max_concurrent,
      event.retries, now_, core::Name(event.keep_checkpoints), core::Name(event.numerics)));
  return Audit("sweep_created", event.sweep, RunId(), "", event.name);
}

absl::Status EventWriter::operator()(const core::SweepExtended& event) {
  SEEDBED_RETURN_IF_ERROR(
      ChangeOne("UPDATE sweeps SET submission_id = ?, description = ?, source = ?, priority = ?, max_concurrent = ?, "
                "updated_at = ?, keep_checkpoints = ?, numerics = ? WHERE sweep_id = ?",
                event.submission_id, event.description, event.source, event.priority, event.max_concurrent, now_,
                core::Name(event.keep_checkpoints), core::Name(event.numerics), event.sweep));
  return Audit("sweep_extended", event.sweep, RunId(), "", "");
}

absl::Status EventWriter::operator()(const core::SweepStateChanged& event) {
  SEEDBED_RETURN_IF_ERROR(ChangeOne("UPDATE sweeps SET state = ?, updated_at = ? WHERE sweep_id = ?",
                                    core::Name(event.to), now_, event.sweep));
  return Audit("sweep_state", event.sweep, RunId(), "",
               absl::StrCat(core::Name(event.from), " to ", core::Name(event.to)));
}

absl::Status EventWriter::operator()(const core::SweepDeleted& event) {
  SEEDBED_RETURN_IF_ERROR(ChangeOne("DELETE FROM sweeps WHERE sweep_id = ?", event.sweep));
  return Audit("sweep_deleted", event.sweep, RunId(), "", "");
}

// --- runs

absl::Status EventWriter::DeleteRowsBeyond(RunId run, int64_t step) {
  SEEDBED_RETURN_IF_ERROR(StepLog(database_).DeleteBeyond(run, step));
  for (const char* sql :
       {"DELETE FROM step_values WHERE run_id = ?1 AND step > ?2",
        "DELETE FROM checkpoints WHERE run_id = ?1 AND step > ?2",
        "UPDATE runs SET first_nonfinite_step = NULL WHERE run_id = ?1 AND first_nonfinite_step > ?2"}) {
    SEEDBED_RETURN_IF_ERROR(database_->Change(sql, run, step).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> EventWriter::NumericsOf(const WorkerId& worker, SweepId sweep) {
  const auto known = numerics_.find({worker, sweep});
  if (known != numerics_.end()) return known->second;
  SEEDBED_ASSIGN_OR_RETURN(
      std::optional<std::string> numerics,
      database_->QueryText("SELECT json_extract(offer.value, '$.numerics') FROM sweeps AS s "
                           "JOIN workers AS w ON w.worker_id = ?1 JOIN json_each(w.trainers) AS offer "
                           "WHERE s.sweep_id = ?2 AND json_extract(offer.value, '$.trainer') = s.trainer",
                           worker, sweep));
  return numerics_.emplace(std::make_pair(worker, sweep), std::move(numerics)).first->second;
}

absl::Status EventWriter::operator()(const core::AttemptGranted& event) {
  // A run's first attempt finds nothing of an earlier one.
  if (event.lease.attempt > 1) {
    SEEDBED_RETURN_IF_ERROR(DeleteRowsBeyond(event.lease.run, event.resume_step.value_or(-1)));
  }
  SEEDBED_RETURN_IF_ERROR(ChangeOne(
      "UPDATE runs SET state = ?1, attempts = ?2, fence = ?3, started_at = ?4, ended_at = NULL, reason = NULL, "
      "mixed_numerics = CASE WHEN ?5 IS NULL THEN 0 ELSE max(mixed_numerics, ?6) END WHERE run_id = ?7",
      core::Name(core::RunState::kRunning), event.lease.attempt, event.lease.fence, now_, event.resume_step,
      event.mixes_numerics ? 1 : 0, event.lease.run));
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> sweep,
                           database_->QueryInt("SELECT sweep_id FROM runs WHERE run_id = ?", event.lease.run));
  if (!sweep.has_value()) return absl::InternalError("there is no such run");
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<std::string> numerics, NumericsOf(event.worker, SweepId(*sweep)));
  return ChangeOne(
      "INSERT INTO attempts (run_id, attempt, worker_id, fence, resume_step, started_at, numerics) "
      "VALUES (?, ?, ?, ?, ?, ?, ?)",
      event.lease.run, event.lease.attempt, event.worker, event.lease.fence, event.resume_step, now_, numerics);
}

absl::Status EventWriter::operator()(const core::LeaseRestored& event) {
  SEEDBED_RETURN_IF_ERROR(ChangeOne(
      "UPDATE runs SET state = ?, fence = ?, counted_ends = ?, ended_at = NULL, reason = NULL WHERE run_id = ?",
      core::Name(core::RunState::kRunning), event.lease.fence, event.counted_ends, event.lease.run));
  SEEDBED_RETURN_IF_ERROR(
      ChangeOne("UPDATE attempts SET fence = ?, ended_as = NULL, reason = NULL, ended_at = NULL WHERE run_id = ? AND "
                "attempt = ?",
                event.lease.fence, event.lease.run, event.lease.attempt));
  return AuditRun("lease_restored", event.lease.run, event.worker.value(),
                  absl::StrCat("attempt ", event.lease.attempt));
}

absl::Status EventWriter::operator()(const core::ReportAcknowledged& event) {
  Acknowledged& acknowledged = acknowledged_[{event.run, event.attempt}];
  acknowledged.sequence = event.sequence;
  acknowledged.last_step = std::max(acknowledged.last_step, event.last_step);
  return absl::OkStatus();
}

absl::Status EventWriter::operator()(const core::CheckpointStored& event) {
  const core::Checkpoint& checkpoint = event.checkpoint;
  return ChangeOne(
      "INSERT INTO checkpoints (run_id, step, attempt, sequence, path, sha256, bytes, created_at, numerics) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      event.run, checkpoint.step, checkpoint.attempt, checkpoint.sequence, checkpoint.path, checkpoint.sha256,
      checkpoint.bytes, now_, event.numerics_json);
}

absl::Status EventWriter::operator()(const core::CheckpointsDropped& event) {
  for (const int64_t step : event.steps) {
    SEEDBED_RETURN_IF_ERROR(ChangeOne("DELETE FROM checkpoints WHERE run_id = ? AND step = ?", event.run, step));
    if (event.damage.empty()) continue;
    SEEDBED_RETURN_IF_ERROR(
        AuditRun("checkpoint_unusable", event.run, "", absl::StrCat("of step ", step, ": ", event.damage)));
  }
  return absl::OkStatus();
}

absl::Status EventWriter::EndRun(const core::AttemptEnded& event) {
  static const std::string& ended = *new std::string(
      "UPDATE runs SET state = ?, fence = ?, counted_ends = ?, failed_ends = ?, reason = ?, ended_at = ? "
      "WHERE run_id = ?");
  static const std::string& finished = *new std::string(
      absl::StrCat("UPDATE runs SET state = ?, fence = ?, counted_ends = ?, failed_ends = ?, reason = ?, ended_at = ?, "
                   "summary = ?, outcome = ?, last_step = ?, first_nonfinite_step = coalesce(first_nonfinite_step, ?)",
                   SummaryAssignments(), " WHERE run_id = ?"));
  const bool again = event.next_state == core::RunState::kQueued;
  SEEDBED_ASSIGN_OR_RETURN(CachedStatement update, database_->Cached(event.result.has_value() ? finished : ended));
  int position = 0;
  const auto bind = [&](const auto& value) { update->BindAt(++position, value); };
  bind(core::Name(event.next_state));
  bind(event.next_fence);
  bind(event.counted_ends);
  bind(event.failed_ends);
  bind(event.result.has_value() ? event.result->reason : again ? std::optional<std::string>() : event.reason);
  bind(again ? std::optional<int64_t>() : now_);
  if (event.result.has_value()) {
    const core::RunResult& result = *event.result;
    // From a trainer's own program: a broken text must not stop the commits of all others.
    const Json summary = Json::parse(result.summary_json, nullptr, /*allow_exceptions=*/false);
    bind(summary.is_discarded() ? "{}" : result.summary_json);
    bind(result.outcome);
    bind(result.last_step);
    bind(IntegerAt(summary, "first_nonfinite_step"));
    for (const SummaryColumn& column : SummaryColumns()) {
      if (column.is_integer) {
        bind(IntegerAt(summary, column.name));
      } else {
        bind(RealAt(summary, column.name));
      }
    }
  }
  bind(event.run);
  SEEDBED_RETURN_IF_ERROR(update->Run());
  return database_->Changes() == 1 ? absl::OkStatus() : absl::InternalError("there is no such run");
}

absl::Status EventWriter::operator()(const core::AttemptEnded& event) {
  int64_t last_step = event.result.has_value() ? event.result->last_step : -1;
  std::optional<int64_t> sequence;
  const auto acknowledged = acknowledged_.find({event.run, event.attempt});
  if (acknowledged != acknowledged_.end()) {
    last_step = std::max(last_step, acknowledged->second.last_step);
    sequence = acknowledged->second.sequence;
    acknowledged_.erase(acknowledged);
  }
  SEEDBED_RETURN_IF_ERROR(
      ChangeOne("UPDATE attempts SET ended_as = ?1, reason = ?2, ended_at = ?3, "
                "acknowledged_sequence = coalesce(?4, acknowledged_sequence), "
                "last_step = nullif(max(coalesce(last_step, -1), ?5), -1) WHERE run_id = ?6 AND attempt = ?7",
                core::Name(event.end), event.reason, now_, sequence, last_step, event.run, event.attempt));
  SEEDBED_RETURN_IF_ERROR(EndRun(event));
  if (event.end == core::AttemptEnd::kFinished) {
    return AuditRun(
        "run_finished", event.run, "",
        event.result.has_value() ? absl::StrCat(event.result->outcome, " at step ", event.result->last_step) : "");
  }
  const std::string why = absl::StrCat("attempt ", event.attempt, " ", core::Name(event.end), ": ", event.reason);
  switch (event.next_state) {
    case core::RunState::kFailed:
      return AuditRun("run_failed", event.run, "", why);
    case core::RunState::kCancelled:
      return AuditRun("run_cancelled", event.run, "", why);
    default:
      return AuditRun("attempt_ended", event.run, "", why);
  }
}

absl::Status EventWriter::operator()(const core::RunStateChanged& event) {
  static const std::string& start_again = *new std::string(absl::StrCat(
      "UPDATE runs SET state = ?, fence = ?, counted_ends = 0, failed_ends = 0, outcome = NULL, reason = NULL, "
      "summary = NULL, last_step = NULL, ended_at = NULL",
      SummaryErasure(), " WHERE run_id = ?"));
  const bool again = event.to == core::RunState::kQueued;
  if (again) {
    SEEDBED_RETURN_IF_ERROR(ChangeOne(start_again, core::Name(event.to), event.next_fence, event.run));
  } else {
    SEEDBED_RETURN_IF_ERROR(ChangeOne("UPDATE runs SET state = ?, fence = ?, ended_at = ? WHERE run_id = ?",
                                      core::Name(event.to), event.next_fence, now_, event.run));
  }
  if (event.delete_rows) SEEDBED_RETURN_IF_ERROR(DeleteRowsBeyond(event.run, -1));
  return AuditRun(again ? "run_queued_again" : "run_cancelled", event.run, "",
                  absl::StrCat("was ", core::Name(event.from)));
}

absl::Status EventWriter::operator()(const core::RunsDeleted& event) {
  for (const RunId run : event.runs) {
    SEEDBED_RETURN_IF_ERROR(StepLog(database_).DeleteBeyond(run, -1));
    for (const char* sql : {"DELETE FROM step_values WHERE run_id = ?", "DELETE FROM checkpoints WHERE run_id = ?",
                            "DELETE FROM attempts WHERE run_id = ?"}) {
      SEEDBED_RETURN_IF_ERROR(database_->Change(sql, run).status());
    }
    SEEDBED_RETURN_IF_ERROR(ChangeOne("DELETE FROM runs WHERE run_id = ?", run));
  }
  for (const ConfigurationId configuration : event.configurations) {
    SEEDBED_RETURN_IF_ERROR(ChangeOne("DELETE FROM configurations WHERE configuration_id = ?", configuration));
  }
  return Audit("runs_deleted", event.sweep, RunId(), "",
               absl::StrCat(event.runs.size(), " runs, ", event.configurations.size(), " configurations"));
}

// --- workers

absl::Status EventWriter::operator()(const core::WorkerRegistered& event) {
  numerics_.clear();
  const std::string trainers = TrainersJson(event.trainers);
  SEEDBED_ASSIGN_OR_RETURN(
      const std::optional<int64_t> known,
      database_->QueryInt("SELECT name = ?2 AND host = ?3 AND device = ?4 AND version = ?5 AND "
                          "slots = ?6 AND trainers = ?7 FROM workers WHERE worker_id = ?1",
                          event.worker, event.name, event.host, event.device, event.version, event.slots, trainers));
  // It was gone and is as it was.
  if (known == 1) return absl::OkStatus();
  SEEDBED_RETURN_IF_ERROR(ChangeOne(
      "INSERT INTO workers (worker_id, name, host, device, version, slots, trainers, state, registered_at, changed_at) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9) ON CONFLICT (worker_id) DO UPDATE SET name = excluded.name, "
      "host = excluded.host, device = excluded.device, version = excluded.version, slots = excluded.slots, "
      "trainers = excluded.trainers, changed_at = excluded.changed_at",
      event.worker, event.name, event.host, event.device, event.version, event.slots, trainers,
      core::Name(core::WorkerState::kActive), now_));
  return Audit(known.has_value() ? "worker_changed" : "worker_registered", SweepId(), RunId(), event.worker.value(),
               absl::StrCat(event.name, " on ", event.host, ": ", event.slots, " slots, ", event.device));
}

absl::Status EventWriter::operator()(const core::WorkerStateChanged& event) {
  const bool is_gone = event.to == core::WorkerState::kGone;
  SEEDBED_RETURN_IF_ERROR(
      ChangeOne("UPDATE workers SET state = ?, state_before_gone = ?, reason = ?, changed_at = ? WHERE worker_id = ?",
                core::Name(event.to), is_gone ? std::optional<std::string>(core::Name(event.from)) : std::nullopt,
                event.reason, now_, event.worker));
  return Audit("worker_state", SweepId(), RunId(), event.worker.value(),
               absl::StrCat(core::Name(event.from), " to ", core::Name(event.to), ": ", event.reason));
}

}  // namespace seedbed
