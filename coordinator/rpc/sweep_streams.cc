#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/rpc/call.h"
#include "coordinator/rpc/caller.h"
#include "coordinator/rpc/checkpoint_streams.h"
#include "coordinator/rpc/progress_watch.h"
#include "coordinator/rpc/sweep_service.h"

// The calls that answer with a stream. Each goes from task to task of a pool: no thread is kept while nothing happens.
namespace seedbed {
namespace {

// --- Query ---

constexpr int64_t kRowsAtOnce = 1000;
constexpr int64_t kBytesAtOnce = 1 << 20;

using QueryStream = ResponseStream<v1::QueryResponse>;

void RunQuery(Coordinator* coordinator, const v1::QueryRequest& request, const CallLimits& limits,
              QueryStream* stream) {
  // While a row waits to be taken, the query still reads.
  const absl::Duration time = coordinator->reader().StreamLimit(limits.query_time);
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(time);
  const int64_t most_rows =
      request.row_limit() > 0 ? std::min(request.row_limit(), limits.query_rows) : limits.query_rows;
  v1::QueryResponse response;
  int64_t rows = 0;
  int64_t bytes = 0;
  int64_t bytes_waiting = 0;
  bool truncated = false;
  bool gone = false;
  const auto send = [&] {
    const absl::Duration left = absl::FromChrono(deadline - std::chrono::steady_clock::now());
    if (!stream->Push(std::exchange(response, {}), std::max(left, absl::ZeroDuration()))) gone = true;
    bytes_waiting = 0;
  };
  const absl::Status status = coordinator->reader().Stream(
      request.sql(), time,
      [&response](const std::vector<std::string>& columns) {
        for (const std::string& column : columns) response.add_columns(column);
      },
      [&](const std::vector<Value>& values) {
        truncated = rows >= most_rows;
        if (truncated) return false;
        v1::Row* row = response.add_rows();
        for (const Value& value : values) ToProto(value, row->add_values());
        const int64_t size = static_cast<int64_t>(row->ByteSizeLong());
        truncated = bytes + size > limits.query_bytes;
        if (truncated) {
          response.mutable_rows()->RemoveLast();
          return false;
        }
        ++rows;
        bytes += size;
        bytes_waiting += size;
        if (response.rows_size() >= kRowsAtOnce || bytes_waiting >= kBytesAtOnce) send();
        return !gone;
      });
  if (!status.ok()) return stream->End(status);
  if (!gone) {
    response.set_truncated(truncated);
    send();
  }
  stream->End(gone ? absl::DeadlineExceededError("the rows were not taken in time; ask for fewer at once")
                   : absl::OkStatus());
}

// --- ReadLog ---

constexpr size_t kLogPiece = 256 << 10;
constexpr absl::Duration kLogInterval = absl::Milliseconds(250);
constexpr absl::Duration kRoomInterval = absl::Milliseconds(20);

struct LogReading {
  Coordinator* coordinator = nullptr;
  TaskPool* pool = nullptr;
  std::shared_ptr<ResponseStream<v1::ReadLogResponse>> stream;
  RunId run;
  int attempt = 0;  // 0: the latest, once there is one
  bool follow = false;
  off_t offset = 0;
  bool last = false;   // what is printed from now on is not wanted
  bool whole = false;  // all that the file had is sent
  absl::Duration patience;
  std::chrono::steady_clock::time_point had_room_at;
  Authenticator::Again allowed;
};

// Ends the stream of whoever may not go on.
bool MayGoOn(LogReading* reading) {
  if (reading->stream->over()) return false;
  const absl::Status allowed = reading->allowed();
  if (!allowed.ok()) reading->stream->End(allowed);
  return allowed.ok();
}

// Sends what the file has beyond `offset` and the stream has room for. INTERNAL if it cannot be read: ended as whole,
// the log would look shorter than it is.
absl::Status SendLog(LogReading* reading) {
  reading->whole = false;
  const std::string path = reading->coordinator->LogPath(reading->run, reading->attempt);
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 && errno == ENOENT) {  // it printed nothing yet
    reading->whole = true;
    return absl::OkStatus();
  }
  const std::string log = absl::StrCat("the log of run ", reading->run.value(), " attempt ", reading->attempt);
  const auto unreadable = [&log] {
    return absl::InternalError(absl::StrCat(log, " cannot be read: ", std::strerror(errno)));
  };
  if (descriptor < 0) return unreadable();
  absl::Status status;
  while (true) {
    const bool room = reading->stream->has_room();
    if (room) reading->had_room_at = std::chrono::steady_clock::now();
    std::string piece(room ? kLogPiece : 1, '\0');  // without room it is asked only whether there is more
    const ssize_t count = pread(descriptor, piece.data(), piece.size(), reading->offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) status = unreadable();
    reading->whole = count == 0;
    if (count <= 0 || !room) break;
    piece.resize(static_cast<size_t>(count));
    v1::ReadLogResponse response;
    response.set_text(std::move(piece));
    if (!reading->stream->Push(std::move(response), absl::ZeroDuration())) break;  // the client is gone
    reading->offset += count;
  }
  close(descriptor);
  const auto waited = std::chrono::steady_clock::now() - reading->had_room_at;
  if (status.ok() && !reading->whole && absl::FromChrono(waited) > reading->patience) {
    status = absl::DeadlineExceededError(
        absl::StrCat(log, " was not taken in time from byte ", reading->offset, " on; ask for it again"));
  }
  return status;
}

void ReadOn(const std::shared_ptr<LogReading>& reading);

// No thread waits for a client that takes its text slowly.
void SendOn(const std::shared_ptr<LogReading>& reading) {
  if (!MayGoOn(reading.get())) return;
  const absl::Status sent = SendLog(reading.get());
  if (!sent.ok()) return reading->stream->End(sent);
  if (!reading->whole) return reading->pool->PostAfter(kRoomInterval, [reading] { SendOn(reading); });
  if (reading->last) return reading->stream->End(absl::OkStatus());
  reading->pool->PostAfter(kLogInterval, [reading] { ReadOn(reading); });
}

void ReadOn(const std::shared_ptr<LogReading>& reading) {
  if (!MayGoOn(reading.get())) return;
  // Asked before reading: what was printed before the end is in the file by then.
  const absl::StatusOr<RunDetail> detail = reading->coordinator->reader().GetRun(reading->run);
  if (!detail.ok()) return reading->stream->End(detail.status());
  if (reading->attempt == 0) reading->attempt = static_cast<int>(detail->run.attempts);
  if (detail->run.attempts == 0 && !reading->follow) {
    return reading->stream->End(absl::NotFoundError(absl::StrCat(
        "run ", reading->run.value(), " is ", detail->run.state, " and has not started: it has no log yet")));
  }
  if (reading->attempt > detail->run.attempts || (reading->attempt == 0 && !reading->follow)) {
    return reading->stream->End(absl::NotFoundError(
        absl::StrCat("run ", reading->run.value(), " has had ", detail->run.attempts,
                     detail->run.attempts == 1 ? " attempt" : " attempts", " so far, and none with that log")));
  }
  bool ended = false;
  for (const AttemptRow& attempt : detail->attempts) {
    if (attempt.attempt == reading->attempt) ended = !attempt.end.empty();
  }
  reading->last = ended || !reading->follow;
  if (reading->attempt > 0) return SendOn(reading);
  reading->pool->PostAfter(kLogInterval, [reading] { ReadOn(reading); });
}

// --- WatchProgress ---

constexpr int64_t kShortestInterval = 100;  // milliseconds
constexpr int64_t kDefaultInterval = 500;
constexpr int64_t kLongestInterval = 60'000;

struct Watching {
  Watching(Coordinator* owner, const std::string& selector) : coordinator(owner), watch(owner, selector) {}
  Coordinator* coordinator;
  ProgressWatch watch;
  TaskPool* pool = nullptr;
  std::shared_ptr<ResponseStream<v1::ProgressResponse>> stream;
  absl::Duration interval;
  bool until_done = false;
  std::string trouble;  // as last sent
  Authenticator::Again allowed;
};

// Why nothing can be stored at present; empty when all is well.
std::string TroubleOf(const CoordinatorInfo& info) {
  if (!info.degraded_reason.empty()) {
    return absl::StrCat("the coordinator cannot write its database, and tries again: ", info.degraded_reason);
  }
  if (info.metrics_held) {
    return "the coordinator's disk is nearly full: results wait until there is room (--least-free-disk says how much)";
  }
  return "";
}

void WatchOn(const std::shared_ptr<Watching>& watching) {
  if (watching->stream->over()) return;
  if (const absl::Status allowed = watching->allowed(); !allowed.ok()) return watching->stream->End(allowed);
  // A client that has not taken the last message gets the next one later, and then all that happened since.
  if (watching->stream->idle()) {
    v1::ProgressResponse response;
    bool changed = false;
    const absl::Status status = watching->watch.Look(&response, &changed);
    if (!status.ok() && !absl::IsUnavailable(status)) return watching->stream->End(status);
    const bool done = status.ok() && changed && response.done();
    if (!status.ok() || !changed) response.Clear();
    std::string trouble = TroubleOf(watching->coordinator->Info());
    if (changed || trouble != watching->trouble) {
      response.set_trouble(trouble);
      watching->trouble = std::move(trouble);
      watching->stream->Push(std::move(response), absl::ZeroDuration());
    }
    if (done && watching->until_done) return watching->stream->End(absl::OkStatus());
  }
  watching->pool->PostAfter(watching->interval, [watching] { WatchOn(watching); });
}

}  // namespace

