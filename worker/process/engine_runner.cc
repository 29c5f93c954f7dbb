#include "worker/process/engine_runner.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/process/memory_kills.h"

namespace seedbed {
namespace {

// Of 64 KiB each, before others have their turn.
constexpr int kReadsPerTurn = 4;
// At an engine's end; more than a pipe holds by far.
constexpr int kReadsAtEnd = 1024;
constexpr int kLogReadsAtEnd = 32;
constexpr size_t kMostPendingInput = size_t{64} << 20;

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

absl::Status MakePipe(Pipe* made) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("making a pipe to the engine: ", strerror(errno), "; raise the limit of open files (ulimit -n)"));
  }
  made->read_end.reset(ends[0]);
  made->write_end.reset(ends[1]);
  return absl::OkStatus();
}

// Our end only: the engine's is another open file.
void SetNonBlocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

}  // namespace

absl::Duration RestartDelay(int failures) {
  if (failures <= 1) return absl::ZeroDuration();
  return std::min(absl::Seconds(60), absl::Seconds(int64_t{1} << std::min(failures - 2, 6)));
}

EngineRunner::EngineRunner(int index, EngineLaunch launch, const EngineLimits& limits, Spawner* spawner, Loop* loop)
    : index_(index), launch_(std::move(launch)), limits_(limits), spawner_(spawner), loop_(loop) {}

EngineRunner::~EngineRunner() {
  if (session_ != nullptr) Kill();
}

absl::Status EngineRunner::Launch(const Moment& now) {
  ++life_;
  process_ = ProcessId();
  pid_ = 0;
  pending_input_ = WriteQueue();
  lines_ = std::make_unique<LineReader>(kMostEngineLineBytes);
  memory_kills_ = CountMemoryKills();
  EngineSession::Host* host = this;
  session_ = std::make_unique<EngineSession>(index_, limits_, host, now);
  Pipe input, output, log;
  for (Pipe* pipe : {&input, &output, &log}) {
    if (absl::Status status = MakePipe(pipe); !status.ok()) return status;
  }
  SpawnRequest request;
  request.argv = launch_.argv;
  request.environment = EngineEnvironment(CurrentEnvironment(), launch_);
  request.working_directory = launch_.working_directory;
  request.file_descriptors = {-1, log.write_end.get(), log.write_end.get(), input.read_end.get(),
                              output.write_end.get()};
  absl::StatusOr<ProcessId> process = spawner_->Spawn(request);
  if (!process.ok()) return process.status();
  process_ = *process;
  input_ = std::move(input.write_end);
  output_ = std::move(output.read_end);
  log_ = std::move(log.read_end);
  for (const UniqueFd* fd : {&input_, &output_, &log_}) SetNonBlocking(fd->get());
  loop_->Watch(output_.get(), EPOLLIN, index_, Channel::kOutput, life_);
  loop_->Watch(log_.get(), EPOLLIN, index_, Channel::kLog, life_);
  reading_ = true;
  return absl::OkStatus();
}

void EngineRunner::Tick(const Moment& now) {
  if (session_ == nullptr) {
    if (leaving_ || now.monotonic < start_at_) return;
    if (absl::Status status = Launch(now); !status.ok()) {
      session_->OnNotSpawned(std::string(status.message()));
      OnDown(now);
    }
    return;
  }
  if (pending_input_.size() > kMostPendingInput) session_->OnFault("it does not read its input");
  session_->Tick(now);
  UpdateReading(now);
}

void EngineRunner::ExtendDeadlines(absl::Duration by) {
  if (session_ != nullptr) session_->ExtendDeadlines(by);
}

void EngineRunner::StartRun(AttemptStart start, const Moment& now) {
  if (session_ != nullptr) {
    memory_kills_ = CountMemoryKills();
    session_->Start(std::move(start), now);
    return;
  }
  AttemptEnded ended;
  ended.attempt = start.attempt;
  ended.end = AttemptEnd::kNotStarted;
  ended.reason = "the engine is not ready";
  loop_->Deliver(std::move(ended));
}

void EngineRunner::StopRun(AttemptId attempt, bool checkpoint, const Moment& now) {
  if (session_ == nullptr) return;
  session_->Stop(attempt, checkpoint, now);
  UpdateReading(now);
}

void EngineRunner::Checkpoint(AttemptId attempt) {
  if (session_ != nullptr) session_->Checkpoint(attempt);
}

void EngineRunner::SetPaused(AttemptId attempt, bool paused, const Moment& now) {
  if (session_ == nullptr) return;
  session_->SetPaused(attempt, paused, now);
  UpdateReading(now);
}

void EngineRunner::Shutdown(const Moment& now) {
  leaving_ = true;
  if (session_ == nullptr) return;
  session_->Shutdown(now);
  UpdateReading(now);
}

// A paused channel is not watched at all: a hang-up would be reported again and again.
void EngineRunner::UpdateReading(const Moment& now) {
  if (session_ == nullptr || !output_) return;
  const bool wanted = !session_->paused();
  if (wanted == reading_) return;
  reading_ = wanted;
  if (!wanted) {
    loop_->Unwatch(output_.get());
    return;
  }
  loop_->Watch(output_.get(), EPOLLIN, index_, Channel::kOutput, life_);
  TakeLines(now);
}

