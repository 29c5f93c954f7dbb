#include "coordinator/storage/load.h"

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "coordinator/storage/data_directory.h"

namespace seedbed {
namespace {

absl::Status Damaged(const Database& database, const std::string& what) {
  return absl::DataLossError(
      absl::StrCat(database.path(), ": ", what, "; restore a backup, or correct the row with sqlite3"));
}

// Of what the core counts by ones in 32 bits and must be able to count on.
bool IsSmallCount(int64_t value) {
  return value >= 0 && value <= int64_t{1} << 30;
}

absl::Status LoadSweeps(Database* database, core::State* state) {
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement rows,
      database->Cached("SELECT sweep_id, name, trainer, fixed, template, submission_id, state, priority, "
                       "max_concurrent, retries, keep_checkpoints, numerics FROM sweeps ORDER BY sweep_id"));
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return absl::OkStatus();
    core::SweepEntry sweep;
    sweep.id = SweepId(rows->Int(0));
    sweep.name = rows->Text(1);
    sweep.trainer = rows->Text(2);
    sweep.fixed_json = rows->Text(3);
    sweep.template_json = rows->Text(4);
    sweep.submission_id = rows->Text(5);
    const std::optional<core::SweepState> sweep_state = core::SweepStateFromName(rows->Text(6));
    if (!sweep_state) return Damaged(*database, absl::StrCat("sweep ", sweep.id.value(), " has no known state"));
    sweep.state = *sweep_state;
    sweep.priority = rows->Int(7);
    sweep.max_concurrent = rows->OptionalInt(8);
    if (!IsSmallCount(rows->Int(9))) {
      return Damaged(*database, absl::StrCat("sweep ", sweep.id.value(), " has ", rows->Int(9), " retries"));
    }
    sweep.retries = static_cast<int>(rows->Int(9));
    const std::optional<core::KeepCheckpoints> keep = core::KeepCheckpointsFromName(rows->Text(10));
    const std::optional<core::NumericsPolicy> numerics = core::NumericsPolicyFromName(rows->Text(11));
    if (!keep || !numerics) {
      return Damaged(*database, absl::StrCat("sweep ", sweep.id.value(), " has no known keep_checkpoints or numerics"));
    }
    sweep.keep_checkpoints = *keep;
    sweep.numerics = *numerics;
    SEEDBED_RETURN_IF_ERROR(state->LoadSweep(std::move(sweep)));
  }
}

absl::Status LoadConfigurations(Database* database, core::State* state) {
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement rows,
      database->Cached("SELECT configuration_id, sweep_id, ordinal, digest, pack_key FROM configurations "
                       "ORDER BY configuration_id"));
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return absl::OkStatus();
    core::ConfigurationEntry configuration;
    configuration.id = ConfigurationId(rows->Int(0));
    configuration.sweep = SweepId(rows->Int(1));
    configuration.ordinal = rows->Int(2);
    if (!DigestFromHex(rows->Text(3), &configuration.digest) ||
        !DigestFromHex(rows->Text(4), &configuration.pack_key)) {
      return Damaged(*database,
                     absl::StrCat("configuration ", configuration.id.value(), " has no valid digest or pack key"));
    }
    SEEDBED_RETURN_IF_ERROR(state->LoadConfiguration(std::move(configuration)));
  }
}

absl::StatusOr<std::vector<core::TrainerOffer>> TrainersFromJson(const std::string& text) {
  SEEDBED_ASSIGN_OR_RETURN(const Json list, ParseJson(text, "workers.trainers"));
  std::vector<core::TrainerOffer> trainers;
  for (const Json& item : list) {
    if (!item.is_object() || !item.contains("trainer") || !item["trainer"].is_string() || !item.contains("numerics") ||
        !item["numerics"].is_string() || !item.contains("pack_parameters") || !item["pack_parameters"].is_array()) {
      return absl::InvalidArgumentError("an entry is not {trainer, numerics, pack_parameters}");
    }
    core::TrainerOffer offer;
    offer.trainer = item["trainer"].get<std::string>();
    offer.numerics_json = item["numerics"].get<std::string>();
    for (const Json& name : item["pack_parameters"]) {
      if (!name.is_string()) return absl::InvalidArgumentError("a pack parameter is not a string");
      offer.pack_parameters.push_back(name.get<std::string>());
    }
    trainers.push_back(std::move(offer));
  }
  return trainers;
}

