// The limits of calls that answer with a stream: of rows, of bytes, and of patience with who takes them slowly.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "coordinator/rpc/rpc_fixture.h"
#include "gmock/gmock.h"

namespace seedbed::rpc_test {
namespace {

constexpr char kEndless[] =
    "WITH RECURSIVE counting(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM counting) "
    "SELECT x, printf('%.*c', 100, 'x') FROM counting";

struct Answer {
  grpc::Status status;
  int64_t rows = 0;
  bool truncated = false;
};

class StreamLimitsTest : public RpcTest {
 protected:
  void StartWith(const CallLimits& limits) {
    ServerOptions options;
    options.limits = limits;
    Start(options);
  }
  Answer Query(const std::string& sql, int64_t row_limit = 0) {
    v1::QueryRequest request;
    request.set_sql(sql);
    request.set_row_limit(row_limit);
    grpc::ClientContext context;
    SetDeadline(&context);
    const auto stream = sweeps_->Query(&context, request);
    Answer answer;
    v1::QueryResponse response;
    while (stream->Read(&response)) {
      answer.rows += response.rows_size();
      answer.truncated = response.truncated();
    }
    answer.status = stream->Finish();
    return answer;
  }
};

TEST_F(StreamLimitsTest, ByDefaultAQueryHasTenSeconds) {
  EXPECT_EQ(CallLimits().query_time, absl::Seconds(10));
}

TEST_F(StreamLimitsTest, AQuerysRows) {
  CallLimits limits;
  limits.query_rows = 5;
  StartWith(limits);
  struct Case {
    int64_t asked;
    int64_t rows;
  };
  for (const Case& c : {Case{0, 5}, Case{3, 3}, Case{5, 5}, Case{100, 5}}) {
    const Answer answer = Query(kEndless, c.asked);
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_EQ(answer.rows, c.rows) << c.asked;
    EXPECT_TRUE(answer.truncated) << c.asked;
  }
  const Answer whole = Query("VALUES (1), (2), (3), (4), (5)");
  EXPECT_EQ(whole.rows, 5);
  EXPECT_FALSE(whole.truncated);
}

TEST_F(StreamLimitsTest, AQuerysBytes) {
  CallLimits limits;
  limits.query_bytes = 1000;
  StartWith(limits);
  const Answer answer = Query(kEndless);
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_TRUE(answer.truncated);
  EXPECT_GT(answer.rows, 5);
  EXPECT_LE(answer.rows, 10);
}

TEST_F(StreamLimitsTest, AQuerysRowIsBounded) {
  CallLimits limits;
  limits.query_bytes = 20 << 20;
  StartWith(limits);
  // With 132 of these columns, 2.2 GB in hex, it would be no message any more.
  EXPECT_EQ(Query("SELECT zeroblob(8388600), zeroblob(8388600)").status.error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  const Answer answer = Query("VALUES (zeroblob(4000000)), (zeroblob(4000000)), (zeroblob(4000000))");
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.rows, 2) << "a third one exceeds the limit of all";
  EXPECT_TRUE(answer.truncated);
}

TEST_F(StreamLimitsTest, AQuerysTime) {
  CallLimits limits;
  limits.query_time = absl::Milliseconds(100);
  StartWith(limits);
  EXPECT_EQ(Query(kEndless).status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(Query(std::string(kEndless) + " WHERE x < 0").status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Query("SELECT 1").status.ok());
}

// A reading of a log whose client takes the first message and then nothing for a while.
struct SlowReading {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::ReadLogResponse>> stream;
  std::string text;
  grpc::Status TakeTheRest() {
    v1::ReadLogResponse response;
    while (stream->Read(&response)) text += response.text();
    return stream->Finish();
  }
};

class SlowReadersTest : public StreamLimitsTest {
 protected:
  // As many as there are threads for them.
  void BeginReadings(absl::Duration patience) {
    CallLimits limits;
    limits.log_patience = patience;
    StartWith(limits);
    const v1::LeaseKey lease = LeaseAll(1)[0].lease();
    const std::string path = coordinator_->LogPath(RunId(lease.run_id()), 1);
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << whole_;
    v1::ReadLogRequest request;
    request.set_run_id(lease.run_id());
    for (size_t i = 0; i < 3; ++i) {
      readings_.push_back(std::make_unique<SlowReading>());
      SetDeadline(&readings_[i]->context);
      readings_[i]->stream = sweeps_->ReadLog(&readings_[i]->context, request);
      v1::ReadLogResponse response;
      ASSERT_TRUE(readings_[i]->stream->Read(&response));
      readings_[i]->text = response.text();
    }
  }
  grpc::Status List() {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::ListSweepsResponse sweeps;
    return sweeps_->ListSweeps(&context, v1::ListSweepsRequest(), &sweeps);
  }

  const std::string whole_ = std::string(16 << 20, 'x');
  std::vector<std::unique_ptr<SlowReading>> readings_;
};

TEST_F(SlowReadersTest, OfLogsKeepNoListAndNoWatchWaiting) {
  BeginReadings(/*patience=*/absl::Hours(1));
  const grpc::Status listed = List();
  ASSERT_TRUE(listed.ok()) << listed.error_message();
  grpc::ClientContext context;
  SetDeadline(&context);
  const auto watch = sweeps_->WatchProgress(&context, v1::WatchProgressRequest());
  v1::ProgressResponse progress;
  EXPECT_TRUE(watch->Read(&progress));
  context.TryCancel();
  watch->Finish();
  for (const auto& reading : readings_) {
    const grpc::Status status = reading->TakeTheRest();
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(reading->text.size(), whole_.size());
  }
}

TEST_F(SlowReadersTest, ALogThatIsNotTakenDoesNotEndAsIfItWereWhole) {
  BeginReadings(/*patience=*/absl::ZeroDuration());
  // Answered once one of them has given up its thread, and with it its patience.
  ASSERT_TRUE(List().ok());
  int given_up = 0;
  for (const auto& reading : readings_) {
    const grpc::Status status = reading->TakeTheRest();
    EXPECT_EQ(status.ok(), reading->text == whole_) << status.error_message();
    given_up += status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ? 1 : 0;
  }
  EXPECT_GE(given_up, 1);
}

TEST_F(StreamLimitsTest, ALogThatCannotBeReadDoesNotPassForAnEmptyOne) {
  StartWith({});
  const v1::LeaseKey lease = LeaseAll(1)[0].lease();
  const std::string path = coordinator_->LogPath(RunId(lease.run_id()), 1);
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  const auto read = [&] {
    v1::ReadLogRequest request;
    request.set_run_id(lease.run_id());
    grpc::ClientContext context;
    SetDeadline(&context);
    const auto stream = sweeps_->ReadLog(&context, request);
    v1::ReadLogResponse response;
    EXPECT_FALSE(stream->Read(&response)) << response.text();
    return stream->Finish();
  };
  EXPECT_TRUE(read().ok()) << "nothing was printed yet";
  std::filesystem::create_symlink(path, path);
  const grpc::Status not_opened = read();
  EXPECT_EQ(not_opened.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(not_opened.error_message(), testing::HasSubstr("attempt 1 cannot be read: Too many levels"));
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);  // opened all the same
  const grpc::Status not_read = read();
  EXPECT_EQ(not_read.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(not_read.error_message(), testing::HasSubstr("Is a directory"));
}

}  // namespace
}  // namespace seedbed::rpc_test
