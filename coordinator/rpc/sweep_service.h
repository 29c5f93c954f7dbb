#pragma once

#include "coordinator/access/authentication.h"
#include "coordinator/coordinator.h"
#include "coordinator/rpc/call_limits.h"
#include "coordinator/rpc/checkpoint_download.h"
#include "coordinator/rpc/task_pool.h"
#include "coordinator/rpc/untaken_answers.h"
#include "seedbed/v1/sweep_service.grpc.pb.h"

namespace seedbed {

// Of downloads by workers, each with a file and up to 5 MiB in memory.
constexpr int kMostDownloads = 12;
constexpr int kMostDownloadsOfWorker = 3;

// The threads that handlers may wait on, by how long that can take: so that a long query holds up no list, a large
// submission or extension no cancellation, and none of them a pause.
struct ServicePools {
  TaskPool reads{3};
  TaskPool queries{2};
  TaskPool changes{1};  // of a few commits: pause, resume, checkpoint, workers
  TaskPool cancellations{1};
  TaskPool long_changes{1};  // of many commits: extend, retry, delete
  TaskPool submissions{1};
  // Of checkpoints. Who sends them slowly, or as a person takes them so, keeps a thread: people stall no worker, and no
  // worker another's download.
  TaskPool uploads{3};
  DownloadTurns download_turns{kMostDownloads, kMostDownloadsOfWorker};
  TaskPool downloads{3};
  TaskPool readings{2};  // by people

  void Stop() {
    readings.Stop();
    downloads.Stop();
    uploads.Stop();
    submissions.Stop();
    long_changes.Stop();
    cancellations.Stop();
    changes.Stop();
    queries.Stop();
    reads.Stop();
  }
};

// What people's programs call. Handlers convert, call and convert.
class SweepServiceImpl final : public v1::SweepService::CallbackService {
 public:
  // All outlive the service's calls.
  SweepServiceImpl(Coordinator* coordinator, const Authenticator* authenticator, ServicePools* pools,
                   UntakenAnswers* untaken, const CallLimits& limits)
      : coordinator_(coordinator), authenticator_(authenticator), pools_(pools), untaken_(untaken), limits_(limits) {}

  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context, const v1::GetServerInfoRequest* request,
                                          v1::GetServerInfoResponse* response) override;
  grpc::ServerUnaryReactor* SubmitSweep(grpc::CallbackServerContext* context, const v1::SubmitSweepRequest* request,
                                        v1::SubmitSweepResponse* response) override;
  grpc::ServerUnaryReactor* ListSweeps(grpc::CallbackServerContext* context, const v1::ListSweepsRequest* request,
                                       v1::ListSweepsResponse* response) override;
  grpc::ServerUnaryReactor* ListConfigurations(grpc::CallbackServerContext* context,
                                               const v1::ListConfigurationsRequest* request,
                                               v1::ListConfigurationsResponse* response) override;
  grpc::ServerUnaryReactor* ListRuns(grpc::CallbackServerContext* context, const v1::ListRunsRequest* request,
                                     v1::ListRunsResponse* response) override;
  grpc::ServerUnaryReactor* GetRun(grpc::CallbackServerContext* context, const v1::GetRunRequest* request,
                                   v1::GetRunResponse* response) override;
  grpc::ServerUnaryReactor* ListWorkers(grpc::CallbackServerContext* context, const v1::ListWorkersRequest* request,
                                        v1::ListWorkersResponse* response) override;
  grpc::ServerUnaryReactor* ControlSweep(grpc::CallbackServerContext* context, const v1::ControlSweepRequest* request,
                                         v1::ControlSweepResponse* response) override;
  grpc::ServerUnaryReactor* ControlWorker(grpc::CallbackServerContext* context, const v1::ControlWorkerRequest* request,
                                          v1::ControlWorkerResponse* response) override;
  grpc::ServerWriteReactor<v1::QueryResponse>* Query(grpc::CallbackServerContext* context,
                                                     const v1::QueryRequest* request) override;
  grpc::ServerWriteReactor<v1::CheckpointChunk>* ReadCheckpoint(grpc::CallbackServerContext* context,
                                                                const v1::ReadCheckpointRequest* request) override;
  grpc::ServerWriteReactor<v1::ReadLogResponse>* ReadLog(grpc::CallbackServerContext* context,
                                                         const v1::ReadLogRequest* request) override;
  grpc::ServerWriteReactor<v1::ProgressResponse>* WatchProgress(grpc::CallbackServerContext* context,
                                                                const v1::WatchProgressRequest* request) override;

 private:
  Coordinator* const coordinator_;
  const Authenticator* const authenticator_;
  ServicePools* const pools_;
  UntakenAnswers* const untaken_;
  const CallLimits limits_;
};

}  // namespace seedbed
