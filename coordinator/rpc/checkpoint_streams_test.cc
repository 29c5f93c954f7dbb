// PutCheckpoint, GetCheckpoint and ReadCheckpoint through a real server.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/sha256.h"
#include "common/base/testing/no_descriptors.h"
#include "coordinator/coordinator_test_support.h"
#include "coordinator/rpc/rpc_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

using rpc_test::SetDeadline;

constexpr int64_t kQuota = 3 << 20;

// A run leased to worker w, and a Unix socket beside the channel in the process.
class CheckpointCallsTest : public rpc_test::RpcTest {
 protected:
  void Configure(CoordinatorOptions* options) override {
    options->most_checkpoint_bytes = most_checkpoint_bytes_;
    options->most_pages = most_pages_;
    options_ = *options;
  }
  void SetUp() override {
    RpcTest::SetUp();
    ServerOptions serving;
    serving.limits = limits_;
    serving.listen.push_back(rpc_test::AddressOf("unix:" + directory_.path() + "/socket"));
    Start(serving);
    const std::vector<v1::LeaseToStart> granted = LeaseAll(1);
    ASSERT_EQ(granted.size(), 1u);
    EXPECT_TRUE(granted[0].final_checkpoint());
    lease_ = granted[0].lease();
  }

  v1::CheckpointHeader HeaderOf(int64_t step, const std::string& content) const {
    v1::CheckpointHeader header;
    header.set_worker_id("w");
    *header.mutable_lease() = lease_;
    header.set_step(step);
    header.set_size(static_cast<int64_t>(content.size()));
    header.set_sha256(Sha256Hex(content));
    header.set_numerics_json(R"({"cpu": "a"})");
    return header;
  }
  grpc::Status Put(const v1::CheckpointHeader& header, const std::string& content,
                   v1::PutCheckpointResponse* response) {
    grpc::ClientContext context;
    SetDeadline(&context);
    const auto stream = workers_->PutCheckpoint(&context, response);
    v1::PutCheckpointRequest request;
    *request.mutable_header() = header;
    stream->Write(request);
    for (size_t at = 0; at < content.size(); at += 1 << 20) {
      request.set_data(content.substr(at, 1 << 20));
      if (!stream->Write(request)) break;
    }
    stream->WritesDone();
    return stream->Finish();
  }
  grpc::Status Read(std::optional<int64_t> step, std::string* content) {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::ReadCheckpointRequest request;
    request.set_run_id(lease_.run_id());
    if (step) request.set_step(*step);
    const auto stream = sweeps_->ReadCheckpoint(&context, request);
    v1::CheckpointChunk chunk;
    content->clear();
    while (stream->Read(&chunk)) *content += chunk.data();
    return stream->Finish();
  }
  int Files() const {
    int count = 0;
    std::error_code none;
    for (const auto& each : std::filesystem::directory_iterator(directory_.path() + "/data/checkpoints", none)) {
      count += each.is_regular_file() ? 1 : 0;
    }
    return count;
  }

  grpc::Status Get(const std::string& worker, const v1::LeaseKey& lease, int64_t step, std::string* content) {
    v1::GetCheckpointRequest get;
    get.set_worker_id(worker);
    *get.mutable_lease() = lease;
    get.set_step(step);
    grpc::ClientContext context;
    SetDeadline(&context);
    const auto stream = workers_->GetCheckpoint(&context, get);
    v1::CheckpointChunk chunk;
    content->clear();
    for (bool first = true; stream->Read(&chunk); first = false) {
      EXPECT_EQ(chunk.sha256().empty(), !first);
      EXPECT_LE(chunk.data().size(), 1u << 20);
      *content += chunk.data();
    }
    return stream->Finish();
  }

  int64_t most_checkpoint_bytes_ = kQuota;
  std::optional<int64_t> most_pages_;
  CoordinatorOptions options_;  // as the coordinator was opened
  CallLimits limits_;
  v1::LeaseKey lease_;
};

TEST_F(CheckpointCallsTest, WhatIsPutCanBeHadAgain) {
  std::string content;
  while (content.size() < (5 << 18)) content += std::to_string(content.size());
  v1::PutCheckpointResponse response;
  grpc::Status status = Put(HeaderOf(10, content), content, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.verdict(), v1::PutCheckpointResponse::VERDICT_STORED);
  std::string read;
  ASSERT_TRUE(Read(10, &read).ok());
  EXPECT_EQ(read, content);
  ASSERT_TRUE(Read(std::nullopt, &read).ok());
  EXPECT_EQ(read, content);
  EXPECT_EQ(Read(11, &read).error_code(), grpc::StatusCode::NOT_FOUND);
  // Sent again because the answer was lost.
  ASSERT_TRUE(Put(HeaderOf(10, content), content, &response).ok());
  EXPECT_EQ(response.verdict(), v1::PutCheckpointResponse::VERDICT_STORED);
  EXPECT_EQ(Files(), 1);

  ASSERT_TRUE(Get("w", lease_, 10, &read).ok());
  EXPECT_EQ(read, content);
}