grpc::ServerWriteReactor<v1::QueryResponse>* SweepServiceImpl::Query(grpc::CallbackServerContext* context,
                                                                     const v1::QueryRequest* request) {
  const auto stream = QueryStream::Make(untaken_, context);
  const absl::Status allowed = authenticator_->Check(CallerOf(*context), "SweepService/Query");
  if (!allowed.ok()) {
    stream->End(allowed);
    return stream.get();
  }
  pools_->queries.Post([coordinator = coordinator_, request = *request, limits = limits_, stream] {
    if (stream->over()) return;
    // Many may have been asked before the first is answered.
    if (const absl::Status room = stream->Room(); !room.ok()) return stream->End(room);
    RunQuery(coordinator, request, limits, stream.get());
  });
  return stream.get();
}

grpc::ServerWriteReactor<v1::CheckpointChunk>* SweepServiceImpl::ReadCheckpoint(
    grpc::CallbackServerContext* context, const v1::ReadCheckpointRequest* request) {
  const auto stream = ResponseStream<v1::CheckpointChunk>::Make(untaken_, context);
  const Authenticator::Again allowed = authenticator_->CheckAgain(CallerOf(*context), "SweepService/ReadCheckpoint");
  if (const absl::Status now = allowed(); !now.ok()) {
    stream->End(now);
    return stream.get();
  }
  const RunId run(request->run_id());
  const std::optional<int64_t> step = request->has_step() ? std::optional<int64_t>(request->step()) : std::nullopt;
  pools_->readings.Post(
      [coordinator = coordinator_, run, step, patience = limits_.checkpoint_patience, allowed, stream] {
        if (const absl::Status room = stream->Room(); !room.ok()) return stream->End(room);
        SendCheckpoint(coordinator, run, step, patience, allowed, stream.get());
      });
  return stream.get();
}