absl::Status LoadWorkers(Database* database, core::State* state) {
  SEEDBED_ASSIGN_OR_RETURN(CachedStatement rows,
                           database->Cached("SELECT worker_id, name, host, device, version, slots, "
                                            "CASE WHEN state = 'gone' THEN '[]' ELSE trainers END, state, "
                                            "state_before_gone FROM workers ORDER BY worker_id"));
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return absl::OkStatus();
    core::WorkerEntry worker;
    worker.id = WorkerId(rows->Text(0));
    worker.name = rows->Text(1);
    worker.host = rows->Text(2);
    worker.device = rows->Text(3);
    worker.version = rows->Text(4);
    if (!IsSmallCount(rows->Int(5))) {
      return Damaged(*database, absl::StrCat("worker ", worker.id.value(), " has ", rows->Int(5), " slots"));
    }
    worker.slots = static_cast<int>(rows->Int(5));
    absl::StatusOr<std::vector<core::TrainerOffer>> trainers = TrainersFromJson(rows->Text(6));
    const std::optional<core::WorkerState> worker_state = core::WorkerStateFromName(rows->Text(7));
    const std::optional<core::WorkerState> before_gone =
        rows->IsNull(8) ? core::WorkerState::kActive : core::WorkerStateFromName(rows->Text(8));
    if (!trainers.ok() || !worker_state || !before_gone) {
      return Damaged(*database, absl::StrCat("worker ", worker.id.value(), " has no known state or no valid trainers"));
    }
    worker.trainers = *std::move(trainers);
    worker.state = *worker_state;
    worker.state_before_gone = *before_gone;
    SEEDBED_RETURN_IF_ERROR(state->LoadWorker(std::move(worker)));
  }
}

// The variant without its data; a running run's is made by State::LoadRun.
void SetState(core::RunState state, core::Run* run) {
  switch (state) {
    case core::RunState::kQueued:
    case core::RunState::kRunning:
      run->state = core::Queued{};
      break;
    case core::RunState::kFinished:
      run->state = core::Finished{};
      break;
    case core::RunState::kFailed:
      run->state = core::Failed{};
      break;
    case core::RunState::kCancelled:
      run->state = core::Cancelled{};
      break;
  }
}

absl::Status LoadRuns(Database* database, core::State* state) {
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement rows,
      database->Cached(
          "SELECT r.run_id, r.sweep_id, r.configuration_id, r.seed, r.round, r.fence, r.attempts, r.counted_ends, "
          "r.failed_ends, r.state, a.fence, a.acknowledged_sequence, a.ended_as, a.worker_id, "
          "coalesce(a.resume_step, -1) FROM runs AS r "
          "LEFT JOIN attempts AS a ON a.run_id = r.run_id AND a.attempt = r.attempts ORDER BY r.run_id"));
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return absl::OkStatus();
    core::Run run;
    run.id = RunId(rows->Int(0));
    run.sweep = SweepId(rows->Int(1));
    run.configuration = ConfigurationId(rows->Int(2));
    run.seed = rows->Int(3);
    constexpr std::pair<int, const char*> kCounts[] = {
        {4, "round"}, {6, "attempts"}, {7, "counted_ends"}, {8, "failed_ends"}};
    for (const auto& [column, what] : kCounts) {
      if (IsSmallCount(rows->Int(column))) continue;
      return Damaged(*database, absl::StrCat("run ", run.id.value(), " has ", what, " = ", rows->Int(column)));
    }
    run.round = static_cast<int32_t>(rows->Int(4));
    run.fence = Fence(rows->Int(5));
    run.attempts = static_cast<int32_t>(rows->Int(6));
    run.counted_ends = static_cast<int32_t>(rows->Int(7));
    run.failed_ends = static_cast<int32_t>(rows->Int(8));
    run.attempt_fence = Fence(rows->Int(10));
    run.last_acknowledged_sequence = rows->Int(11);
    run.resume_step = rows->Int(14);
    const std::optional<core::RunState> run_state = core::RunStateFromName(rows->Text(9));
    if (!run_state) return Damaged(*database, absl::StrCat("run ", run.id.value(), " has no known state"));
    if (!rows->IsNull(12)) {
      run.last_end = core::AttemptEndFromName(rows->Text(12));
      if (!run.last_end)
        return Damaged(*database, absl::StrCat("run ", run.id.value(), " has an attempt with no known end"));
    }
    SetState(*run_state, &run);
    SEEDBED_RETURN_IF_ERROR(*run_state == core::RunState::kRunning
                                ? state->LoadRun(std::move(run), WorkerId(rows->Text(13)))
                                : state->LoadRun(std::move(run)));
  }
}

