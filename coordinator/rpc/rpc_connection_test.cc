// How one gets to the server, and how it lets go.
#include <fstream>

#include "coordinator/rpc/rpc_fixture.h"
#include "gmock/gmock.h"

namespace seedbed::rpc_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(RpcTest, TcpWantsTheToken) {
  ServerOptions options;
  options.listen.push_back(AddressOf("127.0.0.1:0"));
  Start(options);
  ASSERT_EQ(server_->addresses().size(), 1u);
  std::ifstream file(server_->token_file());
  std::string token;
  file >> token;
  ASSERT_EQ(token.size(), 64u);
  const auto channel = grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials());
  const auto stub = v1::SweepService::NewStub(channel);
  const auto workers = v1::WorkerService::NewStub(channel);
  const auto ask = [&](const std::string& authorization) {
    grpc::ClientContext context;
    SetDeadline(&context);
    if (!authorization.empty()) context.AddMetadata("authorization", authorization);
    v1::GetServerInfoResponse info;
    return stub->GetServerInfo(&context, v1::GetServerInfoRequest(), &info);
  };
  EXPECT_EQ(ask("").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(ask("").error_message(), HasSubstr("`seedbed token create` makes them"));
  EXPECT_THAT(ask("").error_message(), Not(HasSubstr(server_->token_file()))) << "not for strangers";
  EXPECT_EQ(ask("Bearer " + std::string(64, '0')).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(ask(token).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(ask("Bearer " + token).ok()) << ask("Bearer " + token).error_message();
  {
    grpc::ClientContext context;
    SetDeadline(&context);
    const auto stream = workers->Report(&context);
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  }
  {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::SynchronizeResponse response;
    EXPECT_EQ(workers->Synchronize(&context, CallOf("w", 1, 1), &response).error_code(),
              grpc::StatusCode::UNAUTHENTICATED);
  }
  grpc::ClientContext context;
  SetDeadline(&context);
  const auto watch = stub->WatchProgress(&context, v1::WatchProgressRequest());
  v1::ProgressResponse progress;
  EXPECT_FALSE(watch->Read(&progress));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);

  // Asked before any handler is: these have none of ours.
  std::string response;
  for (const char* method : {"/grpc.health.v1.Health/Check", "/no.such/Method"}) {
    EXPECT_EQ(CallByName(channel, method, "", &response).error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
    EXPECT_EQ(CallByName(channel, method, "", &response, std::string(64, '0')).error_code(),
              grpc::StatusCode::UNAUTHENTICATED)
        << method;
  }
  EXPECT_TRUE(CallByName(channel, "/grpc.health.v1.Health/Check", "", &response, token).ok());

  // The port is taken now.
  options.listen = {AddressOf(server_->addresses()[0])};
  EXPECT_EQ(Server::Start(options, coordinator_.get()).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(RpcTest, UnixSocketsNeedNoTokenAndOtherMachinesEncryption) {
  ServerOptions options;
  options.listen.push_back(AddressOf("unix:" + directory_.path() + "/s"));
  Start(options);
  EXPECT_TRUE(server_->token_file().empty());
  const auto stub =
      v1::SweepService::NewStub(grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::GetServerInfoResponse info;
  const grpc::Status status = stub->GetServerInfo(&context, v1::GetServerInfoRequest(), &info);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(info.epoch(), 1);

  options.listen = {AddressOf("0.0.0.0:0")};
  EXPECT_THAT(std::string(Server::Start(options, coordinator_.get()).status().message()), HasSubstr("--insecure"));
  EXPECT_THAT(std::string(CheckAddresses(options).message()), HasSubstr("--insecure")) << "without a coordinator";
  options.insecure = true;
  EXPECT_TRUE(CheckAddresses(options).ok());
  EXPECT_TRUE(Server::Start(options, coordinator_.get()).ok());
  options.listen = {AddressOf("unix:" + directory_.path() + "/made_later/s")};
  EXPECT_TRUE(CheckAddresses(options).ok()) << "the coordinator may make it";
}

TEST_F(RpcTest, APortThatIsTakenIsKnownBeforeThereIsACoordinator) {
  ServerOptions options;
  options.listen = {AddressOf("127.0.0.1:0")};
  EXPECT_TRUE(CheckAddresses(options).ok());
  Start(options);
  options.listen = {AddressOf(server_->addresses()[0])};
  const absl::Status taken = CheckAddresses(options);
  EXPECT_EQ(taken.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(taken.message()), HasSubstr("cannot listen on " + server_->addresses()[0]));
  sweeps_.reset();
  workers_.reset();
  server_.reset();
  EXPECT_TRUE(CheckAddresses(options).ok());
}

TEST_F(RpcTest, HealthAndReflectionAreOn) {
  ServerOptions options;
  options.listen.push_back(AddressOf("unix:" + directory_.path() + "/s"));
  Start(options);
  const auto channel = grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials());
  std::string response;
  ASSERT_TRUE(CallByName(channel, "/grpc.health.v1.Health/Check", "", &response).ok());
  EXPECT_EQ(response, "\x08\x01");  // status: SERVING
  // list_services: ""
  const grpc::Status whole = CallByName(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                        std::string("\x3a\x00", 2), &response);
  ASSERT_TRUE(whole.ok()) << whole.error_message();
  EXPECT_THAT(response, HasSubstr("seedbed.v1.SweepService"));
  EXPECT_THAT(response, HasSubstr("seedbed.v1.WorkerService"));
}

TEST_F(RpcTest, AStopEndsWatchersAndStreams) {
  LeaseAll(1);
  grpc::ClientContext watch_context;
  SetDeadline(&watch_context);
  const auto watch = sweeps_->WatchProgress(&watch_context, v1::WatchProgressRequest());
  v1::ProgressResponse progress;
  ASSERT_TRUE(watch->Read(&progress));
  grpc::ClientContext report_context;
  SetDeadline(&report_context);
  const auto stream = workers_->Report(&report_context);
  const auto begin = std::chrono::steady_clock::now();
  coordinator_->PrepareToStop();
  server_->Shutdown(absl::Milliseconds(100));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, coordinator_test::kPatience);
  while (watch->Read(&progress)) {
  }
  EXPECT_FALSE(watch->Finish().ok());
  EXPECT_FALSE(stream->Finish().ok());
}

}  // namespace
}  // namespace seedbed::rpc_test