TEST_F(CheckpointCallsTest, WhoeverHoldsNoLeaseFetchesNothing) {
  v1::PutCheckpointResponse response;
  ASSERT_TRUE(Put(HeaderOf(10, "content"), "content", &response).ok());
  std::string read;
  ASSERT_TRUE(Get("w", lease_, 10, &read).ok());
  EXPECT_EQ(Get("x", lease_, 10, &read).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(read, "");
  v1::LeaseKey other = lease_;
  other.set_fence(lease_.fence() + 1);
  EXPECT_EQ(Get("w", other, 10, &read).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  v1::LeaseKey none = lease_;
  none.set_run_id(77);
  EXPECT_EQ(Get("w", none, 10, &read).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(CheckpointCallsTest, WhoeverHoldsNoLeaseIsRefusedBeforeAnyByte) {
  v1::CheckpointHeader header = HeaderOf(10, std::string(kQuota / 2, 'x'));
  header.mutable_lease()->set_fence(lease_.fence() + 1);
  const auto remote =
      v1::WorkerService::NewStub(grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials()));
  for (v1::WorkerService::Stub* stub : {workers_.get(), remote.get()}) {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::PutCheckpointResponse response;
    const auto stream = stub->PutCheckpoint(&context, &response);
    v1::PutCheckpointRequest request;
    *request.mutable_header() = header;
    EXPECT_TRUE(stream->Write(request));
    // The bytes that were announced never come.
    const grpc::Status status = stream->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION) << status.error_message();
    EXPECT_EQ(Files(), 0);
  }
}

TEST_F(CheckpointCallsTest, StoredIsSaidOfAFileThatIsThere) {
  v1::PutCheckpointResponse response;
  ASSERT_TRUE(Put(HeaderOf(10, "content"), "content", &response).ok());
  std::filesystem::remove(coordinator_->FindCheckpoint(RunId(lease_.run_id()), 10)->path);
  EXPECT_EQ(Put(HeaderOf(10, "content"), "content", &response).error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(Files(), 0);
  ASSERT_TRUE(Put(HeaderOf(20, "content"), "content", &response).ok());
  EXPECT_EQ(response.verdict(), v1::PutCheckpointResponse::VERDICT_STORED);
}

TEST_F(CheckpointCallsTest, OnlyWhatIsLostIsCalledLost) {
  v1::PutCheckpointResponse response;
  ASSERT_TRUE(Put(HeaderOf(10, "content"), "content", &response).ok());
  std::string read;
  ASSERT_TRUE(Get("w", lease_, 10, &read).ok());
  {
    const NoDescriptors none;
    const grpc::Status status = Get("w", lease_, 10, &read);
    EXPECT_NE(status.error_code(), grpc::StatusCode::DATA_LOSS) << status.error_message();
    EXPECT_NE(status.error_code(), grpc::StatusCode::OK);
  }
  ASSERT_TRUE(Get("w", lease_, 10, &read).ok());
  EXPECT_EQ(read, "content");
  const std::string path = coordinator_->FindCheckpoint(RunId(lease_.run_id()), 10)->path;
  std::ofstream(path) << "contend";
  EXPECT_EQ(Get("w", lease_, 10, &read).error_code(), grpc::StatusCode::DATA_LOSS);
  std::filesystem::remove(path);
  EXPECT_EQ(Get("w", lease_, 10, &read).error_code(), grpc::StatusCode::DATA_LOSS);
}

TEST_F(CheckpointCallsTest, WhatIsWrongLeavesNothing) {
  v1::PutCheckpointResponse response;
  v1::CheckpointHeader header = HeaderOf(10, "content");
  EXPECT_EQ(Put(header, "contend", &response).error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(Put(header, "content and more", &response).error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(Put(header, "", &response).error_code(), grpc::StatusCode::DATA_LOSS);
  header.set_sequence(1);
  EXPECT_TRUE(Put(header, "content", &response).ok());
  EXPECT_EQ(response.verdict(), v1::PutCheckpointResponse::VERDICT_TOO_EARLY);
  header.set_sequence(0);
  header.mutable_lease()->set_fence(lease_.fence() + 1);
  EXPECT_EQ(Put(header, "content", &response).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  const std::string large(kQuota + 1, 'x');
  EXPECT_EQ(Put(HeaderOf(10, large), large, &response).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Files(), 0);
}

TEST_F(CheckpointCallsTest, TheOldestMakesRoomAndItsFileGoes) {
  const std::string content(kQuota / 2, 'x');
  v1::PutCheckpointResponse response;
  for (const int64_t step : {10, 20, 30}) {
    const grpc::Status status = Put(HeaderOf(step, content), content, &response);
    ASSERT_TRUE(status.ok()) << step << ": " << status.error_message();
    ASSERT_EQ(response.verdict(), v1::PutCheckpointResponse::VERDICT_STORED);
  }
  std::string read;
  EXPECT_EQ(Read(10, &read).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(Read(20, &read).ok());
  EXPECT_TRUE(Read(30, &read).ok());
  TearDown();  // the thread that removes files has done its work by then
  EXPECT_EQ(Files(), 2);
}

class FullDatabaseTest : public CheckpointCallsTest {
 protected:
  FullDatabaseTest() { most_pages_ = 130; }
};

TEST_F(FullDatabaseTest, AFileWhoseCommitMayHaveSucceededStaysUntilTheNextStart) {
  v1::CheckpointHeader header = HeaderOf(10, "content");
  header.set_numerics_json(R"({"cpu": ")" + std::string(1000 << 10, 'x') + R"("})");
  v1::PutCheckpointResponse response;
  EXPECT_EQ(Put(header, "content", &response).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Files(), 1);
  TearDown();
  auto opened = Coordinator::Open(options_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(Files(), 0);
}

class LargeCheckpointsTest : public CheckpointCallsTest {
 protected:
  LargeCheckpointsTest() { most_checkpoint_bytes_ = 0; }
};

using ChunkStream = std::unique_ptr<grpc::ClientReader<v1::CheckpointChunk>>;

// Calls that read a checkpoint and take nothing of it.
template <typename Stub, typename Request>
class StalledReadings {
 public:
  StalledReadings(Stub* stub, ChunkStream (Stub::*method)(grpc::ClientContext*, const Request&),
                  const Request& request) {
    for (int i = 0; i < 8; ++i) {
      contexts_.push_back(std::make_unique<grpc::ClientContext>());
      streams_.push_back((stub->*method)(contexts_.back().get(), request));
    }
  }
  ~StalledReadings() {
    for (size_t i = 0; i < streams_.size(); ++i) {
      contexts_[i]->TryCancel();
      EXPECT_FALSE(streams_[i]->Finish().ok());
    }
  }

 private:
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts_;
  std::vector<ChunkStream> streams_;
};

TEST_F(LargeCheckpointsTest, PeopleWhoTakeNothingStallNoWorker) {
  // More than waits for them anywhere on the way.
  const std::string content(12 << 20, 'x');
  v1::PutCheckpointResponse response;
  ASSERT_TRUE(Put(HeaderOf(10, content), content, &response).ok());
  v1::ReadCheckpointRequest request;
  request.set_run_id(lease_.run_id());
  const StalledReadings readings(sweeps_.get(), &v1::SweepService::Stub::ReadCheckpoint, request);
  // Those ahead of it give up after half a minute.
  std::string read;
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_TRUE(Put(HeaderOf(20, "content"), "content", &response).ok());
  EXPECT_TRUE(Get("w", lease_, 20, &read).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
  EXPECT_EQ(read, "content");
}

TEST_F(LargeCheckpointsTest, WorkersThatTakeNothingStallNoUpload) {
  const std::string content(12 << 20, 'x');
  v1::PutCheckpointResponse response;
  ASSERT_TRUE(Put(HeaderOf(10, content), content, &response).ok());
  v1::GetCheckpointRequest request;
  request.set_worker_id("w");
  *request.mutable_lease() = lease_;
  request.set_step(10);
  const StalledReadings readings(workers_.get(), &v1::WorkerService::Stub::GetCheckpoint, request);
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_TRUE(Put(HeaderOf(20, "content"), "content", &response).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
}

TEST_F(LargeCheckpointsTest, AWorkerThatTakesNothingStallsNoOthersDownload) {
  v1::SubmitSweepResponse submitted;
  ASSERT_TRUE(Submit("other", rpc_test::SweepText("other", 1, 1), &submitted).ok());
  v1::SynchronizeResponse granted;
  ASSERT_TRUE(Synchronize(CallOf("v", 1, 1), &granted).ok());
  ASSERT_EQ(granted.start_size(), 1);
  v1::PutCheckpointResponse response;
  v1::CheckpointHeader header = HeaderOf(10, "content");
  header.set_worker_id("v");
  *header.mutable_lease() = granted.start(0).lease();
  ASSERT_TRUE(Put(header, "content", &response).ok());
  const std::string content(12 << 20, 'x');
  ASSERT_TRUE(Put(HeaderOf(10, content), content, &response).ok());
  v1::GetCheckpointRequest request;
  request.set_worker_id("w");
  *request.mutable_lease() = lease_;
  request.set_step(10);
  const StalledReadings readings(workers_.get(), &v1::WorkerService::Stub::GetCheckpoint, request);
  const auto begun = std::chrono::steady_clock::now();
  std::string read;
  EXPECT_TRUE(Get("v", granted.start(0).lease(), 10, &read).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(8));
  EXPECT_EQ(read, "content");
}

TEST_F(CheckpointCallsTest, AStopDoesNotWaitForAnUpload) {
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::PutCheckpointResponse response;
  const auto stalled = workers_->PutCheckpoint(&context, &response);
  v1::PutCheckpointRequest request;
  *request.mutable_header() = HeaderOf(10, "content");
  ASSERT_TRUE(stalled->Write(request));
  ASSERT_TRUE(coordinator_test::Eventually([this] { return Files() == 1; }));
  const auto begun = std::chrono::steady_clock::now();
  coordinator_->PrepareToStop();
  server_->Shutdown(absl::Milliseconds(1));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
  EXPECT_FALSE(stalled->Finish().ok());
  EXPECT_EQ(Files(), 0);
}

class ImpatientUploadsTest : public CheckpointCallsTest {
 protected:
  ImpatientUploadsTest() { limits_.upload_patience = absl::Milliseconds(300); }
  // Of an upload in whose midst this very process may have been kept waiting.
  static grpc::StatusCode OutcomeOf(const std::function<grpc::Status()>& upload) {
    grpc::Status status;
    coordinator_test::Eventually([&] {
      status = upload();
      return status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED;
    });
    return status.error_code();
  }
};

TEST_F(ImpatientUploadsTest, AnUploadThatStopsGivesUpWhatItClaimed) {
  const std::string content(kQuota / 2 + 1, 'x');
  const auto remote =
      v1::WorkerService::NewStub(grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials()));
  for (v1::WorkerService::Stub* stub : {workers_.get(), remote.get()}) {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::PutCheckpointResponse response;
    const auto stalled = stub->PutCheckpoint(&context, &response);
    v1::PutCheckpointRequest request;
    *request.mutable_header() = HeaderOf(10, content);
    ASSERT_TRUE(stalled->Write(request));
    request.set_data(content.substr(0, 1000));
    ASSERT_TRUE(stalled->Write(request));
    // Nothing follows, and the call is kept open.
    const grpc::Status status = stalled->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
    EXPECT_NE(status.error_message().find("send it again"), std::string::npos) << status.error_message();
    EXPECT_EQ(Files(), 0);
  }
  // There is no room for two of them.
  v1::PutCheckpointResponse response;
  EXPECT_EQ(OutcomeOf([&] { return Put(HeaderOf(10, content), content, &response); }), grpc::StatusCode::OK);
  EXPECT_EQ(response.verdict(), v1::PutCheckpointResponse::VERDICT_STORED);
}

TEST_F(ImpatientUploadsTest, AnUploadThatGoesOnMayTakeLonger) {
  const std::string content(kQuota / 2, 'x');
  const auto upload = [&] {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::PutCheckpointResponse response;
    const auto slow = workers_->PutCheckpoint(&context, &response);
    v1::PutCheckpointRequest request;
    *request.mutable_header() = HeaderOf(10, content);
    slow->Write(request);
    // A byte now and then for longer than it may be silent, then the rest. The server reads nearly all of the time.
    size_t sent = 0;
    bool open = true;
    auto next = std::chrono::steady_clock::now();
    while (open && sent < 10) {
      request.set_data(std::string(1, 'x'));
      open = slow->Write(request);
      ++sent;
      next += absl::ToChronoNanoseconds(limits_.upload_patience / 4);
      coordinator_test::Eventually([&next] { return std::chrono::steady_clock::now() >= next; });
    }
    request.set_data(content.substr(sent));
    if (open && slow->Write(request)) slow->WritesDone();
    return slow->Finish();
  };
  EXPECT_EQ(OutcomeOf(upload), grpc::StatusCode::OK);
}

}  // namespace
}  // namespace seedbed
