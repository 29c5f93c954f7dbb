// Who may call what, over real connections: tokens, roles, TLS, and the limits of messages.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor_database.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/secrets/certificates.h"
#include "common/secrets/token_store.h"
#include "coordinator/access/access_rules.h"
#include "coordinator/coordinator_test_support.h"
#include "coordinator/rpc/rpc_fixture.h"
#include "coordinator/rpc/server.h"
#include "seedbed/v1/sweep_service.grpc.pb.h"
#include "seedbed/v1/worker_service.grpc.pb.h"

namespace seedbed {
namespace {

using coordinator_test::TemporaryDirectory;
using ::testing::HasSubstr;
using ::testing::Not;

// "SweepService/Query" for every method of every service of ours that is linked into this program.
std::set<std::string> AllMethods() {
  // Named, so that the linker keeps the generated files.
  EXPECT_STREQ(v1::SweepService::service_full_name(), "seedbed.v1.SweepService");
  EXPECT_STREQ(v1::WorkerService::service_full_name(), "seedbed.v1.WorkerService");
  std::vector<std::string> files;
  google::protobuf::DescriptorPool::internal_generated_database()->FindAllFileNames(&files);
  std::set<std::string> methods;
  for (const std::string& name : files) {
    if (!absl::StartsWith(name, "seedbed/")) continue;
    const auto* file = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(name);
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) {
        methods.insert(file->service(i)->name() + "/" + file->service(i)->method(j)->name());
      }
    }
  }
  return methods;
}

TEST(AccessRules, EveryMethodHasExactlyOne) {
  std::set<std::string> ruled;
  for (const AccessRule& rule : AccessRules()) {
    EXPECT_TRUE(ruled.insert(rule.method).second) << rule.method << " has two rules";
  }
  EXPECT_EQ(ruled.erase(kDashboard), 1u);
  EXPECT_EQ(ruled, AllMethods()) << "a new call needs a rule in access_rules.cc, and a line in docs/security.md";
  EXPECT_GE(ruled.size(), 17u);
  EXPECT_EQ(RequiredRole("SweepService/NoSuchCall"), std::nullopt);
}

// The table of docs/security.md, said once more.
TEST(AccessRules, NameTheRoleThatEachCallNeeds) {
  for (const std::string& method : AllMethods()) {
    Role expected = absl::StartsWith(method, "WorkerService/") ? Role::kWorker : Role::kRead;
    if (method == "SweepService/SubmitSweep" || method == "SweepService/ControlSweep") expected = Role::kSubmit;
    if (method == "SweepService/ControlWorker") expected = Role::kAdmin;
    EXPECT_EQ(RequiredRole(method), expected) << method;
  }
  EXPECT_EQ(RequiredRole(kDashboard), Role::kRead);
}

TEST(AccessRules, RolesIncludeWhatTheyShould) {
  const std::vector<Role> all = {Role::kAdmin, Role::kSubmit, Role::kWorker, Role::kRead};
  const std::set<std::pair<Role, Role>> expected = {{Role::kAdmin, Role::kAdmin},   {Role::kAdmin, Role::kSubmit},
                                                    {Role::kAdmin, Role::kWorker},  {Role::kAdmin, Role::kRead},
                                                    {Role::kSubmit, Role::kSubmit}, {Role::kSubmit, Role::kRead},
                                                    {Role::kWorker, Role::kWorker}, {Role::kRead, Role::kRead}};
  for (const Role has : all) {
    for (const Role needs : all) {
      EXPECT_EQ(Includes(has, needs), expected.count({has, needs}) > 0) << RoleName(has) << " " << RoleName(needs);
    }
  }
}

class AccessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = Coordinator::Open(coordinator_test::ServedOptions(data()));
    ASSERT_TRUE(opened.ok()) << opened.status();
    coordinator_ = *std::move(opened);
  }
  void TearDown() override {
    if (coordinator_) coordinator_->PrepareToStop();
    server_.reset();
    coordinator_.reset();
  }
  std::string data() const { return directory_.path() + "/data"; }

  void Serve(TlsPems tls = {}, int first_refused_descriptor = 0) {
    ServerOptions options;
    options.listen.push_back(*ParseListenAddress("127.0.0.1:0"));
    options.tls = std::move(tls);
    options.first_refused_descriptor = first_refused_descriptor;
    options.log = log_.Writer();
    auto server = Server::Start(options, coordinator_.get());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::string Log() const { return log_.text(); }
  std::string Token(const std::string& name, Role role) {
    const auto token = CreateToken(data(), name, role, absl::Now());
    EXPECT_TRUE(token.ok()) << token.status();
    return *token;
  }
  std::shared_ptr<grpc::Channel> Connect(const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    return grpc::CreateChannel(server_->addresses()[0], credentials);
  }
  std::shared_ptr<grpc::Channel> ConnectOpenly() { return Connect(grpc::InsecureChannelCredentials()); }
  static std::shared_ptr<grpc::ChannelCredentials> Tls(const TlsPems& pems) {
    return grpc::SslCredentials({pems.ca, pems.key, pems.certificate});
  }
  static void Prepare(grpc::ClientContext* context, const std::string& token) {
    context->set_deadline(std::chrono::system_clock::now() + coordinator_test::kPatience);
    if (!token.empty()) context->AddMetadata("authorization", "Bearer " + token);
  }
  static grpc::Status GetInfo(const std::shared_ptr<grpc::Channel>& channel, const std::string& token) {
    grpc::ClientContext context;
    Prepare(&context, token);
    v1::GetServerInfoResponse info;
    return v1::SweepService::NewStub(channel)->GetServerInfo(&context, {}, &info);
  }
  // One empty message to `method`, and what becomes of it.
  static grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                           const std::string& token) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    Prepare(&context, token);
    if (method == "SweepService/WatchProgress") {  // allowed, it goes on for ever
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
    }
    const grpc::Slice nothing("");
    const grpc::ByteBuffer sent(&nothing, 1);
    grpc::ByteBuffer received;
    std::promise<grpc::Status> promise;
    stub.UnaryCall(&context, "/seedbed.v1." + method, grpc::StubOptions(), &sent, &received,
                   [&promise](grpc::Status status) { promise.set_value(std::move(status)); });
    return promise.get_future().get();
  }

  TemporaryDirectory directory_;
  coordinator_test::KeptLog log_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Server> server_;
};

