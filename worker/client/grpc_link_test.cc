// The link against a coordinator of a few lines, over a Unix socket in a directory of the test's own.
#include "worker/client/grpc_link.h"

#include <grpcpp/grpcpp.h>
#include <stdlib.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/sha256.h"
#include "common/base/testing/no_descriptors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/client/testing/fake_coordinator.h"

namespace seedbed::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class GrpcLinkTest : public ::testing::Test {
 protected:
  GrpcLinkTest() {
    char directory[] = "/tmp/seedbed-link-XXXXXX";
    EXPECT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    address_ = "unix:" + directory_ + "/socket";
  }
  ~GrpcLinkTest() override {
    link_.reset();
    StopServer();
    unlink((directory_ + "/socket").c_str());
    rmdir(directory_.c_str());
  }

  void StartServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.RegisterService(&coordinator_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  void StopServer() {
    coordinator_.Hold(false);
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
  }
  void MakeLink(std::string token = "") {
    link_ = std::make_unique<GrpcLink>(GrpcLinkOptions{address_, std::move(token)}, [this](agent::LinkEvent event) {
      std::lock_guard<std::mutex> lock(mutex_);
      events_.push_back(std::move(event));
      changed_.notify_all();
    });
  }

  template <typename Event>
  static Event Nothing() {
    if constexpr (std::is_same_v<Event, agent::SynchronizeAnswered>) {
      return Event{0, absl::UnknownError("no answer")};
    } else {
      return Event();
    }
  }
  template <typename Event>
  Event Next() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [this] { return !events_.empty(); })) {
      ADD_FAILURE() << "no event";
      return Nothing<Event>();
    }
    agent::LinkEvent event = std::move(events_.front());
    events_.pop_front();
    if (!std::holds_alternative<Event>(event)) {
      const auto* broken = std::get_if<agent::ReportStreamBroken>(&event);
      ADD_FAILURE() << "another event, number " << event.index() << (broken ? broken->status.ToString() : "");
      return Nothing<Event>();
    }
    return std::get<Event>(std::move(event));
  }
  agent::SynchronizeAnswered Synchronized() { return Next<agent::SynchronizeAnswered>(); }
  bool NoEvents() {
    std::lock_guard<std::mutex> lock(mutex_);
    return events_.empty();
  }

  void Call(int64_t number, absl::Duration timeout = absl::Seconds(20)) {
    agent::SynchronizeRequest request;
    request.worker = WorkerId("w1");
    request.number = number;
    link_->Synchronize(std::move(request), timeout);
  }
  void Send(int64_t sequence, std::string log = "") {
    auto body = std::make_shared<agent::ReportBody>();
    body->sequence = sequence;
    body->bytes = static_cast<int64_t>(log.size()) + 64;
    body->log = std::move(log);
    link_->SendReport({WorkerId("w1"), {RunId(1), 1, Fence(1)}, body});
  }

  std::string directory_;
  std::string address_;
  FakeCoordinator coordinator_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<GrpcLink> link_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<agent::LinkEvent> events_;
};

