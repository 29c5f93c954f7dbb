#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/agent/messages.h"

namespace seedbed::agent {

struct SynchronizeAnswered {
  int64_t number = 0;  // of the request
  absl::StatusOr<SynchronizeAnswer> answer;
};

struct ReportAnswered {
  int64_t stream = 0;
  ReportAnswer answer;
};

// The stream is gone, with all that was sent on it and not answered. The last event of a stream.
struct ReportStreamBroken {
  int64_t stream = 0;
  absl::Status status;
};

enum class CheckpointFate {
  kStored,
  kRefused,   // the lease is over
  kNoRoom,    // for this one: the quota, the disk
  kTooEarly,  // its report is not durable yet
  kLost,      // the file is not there, or not what it should be
  kFailed,    // the way to the coordinator: try again
};
struct CheckpointPut {
  LeaseKey lease;
  int64_t step = 0;
  CheckpointFate fate = CheckpointFate::kFailed;
  int64_t bytes = 0;
  std::string reason;
};

// OK: the file is at its place, whole. DATA_LOSS, NOT_FOUND: it cannot be had. Others: try again.
struct CheckpointGot {
  LeaseKey lease;
  int64_t step = 0;
  std::string path;  // CheckpointDownload's
  absl::Status status;
};

using LinkEvent = std::variant<SynchronizeAnswered, ReportAnswered, ReportStreamBroken, CheckpointPut, CheckpointGot>;

// The way to the coordinator. Commands never block and never fail at the call; what becomes of them is told by
// LinkEvents, which the link's owner passes on to the agent. Reconnecting and sending again are the agent's decisions.
class CoordinatorLink {
 public:
  virtual ~CoordinatorLink() = default;

  // Answered by exactly one SynchronizeAnswered, with an error at the latest after `timeout`. Several calls may be
  // under way.
  virtual void Synchronize(SynchronizeRequest request, absl::Duration timeout) = 0;

  // Opens a report stream under a number of the caller's, never used before. The former one is given up without an
  // event.
  virtual void OpenReports(int64_t stream) = 0;

  // Sends on the open stream, in the order of the calls, and keeps what cannot be written yet; without a stream nothing
  // happens.
  virtual void SendReport(Report report) = 0;

  // Bytes of reports given to SendReport that still wait for their turn on the open stream, with those of the one that
  // is being written: the coordinator, or the way to it, takes them more slowly than they come.
  virtual int64_t ReportBytesWaiting() const = 0;

  // Answered by exactly one CheckpointPut and CheckpointGot. Hold one piece of the file in memory at a time.
  virtual void PutCheckpoint(CheckpointUpload upload) = 0;
  virtual void GetCheckpoint(CheckpointDownload download) = 0;
};

}  // namespace seedbed::agent