TEST_F(AccessTest, EveryCallAsksForItsRole) {
  Serve();
  const auto channel = ConnectOpenly();
  for (const std::string& method : AllMethods()) {
    EXPECT_EQ(Call(channel, method, "").error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
    EXPECT_EQ(Call(channel, method, "seedbed_" + std::string(64, '0')).error_code(), grpc::StatusCode::UNAUTHENTICATED)
        << method;
  }
  for (const Role role : {Role::kAdmin, Role::kSubmit, Role::kWorker, Role::kRead}) {
    const std::string token = Token(absl::StrCat("a-", RoleName(role)), role);
    for (const std::string& method : AllMethods()) {
      const grpc::Status status = Call(channel, method, token);
      if (Includes(role, *RequiredRole(method))) {
        EXPECT_NE(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << RoleName(role) << " " << method;
        EXPECT_NE(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << RoleName(role) << " " << method;
        if (method != "SweepService/WatchProgress") {
          EXPECT_NE(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << RoleName(role) << " " << method;
        }
      } else {
        EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << RoleName(role) << " " << method;
        EXPECT_THAT(status.error_message(), HasSubstr(absl::StrCat("\"a-", RoleName(role), "\"")));
        EXPECT_THAT(status.error_message(), HasSubstr("seedbed token create --role"));
      }
    }
  }
}

TEST_F(AccessTest, TokensAreMadeAndRevokedWhileTheCoordinatorRuns) {
  Serve();
  const auto channel = ConnectOpenly();
  const std::string token = Token("ann", Role::kRead);
  EXPECT_TRUE(GetInfo(channel, token).ok());
  grpc::ClientContext context;
  Prepare(&context, token);
  const auto stub = v1::SweepService::NewStub(channel);
  v1::WatchProgressRequest request;
  request.set_interval_milliseconds(100);
  const auto watch = stub->WatchProgress(&context, request);
  v1::ProgressResponse progress;
  ASSERT_TRUE(watch->Read(&progress));

  ASSERT_TRUE(RevokeToken(data(), "ann").ok());
  EXPECT_EQ(GetInfo(channel, token).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(GetInfo(channel, token).error_message(), HasSubstr("revoked"));
  while (watch->Read(&progress)) {
  }
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED) << "a watch under way ends too";

  // The same name again is another token.
  const std::string second = Token("ann", Role::kRead);
  EXPECT_TRUE(GetInfo(channel, second).ok());
  EXPECT_FALSE(GetInfo(channel, token).ok());
  EXPECT_THAT(Log(), HasSubstr("refused SweepService/"));
  EXPECT_THAT(Log(), Not(HasSubstr(token)));
  EXPECT_THAT(Log(), Not(HasSubstr(token.substr(8))));
}

TEST_F(AccessTest, ARevokedWorkersReportsEnd) {
  Serve();
  const auto channel = ConnectOpenly();
  const std::string token = Token("node", Role::kWorker);
  const auto workers = v1::WorkerService::NewStub(channel);
  grpc::ClientContext context;
  Prepare(&context, token);
  const auto stream = workers->Report(&context);
  v1::ReportRequest report;
  report.set_worker_id("w");
  report.mutable_lease()->set_run_id(1);
  report.mutable_lease()->set_attempt(1);
  report.mutable_lease()->set_fence(1);
  report.set_sequence(1);
  report.mutable_rows()->add_steps(0);
  v1::ReportResponse response;
  ASSERT_TRUE(stream->Write(report));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.verdict(), v1::ReportResponse::VERDICT_REFUSED) << "there is no such lease";
  ASSERT_TRUE(RevokeToken(data(), "node").ok());
  ASSERT_TRUE(stream->Write(report));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(AccessTest, WhatStrangersMakeUpIsNotLogged) {
  Serve();
  std::string response;
  EXPECT_EQ(rpc_test::CallByName(ConnectOpenly(), "/made.up/Method", "", &response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(Log(), HasSubstr("refused a call over TCP"));
  EXPECT_THAT(Log(), Not(HasSubstr("made.up")));
}

TEST_F(AccessTest, AFileThatCannotBeTrustedMakesNoTokenGood) {
  Serve();
  const auto channel = ConnectOpenly();
  const std::string token = Token("ann", Role::kAdmin);
  ASSERT_EQ(chmod(TokensPath(data()).c_str(), 0644), 0);
  EXPECT_EQ(GetInfo(channel, token).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(Log(), HasSubstr("chmod 600")) << "its operator is told";
  ASSERT_EQ(chmod(TokensPath(data()).c_str(), 0600), 0);
  EXPECT_TRUE(GetInfo(channel, token).ok());
  std::ifstream admin_file(server_->token_file());
  std::string admin;
  admin_file >> admin;
  ASSERT_EQ(chmod(TokensPath(data()).c_str(), 0644), 0);
  EXPECT_TRUE(GetInfo(channel, admin).ok()) << "the admin's own token does not hang on that file";
}

struct Cluster {
  CertificatePair authority;
  TlsPems server;  // without ca
  TlsPems client;
};

Cluster MakeCluster() {
  Cluster cluster;
  cluster.authority = *MakeAuthority(absl::Now(), 10);
  const auto server =
      MakeCertificate(cluster.authority, CertificateUse::kServer, "s", {"localhost", "127.0.0.1"}, absl::Now(), 10);
  const auto client = MakeCertificate(cluster.authority, CertificateUse::kClient, "c", {}, absl::Now(), 10);
  cluster.server = {"", server->certificate, server->key};
  cluster.client = {cluster.authority.certificate, client->certificate, client->key};
  return cluster;
}

TEST_F(AccessTest, TlsKeepsTheWrongOnesOut) {
  const Cluster ours = MakeCluster();
  const Cluster theirs = MakeCluster();
  Serve(ours.server);
  const std::string token = Token("ann", Role::kRead);
  TlsPems without_certificate;
  without_certificate.ca = ours.client.ca;
  EXPECT_TRUE(GetInfo(Connect(Tls(without_certificate)), token).ok());
  EXPECT_EQ(GetInfo(Connect(Tls(without_certificate)), "").error_code(), grpc::StatusCode::UNAUTHENTICATED)
      << "TLS takes no token's place";
  std::string response;
  const auto channel = Connect(Tls(without_certificate));
  const std::string health = "/grpc.health.v1.Health/Check";
  EXPECT_EQ(rpc_test::CallByName(channel, health, "", &response).error_code(), grpc::StatusCode::UNAUTHENTICATED)
      << "asked before any handler is";
  EXPECT_TRUE(rpc_test::CallByName(channel, health, "", &response, token).ok());
  EXPECT_EQ(GetInfo(Connect(Tls(theirs.client)), token).error_code(), grpc::StatusCode::UNAVAILABLE)
      << "a server of another authority is not talked to";
  EXPECT_EQ(GetInfo(ConnectOpenly(), token).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(AccessTest, MutualTlsWantsACertificateOfItsAuthority) {
  const Cluster ours = MakeCluster();
  const Cluster theirs = MakeCluster();
  TlsPems server = ours.server;
  server.ca = ours.client.ca;
  Serve(server);
  const std::string token = Token("ann", Role::kRead);
  EXPECT_TRUE(GetInfo(Connect(Tls(ours.client)), token).ok());
  TlsPems without_certificate;
  without_certificate.ca = ours.client.ca;
  EXPECT_EQ(GetInfo(Connect(Tls(without_certificate)), token).error_code(), grpc::StatusCode::UNAVAILABLE);
  TlsPems foreign = theirs.client;
  foreign.ca = ours.client.ca;
  EXPECT_EQ(GetInfo(Connect(Tls(foreign)), token).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(GetInfo(Connect(Tls(ours.client)), "").error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(AccessTest, OversizedMessagesAreRefused) {
  Serve();
  const auto channel = ConnectOpenly();
  const std::string token = Token("ann", Role::kSubmit);
  const auto stub = v1::SweepService::NewStub(channel);
  const auto submit = [&](const v1::SubmitSweepRequest& request) {
    grpc::ClientContext context;
    Prepare(&context, token);
    v1::SubmitSweepResponse response;
    return stub->SubmitSweep(&context, request, &response);
  };
  v1::SubmitSweepRequest request;
  request.set_submission_id("x");
  request.set_text(std::string(17 << 20, ' '));
  const grpc::Status too_large = submit(request);
  EXPECT_EQ(too_large.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(too_large.error_message(), HasSubstr(std::to_string(8 << 20))) << "not read as a whole";
  request.set_text(std::string(5 << 20, ' '));  // gRPC takes it, the sweep file's reader does not
  EXPECT_EQ(submit(request).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  request.set_text("name: x\n");
  for (int i = 0; i < 10'001; ++i) request.add_overrides("a=1");
  EXPECT_EQ(submit(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);

  grpc::ClientContext context;
  Prepare(&context, token);
  v1::QueryRequest query;
  query.set_sql("SELECT 1 " + std::string(2 << 20, ' '));
  const auto rows = stub->Query(&context, query);
  v1::QueryResponse nothing;
  EXPECT_FALSE(rows->Read(&nothing));
  EXPECT_EQ(rows->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_FALSE(GetInfo(channel, std::string(20'000, 'x')).ok());
  // The connection may have been closed on that; the coordinator is there.
  grpc::ClientContext again;
  Prepare(&again, token);
  again.set_wait_for_ready(true);
  v1::GetServerInfoResponse info;
  EXPECT_TRUE(GetInfo(channel, token).ok() || stub->GetServerInfo(&again, v1::GetServerInfoRequest(), &info).ok());
}

}  // namespace
}  // namespace seedbed
