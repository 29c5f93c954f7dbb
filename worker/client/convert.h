#pragma once

#include "seedbed/v1/worker_service.pb.h"
#include "worker/agent/messages.h"

// Between the agent's values and the messages of worker_service.proto. What a message leaves out becomes the value's
// default.
namespace seedbed::client {

v1::CheckpointHeader ToProto(const agent::CheckpointUpload& upload, int64_t size);
v1::GetCheckpointRequest ToProto(const agent::CheckpointDownload& download);
v1::SynchronizeRequest ToProto(const agent::SynchronizeRequest& request);
v1::ReportRequest ToProto(const agent::Report& report);

agent::SynchronizeAnswer FromProto(const v1::SynchronizeResponse& response);
// An unknown verdict (of a newer coordinator) reads as a gap: nothing is lost by sending again.
agent::ReportAnswer FromProto(const v1::ReportResponse& response);

}  // namespace seedbed::client