absl::Status LoadCheckpoints(Database* database, core::State* state) {
  SEEDBED_ASSIGN_OR_RETURN(
      CachedStatement rows,
      database->Cached("SELECT run_id, step, attempt, sequence, path, sha256, bytes, numerics FROM checkpoints "
                       "ORDER BY run_id, step"));
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const bool row, rows->Step());
    if (!row) return absl::OkStatus();
    core::Checkpoint checkpoint;
    checkpoint.step = rows->Int(1);
    if (!IsSmallCount(rows->Int(2))) {
      return Damaged(*database, absl::StrCat("a checkpoint of run ", rows->Int(0), " is of attempt ", rows->Int(2)));
    }
    checkpoint.attempt = static_cast<int32_t>(rows->Int(2));
    checkpoint.sequence = rows->Int(3);
    checkpoint.path = rows->Text(4);
    if (!IsCheckpointPath(checkpoint.path)) {
      return Damaged(*database, absl::StrCat("a checkpoint of run ", rows->Int(0), " lies at '", checkpoint.path, "'"));
    }
    checkpoint.sha256 = rows->Text(5);
    checkpoint.bytes = rows->Int(6);
    checkpoint.numerics = DigestOf(rows->Text(7));
    SEEDBED_RETURN_IF_ERROR(state->LoadCheckpoint(RunId(rows->Int(0)), std::move(checkpoint)));
  }
}

absl::StatusOr<int64_t> NextId(Database* database, const char* key) {
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> value,
                           database->QueryInt("SELECT value FROM meta WHERE key = ?", key));
  if (!value.has_value()) return Damaged(*database, absl::StrCat("meta has no ", key));
  return *value;
}

}  // namespace

absl::StatusOr<core::State> LoadState(Database* database, const core::Settings& settings, absl::Duration now) {
  core::State state(settings);
  SEEDBED_RETURN_IF_ERROR(LoadSweeps(database, &state));
  SEEDBED_RETURN_IF_ERROR(LoadConfigurations(database, &state));
  SEEDBED_RETURN_IF_ERROR(LoadWorkers(database, &state));
  SEEDBED_RETURN_IF_ERROR(LoadRuns(database, &state));
  SEEDBED_RETURN_IF_ERROR(LoadCheckpoints(database, &state));
  SEEDBED_ASSIGN_OR_RETURN(const int64_t sweep, NextId(database, "next_sweep_id"));
  SEEDBED_ASSIGN_OR_RETURN(const int64_t configuration, NextId(database, "next_configuration_id"));
  SEEDBED_ASSIGN_OR_RETURN(const int64_t run, NextId(database, "next_run_id"));
  state.LoadNextIds(SweepId(sweep), ConfigurationId(configuration), RunId(run));
  SEEDBED_RETURN_IF_ERROR(state.FinishLoading(now));
  return state;
}

}  // namespace seedbed