TEST_F(GrpcLinkTest, CarriesFactsAndTheDesiredState) {
  StartServer();
  MakeLink();
  agent::SynchronizeRequest request;
  request.worker = WorkerId("w1");
  request.name = "node-1";
  request.host = "node";
  request.device = "cpu";
  request.version = "1.2.3";
  request.slots = 4;
  request.free_slots = 3;
  request.number = 12;
  request.trainers = {{"modular", "{\"a\":1}", {"seed", "optimizer.learning_rate"}}};
  request.leases = {{{RunId(5), 2, Fence(8)}, 41, true}};
  request.goodbye = true;
  request.database_id = "db0";
  link_->Synchronize(request, absl::Seconds(20));

  const agent::SynchronizeAnswered event = Synchronized();
  EXPECT_EQ(event.number, 12);
  ASSERT_TRUE(event.answer.ok()) << event.answer.status();
  ASSERT_EQ(event.answer->start.size(), 1u);
  EXPECT_EQ(event.answer->start[0].lease, (agent::LeaseKey{RunId(7), 2, Fence(9)}));
  EXPECT_EQ(event.answer->start[0].sweep, "sweep");
  EXPECT_EQ(event.answer->start[0].specification_json, "{}");
  EXPECT_EQ(event.answer->start[0].resume_step, std::nullopt);
  EXPECT_EQ(event.answer->next_call_after, absl::Milliseconds(1500));
  EXPECT_EQ(event.answer->lease_duration, absl::Seconds(15));
  EXPECT_EQ(event.answer->database_id, "db1");
  EXPECT_EQ(event.answer->state, agent::WorkerState::kDraining);

  const v1::SynchronizeRequest seen = coordinator_.WaitForCalls(1)[0];
  EXPECT_EQ(seen.worker_id(), "w1");
  EXPECT_EQ(seen.name(), "node-1");
  EXPECT_EQ(seen.host(), "node");
  EXPECT_EQ(seen.device(), "cpu");
  EXPECT_EQ(seen.version(), "1.2.3");
  EXPECT_EQ(seen.slots(), 4);
  EXPECT_EQ(seen.free_slots(), 3);
  EXPECT_EQ(seen.number(), 12);
  EXPECT_TRUE(seen.goodbye());
  EXPECT_EQ(seen.database_id(), "db0");
  ASSERT_EQ(seen.trainers_size(), 1);
  EXPECT_EQ(seen.trainers(0).trainer(), "modular");
  EXPECT_EQ(seen.trainers(0).numerics_json(), "{\"a\":1}");
  EXPECT_EQ(seen.trainers(0).pack_parameters_size(), 2);
  ASSERT_EQ(seen.leases_size(), 1);
  EXPECT_EQ(seen.leases(0).lease().run_id(), 5);
  EXPECT_EQ(seen.leases(0).lease().attempt(), 2);
  EXPECT_EQ(seen.leases(0).lease().fence(), 8);
  EXPECT_EQ(seen.leases(0).step(), 41);
  EXPECT_TRUE(seen.leases(0).training());
}

TEST_F(GrpcLinkTest, CarriesRowsAndEnds) {
  StartServer();
  MakeLink();
  link_->OpenReports(1);
  auto body = std::make_shared<agent::ReportBody>();
  body->sequence = 3;
  body->rows.steps = {10, 20};
  body->rows.series = {{"a", {1.5, 2.5}, {false, false}}, {"b", {0, 4}, {true, false}}};
  body->rows.first_nonfinite_step = 10;
  body->end =
      agent::EndOfAttempt{agent::ReportedEnd::kFinished, "budget", 2, agent::RunResult{"grokked", "budget", 20, "{}"}};
  link_->SendReport({WorkerId("w1"), {RunId(5), 2, Fence(8)}, body});
  const v1::ReportRequest seen = coordinator_.WaitForReports(1)[0];
  EXPECT_EQ(seen.worker_id(), "w1");
  EXPECT_EQ(seen.lease().run_id(), 5);
  EXPECT_EQ(seen.lease().attempt(), 2);
  EXPECT_EQ(seen.lease().fence(), 8);
  EXPECT_EQ(seen.sequence(), 3);
  EXPECT_THAT(seen.rows().steps(), ElementsAre(10, 20));
  ASSERT_EQ(seen.rows().series_size(), 2);
  EXPECT_EQ(seen.rows().series(0).metric(), "a");
  EXPECT_THAT(seen.rows().series(0).values(), ElementsAre(1.5, 2.5));
  EXPECT_EQ(seen.rows().series(0).absent_size(), 0) << "empty: all are present";
  EXPECT_THAT(seen.rows().series(1).absent(), ElementsAre(true, false));
  EXPECT_EQ(seen.rows().first_nonfinite_step(), 10);
  EXPECT_EQ(seen.ended().end(), v1::ATTEMPT_END_FINISHED);
  EXPECT_EQ(seen.ended().reason(), "budget");
  EXPECT_EQ(seen.ended().pack(), 2);
  EXPECT_EQ(seen.ended().result().outcome(), "grokked");
  EXPECT_EQ(seen.ended().result().last_step(), 20);
  const auto event = Next<agent::ReportAnswered>();
  EXPECT_EQ(event.stream, 1);
  EXPECT_EQ(event.answer.lease, (agent::LeaseKey{RunId(5), 2, Fence(8)}));
  EXPECT_EQ(event.answer.verdict, agent::ReportVerdict::kAcknowledged);
  EXPECT_EQ(event.answer.sequence, 3);
}

TEST_F(GrpcLinkTest, ReportsKeepTheirOrder) {
  StartServer();
  MakeLink();
  link_->OpenReports(1);
  for (int64_t sequence = 1; sequence <= 500; ++sequence) Send(sequence);
  const std::vector<v1::ReportRequest> seen = coordinator_.WaitForReports(500);
  for (size_t i = 0; i < 500; ++i) {
    EXPECT_EQ(seen[i].sequence(), static_cast<int64_t>(i) + 1);
    EXPECT_EQ(Next<agent::ReportAnswered>().answer.sequence, static_cast<int64_t>(i) + 1);
  }
}

