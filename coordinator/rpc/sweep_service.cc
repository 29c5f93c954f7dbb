#include "coordinator/rpc/sweep_service.h"

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/operations.h"
#include "coordinator/rpc/call.h"
#include "coordinator/rpc/caller.h"
#include "coordinator/rpc/lists.h"

// The unary calls; sweep_streams.cc has the streams.
namespace seedbed {
namespace {

constexpr int kMostOverrides = 10'000;
constexpr int kMostRunIds = 1'000'000;

absl::Status Submit(Coordinator* coordinator, const v1::SubmitSweepRequest& request,
                    v1::SubmitSweepResponse* response) {
  if (request.overrides_size() > kMostOverrides) {
    return absl::InvalidArgumentError(absl::StrCat("overrides: expected at most ", kMostOverrides));
  }
  Submission submission;
  submission.submission_id = request.submission_id();
  submission.text = request.text();
  submission.file_name = request.file_name().empty() ? "sweep" : request.file_name();
  submission.overrides.assign(request.overrides().begin(), request.overrides().end());
  SEEDBED_ASSIGN_OR_RETURN(const SubmissionResult result, SubmitSweep(coordinator, submission));
  response->set_sweep_id(result.sweep.value());
  response->set_name(result.name);
  response->set_created(result.created);
  response->set_configurations_added(result.configurations_added);
  response->set_runs_added(result.runs_added);
  response->set_configurations_total(result.configurations_total);
  response->set_runs_total(result.runs_total);
  return absl::OkStatus();
}

DeleteAction DeletionOf(const v1::ControlSweepRequest::Delete& request) {
  DeleteAction deletion;
  for (const int64_t id : request.listed_sweep_ids()) deletion.listed.emplace(id);
  deletion.only_if_all_cancelled = request.only_if_all_cancelled();
  return deletion;
}

absl::StatusOr<SweepAction> ActionOf(const v1::ControlSweepRequest& request) {
  switch (request.action_case()) {
    case v1::ControlSweepRequest::kPause:
      return PauseAction{request.pause().now()};
    case v1::ControlSweepRequest::kResume:
      return ResumeAction{};
    case v1::ControlSweepRequest::kCancel:
      return CancelAction{};
    case v1::ControlSweepRequest::kRetry:
      return RetryAction{request.retry().include_cancelled(), request.retry().keep_rows(), request.retry().pass_over()};
    case v1::ControlSweepRequest::kExtend:
      return ExtendAction{request.extend().seeds()};
    case v1::ControlSweepRequest::kDelete:
      return DeletionOf(request.delete_());
    case v1::ControlSweepRequest::kCheckpoint:
      return CheckpointAction{};
    case v1::ControlSweepRequest::ACTION_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("action: expected pause, resume, cancel, retry, extend, delete or checkpoint");
}

TaskPool* PoolFor(ServicePools* pools, v1::ControlSweepRequest::ActionCase action) {
  switch (action) {
    case v1::ControlSweepRequest::kCancel:
      return &pools->cancellations;
    case v1::ControlSweepRequest::kExtend:
    case v1::ControlSweepRequest::kRetry:
    case v1::ControlSweepRequest::kDelete:
      return &pools->long_changes;
    default:
      return &pools->changes;
  }
}

absl::Status Control(Coordinator* coordinator, const v1::ControlSweepRequest& request,
                     const std::function<bool()>& is_wanted, v1::ControlSweepResponse* response) {
  SEEDBED_ASSIGN_OR_RETURN(const SweepAction action, ActionOf(request));
  if (request.run_ids_size() > kMostRunIds) {
    return absl::InvalidArgumentError(absl::StrCat("run_ids: expected at most ", kMostRunIds));
  }
  std::vector<RunId> runs;
  for (const int64_t id : request.run_ids()) runs.emplace_back(id);
  SEEDBED_ASSIGN_OR_RETURN(const ControlResult result,
                           ControlSweeps(coordinator, request.sweep(), runs, action, is_wanted));
  response->set_changed(result.changed);
  for (const std::string& name : result.sweeps) response->add_sweeps(name);
  for (const UnchangedSweep& each : result.unchanged) {
    v1::UnchangedSweep* unchanged = response->add_unchanged();
    unchanged->set_sweep(each.name);
    unchanged->set_reason(each.why);
  }
  return absl::OkStatus();
}

absl::Status ControlWorkerOnce(Coordinator* coordinator, const v1::ControlWorkerRequest& request,
                               v1::ControlWorkerResponse* response) {
  if (request.worker().empty()) return absl::InvalidArgumentError("worker: expected a name or an id");
  WorkerAction action = WorkerAction::kDrain;
  switch (request.action()) {
    case v1::ControlWorkerRequest::ACTION_DRAIN:
      break;
    case v1::ControlWorkerRequest::ACTION_RESUME:
      action = WorkerAction::kResume;
      break;
    case v1::ControlWorkerRequest::ACTION_KNOWN_DEAD:
      action = WorkerAction::kKnownDead;
      break;
    default:
      return absl::InvalidArgumentError("action: expected drain, resume or known dead");
  }
  SEEDBED_ASSIGN_OR_RETURN(const int64_t changed, ControlWorkers(coordinator, request.worker(), action));
  response->set_changed(changed);
  return absl::OkStatus();
}

// Binds a function of (Coordinator*, request, response) to the coordinator.
template <typename Request, typename Response>
std::function<absl::Status(const Request&, Response*)> On(Coordinator* coordinator,
                                                          absl::Status (*work)(Coordinator*, const Request&,
                                                                               Response*)) {
  return
      [coordinator, work](const Request& request, Response* response) { return work(coordinator, request, response); };
}

// Of calls whose answers may be long. Asked when it comes to the work: many calls may have come by then.
template <typename Request, typename Response>
std::function<absl::Status(const Request&, Response*)> IfRoom(
    UntakenAnswers* untaken, const grpc::CallbackServerContext& context,
    std::function<absl::Status(const Request&, Response*)> work) {
  return [untaken, caller = CallerOf(context), work = std::move(work)](const Request& request, Response* response) {
    SEEDBED_RETURN_IF_ERROR(untaken->Check(caller, UntakenAnswers::Use::kReading));
    return work(request, response);
  };
}

}  // namespace

grpc::ServerUnaryReactor* SweepServiceImpl::GetServerInfo(grpc::CallbackServerContext* context,
                                                          const v1::GetServerInfoRequest*,
                                                          v1::GetServerInfoResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::Status allowed = authenticator_->Check(CallerOf(*context), "SweepService/GetServerInfo");
  if (allowed.ok()) {
    const CoordinatorInfo info = coordinator_->Info();
    response->set_version(info.version);
    response->set_database_id(info.database_id);
    response->set_epoch(info.epoch);
    response->set_data_directory(info.directory);
    response->set_database_path(info.database_path);
    response->set_started_at(info.started_at);
    response->set_degraded(info.degraded);
    response->set_degraded_reason(info.degraded_reason);
    response->set_metrics_held(info.metrics_held);
    response->set_read_only(info.read_only);
  }
  reactor->Finish(ToGrpc(allowed));
  return reactor;
}

grpc::ServerUnaryReactor* SweepServiceImpl::SubmitSweep(grpc::CallbackServerContext* context,
                                                        const v1::SubmitSweepRequest* request,
                                                        v1::SubmitSweepResponse* response) {
  return AnswerFrom(&pools_->submissions, untaken_, *authenticator_, "SweepService/SubmitSweep", context, request,
                    response, On(coordinator_, &Submit));
}

grpc::ServerUnaryReactor* SweepServiceImpl::ListSweeps(grpc::CallbackServerContext* context,
                                                       const v1::ListSweepsRequest* request,
                                                       v1::ListSweepsResponse* response) {
  return AnswerFrom(&pools_->reads, untaken_, *authenticator_, "SweepService/ListSweeps", context, request, response,
                    IfRoom(untaken_, *context, On(coordinator_, &seedbed::ListSweeps)));
}

grpc::ServerUnaryReactor* SweepServiceImpl::ListConfigurations(grpc::CallbackServerContext* context,
                                                               const v1::ListConfigurationsRequest* request,
                                                               v1::ListConfigurationsResponse* response) {
  return AnswerFrom(&pools_->reads, untaken_, *authenticator_, "SweepService/ListConfigurations", context, request,
                    response, IfRoom(untaken_, *context, On(coordinator_, &seedbed::ListConfigurations)));
}

grpc::ServerUnaryReactor* SweepServiceImpl::ListRuns(grpc::CallbackServerContext* context,
                                                     const v1::ListRunsRequest* request,
                                                     v1::ListRunsResponse* response) {
  return AnswerFrom(&pools_->reads, untaken_, *authenticator_, "SweepService/ListRuns", context, request, response,
                    IfRoom(untaken_, *context, On(coordinator_, &seedbed::ListRuns)));
}

grpc::ServerUnaryReactor* SweepServiceImpl::GetRun(grpc::CallbackServerContext* context,
                                                   const v1::GetRunRequest* request, v1::GetRunResponse* response) {
  return AnswerFrom(&pools_->reads, untaken_, *authenticator_, "SweepService/GetRun", context, request, response,
                    IfRoom(untaken_, *context, On(coordinator_, &seedbed::GetRun)));
}

grpc::ServerUnaryReactor* SweepServiceImpl::ListWorkers(grpc::CallbackServerContext* context,
                                                        const v1::ListWorkersRequest* request,
                                                        v1::ListWorkersResponse* response) {
  return AnswerFrom(&pools_->reads, untaken_, *authenticator_, "SweepService/ListWorkers", context, request, response,
                    IfRoom(untaken_, *context, On(coordinator_, &seedbed::ListWorkers)));
}

grpc::ServerUnaryReactor* SweepServiceImpl::ControlSweep(grpc::CallbackServerContext* context,
                                                         const v1::ControlSweepRequest* request,
                                                         v1::ControlSweepResponse* response) {
  const auto is_wanted = [context] { return !context->IsCancelled(); };
  const auto control = [coordinator = coordinator_, is_wanted](const v1::ControlSweepRequest& asked,
                                                               v1::ControlSweepResponse* answer) {
    return Control(coordinator, asked, is_wanted, answer);
  };
  return AnswerFrom<v1::ControlSweepRequest, v1::ControlSweepResponse>(
      PoolFor(pools_, request->action_case()), untaken_, *authenticator_, "SweepService/ControlSweep", context, request,
      response, control);
}

grpc::ServerUnaryReactor* SweepServiceImpl::ControlWorker(grpc::CallbackServerContext* context,
                                                          const v1::ControlWorkerRequest* request,
                                                          v1::ControlWorkerResponse* response) {
  return AnswerFrom(&pools_->changes, untaken_, *authenticator_, "SweepService/ControlWorker", context, request,
                    response, On(coordinator_, &ControlWorkerOnce));
}

}  // namespace seedbed