grpc::ServerWriteReactor<v1::ReadLogResponse>* SweepServiceImpl::ReadLog(grpc::CallbackServerContext* context,
                                                                         const v1::ReadLogRequest* request) {
  const auto reading = std::make_shared<LogReading>();
  reading->stream = ResponseStream<v1::ReadLogResponse>::Make(untaken_, context);
  reading->allowed = authenticator_->CheckAgain(CallerOf(*context), "SweepService/ReadLog");
  absl::Status problem = reading->allowed();
  if (problem.ok()) problem = reading->stream->Room();
  if (problem.ok() && (request->run_id() <= 0 || request->attempt() < 0)) {
    problem =
        absl::InvalidArgumentError("run_id and attempt: expected a run's id and an attempt from 1 (0: the latest)");
  }
  if (!problem.ok()) {
    reading->stream->End(problem);
    return reading->stream.get();
  }
  reading->coordinator = coordinator_;
  reading->pool = &pools_->reads;
  reading->run = RunId(request->run_id());
  reading->attempt = request->attempt();
  reading->follow = request->follow();
  reading->patience = limits_.log_patience;
  reading->had_room_at = std::chrono::steady_clock::now();
  pools_->reads.Post([reading] { ReadOn(reading); });
  return reading->stream.get();
}

grpc::ServerWriteReactor<v1::ProgressResponse>* SweepServiceImpl::WatchProgress(
    grpc::CallbackServerContext* context, const v1::WatchProgressRequest* request) {
  const auto watching = std::make_shared<Watching>(coordinator_, request->sweep());
  watching->stream = ResponseStream<v1::ProgressResponse>::Make(untaken_, context);
  watching->allowed = authenticator_->CheckAgain(CallerOf(*context), "SweepService/WatchProgress");
  absl::Status problem = watching->allowed();
  if (problem.ok()) problem = watching->stream->Room();
  if (!problem.ok()) {
    watching->stream->End(problem);
    return watching->stream.get();
  }
  const int64_t interval = request->interval_milliseconds() > 0 ? request->interval_milliseconds() : kDefaultInterval;
  watching->pool = &pools_->reads;
  watching->interval = absl::Milliseconds(std::clamp(interval, kShortestInterval, kLongestInterval));
  watching->until_done = request->until_done();
  pools_->reads.Post([watching] { WatchOn(watching); });
  return watching->stream.get();
}

}  // namespace seedbed
