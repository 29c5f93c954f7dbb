#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/core/event.h"
#include "coordinator/storage/database.h"
#include "coordinator/storage/store.h"

namespace seedbed {

// Writes one batch's events as changes of the tables, and what people will want to find of them as rows of `events`.
// Works inside the caller's transaction. INTERNAL where an event does not fit the rows.
class EventWriter {
 public:
  // `now`: UTC microseconds, for every time that is written.
  EventWriter(Database* database, int64_t now) : database_(database), now_(now) {}

  // `event` stays where it is until Finish.
  absl::Status Write(const core::Event& event);
  absl::Status Note(const AuditNote& note);
  // After the last event: what is written once per batch.
  absl::Status Finish();

  // One per kind of event; public for std::visit only.
  absl::Status operator()(const core::SweepCreated& event);
  absl::Status operator()(const core::SweepExtended& event);
  absl::Status operator()(const core::SweepStateChanged& event);
  absl::Status operator()(const core::ConfigurationAdded& event);
  absl::Status operator()(const core::VariedChanged& event);
  absl::Status operator()(const core::RunAdded& event);
  absl::Status operator()(const core::AttemptGranted& event);
  absl::Status operator()(const core::LeaseRestored& event);
  absl::Status operator()(const core::ReportAcknowledged& event);
  absl::Status operator()(const core::CheckpointStored& event);
  absl::Status operator()(const core::CheckpointsDropped& event);
  absl::Status operator()(const core::AttemptEnded& event);
  absl::Status operator()(const core::RunStateChanged& event);
  absl::Status operator()(const core::RunsDeleted& event);
  absl::Status operator()(const core::SweepDeleted& event);
  absl::Status operator()(const core::WorkerRegistered& event);
  absl::Status operator()(const core::WorkerStateChanged& event);
  // Memory only.
  absl::Status operator()(const core::SubmissionCompleted&) { return absl::OkStatus(); }
  absl::Status operator()(const core::WorkerSeen&) { return absl::OkStatus(); }
  absl::Status operator()(const core::LeaseRenewed&) { return absl::OkStatus(); }
  absl::Status operator()(const core::CheckpointRequested&) { return absl::OkStatus(); }
  absl::Status operator()(const core::LeasesExtended&) { return absl::OkStatus(); }
  absl::Status operator()(const core::ClockTicked&) { return absl::OkStatus(); }

 private:
  // Runs a statement that must change one row.
  template <typename... Values>
  absl::Status ChangeOne(const std::string& sql, const Values&... values);
  template <typename Id>
  void RaiseNextId(const char* key, Id used) {
    int64_t& next = next_ids_[key];
    if (next <= used.value()) next = used.value() + 1;
  }
  // Writes new_configurations_ and new_runs_.
  absl::Status InsertNew();
  absl::Status Audit(const char* kind, SweepId sweep, RunId run, const std::string& worker, const std::string& detail);
  absl::Status AuditRun(const char* kind, RunId run, const std::string& worker, const std::string& detail);
  absl::Status DeleteRowsBeyond(RunId run, int64_t step);
  // The new state of a run whose attempt has ended, and its result.
  absl::Status EndRun(const core::AttemptEnded& event);
  // The fingerprint under which `worker` trains runs of `sweep`; nullopt if it offers no such trainer.
  absl::StatusOr<std::optional<std::string>> NumericsOf(const WorkerId& worker, SweepId sweep);

  struct Added {
    int64_t configurations = 0;
    int64_t runs = 0;
  };
  struct Acknowledged {
    int64_t sequence = 0;
    int64_t last_step = -1;
  };
  using AttemptKey = std::pair<RunId, int>;
  absl::Status WriteAcknowledged(const AttemptKey& attempt, const Acknowledged& acknowledged);

  Database* database_;
  int64_t now_;
  std::map<std::string_view, int64_t> next_ids_;  // by key of `meta`: literals
  std::map<SweepId, Added> added_;
  // Not written yet: many rows a statement cost half of what they cost alone. Of the caller's batch.
  std::vector<const core::ConfigurationAdded*> new_configurations_;
  std::vector<const core::RunAdded*> new_runs_;
  // Not written yet: the batch's last word on an attempt, or its end, says what all of them would.
  std::map<AttemptKey, Acknowledged> acknowledged_;
  std::map<std::pair<WorkerId, SweepId>, std::optional<std::string>> numerics_;
};

}  // namespace seedbed
