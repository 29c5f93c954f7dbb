#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/secrets/pem_files.h"
#include "worker/agent/coordinator_link.h"

namespace seedbed::client {

struct GrpcLinkOptions {
  std::string server;  // "host:port" or "unix:/path"
  std::string token;   // sent with every call as "authorization: Bearer …"; empty: none
  TlsPems tls = {};    // of a client (LoadTlsPems); empty: no TLS
};

// The agent's way to a coordinator over gRPC. Thread-safe.
class GrpcLink final : public agent::CoordinatorLink {
 public:
  // `handler` is called on gRPC's threads, one event at a time; it must not block. It may call the link's commands.
  GrpcLink(GrpcLinkOptions options, std::function<void(agent::LinkEvent)> handler);
  // Cancels what is under way and waits for it; afterwards the handler is not called any more.
  ~GrpcLink() override;

  void Synchronize(agent::SynchronizeRequest request, absl::Duration timeout) override;
  void OpenReports(int64_t stream) override;
  void SendReport(agent::Report report) override;
  int64_t ReportBytesWaiting() const override;
  void PutCheckpoint(agent::CheckpointUpload upload) override;
  void GetCheckpoint(agent::CheckpointDownload download) override;

 private:
  struct Connection;
  struct Shared;
  std::unique_ptr<Connection> connection_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace seedbed::client
