#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/secrets/pem_files.h"
#include "seedbed/v1/sweep_service.pb.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace seedbed::cli {

// The coordinator, for messages.
struct Peer {
  std::string where;   // empty: this process
  std::string advice;  // what to look at where nobody answers there
};

// Ends a streaming call from another thread. One per call or several one after another. Thread-safe.
class Canceller {
 public:
  void Cancel();

 private:
  friend class Client;
  std::mutex mutex_;
  bool cancelled_ = false;
  grpc::ClientContext* context_ = nullptr;  // of the call that is under way; guarded by mutex_
};

// The coordinator, as the CLI sees it: one method per call of SweepService, with gRPC hidden behind Status. Errors
// carry the server's message; UNAVAILABLE names the address and what to do next. Thread-safe.
class Client {
 public:
  // `address`: "host:port" or "unix:/path". `token` may be empty, and so may `tls` (of a client, LoadTlsPems), which a
  // Unix socket has no use for. Does not wait for a connection.
  static std::unique_ptr<Client> ForAddress(const std::string& address, const std::string& token,
                                            const TlsPems& tls = {});
  // On a channel that exists already, e.g. an in-process one. `where` names it in messages; empty: this process.
  // `advice`: what to look at where nobody answers.
  Client(std::shared_ptr<grpc::Channel> channel, std::string where, std::string token, std::string advice = "");
  ~Client();

  const std::string& where() const { return peer_.where; }

  // Waits until the coordinator answers, at most `most`.
  absl::StatusOr<v1::GetServerInfoResponse> WaitUntilServing(absl::Duration most);

  absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo();
  absl::StatusOr<v1::SubmitSweepResponse> SubmitSweep(const v1::SubmitSweepRequest& request);
  absl::StatusOr<v1::ListSweepsResponse> ListSweeps(const std::string& selector);
  absl::StatusOr<v1::ListConfigurationsResponse> ListConfigurations(const std::string& selector);
  absl::StatusOr<v1::ListRunsResponse> ListRuns(const v1::ListRunsRequest& request);
  absl::StatusOr<v1::GetRunResponse> GetRun(int64_t run_id);
  absl::StatusOr<v1::ListWorkersResponse> ListWorkers(bool include_gone);
  absl::StatusOr<v1::ControlSweepResponse> ControlSweep(const v1::ControlSweepRequest& request);
  absl::StatusOr<v1::ControlWorkerResponse> ControlWorker(const v1::ControlWorkerRequest& request);

  // Streams: `on_message` is called on this thread; false from it ends the call early, with OK. CANCELLED after
  // Canceller::Cancel.
  absl::Status Query(const v1::QueryRequest& request, const std::function<bool(const v1::QueryResponse&)>& on_message);
  absl::Status ReadCheckpoint(const v1::ReadCheckpointRequest& request,
                              const std::function<bool(const v1::CheckpointChunk&)>& on_message);
  absl::Status ReadLog(const v1::ReadLogRequest& request,
                       const std::function<bool(const v1::ReadLogResponse&)>& on_message);
  absl::Status WatchProgress(const v1::WatchProgressRequest& request,
                             const std::function<bool(const v1::ProgressResponse&)>& on_message,
                             Canceller* canceller = nullptr);

 private:
  struct Stub;
  std::unique_ptr<Stub> stub_;
  Peer peer_;
  std::string token_;
};

}  // namespace seedbed::cli