TEST_F(GrpcLinkTest, SendsItsTokenWithEveryCall) {
  StartServer();
  MakeLink("secret");
  Call(1);
  Synchronized();
  link_->OpenReports(1);
  Send(1);
  Next<agent::ReportAnswered>();
  EXPECT_THAT(coordinator_.tokens(), ElementsAre("Bearer secret"));
}

TEST_F(GrpcLinkTest, WithoutATokenSendsNone) {
  StartServer();
  MakeLink();
  Call(1);
  Synchronized();
  EXPECT_THAT(coordinator_.tokens(), ElementsAre("none"));
}

TEST_F(GrpcLinkTest, WithNobodyThereErrorsComeAndLaterCallsFindTheServer) {
  MakeLink();
  Call(1);
  const agent::SynchronizeAnswered failed = Synchronized();
  EXPECT_EQ(failed.number, 1);
  EXPECT_EQ(failed.answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(failed.answer.status().message()), HasSubstr(address_));
  link_->OpenReports(1);
  Send(1);
  const auto broken = Next<agent::ReportStreamBroken>();
  EXPECT_EQ(broken.stream, 1);
  EXPECT_EQ(broken.status.code(), absl::StatusCode::kUnavailable);
  Send(1);  // without a stream: nothing happens
  StartServer();
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  int64_t number = 1;
  do {
    Call(++number);
  } while (!Synchronized().answer.ok() && absl::Now() < deadline);
  EXPECT_LT(absl::Now(), deadline);
}

TEST_F(GrpcLinkTest, AServerThatGoesAwayBreaksTheStreamAndTheNextOneWorks) {
  StartServer();
  MakeLink();
  link_->OpenReports(1);
  Send(1);
  Next<agent::ReportAnswered>();
  StopServer();
  EXPECT_EQ(Next<agent::ReportStreamBroken>().stream, 1);
  StartServer();
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  for (int64_t stream = 2; absl::Now() < deadline; ++stream) {
    link_->OpenReports(stream);
    Send(1);
    std::unique_lock<std::mutex> lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, kPatience, [this] { return !events_.empty(); }));
    const agent::LinkEvent event = std::move(events_.front());
    events_.pop_front();
    if (const auto* answered = std::get_if<agent::ReportAnswered>(&event)) {
      EXPECT_EQ(answered->stream, stream);
      return;
    }
  }
  ADD_FAILURE() << "never reconnected";
}

TEST_F(GrpcLinkTest, AStreamThatTheServerEndsIsBroken) {
  StartServer();
  MakeLink();
  coordinator_.EndStreamAfter(1);
  link_->OpenReports(1);
  Send(1);
  const auto broken = Next<agent::ReportStreamBroken>();
  EXPECT_EQ(broken.stream, 1);
  EXPECT_FALSE(broken.status.ok());
}

TEST_F(GrpcLinkTest, AFormerStreamIsGivenUpWithoutAWord) {
  StartServer();
  MakeLink();
  link_->OpenReports(1);
  Send(1);
  EXPECT_EQ(Next<agent::ReportAnswered>().stream, 1);
  link_->OpenReports(2);
  Send(2);
  EXPECT_EQ(Next<agent::ReportAnswered>().stream, 2);
  EXPECT_TRUE(NoEvents());
}