void EngineRunner::OnIo(Channel channel, uint32_t life, const Moment& now) {
  // The event may be of a process that has just been replaced.
  if (session_ == nullptr || life != life_) return;
  if (channel == Channel::kOutput && reading_) ReadOutput(kReadsPerTurn, now);
  if (channel == Channel::kInput) FlushInput();
  if (channel == Channel::kLog && log_ && ReadLog() == IoResult::kEnd) CloseChannel(&log_);
  UpdateReading(now);
}

void EngineRunner::ReadOutput(int most_reads, const Moment& now) {
  for (int reads = 0; reads < most_reads && output_; ++reads) {
    const IoResult result = lines_->ReadFrom(output_.get());
    if (result == IoResult::kWouldBlock) return;
    if (result == IoResult::kEnd) {
      CloseChannel(&output_);
      session_->OnOutputEnd(now);
      return;
    }
    TakeLines(now);
  }
}

void EngineRunner::TakeLines(const Moment& now) {
  std::string_view line;
  while (lines_->NextLine(&line)) session_->OnLine(line, now);
  if (lines_->too_long()) session_->OnFault(absl::StrCat("a line of more than ", kMostEngineLineBytes, " bytes"));
}

IoResult EngineRunner::ReadLog() {
  char chunk[65536];
  ssize_t got;
  do {
    got = read(log_.get(), chunk, sizeof chunk);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return IoResult::kWouldBlock;
  if (got <= 0) return IoResult::kEnd;
  session_->OnLog(std::string_view(chunk, static_cast<size_t>(got)));
  return IoResult::kProgress;
}

void EngineRunner::DrainLog() {
  for (int reads = 0; reads < kLogReadsAtEnd && log_; ++reads) {
    const IoResult result = ReadLog();
    if (result == IoResult::kEnd) CloseChannel(&log_);
    if (result != IoResult::kProgress) return;
  }
}

void EngineRunner::Send(const std::string& line) {
  if (!input_) return;
  const bool watched = !pending_input_.empty();
  pending_input_.Push(line);
  if (!watched) FlushInput();
}

void EngineRunner::FlushInput() {
  if (!input_) return;
  const IoResult result = pending_input_.WriteTo(input_.get());
  if (result == IoResult::kEnd) {
    // It closed its input: its silence or its end will tell the rest.
    pending_input_ = WriteQueue();
    CloseChannel(&input_);
    return;
  }
  if (result == IoResult::kWouldBlock) {
    loop_->Watch(input_.get(), EPOLLOUT, index_, Channel::kInput, life_);
  } else {
    loop_->Unwatch(input_.get());
  }
}

void EngineRunner::Kill() {
  if (!process_) return;
  // A spawner that is gone is noticed by the pool.
  spawner_->KillTree(process_).IgnoreError();
}

void EngineRunner::Emit(EngineEvent event) {
  loop_->Deliver(std::move(event));
}

void EngineRunner::CloseChannel(UniqueFd* fd) {
  if (!*fd) return;
  loop_->Unwatch(fd->get());
  fd->reset();
}

void EngineRunner::OnProcessEvent(const ProcessEvent& event, const Moment& now) {
  if (session_ == nullptr) return;
  if (const auto* spawned = std::get_if<ProcessSpawned>(&event)) {
    pid_ = spawned->pid;
  } else if (const auto* failed = std::get_if<ProcessNotSpawned>(&event)) {
    session_->OnNotSpawned(absl::StrCat(launch_.argv.empty() ? "" : launch_.argv[0], ": ", failed->reason));
    OnDown(now);
  } else {
    // What it said before its end counts, whether or not somebody paused it.
    TakeLines(now);
    ReadOutput(kReadsAtEnd, now);
    DrainLog();
    const std::optional<int64_t> kills = CountMemoryKills();
    session_->OnExit(std::get<ProcessExited>(event), kills && memory_kills_ && *kills > *memory_kills_);
    OnDown(now);
  }
}

void EngineRunner::OnSpawnerGone(const Moment& now) {
  leaving_ = true;
  if (session_ == nullptr) return;
  // Nobody reaps it here, but its own children may be left: the group still bears its number.
  if (pid_ > 0) kill(-pid_, SIGKILL);
  ProcessExited exit;
  exit.signal = SIGKILL;
  TakeLines(now);
  ReadOutput(kReadsPerTurn, now);
  session_->OnExit(exit, /*memory_kills_rose=*/false);
  OnDown(now);
}

void EngineRunner::OnDown(const Moment& now) {
  failures_ = session_->made_progress() ? 0 : failures_ + 1;
  EngineWentDown down;
  down.engine = index_;
  down.reason = session_->end_reason();
  down.refused = session_->refused();
  if (!leaving_) {
    down.restarts_in = RestartDelay(failures_);
    start_at_ = now.monotonic + *down.restarts_in;
  }
  for (UniqueFd* fd : {&output_, &input_, &log_}) CloseChannel(fd);
  process_ = ProcessId();
  session_.reset();
  loop_->Deliver(std::move(down));
}

}  // namespace seedbed
