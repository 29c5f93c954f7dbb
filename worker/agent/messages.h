#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/ids.h"

// What the worker and its coordinator tell each other, as plain values: the agent's mirror of the messages of
// worker_service.proto, which says what each field means. Only worker/client converts between the two.
namespace seedbed::agent {

// A worker's right to one attempt at a run.
struct LeaseKey {
  RunId run;
  int attempt = 0;  // from 1
  Fence fence;
  friend bool operator==(const LeaseKey& a, const LeaseKey& b) {
    return a.run == b.run && a.attempt == b.attempt && a.fence == b.fence;
  }
};

struct HeldLease {
  LeaseKey lease;
  int64_t step = -1;      // the last one known; -1: none
  bool training = false;  // false: waiting for a slot, or ended and not yet acknowledged
};

struct TrainerOffer {
  std::string trainer;
  std::string numerics_json;  // canonical
  std::vector<std::string> pack_parameters;
};

// Room in one engine.
struct EngineRoom {
  int free_slots = 0;
  int occupied = 0;
  std::string pack_key;  // of what it holds; empty: any run fits
};

struct SynchronizeRequest {
  WorkerId worker;
  std::string name;
  std::string host;
  std::string device;
  std::string version;
  int slots = 0;
  int free_slots = 0;
  int64_t number = 0;
  std::vector<TrainerOffer> trainers;
  std::vector<HeldLease> leases;
  bool goodbye = false;
  std::string database_id;
  std::vector<EngineRoom> engines;
};

struct LeaseToStart {
  LeaseKey lease;
  std::string sweep;  // its name
  std::string specification_json;
  std::optional<int64_t> resume_step;
  std::string pack_key;
  int pack_limit = 0;  // 0: none
  bool final_checkpoint = false;
};

struct LeaseToStop {
  LeaseKey lease;
  std::string reason;
  bool hand_back = false;
};

enum class WorkerState { kActive, kDraining, kQuarantined, kGone };

struct SynchronizeAnswer {
  bool ignored = false;
  WorkerState state = WorkerState::kActive;
  std::vector<LeaseToStart> start;
  std::vector<LeaseToStop> stop;
  std::vector<LeaseKey> restored;
  std::vector<LeaseKey> checkpoint;  // of which one is wanted now
  absl::Duration next_call_after;
  absl::Duration lease_duration;
  std::string database_id;
  int64_t epoch = 0;
};

struct MetricSeries {
  std::string metric;
  std::vector<double> values;  // 0 where absent
  std::vector<bool> absent;    // as long as values; true where a row lacks the metric or it was not finite
};

struct MetricRows {
  std::vector<int64_t> steps;  // strictly rising
  std::vector<MetricSeries> series;
  std::optional<int64_t> first_nonfinite_step;
};

struct RunResult {
  std::string outcome;
  std::string reason;
  int64_t last_step = 0;
  std::string summary_json;  // canonical JSON object
};

// The ends that a worker reports: `lost` and `cancelled` are for the coordinator to say.
enum class ReportedEnd { kFinished, kFailed, kCrashed, kOutOfMemory, kTimedOut, kStalled, kPreempted };
const char* ReportedEndName(ReportedEnd end);

struct EndOfAttempt {
  ReportedEnd end = ReportedEnd::kFailed;
  std::string reason;
  int pack = 1;  // how many attempts the engine trained at once
  std::optional<RunResult> result;
  std::optional<int64_t> unusable_checkpoint = std::nullopt;
};

// One report without its lease, whose fence may rise before the report is sent (again).
struct ReportBody {
  int64_t sequence = 0;  // from 1; 0: log text only
  MetricRows rows;
  std::optional<EndOfAttempt> end;
  std::string log;
  int64_t bytes = 0;  // in memory and on the wire, roughly
};

struct Report {
  WorkerId worker;
  LeaseKey lease;
  std::shared_ptr<const ReportBody> body;
};

// A checkpoint's file on its way to the coordinator.
struct CheckpointUpload {
  WorkerId worker;
  LeaseKey lease;
  int64_t step = 0;
  int64_t sequence = 0;  // of the last report at or before the step
  std::string path;
  std::string sha256;
  std::string numerics_json;
};

// One on its way back.
struct CheckpointDownload {
  WorkerId worker;
  LeaseKey lease;
  int64_t step = 0;
  std::string path;  // where to put it
};

enum class ReportVerdict { kAcknowledged, kRefused, kGap };

struct ReportAnswer {
  LeaseKey lease;
  ReportVerdict verdict = ReportVerdict::kRefused;
  int64_t sequence = 0;
  std::string reason;
};

}  // namespace seedbed::agent
