#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/coordinator.h"
#include "coordinator/core/command.h"
#include "coordinator/storage/reader.h"
#include "coordinator/storage/store.h"
#include "grpcpp/support/status.h"
#include "seedbed/v1/sweep_service.pb.h"
#include "seedbed/v1/worker_service.pb.h"

// Between messages and the coordinator's own types. What comes in is checked: absent fields, sizes, enum values and
// names are INVALID_ARGUMENT, saying which field of which message.
namespace seedbed {

grpc::Status ToGrpc(const absl::Status& status);

absl::StatusOr<core::Synchronize> FromProto(const v1::SynchronizeRequest& request);
void ToProto(const SynchronizeReply& reply, v1::SynchronizeResponse* response);

absl::StatusOr<core::LeaseKey> FromProto(const v1::LeaseKey& lease);
void ToProto(const core::LeaseKey& lease, v1::LeaseKey* out);

struct CheckedReport {
  core::Report report;
  std::optional<MetricRows> rows;
  int64_t bytes = 0;  // in memory, about
};
// `lease` is the message's, already read.
absl::StatusOr<CheckedReport> FromProto(const v1::ReportRequest& request, const core::LeaseKey& lease);

// Of PutCheckpoint's first message; without the path, which the file gets later.
absl::StatusOr<core::StoreCheckpoint> FromProto(const v1::CheckpointHeader& header);

v1::SweepState ToProto(core::SweepState state);
v1::RunState ToProto(core::RunState state);
v1::WorkerState ToProto(core::WorkerState state);
v1::AttemptEnd ToProto(core::AttemptEnd end);
absl::StatusOr<core::RunState> FromProto(v1::RunState state);

void ToProto(const core::RunCounts& counts, v1::RunCounts* out);
void ToProto(const SweepRow& row, v1::SweepSummary* out);
void ToProto(const RunRow& row, v1::RunSummary* out);
void ToProto(const AttemptRow& row, v1::AttemptSummary* out);
void ToProto(const ConfigurationRow& row, v1::ConfigurationSummary* out);
void ToProto(const WorkerRow& row, v1::WorkerSummary* out);
void ToProto(const Value& value, v1::Value* out);

// A parameter's value as people type it, as the JSON that it is compared with: a number, true, false, null, or else
// text.
std::string ParameterValueJson(const std::string& text);

}  // namespace seedbed
