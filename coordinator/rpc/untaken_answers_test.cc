// Answers whose clients do not take them: how long they are kept, and how many bytes of them.
#include "coordinator/rpc/untaken_answers.h"

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "common/base/testing/until_it_waits.h"
#include "coordinator/rpc/rpc_fixture.h"
#include "gmock/gmock.h"

namespace seedbed::rpc_test {
namespace {

using ::testing::HasSubstr;

constexpr auto kReading = UntakenAnswers::Use::kReading;
constexpr auto kLeases = UntakenAnswers::Use::kLeases;

CallLimits Impatient() {
  CallLimits limits;
  limits.untaken_time = absl::Milliseconds(100);
  limits.slow_link = int64_t{1} << 40;
  return limits;
}

Caller WithToken(const std::string& hash) {
  Caller caller;
  caller.kind = Caller::Kind::kToken;
  caller.token_sha256 = hash;
  return caller;
}

TEST(UntakenAnswersTest, ByDefaultAreThePublishedLimits) {
  const CallLimits limits;
  EXPECT_EQ(limits.untaken_time, absl::Seconds(10));
  EXPECT_EQ(limits.slow_link, 256 << 10);
  EXPECT_EQ(limits.untaken_bytes, 256 << 20);
  EXPECT_EQ(limits.untaken_bytes_of_caller, 64 << 20);
}

TEST(UntakenAnswersTest, OnlyAnAnswerThatWaitsIsCancelled) {
  std::atomic<int> idle{0}, waits{0}, finished{0};
  UntakenAnswers untaken(Impatient());
  const UntakenAnswers::Id taken = untaken.Begin({}, kReading, [&] { ++idle; });
  untaken.Add(taken, 10);
  untaken.Take(taken, 10);
  const UntakenAnswers::Id queued = untaken.Begin({}, kReading, [&] { ++waits; });
  untaken.Add(queued, 10);
  untaken.Add(queued, 10);
  untaken.Take(queued, 10);
  const UntakenAnswers::Id ended = untaken.Begin({}, kReading, [&] { ++finished; });
  untaken.Finish(ended);
  EXPECT_TRUE(coordinator_test::Eventually([&] { return waits == 1 && finished == 1; }));
  EXPECT_EQ(idle, 0);
  for (const UntakenAnswers::Id id : {taken, queued, ended}) untaken.Done(id);
}

TEST(UntakenAnswersTest, CallsMayBeginWhileOneIsCancelledAndNoneEndsBefore) {
  UntakenAnswers untaken(Impatient());
  std::promise<void> cancelling, go_on;
  std::atomic<bool> returned{false};
  const UntakenAnswers::Id late = untaken.Begin({}, kReading, [&] {
    const UntakenAnswers::Id other = untaken.Begin({}, kReading, [] {});
    untaken.Done(other);
    cancelling.set_value();
    go_on.get_future().wait();
    returned = true;
  });
  untaken.Finish(late);
  ASSERT_EQ(cancelling.get_future().wait_for(coordinator_test::kPatience), std::future_status::ready);
  const std::future<void> done = UntilItWaits<void>([&] {
    untaken.Done(late);
    EXPECT_TRUE(returned) << "the call would be gone";
  });
  EXPECT_TRUE(untaken.Check({}, kReading).ok()) << "others are served meanwhile";
  go_on.set_value();
  EXPECT_EQ(done.wait_for(coordinator_test::kPatience), std::future_status::ready);
}

TEST(UntakenAnswersTest, BytesHaveTheTimeThatTheyNeedOnASlowLink) {
  CallLimits limits = Impatient();
  limits.slow_link = 1;
  std::atomic<int> many{0}, none{0};
  UntakenAnswers untaken(limits);
  const UntakenAnswers::Id long_answer = untaken.Begin({}, kReading, [&] { ++many; });
  untaken.Add(long_answer, 3600);
  const UntakenAnswers::Id short_answer = untaken.Begin({}, kReading, [&] { ++none; });
  untaken.Finish(short_answer);
  EXPECT_TRUE(coordinator_test::Eventually([&] { return none == 1; }));
  EXPECT_EQ(many, 0);
  untaken.Done(long_answer);
  untaken.Done(short_answer);
}

TEST(UntakenAnswersTest, BytesAreBoundedForEachCallerAndForAll) {
  CallLimits limits;
  limits.untaken_bytes = 25;
  limits.untaken_bytes_of_caller = 10;
  UntakenAnswers untaken(limits);
  std::vector<UntakenAnswers::Id> answers;
  for (const char* each : {"a", "b", "c"}) {
    EXPECT_TRUE(untaken.Check(WithToken(each), kReading).ok()) << each;
    answers.push_back(untaken.Begin(WithToken(each), kReading, nullptr));
    untaken.Add(answers.back(), 10);
    EXPECT_TRUE(absl::IsResourceExhausted(untaken.Check(WithToken(each), kReading))) << each;
  }
  EXPECT_THAT(std::string(untaken.Check(WithToken("a"), kReading).message()), HasSubstr("with this token"));
  EXPECT_THAT(std::string(untaken.Check(WithToken("d"), kReading).message()), HasSubstr("to all who asked"));
  EXPECT_TRUE(untaken.Check(WithToken("a"), kLeases).ok()) << "what is read costs nobody a lease";
  untaken.Take(answers[0], 4);
  EXPECT_THAT(std::string(untaken.Check(WithToken("a"), kReading).message()), HasSubstr("to all who asked"));
  EXPECT_TRUE(absl::IsResourceExhausted(untaken.Check(WithToken("a"), kReading)));
  untaken.Done(answers[1]);
  EXPECT_TRUE(untaken.Check(WithToken("a"), kReading).ok());
  EXPECT_TRUE(untaken.Check(WithToken("b"), kReading).ok());
  EXPECT_FALSE(untaken.Check(WithToken("c"), kReading).ok());
  untaken.Done(answers[0]);
  untaken.Done(answers[2]);
  const UntakenAnswers::Id leases = untaken.Begin(WithToken("a"), kLeases, nullptr);
  untaken.Add(leases, 10);
  EXPECT_TRUE(untaken.Check(WithToken("a"), kReading).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(untaken.Check(WithToken("a"), kLeases)));
  untaken.Done(leases);
}

class UntakenStreamsTest : public RpcTest {
 protected:
  void StartWith(const CallLimits& limits) {
    ServerOptions options;
    options.limits = limits;
    options.listen.push_back(AddressOf("unix:" + directory_.path() + "/socket"));
    Start(options);
    // Beside the channel in the process: with a window of 64 KiB, and more only as it reads.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetMaxReceiveMessageSize(-1);
    remote_ = v1::SweepService::NewStub(
        grpc::CreateCustomChannel(server_->addresses()[0], grpc::InsecureChannelCredentials(), arguments));
  }
  void TearDown() override {
    remote_.reset();
    RpcTest::TearDown();
  }
  static v1::QueryRequest Bytes(int64_t count) {
    v1::QueryRequest request;
    request.set_sql("SELECT hex(zeroblob(" + std::to_string(count / 2) + "))");
    return request;
  }
  // In the process: no answer to it waits behind those that are not taken.
  grpc::Status List() {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::ListSweepsResponse sweeps;
    return sweeps_->ListSweeps(&context, v1::ListSweepsRequest(), &sweeps);
  }
  std::unique_ptr<v1::SweepService::Stub> remote_;
};

struct UntakenQuery {
  UntakenQuery(v1::SweepService::Stub* stub, const v1::QueryRequest& request) {
    // Later than a test's patience ends: it is not to be the deadline that drops the answer.
    context.set_deadline(std::chrono::system_clock::now() + 3 * coordinator_test::kPatience);
    stream = stub->Query(&context, request);
  }
  ~UntakenQuery() { context.TryCancel(); }
  grpc::Status Take() {
    v1::QueryResponse response;
    while (stream->Read(&response)) {
    }
    return stream->Finish();
  }
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::QueryResponse>> stream;
};

TEST_F(UntakenStreamsTest, WhatNobodyTakesIsDroppedAlsoAfterItsEnd) {
  CallLimits limits = Impatient();
  limits.untaken_bytes_of_caller = 1 << 20;
  StartWith(limits);
  std::vector<std::unique_ptr<UntakenQuery>> queries;
  EXPECT_TRUE(coordinator_test::Eventually([&] {
    for (v1::SweepService::Stub* stub : {sweeps_.get(), remote_.get()}) {
      queries.push_back(std::make_unique<UntakenQuery>(stub, Bytes(2 << 20)));
    }
    return List().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
  }));
  EXPECT_TRUE(coordinator_test::Eventually([&] { return List().ok(); })) << List().error_message();
}

TEST_F(UntakenStreamsTest, BeyondTheirBytesAnswersAreRefusedUntilSomeAreTaken) {
  CallLimits limits;
  limits.untaken_bytes_of_caller = 1 << 20;
  StartWith(limits);
  UntakenQuery untaken(remote_.get(), Bytes(2 << 20));
  EXPECT_TRUE(
      coordinator_test::Eventually([&] { return List().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED; }));
  EXPECT_THAT(List().error_message(), HasSubstr("take them or end those calls"));
  EXPECT_EQ(UntakenQuery(sweeps_.get(), Bytes(2)).Take().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  grpc::ClientContext watching;
  SetDeadline(&watching);
  EXPECT_EQ(sweeps_->WatchProgress(&watching, v1::WatchProgressRequest())->Finish().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(untaken.Take().ok());
  EXPECT_TRUE(coordinator_test::Eventually([&] { return List().ok(); })) << List().error_message();
}

}  // namespace
}  // namespace seedbed::rpc_test
