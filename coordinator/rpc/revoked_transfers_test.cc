// Transfers of checkpoints that are under way when the token they came with is revoked.
#include <filesystem>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "common/base/sha256.h"
#include "common/secrets/token_store.h"
#include "coordinator/rpc/rpc_fixture.h"

namespace seedbed::rpc_test {
namespace {

constexpr int64_t kStored = 10;  // the step of the checkpoint that is there

class RevokedTransfersTest : public RpcTest {
 protected:
  void SetUp() override {
    RpcTest::SetUp();
    lease_ = LeaseAll(1)[0].lease();
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::PutCheckpointResponse response;
    const auto stream = workers_->PutCheckpoint(&context, &response);
    Send(stream.get(), kStored, content_);
    stream->WritesDone();
    ASSERT_TRUE(stream->Finish().ok());
    ServerOptions options;
    options.listen.push_back(AddressOf("127.0.0.1:0"));
    Start(options);
    const auto channel = grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials());
    sweeps_ = v1::SweepService::NewStub(channel);
    workers_ = v1::WorkerService::NewStub(channel);
  }
  void Send(grpc::ClientWriter<v1::PutCheckpointRequest>* stream, int64_t step, const std::string& content) const {
    v1::PutCheckpointRequest request;
    v1::CheckpointHeader* header = request.mutable_header();
    header->set_worker_id("w");
    *header->mutable_lease() = lease_;
    header->set_step(step);
    header->set_size(static_cast<int64_t>(content.size()));
    header->set_sha256(Sha256Hex(content));
    stream->Write(request);
    for (size_t at = 0; at < content.size(); at += 1 << 20) {
      request.set_data(content.substr(at, 1 << 20));
      stream->Write(request);
    }
  }
  void PrepareAs(Role role, grpc::ClientContext* context) {
    SetDeadline(context);
    const auto token = CreateToken(data(), "name", role, absl::Now());
    ASSERT_TRUE(token.ok()) << token.status();
    context->AddMetadata("authorization", "Bearer " + *token);
  }
  void Revoke() { ASSERT_TRUE(RevokeToken(data(), "name").ok()); }
  std::string data() const { return directory_.path() + "/data"; }
  // Of all checkpoints, whole or in part.
  uintmax_t BytesThere() const {
    uintmax_t bytes = 0;
    for (const auto& each : std::filesystem::directory_iterator(data() + "/checkpoints")) bytes += each.file_size();
    return bytes;
  }
  void ExpectCutShort(grpc::ClientReader<v1::CheckpointChunk>* stream) {
    v1::CheckpointChunk chunk;
    ASSERT_TRUE(stream->Read(&chunk));
    Revoke();
    size_t taken = chunk.data().size();
    while (stream->Read(&chunk)) taken += chunk.data().size();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_LT(taken, content_.size());
  }

  v1::LeaseKey lease_;
  const std::string content_ = std::string(16 << 20, 'x');  // more than waits for anybody on the way
};

TEST_F(RevokedTransfersTest, AWorkersDownloadEnds) {
  v1::GetCheckpointRequest request;
  request.set_worker_id("w");
  *request.mutable_lease() = lease_;
  request.set_step(kStored);
  grpc::ClientContext context;
  PrepareAs(Role::kWorker, &context);
  ExpectCutShort(workers_->GetCheckpoint(&context, request).get());
}

TEST_F(RevokedTransfersTest, AReadersDownloadEnds) {
  v1::ReadCheckpointRequest request;
  request.set_run_id(lease_.run_id());
  grpc::ClientContext context;
  PrepareAs(Role::kRead, &context);
  ExpectCutShort(sweeps_->ReadCheckpoint(&context, request).get());
}

TEST_F(RevokedTransfersTest, AnUploadEndsAtItsNextPiece) {
  grpc::ClientContext context;
  PrepareAs(Role::kWorker, &context);
  v1::PutCheckpointResponse response;
  const auto stream = workers_->PutCheckpoint(&context, &response);
  Send(stream.get(), kStored + 10, "content");
  Revoke();
  v1::PutCheckpointRequest request;
  request.set_data("more");
  stream->Write(request);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED) << "and is kept open";
  EXPECT_EQ(BytesThere(), content_.size());
}

TEST_F(RevokedTransfersTest, AnUploadThatIsWholeIsNotCommitted) {
  grpc::ClientContext context;
  PrepareAs(Role::kWorker, &context);
  v1::PutCheckpointResponse response;
  const auto stream = workers_->PutCheckpoint(&context, &response);
  Send(stream.get(), kStored + 10, "content");
  ASSERT_TRUE(coordinator_test::Eventually([this] { return BytesThere() == content_.size() + 7; }));
  Revoke();
  stream->WritesDone();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_FALSE(coordinator_->FindCheckpoint(RunId(lease_.run_id()), kStored + 10).ok());
  EXPECT_EQ(BytesThere(), content_.size());
}

}  // namespace
}  // namespace seedbed::rpc_test