TEST_F(GrpcLinkTest, ACallThatTakesTooLongFails) {
  StartServer();
  MakeLink();
  coordinator_.Hold(true);
  Call(1, absl::Milliseconds(50));
  const agent::SynchronizeAnswered late = Synchronized();
  EXPECT_EQ(late.answer.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(GrpcLinkTest, SeveralCallsMayBeUnderWay) {
  StartServer();
  MakeLink();
  coordinator_.Hold(true);
  Call(1);
  Call(2);
  coordinator_.WaitForCalls(2);
  coordinator_.Hold(false);
  const std::set<int64_t> answered = {Synchronized().number, Synchronized().number};
  EXPECT_THAT(answered, ElementsAre(1, 2));
}

TEST_F(GrpcLinkTest, ARefusedTokenSaysWhatToDo) {
  coordinator_.refusal = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "no token");
  StartServer();
  MakeLink();
  Call(1);
  const absl::Status status = Synchronized().answer.status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--token-file"));
}

TEST_F(GrpcLinkTest, ReportsWaitUntilTheCoordinatorReadsAndNoneIsLeftOut) {
  StartServer();
  MakeLink();
  EXPECT_EQ(link_->ReportBytesWaiting(), 0);
  coordinator_.Hold(true);
  link_->OpenReports(1);
  const int kLogs = 100;
  for (int i = 0; i < kLogs; ++i) Send(0, std::string(50'000, 'x'));
  Send(1);
  EXPECT_GT(link_->ReportBytesWaiting(), 0) << "gRPC takes less than that";
  coordinator_.Hold(false);
  EXPECT_EQ(Next<agent::ReportAnswered>().answer.sequence, 1);
  EXPECT_EQ(coordinator_.WaitForReports(1).size(), kLogs + 1u);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (link_->ReportBytesWaiting() > 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(link_->ReportBytesWaiting(), 0);
}

TEST_F(GrpcLinkTest, AnUploadThatIsRefusedAtItsHeaderTellsItsFate) {
  struct Case {
    grpc::StatusCode code;
    agent::CheckpointFate fate;
  };
  const std::string path = directory_ + "/checkpoint";
  std::ofstream(path) << std::string(8 << 20, 'x');
  for (const Case& c : {Case{grpc::StatusCode::FAILED_PRECONDITION, agent::CheckpointFate::kRefused},
                        Case{grpc::StatusCode::RESOURCE_EXHAUSTED, agent::CheckpointFate::kNoRoom},
                        Case{grpc::StatusCode::UNAVAILABLE, agent::CheckpointFate::kFailed}}) {
    coordinator_.upload_refusal = grpc::Status(c.code, "for a reason");
    StartServer();
    MakeLink();
    agent::CheckpointUpload upload;
    upload.worker = WorkerId("w1");
    upload.lease = {RunId(1), 1, Fence(1)};
    upload.path = path;
    link_->PutCheckpoint(std::move(upload));
    const agent::CheckpointPut put = Next<agent::CheckpointPut>();
    EXPECT_EQ(put.fate, c.fate) << c.code << ": " << put.reason;
    EXPECT_THAT(put.reason, HasSubstr("for a reason"));
    link_.reset();
    StopServer();
  }
  unlink(path.c_str());
}

TEST_F(GrpcLinkTest, AnUploadWhoseFileCannotBeReadForTheMomentIsTriedAgain) {
  const std::string path = directory_ + "/checkpoint";
  std::ofstream(path) << "content";
  StartServer();
  MakeLink();
  Call(1);  // connects
  Next<agent::SynchronizeAnswered>();
  const auto put = [&] {
    agent::CheckpointUpload upload;
    upload.worker = WorkerId("w1");
    upload.lease = {RunId(1), 1, Fence(1)};
    upload.path = path;
    link_->PutCheckpoint(std::move(upload));
    return Next<agent::CheckpointPut>();
  };
  {
    const NoDescriptors none;
    const agent::CheckpointPut unread = put();
    EXPECT_EQ(unread.fate, agent::CheckpointFate::kFailed) << unread.reason;
    EXPECT_THAT(unread.reason, HasSubstr("Too many open files"));
  }
  unlink(path.c_str());
  const agent::CheckpointPut gone = put();
  EXPECT_EQ(gone.fate, agent::CheckpointFate::kLost) << gone.reason;
}

TEST_F(GrpcLinkTest, ACheckpointThatWasDamagedOnItsWayIsNotLost) {
  coordinator_.checkpoint.set_size(7);
  coordinator_.checkpoint.set_sha256(Sha256Hex("content"));
  coordinator_.checkpoint.set_data("contend");
  StartServer();
  MakeLink();
  const std::string path = directory_ + "/resume.checkpoint";
  link_->GetCheckpoint({WorkerId("w1"), {RunId(1), 1, Fence(1)}, 10, path});
  const agent::CheckpointGot got = Next<agent::CheckpointGot>();
  EXPECT_TRUE(absl::IsUnavailable(got.status)) << got.status;
  EXPECT_EQ(got.path, path);
  unlink(path.c_str());
}

TEST_F(GrpcLinkTest, CanBeDestroyedWithEverythingUnderWay) {
  StartServer();
  MakeLink();
  coordinator_.Hold(true);
  Call(1);
  coordinator_.WaitForCalls(1);
  link_->OpenReports(1);
  for (int64_t sequence = 1; sequence <= 50; ++sequence) Send(sequence);
  link_.reset();
  coordinator_.Hold(false);
}

}  // namespace
}  // namespace seedbed::client
