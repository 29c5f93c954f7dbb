#include "coordinator/rpc/worker_service.h"

#include <memory>
#include <utility>

#include "coordinator/rpc/call.h"
#include "coordinator/rpc/caller.h"
#include "coordinator/rpc/checkpoint_download.h"
#include "coordinator/rpc/checkpoint_streams.h"
#include "coordinator/rpc/convert.h"
#include "coordinator/rpc/report_stream.h"

namespace seedbed {
namespace {

// A Synchronize, perhaps held. When the worker gives up waiting, the coordinator lets go of it.
class SynchronizeCall final : public UnaryCall {
 public:
  SynchronizeCall(UntakenAnswers* untaken, grpc::CallbackServerContext* context, Coordinator* coordinator,
                  WorkerId worker, int64_t number)
      : UnaryCall(untaken, UntakenAnswers::Use::kLeases, context),
        coordinator_(coordinator),
        worker_(std::move(worker)),
        number_(number) {}
  void OnCancel() override { coordinator_->ReleaseHeld(worker_, number_); }

 private:
  Coordinator* const coordinator_;
  const WorkerId worker_;
  const int64_t number_;
};

}  // namespace

WorkerServiceImpl::WorkerServiceImpl(Coordinator* coordinator, const Authenticator* authenticator, ServicePools* pools,
                                     UntakenAnswers* untaken, const CallLimits& limits)
    : coordinator_(coordinator),
      authenticator_(authenticator),
      pools_(pools),
      untaken_(untaken),
      limits_(limits),
      database_id_(coordinator->Info().database_id),
      epoch_(coordinator->Info().epoch) {}

grpc::ServerUnaryReactor* WorkerServiceImpl::Synchronize(grpc::CallbackServerContext* context,
                                                         const v1::SynchronizeRequest* request,
                                                         v1::SynchronizeResponse* response) {
  const Caller caller = CallerOf(*context);
  absl::Status allowed = authenticator_->Check(caller, "WorkerService/Synchronize");
  if (allowed.ok()) allowed = untaken_->Check(caller, UntakenAnswers::Use::kLeases);
  absl::StatusOr<core::Synchronize> command =
      allowed.ok() ? FromProto(*request) : absl::StatusOr<core::Synchronize>(allowed);
  if (!command.ok()) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpc(command.status()));
    return reactor;
  }
  // Leases of another database mean nothing here; the answer's database_id tells the worker to drop them.
  if (!request->database_id().empty() && request->database_id() != database_id_) command->leases.clear();
  auto* call = new SynchronizeCall(untaken_, context, coordinator_, command->worker, command->number);
  coordinator_->Synchronize(*std::move(command), [this, call, response](absl::StatusOr<SynchronizeReply> reply) {
    if (reply.ok()) {
      ToProto(*reply, response);
      response->set_lease_milliseconds(absl::ToInt64Milliseconds(coordinator_->settings().lease_duration));
      response->set_database_id(database_id_);
      response->set_epoch(epoch_);
    }
    call->Answer(reply.status(), *response);
  });
  return call;
}

grpc::ServerBidiReactor<v1::ReportRequest, v1::ReportResponse>* WorkerServiceImpl::Report(
    grpc::CallbackServerContext* context) {
  return ReportStream::Make(coordinator_, authenticator_->CheckAgain(CallerOf(*context), "WorkerService/Report"));
}

grpc::ServerReadReactor<v1::PutCheckpointRequest>* WorkerServiceImpl::PutCheckpoint(
    grpc::CallbackServerContext* context, v1::PutCheckpointResponse* response) {
  return PutCheckpointCall::Make(coordinator_, &pools_->uploads, limits_.upload_patience,
                                 authenticator_->CheckAgain(CallerOf(*context), "WorkerService/PutCheckpoint"),
                                 response);
}

grpc::ServerWriteReactor<v1::CheckpointChunk>* WorkerServiceImpl::GetCheckpoint(
    grpc::CallbackServerContext* context, const v1::GetCheckpointRequest* request) {
  const auto stream = ResponseStream<v1::CheckpointChunk>::Make(untaken_, context, UntakenAnswers::Use::kDownloads);
  const Authenticator::Again allowed = authenticator_->CheckAgain(CallerOf(*context), "WorkerService/GetCheckpoint");
  absl::Status problem = allowed();
  const absl::StatusOr<core::LeaseKey> lease = FromProto(request->lease());
  if (problem.ok()) problem = lease.status();
  if (!problem.ok()) {
    stream->End(problem);
    return stream.get();
  }
  CheckpointDownload::Start(coordinator_, &pools_->download_turns, &pools_->downloads,
                            {WorkerId(request->worker_id()), *lease, request->step()}, allowed, stream);
  return stream.get();
}

}  // namespace seedbed
