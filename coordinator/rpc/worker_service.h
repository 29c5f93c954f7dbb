#pragma once

#include <string>

#include "coordinator/access/authentication.h"
#include "coordinator/coordinator.h"
#include "coordinator/rpc/sweep_service.h"
#include "seedbed/v1/worker_service.grpc.pb.h"

namespace seedbed {

// What workers call. Handlers convert, hand over to the coordinator and never block.
class WorkerServiceImpl final : public v1::WorkerService::CallbackService {
 public:
  // All outlive the service's calls.
  WorkerServiceImpl(Coordinator* coordinator, const Authenticator* authenticator, ServicePools* pools,
                    UntakenAnswers* untaken, const CallLimits& limits);

  grpc::ServerUnaryReactor* Synchronize(grpc::CallbackServerContext* context, const v1::SynchronizeRequest* request,
                                        v1::SynchronizeResponse* response) override;
  grpc::ServerBidiReactor<v1::ReportRequest, v1::ReportResponse>* Report(grpc::CallbackServerContext* context) override;
  grpc::ServerReadReactor<v1::PutCheckpointRequest>* PutCheckpoint(grpc::CallbackServerContext* context,
                                                                   v1::PutCheckpointResponse* response) override;
  grpc::ServerWriteReactor<v1::CheckpointChunk>* GetCheckpoint(grpc::CallbackServerContext* context,
                                                               const v1::GetCheckpointRequest* request) override;

 private:
  Coordinator* const coordinator_;
  const Authenticator* const authenticator_;
  ServicePools* const pools_;
  UntakenAnswers* const untaken_;
  const CallLimits limits_;
  const std::string database_id_;
  const int64_t epoch_;
};

}  // namespace seedbed
