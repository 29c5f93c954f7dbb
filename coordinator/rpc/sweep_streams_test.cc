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
};

TEST_F(StreamLimitsTest, ALogThatIsNotTakenDoesNotEndAsIfItWereWhole) {
  CallLimits limits;
  limits.log_patience = absl::Milliseconds(1);
  StartWith(limits);
  const v1::LeaseKey lease = LeaseAll(1)[0].lease();
  const std::string path = coordinator_->LogPath(RunId(lease.run_id()), 1);
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  const std::string whole(16 << 20, 'x');
  std::ofstream(path) << whole;
  v1::ReadLogRequest request;
  request.set_run_id(lease.run_id());
  std::vector<std::unique_ptr<SlowReading>> readings;
  v1::ReadLogResponse response;
  for (size_t i = 0; i < 3; ++i) {  // as many as there are threads for them
    readings.push_back(std::make_unique<SlowReading>());
    SetDeadline(&readings[i]->context);
    readings[i]->stream = sweeps_->ReadLog(&readings[i]->context, request);
    ASSERT_TRUE(readings[i]->stream->Read(&response));
    readings[i]->text = response.text();
  }
  // Answered once one of them has given up.
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::ListSweepsResponse sweeps;
  ASSERT_TRUE(sweeps_->ListSweeps(&context, v1::ListSweepsRequest(), &sweeps).ok());
  int given_up = 0;
  for (const auto& reading : readings) {
    while (reading->stream->Read(&response)) reading->text += response.text();
    const grpc::Status status = reading->stream->Finish();
    EXPECT_EQ(status.ok(), reading->text == whole) << status.error_message();
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
